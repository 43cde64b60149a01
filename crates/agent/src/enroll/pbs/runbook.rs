//! The plan as persons type it: the backup server's half, the node's half, and the agent's configuration.

use std::path::Path;

use felhom_ids::{KeyFingerprint, TokenId};
use felhom_proxmox::pbs::identities::Change;

use super::kit;
use super::{Step, Wanted};
use crate::enroll::MADE;
pub(super) use crate::enroll::runbook::{quote, word};

/// Who types a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// Root on the backup server.
    Server,
    /// Root on the node.
    Node,
}

/// Where a step is typed.
pub fn place(step: &Step) -> Where {
    match step {
        Step::Change(_) | Step::Issue { .. } => Where::Server,
        Step::MakeKit | Step::WritePage | Step::Define | Step::WriteConfig | Step::Forget(_) => {
            Where::Node
        }
    }
}

/// One step as a command. No secret stands in it; a key that is there already is named by its fingerprint.
pub fn command(wanted: &Wanted, step: &Step) -> String {
    let key = kit::key_file(&wanted.kit).display().to_string();
    match step {
        Step::MakeKit => format!(
            "mkdir -p -m 700 {} && proxmox-backup-client key create --kdf none {}",
            word(&wanted.kit.display().to_string()),
            word(&key)
        ),
        Step::WritePage => format!(
            "proxmox-backup-client key paperkey {} --output-format text   # print it, and keep it off the box",
            word(&key)
        ),
        Step::Change(change) => of_change(change),
        Step::Issue {
            token,
            again,
            secret,
        } => of_token(token, *again, secret),
        Step::Define => define(wanted, &key),
        Step::WriteConfig => format!(
            "cat >> {} <<'EOF'\n{}\nEOF",
            word(&wanted.config.display().to_string()),
            section(wanted, key_of(wanted).as_ref()).trim_end()
        ),
        Step::Forget(path) => format!("rm -f {}", word(&path.display().to_string())),
    }
}

fn of_change(change: &Change) -> String {
    let grant = |grant: &felhom_proxmox::pbs::identities::Grant, who: &str| {
        let verb = if grant.delete { "remove" } else { "update" };
        format!(
            "proxmox-backup-manager acl {verb} {} {} --auth-id {}",
            grant.path,
            grant.role,
            word(who)
        )
    };
    match change {
        Change::CreateUser { user, comment } => format!(
            "proxmox-backup-manager user create {user} --comment {}",
            word(comment)
        ),
        Change::DeleteUser(user) => format!("proxmox-backup-manager user remove {user}"),
        Change::DeleteToken(token) => format!(
            "proxmox-backup-manager user delete-token {} {}",
            token.user(),
            token.name()
        ),
        Change::GrantUser(to, user) => grant(to, user.as_str()),
        Change::GrantToken(to, token) => grant(to, &token.to_string()),
    }
}

fn of_token(token: &TokenId, again: bool, secret: &Path) -> String {
    let (user, name) = (token.user(), token.name());
    let first = if again {
        format!("proxmox-backup-manager user delete-token {user} {name}\n")
    } else {
        String::new()
    };
    format!(
        "{first}proxmox-backup-manager user generate-token {user} {name}   # its value goes into {} on the node, mode 0600",
        secret.display()
    )
}

/// `pvesm` reads the key from the file, and asks for the secret: in a command everybody on the machine could see it.
fn define(wanted: &Wanted, key: &str) -> String {
    let namespace = &wanted.place.namespace;
    let namespace = if namespace.is_root() {
        String::new()
    } else {
        format!(" --namespace {namespace}")
    };
    let master = if wanted.master_key.is_some() {
        " --master-pubkey MASTER-PUBLIC-KEY.pem"
    } else {
        ""
    };
    format!(
        "pvesm add pbs {} --server {} --port {} --datastore {}{namespace} --content backup --prune-backups keep-all=1 \
         --username {} --fingerprint {} --encryption-key {}{master} --password   # asks for what is in {}",
        wanted.storage,
        word(&wanted.server),
        wanted.port,
        wanted.place.store,
        word(&wanted.writer.token.to_string()),
        wanted.fingerprint,
        word(key),
        wanted.writer.secret.display()
    )
}

/// The server as it stands in an address.
pub fn host(wanted: &Wanted) -> String {
    if wanted.server.contains(':') {
        format!("[{}]", wanted.server)
    } else {
        wanted.server.clone()
    }
}

/// The whole runbook: the server's half, then the node's.
pub fn script(wanted: &Wanted, steps: &[Step]) -> String {
    let mut lines = vec![format!("# {MADE} pbs, for storage `{}`", wanted.storage)];
    for (place, title) in [
        (Where::Server, "# as root on the backup server"),
        (Where::Node, "# as root on the node"),
    ] {
        let here = steps.iter().filter(|step| self::place(step) == place);
        let commands: Vec<String> = here.map(|step| command(wanted, step)).collect();
        if !commands.is_empty() {
            lines.extend([String::new(), title.to_owned()]);
            lines.extend(commands);
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The key that lies in the kit, once there is one.
fn key_of(wanted: &Wanted) -> Option<KeyFingerprint> {
    let read = kit::read(&wanted.kit).ok();
    read.map(|(key, _)| key.fingerprint())
}

/// The section of the agent's configuration.
pub fn section(wanted: &Wanted, key: Option<&KeyFingerprint>) -> String {
    let base = wanted.config.parent().unwrap_or(Path::new("/"));
    let file = &wanted.reader.secret;
    let file = file.strip_prefix(base).unwrap_or(file);
    let mut keys = vec![
        ("url", format!("https://{}:{}", host(wanted), wanted.port)),
        ("fingerprint", wanted.fingerprint.to_string()),
        ("datastore", wanted.place.store.to_string()),
    ];
    if !wanted.place.namespace.is_root() {
        keys.push(("namespace", wanted.place.namespace.to_string()));
    }
    keys.extend([
        ("token", wanted.reader.token.to_string()),
        ("secret_file", file.display().to_string()),
        ("owner", wanted.writer.token.to_string()),
    ]);
    let credential = crate::credentials::credential_of(&wanted.reader.secret);
    keys.extend(credential.map(|name| ("credential", name)));
    if let Some(key) = key {
        keys.push(("key_fingerprint", key.to_string()));
    }
    let lines = keys
        .iter()
        .map(|(key, value)| format!("{key} = {}\n", quote(value)));
    format!(
        "\n[pbs.{}]\n{}",
        quote(wanted.storage.as_str()),
        lines.collect::<String>()
    )
}
