//! What defining, changing and removing a backup server's storage does beside `storage.cfg`: its secrets lie in files
//! of their own, and the configuration shows the key's fingerprint only (pve-storage, `PBSPlugin.pm`).

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use crate::call::Params;
use crate::pbs::{Key, rfc3339};
use crate::storage::{Definition, Secret};
use crate::world::World;

/// What stands in a file besides `storage.cfg`.
const SECRETS: [&str; 3] = ["password", "encryption-key", "master-pubkey"];

/// Whether an option never stands in `storage.cfg` as it was given.
pub(super) fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// The key file that was given, or a new one.
fn key_file(given: &str, now: i64) -> Result<(String, Value), String> {
    if given == "autogen" {
        let text = Key::random().file(&rfc3339(now)).to_string();
        let file = serde_json::from_str(&text).unwrap_or_default();
        return Ok((text, file));
    }
    let file: Value = serde_json::from_str(given).unwrap_or_default();
    if file.get("data").is_none() {
        return Err("Value does not seems like a valid, JSON formatted encryption key!".into());
    }
    Ok((given.to_owned(), file))
}

/// Takes secrets from the parameters (`set`), and those that are deleted away; answers what the caller is told once.
pub(super) fn apply(
    secret: &mut Secret,
    definition: &mut Definition,
    params: &Params,
    deleted: &[&str],
    now: i64,
) -> Result<Map<String, Value>, String> {
    let mut told = Map::new();
    if let Some(password) = params.text("password") {
        secret.password = Some(password);
    } else if deleted.contains(&"password") {
        secret.password = None;
    }
    if let Some(given) = params.text("encryption-key") {
        let (text, file) = key_file(&given, now)?;
        let fingerprint = file
            .get("fingerprint")
            .and_then(Value::as_str)
            .unwrap_or("1");
        definition
            .options
            .insert("encryption-key".into(), fingerprint.into());
        told.insert("encryption-key".into(), json!(text));
        secret.key = Some(text);
    } else if deleted.contains(&"encryption-key") {
        secret.key = None;
        definition.options.remove("encryption-key");
    }
    if let Some(given) = params.text("master-pubkey") {
        if !definition.options.contains_key("encryption-key") {
            return Err("'master-pubkey' can only be used together with 'encryption-key'".into());
        }
        let pem = BASE64
            .decode(given.as_bytes())
            .map_err(|error| error.to_string())?;
        secret.master = Some(String::from_utf8_lossy(&pem).into_owned());
        definition
            .options
            .insert("master-pubkey".into(), "1".into());
    } else if deleted.contains(&"master-pubkey") {
        secret.master = None;
        definition.options.remove("master-pubkey");
    }
    Ok(told)
}

/// A new definition with its secrets; nothing is kept where the server does not let it in.
pub(super) fn add(
    world: &mut World,
    id: &str,
    definition: &mut Definition,
    params: &Params,
    now: i64,
) -> Result<Map<String, Value>, String> {
    let mut secret = Secret::default();
    let told = apply(&mut secret, definition, params, &[], now)?;
    if definition.enabled() {
        world.pbs_activate(id, definition, &secret)?;
    }
    world.storage.secrets.insert(id.to_owned(), secret);
    Ok(told)
}
