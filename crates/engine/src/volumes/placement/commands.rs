//! A step of a placement plan in the commands that a person types, and in words.

use std::collections::BTreeMap;

use super::{PlacementAction, parent};

impl PlacementAction {
    /// The commands, in order; none but for `Repoint`, where a person must decide how.
    #[expect(clippy::too_many_lines, reason = "one arm an action: a table")]
    pub fn commands(&self, vmid: felhom_ids::Vmid) -> Vec<String> {
        match self {
            Self::AddMount {
                key,
                storage,
                gib,
                path,
                backup,
            } => vec![format!(
                "pct set {vmid} --{key} {}",
                quoted(&format!(
                    "{storage}:{gib},mp={path},backup={}",
                    u8::from(*backup)
                ))
            )],
            Self::PrepareMount { path, data } => vec![
                format!("mountpoint -q {}", quoted(path)),
                format!("mkdir {}", quoted(data)),
            ],
            Self::StopContainers { names } => vec![format!("docker stop {}", all(names))],
            Self::CopyTree { from, to } => vec![
                format!(
                    "cp --archive --sparse=always {}/. {}/",
                    quoted(from),
                    quoted(to)
                ),
                "sync".to_owned(),
            ],
            Self::CompareTrees { from, to } => compare(from, to),
            Self::RemoveContainers { names } => remove(names),
            Self::SetAside { from, to } => aside(from, to),
            Self::RecreateVolume {
                name,
                device,
                labels,
                untold: _,
            } => vec![
                format!("docker volume rm {}", quoted(name)),
                format!(
                    "docker volume create --driver local -o type=none -o o=bind -o {}{} {}",
                    quoted(&format!("device={device}")),
                    labelled(labels),
                    quoted(name)
                ),
            ],
            Self::Repoint { .. } => Vec::new(),
            Self::StartContainers { projects, .. } => projects
                .iter()
                .map(|project| format!("docker compose -p {} up -d", quoted(project)))
                .collect(),
            Self::Prove { vmid } => vec![
                format!("felhom-agent volumes import {vmid} FILE…"),
                format!("felhom-agent backup run {vmid}"),
            ],
            Self::BackUp { vmid } => vec![format!("felhom-agent backup run {vmid}")],
            Self::ProtectArchive { node, volid } => {
                let path = format!("/nodes/{node}/storage/{}/content/{volid}", volid.storage());
                vec![format!("pvesh set {} --protected 1", quoted(&path))]
            }
            Self::DropOld {
                path,
                emptied: false,
            } => vec![format!("rm -rf --one-file-system {}", quoted(path))],
            Self::DropOld {
                path,
                emptied: true,
            } => vec![format!("find {} -xdev -mindepth 1 -delete", quoted(path))],
        }
    }

    /// What it does, in one line.
    #[expect(clippy::too_many_lines, reason = "one arm an action: a table")]
    pub fn what(&self) -> String {
        match self {
            Self::AddMount {
                key,
                storage,
                gib,
                path,
                backup,
            } => {
                let kept = if *backup {
                    "in every backup"
                } else {
                    "in no backup"
                };
                format!(
                    "make {key}, {gib} GiB on `{storage}`, at `{path}`, {kept}; a running guest gets it at once, or at its next start"
                )
            }
            Self::PrepareMount { path, .. } => {
                format!("see that `{path}` is mounted, and make the directory for the data")
            }
            Self::StopContainers { names } => {
                format!("stop {}: the downtime begins", names.join(", "))
            }
            Self::CopyTree { from, to } => {
                format!("copy `{from}` to `{to}` with owners, modes, times, links and attributes")
            }
            Self::CompareTrees { .. } => {
                "hash every file on both sides, and count everything".to_owned()
            }
            Self::RemoveContainers { names } => {
                format!(
                    "remove {}, whose description is kept in /root: Docker gives no volume away that a container holds",
                    names.join(", ")
                )
            }
            Self::SetAside { from, to } => format!(
                "move the old copy from `{from}` to `{to}`, a rename on the same file system"
            ),
            Self::RecreateVolume {
                name,
                device,
                untold,
                ..
            } => {
                let by_hand = if untold.is_empty() {
                    String::new()
                } else {
                    let names = untold.join(", ");
                    format!("; add its label(s) {names}, whose values no report tells")
                };
                format!("make the volume `{name}` anew, on `{device}`{by_hand}")
            }
            Self::Repoint { from, to, projects } => {
                let wherever = if projects.is_empty() {
                    "wherever they are started".to_owned()
                } else {
                    format!("in the compose file of {}", projects.join(", "))
                };
                format!("let the containers mount `{to}` instead of `{from}`, {wherever}")
            }
            Self::StartContainers { projects, names } => start(projects, names),
            Self::Prove { .. } => {
                "tell the agent of the new place, back up, and read the proof".to_owned()
            }
            Self::BackUp { vmid } => format!(
                "back up as things are, since no archive is known to hold the old copy; then take this plan again with `felhom-agent \
                 volumes plan {vmid}`, which protects the archive before anything else"
            ),
            Self::ProtectArchive { volid, .. } => {
                format!(
                    "protect `{volid}`, the last archive that is known to hold the old copy, before a new backup prunes"
                )
            }
            Self::DropOld {
                path,
                emptied: false,
            } => format!("remove the old copy in `{path}`: only when all is well at the new place"),
            Self::DropOld {
                path,
                emptied: true,
            } => format!(
                "remove the old copy in `{path}`: only when all is well at the new place, and nothing else of the guest uses the \
                 directory"
            ),
        }
    }
}

fn start(projects: &[String], names: &[String]) -> String {
    let mut parts = Vec::new();
    if !projects.is_empty() {
        parts.push(format!(
            "bring {} up, in the directory of its compose file",
            projects.join(", ")
        ));
    }
    if !names.is_empty() {
        parts.push(format!("make {} anew, as it was made", names.join(", ")));
    }
    format!("{}: the downtime ends", parts.join("; "))
}

/// What Docker says of the containers takes its file's place only when it said it of all of them: the commands may be typed a
/// second time, when some are gone.
fn remove(names: &[String]) -> Vec<String> {
    let first = names.first().map_or("", String::as_str);
    let kept = quoted(&format!("/root/felhom-containers-{first}.json"));
    let fresh = quoted(&format!("/root/felhom-containers-{first}.json.new"));
    vec![
        format!(
            "docker inspect {} >{fresh} && mv {fresh} {kept}",
            all(names)
        ),
        format!("docker rm {}", all(names)),
    ]
}

/// A rename, or nothing at all: `mv` would copy to another file system, which may be too small for it.
fn aside(from: &str, to: &str) -> Vec<String> {
    let directory = quoted(parent(to));
    let (from, to) = (quoted(from), quoted(to));
    vec![
        format!("mkdir -p -m 0700 {directory}"),
        format!(
            "test \"$(stat -c %d {from})\" = \"$(stat -c %d {directory})\" && mv -T {from} {to}"
        ),
        // Docker removes a volume's directory by itself, and looks for it.
        format!("mkdir {from}"),
    ]
}

/// The files of both sides are hashed alike, so that a volume without files has an empty list on both; then all that is not in
/// a file is listed on both sides.
fn compare(from: &str, to: &str) -> Vec<String> {
    let (from, to) = (quoted(from), quoted(to));
    let sums = "find . -xdev -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum";
    let all = "find . -xdev -printf '%y %m %U:%G %l %p\\0' | LC_ALL=C sort -z | sha256sum";
    vec![
        format!("(cd {from} && {sums}) >/root/felhom-sums"),
        format!("(cd {to} && {sums}) | cmp - /root/felhom-sums"),
        format!("test \"$(cd {from} && {all})\" = \"$(cd {to} && {all})\""),
    ]
}

fn labelled(labels: &BTreeMap<String, String>) -> String {
    let words = labels
        .iter()
        .map(|(key, value)| quoted(&format!("{key}={value}")));
    words.fold(String::new(), |line, word| line + " --label " + &word)
}

fn all(names: &[String]) -> String {
    names
        .iter()
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word for a POSIX shell: as it is where it is harmless, in single quotes otherwise.
fn quoted(word: &str) -> String {
    let harmless = |sign: char| sign.is_ascii_alphanumeric() || "-_./:=,@+".contains(sign);
    if !word.is_empty() && word.chars().all(harmless) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
