//! How the box is: bridge, pool, storages, clock, certificate, and other people's backup jobs.

use felhom_engine::storages::{Answer, Attachment};
use felhom_engine::{
    BridgeHealth, Health, JobOverScratch, Principal, RestoreTestPolicy, Retention, StorageHealth,
    StorageSeen,
};
use felhom_ids::{StorageId, Vmid};
use felhom_proxmox::pve::jobs::BackupJob;
use felhom_proxmox::{Error, Pve};

use crate::clock;
use crate::config::{Config, TrustConfig};
use crate::remote::Remotes;
use crate::storages::Observed;

pub(super) async fn look(
    config: &Config,
    remotes: &Remotes,
    foreign: Vec<Vmid>,
    all: &[Observed],
) -> Result<Health, Error> {
    let agent = remotes.of(Principal::Agent);
    let policy = &config.restore_test_policy;
    let before = clock::now().secs();
    let clock_ahead_s = match agent.node_time().await {
        // The answer was made between question and arrival.
        Ok(time) if time.time < before => Some(time.time.saturating_sub(before)),
        Ok(time) => Some(time.time.saturating_sub(clock::now().secs()).max(0)),
        Err(_) => None,
    };
    Ok(Health {
        nodes: agent.nodes().await?.len(),
        insecure: matches!(config.trust, TrustConfig::Insecure),
        storages: storages(config, all),
        bridge: (policy.bridge.clone(), bridge(config, agent).await?),
        pool: (policy.pool.clone(), pool(config, remotes).await?),
        foreign_scratch: foreign,
        clock_ahead_s,
        jobs_over_scratch: jobs(config, agent).await?,
        pin_left_s: pin(config, agent).await,
    })
}

/// The bridge of copies; as good as isolated where there are to be none.
async fn bridge(config: &Config, agent: &Pve) -> Result<BridgeHealth, Error> {
    if !config.restore_tests {
        return Ok(BridgeHealth::Isolated);
    }
    let wanted = config.restore_test_policy.bridge.to_string();
    let interfaces = agent.host_interfaces().await?;
    let bridge = interfaces
        .iter()
        .find(|one| one.kind == "bridge" && one.iface == wanted);
    Ok(match bridge {
        None => BridgeHealth::Missing,
        Some(bridge) if bridge.is_isolated_bridge() => BridgeHealth::Isolated,
        Some(_) => BridgeHealth::Connected,
    })
}

/// Whether the pool of copies is there; `None` where that is of no interest or cannot be seen.
async fn pool(config: &Config, remotes: &Remotes) -> Result<Option<bool>, Error> {
    if !config.restore_tests {
        return Ok(None);
    }
    let tester = remotes.of(Principal::RestoreTest);
    match tester.pool(&config.restore_test_policy.pool).await {
        Ok(pool) => Ok(Some(pool.is_some())),
        Err(Error::NotFound { .. }) => Ok(Some(false)),
        Err(Error::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn storages(config: &Config, all: &[Observed]) -> Vec<StorageHealth> {
    let look = |id: &StorageId, purpose: &'static str, content: &'static str| {
        let observed = all.iter().find(|one| one.look.id == *id);
        let silent = observed.filter(|one| matches!(one.look.answer, Answer::None(_)));
        // What nothing is remembered of is not missed by the storages' own findings.
        let told = observed.is_some_and(|one| {
            one.state() == Attachment::Detached
                && (one.look.remembered.is_some() || one.look.may_be_away)
        });
        StorageHealth {
            id: id.clone(),
            purpose,
            content,
            seen: observed.and_then(|one| seen(one, content)),
            silent: silent.and_then(|one| one.why.clone()),
            absence_told: told,
        }
    };
    let mut health = vec![look(&config.backup.storage, "backups", "backup")];
    if config.restore_tests {
        health.push(look(
            &config.restore_test_policy.target,
            "copies",
            "rootdir",
        ));
    }
    health
}

fn seen(observed: &Observed, content: &str) -> Option<StorageSeen> {
    let config = observed.config.as_ref()?;
    Some(StorageSeen {
        active: observed.is_active(),
        fits: observed.takes(content),
        retention: if config.keeps_all() {
            Retention::KeepAll
        } else {
            Retention::Limited
        },
    })
}

/// Backup jobs that would archive a copy that stands in the scratch range; none where the token may not see them.
async fn jobs(config: &Config, agent: &Pve) -> Result<Vec<JobOverScratch>, Error> {
    let jobs = match agent.backup_jobs().await {
        Ok(jobs) => jobs,
        Err(Error::Forbidden { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let runs_here = |job: &BackupJob| job.node.as_ref().is_none_or(|node| *node == config.node);
    let tests = config.restore_tests;
    let running = jobs
        .into_iter()
        .filter(|job| tests && job.enabled && runs_here(job));
    let over = running.filter_map(|job| {
        Some(JobOverScratch {
            covers: covered(&job, &config.restore_test_policy)?,
            id: job.id,
            schedule: job.schedule,
        })
    });
    Ok(over.collect())
}

/// How a job comes to cover scratch guests, if it does.
fn covered(job: &BackupJob, policy: &RestoreTestPolicy) -> Option<String> {
    let range = policy.range();
    let in_range = |text: &String| text.parse::<Vmid>().is_ok_and(|vmid| range.contains(&vmid));
    if job
        .pool
        .as_ref()
        .is_some_and(|pool| *pool == policy.pool.to_string())
    {
        return Some(format!("pool {}", policy.pool));
    }
    if let Some(named) = job.vmid.iter().find(|text| in_range(text)) {
        return Some(format!("guest {named}"));
    }
    let left_out = job.exclude.iter().filter(|text| in_range(text)).count();
    let first = usize::try_from(policy.first_vmid.get()).ok()?;
    let last = usize::try_from(policy.last_vmid.get()).ok()?;
    let all = last.saturating_sub(first).saturating_add(1);
    (job.all && left_out < all).then(|| "all guests".to_owned())
}

/// In how many seconds the pinned certificate expires.
async fn pin(config: &Config, agent: &Pve) -> Option<i64> {
    let TrustConfig::Fingerprint(pinned) = &config.trust else {
        return None;
    };
    let shown = agent.certificates().await;
    let shown = shown
        .inspect_err(|error| tracing::debug!(%error, "the node's certificates could not be listed"))
        .ok()?;
    let own = shown
        .iter()
        .find(|one| one.fingerprint.as_ref() == Some(pinned))?;
    Some(own.notafter?.saturating_sub(clock::now().secs()))
}
