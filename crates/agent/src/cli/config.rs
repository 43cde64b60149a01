//! `config check` and `config show`.

use serde_json::{Value, json};

use super::Context;
use super::context::remote_failure;
use crate::credentials::read_secret;
use crate::exit::{Exit, Failure};
use crate::remote::Remotes;

pub(super) fn check(context: &Context) -> Result<Exit, Failure> {
    let config = context.config()?;
    // Reads the secret files too; speaks to nobody.
    Remotes::new(&config).map_err(|error| remote_failure(&error))?;
    for path in config.notify.secret_files() {
        read_secret(path).map_err(|error| remote_failure(&error.into()))?;
    }
    let data = json!({ "path": config.path, "ok": true });
    context.printer.document("felhom.config-check", &data, || {
        format!("{}: ok", config.path.display())
    });
    Ok(Exit::Done)
}

pub(super) fn show(context: &Context) -> Result<Exit, Failure> {
    let config = context.config()?;
    let shown = config.shown();
    context.printer.document("felhom.config", &shown, || {
        let mut lines = Vec::new();
        flatten("", &shown, &mut lines);
        lines.join("\n")
    });
    Ok(Exit::Done)
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
