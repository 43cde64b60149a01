//! The configuration as the program uses it: every value parsed, every default filled in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use felhom_engine::volumes::VolumePolicy;
use felhom_engine::{
    BackupMode, BackupPolicy, EvidenceLevel, Floors, GuardPolicy, KeepPolicy, Principal,
    RestoreTestPolicy, Schedule,
};
use felhom_ids::{NodeName, StorageId, Vmid};
use serde::Serialize;

use super::notify::NotifyConfig;
use super::pbs::PbsConfig;
use super::peer::{self, PrincipalConfig, RawTrust, TrustConfig};
use super::problems::Problems;
use super::raw::{RawConfig, RawFloors, RawHost, RawTargets};
use super::span::Span;

/// A directory whose archives the agent may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchiveDirectory {
    /// The storage it belongs to.
    pub storage: StorageId,
    /// The directory that holds `vzdump-…` files.
    pub path: PathBuf,
}

/// The checked configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Where it was read from.
    pub path: PathBuf,
    /// The node this agent stands on.
    pub node: NodeName,
    /// Where the journal is.
    pub state_dir: PathBuf,
    /// `host:port` of pveproxy.
    pub address: String,
    /// Whom to trust there.
    pub trust: TrustConfig,
    /// The principal that observes and backs up.
    pub agent: PrincipalConfig,
    /// The principal that restores, boots and destroys scratch guests; `agent` where none is named.
    pub restore_test: PrincipalConfig,
    /// The principal that restores guests for real, where one is named; its secret may be there for the occasion only.
    pub restore: Option<PrincipalConfig>,
    /// Whether `restore_test` is an identity of its own.
    pub separated: bool,
    /// Whether restore tests are set up: by a principal or a section of their own.
    pub restore_tests: bool,
    /// How backups are made.
    pub backup: BackupPolicy,
    /// Which backups are kept.
    pub keep: KeepPolicy,
    /// What a pass does when.
    pub schedule: Schedule,
    /// How restore tests are made.
    pub restore_test_policy: RestoreTestPolicy,
    /// How guarded changes are kept.
    pub guard: GuardPolicy,
    /// Directories whose archives may be read.
    pub archives: Vec<ArchiveDirectory>,
    /// What Docker volumes should be.
    pub volumes: VolumePolicy,
    /// Backup servers, by the storage of PVE that they are behind.
    pub pbs: BTreeMap<StorageId, PbsConfig>,
    /// Where the root helper listens, when there is one.
    pub host_socket: PathBuf,
    /// For how many days the disk of a target may be away before somebody is told.
    pub away_days: u16,
    /// Deadline of an ordinary request.
    pub request_timeout: Duration,
    /// The file for `node_exporter`, if there is to be one.
    pub metrics_textfile: Option<PathBuf>,
    /// Who is told when something is wrong.
    pub notify: NotifyConfig,
}

impl Config {
    /// Each identity with what it serves as; one where one token serves as both principals.
    pub fn identities(&self) -> Vec<(Principal, &PrincipalConfig)> {
        let mut all = vec![(Principal::Agent, &self.agent)];
        if self.separated {
            all.push((Principal::RestoreTest, &self.restore_test));
        }
        all
    }
}

/// Defaults; each with the reason for its value.
mod default {
    use std::time::Duration;

    pub(super) const STATE_DIR: &str = "/var/lib/felhom-agent";
    /// A guest can be locked for the length of somebody else's backup.
    pub(super) const WAIT: Duration = Duration::from_mins(15);
    /// A tar of a large volume says nothing until it is done: silence of two hours is what a slow disk may need.
    pub(super) const NO_PROGRESS: Duration = Duration::from_hours(2);
    /// PVE waits 10 s for a guest's file lock and 10 s for a cluster lock (`PVE::AbstractConfig`, `PVE::Cluster`), so a request
    /// whose answer was lost has either become a task within 20 s or never will.
    pub(super) const SETTLE: Duration = Duration::from_secs(25);
    /// pveproxy gives up on pvedaemon after 30 s; our own deadline is later, so that its answer is heard.
    pub(super) const REQUEST: Duration = Duration::from_secs(45);
    /// Two disks that take turns every week, and a few days for who forgets.
    pub(super) const AWAY_DAYS: u16 = 10;
    pub(super) const STABLE_FOR: Duration = Duration::from_secs(5);
    pub(super) const EVIDENCE_TIMEOUT: Duration = Duration::from_mins(2);
}

pub(super) fn check(raw: RawConfig, path: &Path) -> Result<Config, Vec<String>> {
    let mut problems = Problems::default();
    let base = path.parent().unwrap_or(Path::new("/"));
    let checked = build(raw, path, base, &mut problems);
    match checked {
        Some(config) if problems.0.is_empty() => Ok(config),
        _ => Err(problems.0),
    }
}

fn build(raw: RawConfig, path: &Path, base: &Path, problems: &mut Problems) -> Option<Config> {
    let node = problems.parse("node", &raw.node);
    let address = peer::address("pve", &raw.pve.url, 8006, problems);
    let trust = RawTrust {
        fingerprint: raw.pve.fingerprint.as_deref(),
        ca_file: raw.pve.ca_file.as_deref(),
        insecure: raw.pve.insecure.unwrap_or(false),
    };
    let trust = peer::trust("pve", trust, base, problems);
    let agent = peer::principal("principals.agent", &raw.principals.agent, base, problems);
    let principals = &raw.principals;
    let mut principal = |name: &str, raw| peer::principal(name, raw, base, problems);
    let own = principals.restore_test.as_ref();
    let own = own.map(|raw| principal("principals.restore-test", raw));
    let restore = principals.restore.as_ref();
    let restore = restore.map(|raw| principal("principals.restore", raw));
    let separated = own.is_some();
    let restore_tests = separated || raw.restore_test.is_some();
    let restore_test = own.unwrap_or_else(|| agent.clone());
    let backup = backup(&raw, problems);
    let keep = super::keep::keep(raw.backup.as_ref(), &mut problems.0);
    let restore_test_policy = restore_policy(&raw, problems);
    let guard = super::guard::guard(raw.snapshot_guard.as_ref(), backup.as_ref(), problems);
    let archives = archives(&raw, base, problems);
    let volumes = super::volumes::volumes(raw.volumes.as_ref(), problems);
    let pbs = super::pbs::pbs(&raw.pbs, base, problems);
    let metrics_textfile = super::metrics::textfile(raw.metrics, problems);
    let schedule = super::schedule::schedule(raw.schedule.as_ref(), problems);
    let notify = super::notify::notify(raw.notify.as_ref(), base, problems);
    let limits = raw.limits.unwrap_or_default();
    Some(Config {
        path: path.to_owned(),
        node: node?,
        state_dir: base.join(raw.state_dir.unwrap_or_else(|| default::STATE_DIR.into())),
        address: address?,
        trust: trust?,
        agent: agent?,
        restore_test: restore_test?,
        restore: restore.map_or(Some(None), |one| one.map(Some))?,
        separated,
        restore_tests,
        backup: backup?,
        keep: keep?,
        schedule: schedule?,
        restore_test_policy: restore_test_policy?,
        guard: guard?,
        archives: archives?,
        volumes: volumes?,
        pbs: pbs?,
        host_socket: base.join(host_socket(raw.host)),
        away_days: away_days(raw.targets.as_ref()),
        request_timeout: limits.request.map_or(default::REQUEST, Span::get),
        metrics_textfile,
        notify: notify?,
    })
}

fn host_socket(raw: Option<RawHost>) -> PathBuf {
    let named = raw.and_then(|host| host.socket);
    named.unwrap_or_else(|| PathBuf::from(felhom_host::SOCKET))
}

fn away_days(raw: Option<&RawTargets>) -> u16 {
    let said = raw.and_then(|targets| targets.away_days);
    said.unwrap_or(default::AWAY_DAYS)
}

fn backup(raw: &RawConfig, problems: &mut Problems) -> Option<BackupPolicy> {
    let section = raw.backup.as_ref();
    let limits = raw.limits.as_ref();
    let storage = problems.parse_or(
        "backup.storage",
        section.and_then(|s| s.storage.as_deref()),
        "local",
    );
    let mode: Option<BackupMode> = problems.parse_or(
        "backup.mode",
        section.and_then(|s| s.mode.as_deref()),
        "snapshot",
    );
    let storage_floor = problems.bytes(
        "backup.storage_floor_mib",
        section.and_then(|s| s.storage_floor_mib).unwrap_or(1024),
    );
    Some(BackupPolicy {
        storage: storage?,
        mode: mode?,
        wait_limit: section
            .and_then(|s| s.wait)
            .map_or(default::WAIT, Span::get),
        lockwait_min: limits.and_then(|l| l.lockwait_min).unwrap_or(1),
        no_progress: limits
            .and_then(|l| l.no_progress)
            .map_or(default::NO_PROGRESS, Span::get),
        settle: limits
            .and_then(|l| l.settle)
            .map_or(default::SETTLE, Span::get),
        storage_floor: storage_floor?,
    })
}

fn restore_policy(raw: &RawConfig, problems: &mut Problems) -> Option<RestoreTestPolicy> {
    let none = super::raw::RawRestoreTest::default();
    let section = raw.restore_test.as_ref().unwrap_or(&none);
    let limits = raw.limits.as_ref();
    let vmid = |problems: &mut Problems, key: &str, number: Option<u32>, default: u32| {
        Vmid::new(number.unwrap_or(default))
            .map_err(|error| problems.0.push(format!("{key}: {error}")))
            .ok()
    };
    let first = vmid(
        problems,
        "restore-test.first_vmid",
        section.first_vmid,
        9100,
    );
    let last = vmid(problems, "restore-test.last_vmid", section.last_vmid, 9199);
    let pool = problems.parse_or(
        "restore-test.pool",
        section.pool.as_deref(),
        "felhom-scratch",
    );
    let bridge = problems.parse_or("restore-test.bridge", section.bridge.as_deref(), "vmbr9");
    let target = problems.parse_or(
        "restore-test.storage",
        section.storage.as_deref(),
        "local-lvm",
    );
    let evidence: Option<EvidenceLevel> = problems.parse_or(
        "restore-test.evidence",
        section.evidence.as_deref(),
        "booted",
    );
    // Before the first `?`: all problems are told at once.
    let floors = floors(section.floors.as_ref(), problems);
    let (first, last) = (first?, last?);
    let (stable_for, evidence_timeout) = patience(section, limits, problems);
    problems.require(
        first <= last,
        "restore-test: first_vmid is above last_vmid",
        (),
    );
    Some(RestoreTestPolicy {
        first_vmid: first,
        last_vmid: last,
        pool: pool?,
        bridge: bridge?,
        target: target?,
        memory_mib: section.memory_mib.unwrap_or(1024),
        cores: section.cores.unwrap_or(1),
        evidence: evidence?,
        stable_for,
        evidence_timeout,
        floors: floors?,
        wait_limit: section.wait.map_or(default::WAIT, Span::get),
        no_progress: limits
            .and_then(|l| l.no_progress)
            .map_or(default::NO_PROGRESS, Span::get),
        settle: limits
            .and_then(|l| l.settle)
            .map_or(default::SETTLE, Span::get),
    })
}

/// How long a copy must stay up, and how long the evidence is waited for.
fn patience(
    section: &super::raw::RawRestoreTest,
    limits: Option<&super::raw::RawLimits>,
    problems: &mut Problems,
) -> (Duration, Duration) {
    let stable_for = section.stable_for.map_or(default::STABLE_FOR, Span::get);
    let evidence_timeout = section
        .evidence_timeout
        .map_or(default::EVIDENCE_TIMEOUT, Span::get);
    problems.require(
        stable_for < evidence_timeout,
        "restore-test: evidence_timeout must be longer than stable_for",
        (),
    );
    problems.require(
        limits
            .and_then(|l| l.request)
            .is_none_or(|request| !request.get().is_zero()),
        "limits.request: `0s` gives a request no time at all",
        (),
    );
    problems.require(
        limits.and_then(|l| l.settle).is_none_or(|settle| !settle.get().is_zero()),
        "limits.settle: `0s` would repeat a request whose answer was lost at once; PVE's own locks take up to 20 s",
        (),
    );
    (stable_for, evidence_timeout)
}

fn floors(raw: Option<&RawFloors>, problems: &mut Problems) -> Option<Floors> {
    let none = RawFloors::default();
    let raw = raw.unwrap_or(&none);
    let storage_percent = raw.storage_percent.unwrap_or(10);
    let metadata_percent = raw.metadata_percent.unwrap_or(10);
    let root = problems.bytes("restore-test.floors.root_mib", raw.root_mib.unwrap_or(1024));
    let memory = problems.bytes(
        "restore-test.floors.memory_mib",
        raw.memory_mib.unwrap_or(512),
    );
    problems.require(
        storage_percent <= 90 && metadata_percent <= 90,
        "restore-test.floors: a floor above 90 percent leaves no room for a test",
        Floors {
            storage_percent,
            metadata_percent,
            root_bytes: root?,
            memory_bytes: memory?,
        },
    )
}

fn archives(
    raw: &RawConfig,
    base: &Path,
    problems: &mut Problems,
) -> Option<Vec<ArchiveDirectory>> {
    let mut all = Vec::new();
    for (index, entry) in raw.archives.iter().enumerate() {
        let storage = problems.parse(&format!("archives[{index}].storage"), &entry.storage);
        all.push(storage.map(|storage| ArchiveDirectory {
            storage,
            path: base.join(&entry.path),
        }));
    }
    all.into_iter().collect()
}
