//! What a look at the box itself says: bridge, scratch range, storages, clock. Nothing here is about rights.

use felhom_ids::{BridgeName, PoolId, StorageId, Vmid};

use crate::finding::{Finding, codes};
use crate::world::Retention;

/// A storage that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageHealth {
    /// Its id.
    pub id: StorageId,
    /// What it is used for: `backups`, `copies`.
    pub purpose: &'static str,
    /// The content type that it must take for that.
    pub content: &'static str,
    /// What is known of it; `None` when it is not listed.
    pub seen: Option<StorageSeen>,
    /// Why it could not be asked, if it could not.
    pub silent: Option<String>,
    /// Whether somebody tells already that it is not there, or means it to be away (`storages/findings.rs`).
    pub absence_told: bool,
}

/// What is known of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSeen {
    /// Whether it is within reach.
    pub active: bool,
    /// Whether it takes that content.
    pub fits: bool,
    /// Its own retention.
    pub retention: Retention,
}

/// What stands under the name of the isolated bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeHealth {
    /// Nothing that can be seen.
    Missing,
    /// A bridge with ports or addresses.
    Connected,
    /// A bridge that leads nowhere.
    Isolated,
}

/// What was seen of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Whether TLS verification is off.
    pub insecure: bool,
    /// The storages that the configuration names.
    pub storages: Vec<StorageHealth>,
    /// The isolated bridge.
    pub bridge: (BridgeName, BridgeHealth),
    /// The scratch pool, and whether it is there; `None` when that could not be seen.
    pub pool: (PoolId, Option<bool>),
    /// Guests of the scratch range that do not bear our mark.
    pub foreign_scratch: Vec<Vmid>,
    /// By how many seconds the node's clock is ahead of ours.
    pub clock_ahead_s: Option<i64>,
    /// Backup jobs of the cluster that cover scratch VMIDs.
    pub jobs_over_scratch: Vec<JobOverScratch>,
    /// In how many seconds the pinned certificate expires; `None` where none is pinned or its end is not told.
    pub pin_left_s: Option<i64>,
}

/// A backup job of the cluster that covers VMIDs of the scratch range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOverScratch {
    /// Its id.
    pub id: String,
    /// How it comes to cover them: `all guests`, `pool x`, `guest 9100`.
    pub covers: String,
    /// When it runs, as a calendar event.
    pub schedule: Option<String>,
}

/// Proxmox renews its own certificate two weeks before it expires, one by ACME thirty days before (pve-manager
/// `bin/pveupdate`); whoever pins one should know before that.
const PIN_WARNING_S: i64 = 45 * 24 * 3600;
const DAY_S: i64 = 24 * 3600;

/// A node whose clock differs by more is no longer explained by a slow answer.
const CLOCK_TOLERANCE_S: i64 = 30;

/// What a person should know of it.
pub fn health(seen: &Health) -> Vec<Finding> {
    let mut found = Vec::new();
    if seen.nodes > 1 {
        let detail = format!("{} nodes; one is supported", seen.nodes);
        found.push(Finding::new(codes::CLUSTER_UNSUPPORTED, "cluster", detail));
    }
    if seen.insecure {
        let detail = "`insecure = true`: anybody between us and the server can read the token";
        let hint = "`felhom-agent trust show`; compare with the node, then write `fingerprint = \"…\"` in place of `insecure`";
        found.push(Finding::new(codes::INSECURE_TLS, "configuration", detail).hint(hint));
    }
    found.extend(seen.storages.iter().flat_map(storage));
    found.extend(bridge(&seen.bridge.0, seen.bridge.1));
    if seen.pool.1 == Some(false) {
        let pool = &seen.pool.0;
        let hint = format!("pvesh create /pools --poolid {pool}");
        let detail = "the pool of scratch guests does not exist";
        found.push(Finding::new(codes::POOL_MISSING, format!("pool {pool}"), detail).hint(hint));
    }
    for vmid in &seen.foreign_scratch {
        let detail = "it stands in the scratch range and does not bear our mark; it is left alone";
        let hint = "give the guest another VMID, or set another range in `[restore-test]`";
        let subject = format!("guest {vmid}");
        found.push(Finding::new(codes::SCRATCH_FOREIGN, subject, detail).hint(hint));
    }
    found.extend(seen.clock_ahead_s.and_then(clock));
    found.extend(seen.jobs_over_scratch.iter().map(job));
    found.extend(seen.pin_left_s.and_then(pin));
    found
}

fn job(job: &JobOverScratch) -> Finding {
    let when = job.schedule.as_deref().unwrap_or("by hand");
    let detail = format!(
        "it covers {} and runs {when}: a copy that a restore test has up at that time is archived as well, and its archive \
         stays",
        job.covers
    );
    let hint = "leave the scratch range out of the job (`exclude`, or name its guests instead of all), or run restore tests \
                at another time";
    Finding::new(
        codes::JOB_ARCHIVES_SCRATCH,
        format!("backup job {}", job.id),
        detail,
    )
    .hint(hint)
}

fn pin(left: i64) -> Option<Finding> {
    if left > PIN_WARNING_S {
        return None;
    }
    let when = if left < 0 {
        "has expired".to_owned()
    } else {
        format!("expires in {} days", left / DAY_S)
    };
    let renewal = match left / DAY_S {
        ..=3 => {
            "it should have been replaced long ago: on the node, `systemctl status pve-daily-update` says why it was not"
        }
        4..=14 => "Proxmox replaces its own with its next daily update",
        15..=30 => {
            "one by ACME is replaced with the next daily update, Proxmox's own two weeks before the end"
        }
        _ => "Proxmox replaces its own two weeks before the end and one by ACME thirty days before",
    };
    let detail = format!(
        "it {when}; {renewal}; a replacement that was not prepared while the old one was shown makes every job wait"
    );
    let hint = "felhom-agent trust rotate prepares what follows as soon as it stands in the node's file; after a renewal that \
                nobody saw compare, on the node: openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem; \
                then: felhom-agent trust repin";
    Some(Finding::new(codes::CERTIFICATE_EXPIRES, "pinned certificate", detail).hint(hint))
}

fn storage(storage: &StorageHealth) -> Vec<Finding> {
    let id = &storage.id;
    let subject = format!("storage {id}");
    let unusable = |detail: String| {
        let hint = format!("pvesm status --storage {id}");
        vec![Finding::new(codes::STORAGE_UNUSABLE, &subject, detail).hint(hint)]
    };
    if let Some(why) = &storage.silent {
        return unusable(format!(
            "nobody can say whether the storage for {} can be used: {why}",
            storage.purpose
        ));
    }
    let is_there = storage.seen.as_ref().is_some_and(|seen| seen.active);
    if !is_there && storage.absence_told {
        return Vec::new();
    }
    let Some(seen) = &storage.seen else {
        return unusable(format!(
            "the configured storage for {} is not listed: it does not exist, or its token may not see it",
            storage.purpose
        ));
    };
    if !seen.active {
        return unusable(format!(
            "the storage for {} is out of reach",
            storage.purpose
        ));
    }
    let mut found = Vec::new();
    if !seen.fits {
        let detail = format!(
            "it takes no `{}`, so it cannot hold {}",
            storage.content, storage.purpose
        );
        found.extend(unusable(detail));
    }
    if storage.content == "backup" && seen.retention == Retention::Limited {
        let detail = "its own retention counts our archives and deletes old ones; the agent sets `protected` against that, as far as the storage's quota goes";
        let hint = format!("pvesm set {id} --prune-backups keep-all=1");
        found.push(Finding::new(codes::RETENTION_PRUNES, &subject, detail).hint(hint));
    }
    found
}

fn bridge(name: &BridgeName, seen: BridgeHealth) -> Option<Finding> {
    let subject = format!("bridge {name}");
    match seen {
        BridgeHealth::Isolated => None,
        BridgeHealth::Missing => {
            let detail = "the bridge for scratch guests is not listed: it does not exist, or its token may not see it";
            let hint = "`felhom-agent enroll pve` makes it";
            Some(Finding::new(codes::BRIDGE_MISSING, subject, detail).hint(hint))
        }
        BridgeHealth::Connected => {
            let detail = "it has ports or addresses, so a copy could meet the world; restore tests refuse it";
            let hint = "name a bridge without ports and address in `[restore-test]`";
            Some(Finding::new(codes::BRIDGE_NOT_ISOLATED, subject, detail).hint(hint))
        }
    }
}

fn clock(ahead: i64) -> Option<Finding> {
    if ahead.saturating_abs() <= CLOCK_TOLERANCE_S {
        return None;
    }
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let detail = format!(
        "the node's clock is {} s {way} ours",
        ahead.saturating_abs()
    );
    let hint = "timedatectl status; chronyc tracking";
    Some(Finding::new(codes::CLOCK_OFF, "node", detail).hint(hint))
}
