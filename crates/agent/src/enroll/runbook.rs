//! The plan as a person types it: one command of the node's shell for each step, and the configuration.

use std::path::Path;

use felhom_ids::BridgeName;
use felhom_proxmox::pve::identities::{Change, IssueToken};

use super::{Ability, MADE, Step, Wanted, files};
use crate::credentials;
use crate::privilege::USER;

/// Where the node's name goes when nobody has been asked: its shell fills it in.
pub const THIS_NODE: &str = "$(hostname)";

/// The same for the fingerprint of what pveproxy shows: an admin's certificate where there is one, else Proxmox's own.
pub const THIS_FINGERPRINT: &str = "$(f=/etc/pve/local/pveproxy-ssl.pem; [ -e $f ] || f=/etc/pve/local/pve-ssl.pem; \
     openssl x509 -in $f -noout -fingerprint -sha256 | cut -d= -f2)";

/// The commands, to be run as root on the node.
pub fn script(steps: &[Step], node: &str) -> String {
    let mut text = "set -eu\n".to_owned();
    for step in steps {
        text.push_str(&command(step, node));
        text.push('\n');
    }
    text
}

/// One step as a command.
pub fn command(step: &Step, node: &str) -> String {
    match step {
        Step::Change(change) => of_change(change, node),
        Step::Issue { issue, secret } => of_token(issue, secret),
        Step::ApplyNetwork => format!("pvesh set /nodes/{node}/network"),
        Step::WriteConfig { path, text } => {
            // What the shell shall fill in must not be quoted.
            let mark = if text.contains("$(") { "EOF" } else { "'EOF'" };
            let directory = path.parent().unwrap_or(Path::new("."));
            let file = word(&path.display().to_string());
            // The agent's user reads it, whatever the umask of root's shell takes away.
            format!(
                "mkdir -p {} && cat > {file} <<{mark}\n{}\nEOF\nchmod 644 {file}",
                word(&directory.display().to_string()),
                text.trim_end()
            )
        }
        Step::RemoveFile(path) => format!("rm -f {}", word(&path.display().to_string())),
    }
}

fn of_change(change: &Change, node: &str) -> String {
    match change {
        Change::CreateRole { role, privs } => {
            format!("pveum role add {role} --privs {}", word(&privs.join(" ")))
        }
        Change::SetRole { role, privs } => {
            format!(
                "pveum role modify {role} --privs {}",
                word(&privs.join(" "))
            )
        }
        Change::DeleteRole(role) => format!("pveum role delete {role}"),
        Change::CreateUser { user, comment } => {
            format!("pveum user add {user} --comment {}", word(comment))
        }
        Change::DeleteUser(user) => format!("pveum user delete {user}"),
        Change::DeleteToken(token) => {
            format!("pveum user token delete {} {}", token.user(), token.name())
        }
        Change::Acl {
            path,
            role,
            token,
            delete,
        } => {
            let verb = if *delete { "delete" } else { "modify" };
            let (user, token) = (token.user(), word(&token.to_string()));
            format!("pveum acl {verb} {path} --users {user} --tokens {token} --roles {role}")
        }
        Change::CreatePool { pool, comment } => {
            format!("pveum pool add {pool} --comment {}", word(comment))
        }
        Change::DeletePool(pool) => format!("pveum pool delete {pool}"),
        Change::CreateBridge { bridge, comment } => format!(
            "pvesh create /nodes/{node}/network --iface {bridge} --type bridge --autostart 1 --comments {}",
            word(comment)
        ),
        Change::DeleteBridge(bridge) => format!("pvesh delete /nodes/{node}/network/{bridge}"),
    }
}

/// The secret goes from the answer into the file and is never seen.
fn of_token(issue: &IssueToken, secret: &Path) -> String {
    let (user, name) = (issue.token.user(), issue.token.name());
    let make = if issue.regenerate {
        format!("pveum user token modify {user} {name} --regenerate 1")
    } else {
        let comment = word(&issue.comment);
        format!("pveum user token add {user} {name} --privsep 1 --comment {comment}")
    };
    let directory = secret.parent().unwrap_or(Path::new("."));
    let (directory, file) = (
        word(&directory.display().to_string()),
        word(&secret.display().to_string()),
    );
    // Where the package's user is, it reads the secrets; their directory stays root's, so that it lays no link there.
    format!(
        "mkdir -p {directory} && chmod 700 {directory} && (umask 077; {make} --output-format json | perl -MJSON -e \
         'print decode_json(join \"\", <STDIN>)->{{value}}, \"\\n\"' > {file}) && \
         {{ ! id {USER} >/dev/null 2>&1 || {{ chgrp {USER} {directory} && chmod 750 {directory} && chown {USER}: {file}; }}; }}"
    )
}

/// A word of the shell.
pub(super) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The bridge as `/etc/network/interfaces` has it, for whom the API refuses it.
pub fn stanza(bridge: &BridgeName) -> String {
    format!(
        "cat >> /etc/network/interfaces <<'EOF'\n\nauto {bridge}\niface {bridge} inet manual\n\tbridge-ports none\n\
         \tbridge-stp off\n\tbridge-fd 0\n#{MADE}\nEOF\nifreload -a"
    )
}

/// What the configuration says besides what is granted.
#[derive(Debug, Clone)]
pub struct Place {
    /// `https://host:port`.
    pub url: String,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
    /// Where the journal goes, unless it is where it always is.
    pub state_dir: Option<String>,
    /// Where the archives of the backup storage lie, if they are files here.
    pub archives: Option<String>,
}

/// The configuration file for what is wanted.
pub fn configuration(wanted: &Wanted, place: &Place) -> String {
    let base = wanted.config.parent().unwrap_or(Path::new("/"));
    let mut text = format!("node = {}\n", quote(&wanted.node));
    if let Some(directory) = &place.state_dir {
        text.extend(["state_dir = ", &quote(directory), "\n"]);
    }
    let pve = [
        ("url", quote(&place.url)),
        ("fingerprint", quote(&place.fingerprint)),
    ];
    text.push_str(&section("[pve]", &pve));
    let mut identities = vec![("[principals.agent]", &wanted.agent)];
    if wanted.has(Ability::RestoreTest) {
        identities.push(("[principals.restore-test]", &wanted.restore_test));
    }
    for (name, identity) in identities {
        let file = identity
            .secret
            .strip_prefix(base)
            .unwrap_or(&identity.secret);
        let mut lines = vec![
            ("token", quote(&identity.token.to_string())),
            ("secret_file", quote(&file.display().to_string())),
        ];
        let credential = credentials::credential_of(&identity.secret);
        lines.extend(credential.map(|name| ("credential", quote(&name))));
        text.push_str(&section(name, &lines));
    }
    let storage = ("storage", quote(wanted.backup_storage.as_str()));
    text.push_str(&section("[backup]", std::slice::from_ref(&storage)));
    if wanted.has(Ability::RestoreTest) {
        let lines = [
            ("first_vmid", wanted.range.0.to_string()),
            ("last_vmid", wanted.range.1.to_string()),
            ("pool", quote(wanted.pool.as_str())),
            ("bridge", quote(wanted.bridge.as_str())),
            ("storage", quote(wanted.target_storage.as_str())),
        ];
        text.push_str(&section("[restore-test]", &lines));
    }
    if let Some(path) = &place.archives {
        text.push_str(&section("[[archives]]", &[storage, ("path", quote(path))]));
    }
    // What the shell fills in is not known yet, so nothing could be recognised by it later.
    if text.contains("$(") {
        text
    } else {
        files::sealed(&text)
    }
}

pub(super) fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn section(name: &str, lines: &[(&str, String)]) -> String {
    let lines = lines
        .iter()
        .map(|(key, value)| format!("{key} = {value}\n"));
    format!("\n{name}\n{}", lines.collect::<String>())
}
