//! The configuration for a person to look at.

use std::time::Duration;

use felhom_engine::GuardPolicy;
use serde_json::{Value, json};

use super::span::Span;
use super::{Config, PrincipalConfig, TrustConfig};

fn guard(policy: &GuardPolicy) -> Value {
    json!({
        "on_expiry": policy.on_expiry,
        "max_age": Span::new(policy.max_age).to_string(),
        "on_max_age": policy.on_max_age,
        "storage_percent": policy.storage_percent,
        "metadata_percent": policy.metadata_percent,
    })
}

impl Config {
    /// The configuration by the keys of the file, every default filled in, durations with their units: read again as a
    /// `.json` file, it is the same configuration, in which restore tests are set up.
    pub fn shown(&self) -> Value {
        let span = |duration: Duration| Span::new(duration).to_string();
        let (pve, principals) = (pve(self), principals(self));
        let (backup, test) = (&self.backup, &self.restore_test_policy);
        json!({
            "node": self.node,
            "state_dir": self.state_dir,
            "pve": pve,
            "principals": principals,
            "backup": {
                "storage": backup.storage,
                "mode": backup.mode,
                "storage_floor_mib": backup.storage_floor >> 20,
                "wait": span(backup.wait_limit),
                "keep_last": self.keep.last,
                "keep_daily": self.keep.daily,
                "keep_weekly": self.keep.weekly,
                "keep_monthly": self.keep.monthly,
                "keep_at_least": self.keep.at_least,
            },
            "restore-test": {
                "first_vmid": test.first_vmid,
                "last_vmid": test.last_vmid,
                "pool": test.pool,
                "bridge": test.bridge,
                "storage": test.target,
                "memory_mib": test.memory_mib,
                "cores": test.cores,
                "evidence": test.evidence,
                "stable_for": span(test.stable_for),
                "evidence_timeout": span(test.evidence_timeout),
                "wait": span(test.wait_limit),
                "floors": {
                    "storage_percent": test.floors.storage_percent,
                    "metadata_percent": test.floors.metadata_percent,
                    "root_mib": test.floors.root_bytes >> 20,
                    "memory_mib": test.floors.memory_bytes >> 20,
                },
            },
            "schedule": super::schedule::shown(&self.schedule),
            "snapshot-guard": guard(&self.guard),
            "archives": self.archives,
            "volumes": super::volumes::shown(&self.volumes),
            "pbs": super::pbs::shown(&self.pbs),
            "host": { "socket": self.host_socket },
            "targets": { "away_days": self.away_days },
            "metrics": { "textfile": self.metrics_textfile },
            "limits": {
                "no_progress": span(backup.no_progress),
                "settle": span(backup.settle),
                "request": span(self.request_timeout),
                "lockwait_min": backup.lockwait_min,
            },
            "notify": super::notify::shown(&self.notify),
        })
    }
}

fn pve(config: &Config) -> Value {
    let mut pve = json!({ "url": format!("https://{}", config.address) });
    let (key, value) = trust(&config.trust);
    if let Some(pve) = pve.as_object_mut() {
        pve.insert(key.to_owned(), value);
    }
    pve
}

/// The key under which it stands, and what stands there.
pub(super) fn trust(trust: &TrustConfig) -> (&'static str, Value) {
    match trust {
        TrustConfig::Fingerprint(fingerprint) => ("fingerprint", json!(fingerprint)),
        TrustConfig::CaFile(path) => ("ca_file", json!(path)),
        TrustConfig::Insecure => ("insecure", json!(true)),
    }
}

fn principals(config: &Config) -> Value {
    let principal = |principal: &PrincipalConfig| json!({ "token": principal.token, "secret_file": principal.secret_file });
    let mut all = json!({ "agent": principal(&config.agent), "restore-test": principal(&config.restore_test) });
    if let (Some(all), Some(restore)) = (all.as_object_mut(), &config.restore) {
        all.insert("restore".to_owned(), principal(restore));
    }
    all
}
