//! `config check` and `config show`.

use serde_json::json;

use super::Context;
use super::context::remote_failure;
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
    context.printer.document("felhom.config", &config, || {
        let value = serde_json::to_value(&config).unwrap_or_default();
        let mut lines = Vec::new();
        flatten("", &value, &mut lines);
        lines.join("\n")
    });
    Ok(Exit::Done)
}

fn flatten(prefix: &str, value: &serde_json::Value, lines: &mut Vec<String>) {
    use serde_json::Value;
    let join = |key: &str| {
        if prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{prefix}.{key}")
        }
    };
    match value {
        // A duration is serialised as seconds and nanoseconds.
        Value::Object(map) if map.contains_key("nanos") && map.len() == 2 => {
            let number = |key: &str| map.get(key).and_then(Value::as_u64).unwrap_or(0);
            let duration = std::time::Duration::from_secs(number("secs"))
                .saturating_add(std::time::Duration::from_nanos(number("nanos")));
            lines.push(format!("{prefix} = {}", crate::config::Span::new(duration)));
        }
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
        Value::Null => lines.push(format!("{prefix} is not set")),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            lines.push(format!("{prefix} = {value}"));
        }
    }
}
