//! The file as it is written: every key, nothing checked but its name and its type.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::span::Span;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) node: String,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) pve: RawPve,
    pub(super) principals: RawPrincipals,
    pub(super) backup: Option<RawBackup>,
    #[serde(rename = "restore-test")]
    pub(super) restore_test: Option<RawRestoreTest>,
    #[serde(rename = "snapshot-guard")]
    pub(super) snapshot_guard: Option<RawGuard>,
    #[serde(default)]
    pub(super) archives: Vec<RawArchives>,
    pub(super) volumes: Option<RawVolumes>,
    #[serde(default)]
    pub(super) pbs: BTreeMap<String, RawPbs>,
    pub(super) host: Option<RawHost>,
    pub(super) targets: Option<RawTargets>,
    pub(super) limits: Option<RawLimits>,
    pub(super) metrics: Option<RawMetrics>,
    pub(super) schedule: Option<RawSchedule>,
    pub(super) notify: Option<RawNotify>,
}

/// One, or a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "a calendar event such as `sat 02:30`, or a list of them"
)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetrics {
    pub(super) textfile: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotify {
    pub(super) at_least: Option<String>,
    pub(super) remind_after: Option<Span>,
    pub(super) flap: Option<Span>,
    #[serde(default)]
    pub(super) channels: Vec<RawChannel>,
    pub(super) ping: Option<RawPing>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSchedule {
    pub(super) guests: Option<String>,
    pub(super) backup: Option<OneOrMany>,
    pub(super) backup_for: Option<Span>,
    pub(super) backup_every: Option<Span>,
    pub(super) proof: Option<OneOrMany>,
    pub(super) proof_for: Option<Span>,
    pub(super) proof_every: Option<Span>,
    pub(super) proofs_per_pass: Option<u32>,
    pub(super) verify: Option<OneOrMany>,
    pub(super) verify_for: Option<Span>,
    pub(super) retry_after: Option<Span>,
    pub(super) first_at_once: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChannel {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) url: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) server: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) tls: Option<String>,
    pub(super) from: Option<String>,
    #[serde(default)]
    pub(super) to: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) credential: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPing {
    pub(super) alive_file: Option<PathBuf>,
    pub(super) alive_credential: Option<String>,
    pub(super) backup_file: Option<PathBuf>,
    pub(super) backup_credential: Option<String>,
    pub(super) proof_file: Option<PathBuf>,
    pub(super) proof_credential: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHost {
    pub(super) socket: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTargets {
    pub(super) away_days: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPve {
    pub(super) url: String,
    pub(super) fingerprint: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) insecure: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrincipals {
    pub(super) agent: RawPrincipal,
    #[serde(rename = "restore-test")]
    pub(super) restore_test: Option<RawPrincipal>,
    pub(super) restore: Option<RawPrincipal>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrincipal {
    pub(super) token: String,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) credential: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPbs {
    pub(super) url: String,
    pub(super) fingerprint: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) datastore: String,
    pub(super) namespace: Option<String>,
    pub(super) token: String,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) credential: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) encrypted: Option<bool>,
    pub(super) key_fingerprint: Option<String>,
    pub(super) verify_every: Option<Span>,
    pub(super) verify_for: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackup {
    pub(super) storage: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) storage_floor_mib: Option<u64>,
    pub(super) keep_last: Option<u32>,
    pub(super) keep_daily: Option<u32>,
    pub(super) keep_weekly: Option<u32>,
    pub(super) keep_monthly: Option<u32>,
    pub(super) keep_at_least: Option<u32>,
    pub(super) wait: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRestoreTest {
    pub(super) first_vmid: Option<u32>,
    pub(super) last_vmid: Option<u32>,
    pub(super) pool: Option<String>,
    pub(super) bridge: Option<String>,
    pub(super) storage: Option<String>,
    pub(super) memory_mib: Option<u64>,
    pub(super) cores: Option<u32>,
    pub(super) evidence: Option<String>,
    pub(super) stable_for: Option<Span>,
    pub(super) evidence_timeout: Option<Span>,
    pub(super) wait: Option<Span>,
    pub(super) floors: Option<RawFloors>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuard {
    pub(super) on_expiry: Option<String>,
    pub(super) max_age: Option<Span>,
    pub(super) on_max_age: Option<String>,
    pub(super) storage_percent: Option<u8>,
    pub(super) metadata_percent: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFloors {
    pub(super) storage_percent: Option<u8>,
    pub(super) metadata_percent: Option<u8>,
    pub(super) root_mib: Option<u64>,
    pub(super) memory_mib: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawArchives {
    pub(super) storage: String,
    pub(super) path: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) no_progress: Option<Span>,
    pub(super) settle: Option<Span>,
    pub(super) request: Option<Span>,
    pub(super) lockwait_min: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVolumes {
    pub(super) bulk_hint_gib: Option<u64>,
    #[serde(default)]
    pub(super) rules: Vec<RawVolumeRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVolumeRule {
    pub(super) vmid: Option<u32>,
    pub(super) name: Option<String>,
    pub(super) image: Option<String>,
    pub(super) path: Option<String>,
    pub(super) class: String,
    pub(super) protected_by: Option<String>,
    pub(super) accepted_loss: Option<RawAcceptedLoss>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAcceptedLoss {
    pub(super) by: String,
    pub(super) on: String,
}
