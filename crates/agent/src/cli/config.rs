//! `config check` and `config show`.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use super::context::remote_failure;
use crate::config::{Config, PrincipalConfig, Span, TrustConfig};
use crate::exit::{Exit, Failure};
use crate::remote::Remotes;

pub(super) fn check(context: &Context) -> Result<Exit, Failure> {
    let config = context.config()?;
    // Reads the secret files too; speaks to nobody.
    Remotes::new(&config).map_err(|error| remote_failure(&error))?;
    let data = json!({ "path": config.path, "ok": true });
    context.printer.document("felhom.config-check", &data, || {
        format!("{}: ok", config.path.display())
    });
    Ok(Exit::Done)
}

pub(super) fn show(context: &Context) -> Result<Exit, Failure> {
    let config = context.config()?;
    let shown = shown(&config);
    context.printer.document("felhom.config", &shown, || {
        let mut lines = Vec::new();
        flatten("", &shown, &mut lines);
        lines.join("\n")
    });
    Ok(Exit::Done)
}

/// The configuration by the keys of the file, every default filled in, durations with their units.
fn shown(config: &Config) -> Value {
    let span = |duration: Duration| Span::new(duration).to_string();
    let principal = |principal: &PrincipalConfig| json!({ "token": principal.token, "secret_file": principal.secret_file });
    let mut pve = json!({ "url": format!("https://{}", config.address) });
    let (key, value) = match &config.trust {
        TrustConfig::Fingerprint(fingerprint) => ("fingerprint", json!(fingerprint)),
        TrustConfig::CaFile(path) => ("ca_file", json!(path)),
        TrustConfig::Insecure => ("insecure", json!(true)),
    };
    if let Some(pve) = pve.as_object_mut() {
        pve.insert(key.to_owned(), value);
    }
    let (backup, test) = (&config.backup, &config.restore_test_policy);
    json!({
        "node": config.node,
        "state_dir": config.state_dir,
        "pve": pve,
        "principals": { "agent": principal(&config.agent), "restore-test": principal(&config.restore_test) },
        "backup": {
            "storage": backup.storage,
            "mode": backup.mode,
            "storage_floor_mib": backup.storage_floor >> 20,
            "wait": span(backup.wait_limit),
            "keep_last": config.keep.last,
            "keep_daily": config.keep.daily,
            "keep_weekly": config.keep.weekly,
            "keep_monthly": config.keep.monthly,
            "keep_at_least": config.keep.at_least,
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
        "archives": config.archives,
        "limits": {
            "no_progress": span(backup.no_progress),
            "settle": span(backup.settle),
            "request": span(config.request_timeout),
            "lockwait_min": backup.lockwait_min,
        },
    })
}

fn flatten(prefix: &str, value: &Value, lines: &mut Vec<String>) {
    let join = |key: &str| {
        if prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{prefix}.{key}")
        }
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                flatten(&join(key), value, lines);
            }
        }
        Value::Array(all) => {
            for (index, value) in all.iter().enumerate() {
                flatten(&format!("{prefix}[{index}]"), value, lines);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            lines.push(format!("{prefix} = {value}"));
        }
    }
}
