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
                "now=$(pct pending {vmid}) && ! printf '%s\\n' \"$now\" | grep '^... {key}:' && pct set {vmid} --{key} {}",
                quoted(&format!(
                    "{storage}:{gib},mp={path},backup={}",
                    u8::from(*backup)
                ))
            )],
            Self::PrepareMount { path, data } => vec![format!(
                "mountpoint {} && mkdir -p {}",
                quoted(path),
                quoted(data)
            )],
            Self::StopContainers { names } => vec![format!("docker stop {}", all(names))],
            // The data directory lies at the top of the new mount.
            Self::CopyTree { from, to } => vec![format!(
                "mountpoint {} && cp --archive --sparse=always {}/. {}/ && sync",
                quoted(parent(to)),
                quoted(from),
                quoted(to)
            )],
            Self::CompareTrees { from, to } => compare(from, to),
            Self::RemoveContainers { names } => remove(names),
            Self::SetAside { from, to } => aside(from, to),
            Self::RecreateVolume {
                name,
                device,
                labels,
                untold: _,
            } => vec![
                // Docker removes all that is in its directory of the volume: `rmdir` lets it have an empty one only.
                format!(
                    "{COMPARED} && own=$(docker volume inspect -f '{{{{.Mountpoint}}}}' {name}) && mkdir -p \"$own\" && rmdir \"$own\" && \
                     mkdir \"$own\" && docker volume rm {name}",
                    name = quoted(name)
                ),
                // A name that is taken is no error to Docker: it would give the old volume.
                format!(
                    "! docker volume inspect {} 2>/dev/null && docker volume create --driver local -o type=none -o o=bind -o {}{} {}",
                    quoted(name),
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
                    "make {key}, {gib} GiB on `{storage}`, at `{path}`, {kept}; a running guest gets it at once, or at its next \
                     start; where the guest has a {key} by now the command shows it and stops: then take the plan anew"
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
                "hash every file on both sides, and count everything; GNU coreutils and findutils are needed, others stop it"
                    .to_owned()
            }
            Self::RemoveContainers { names } => {
                format!(
                    "remove {}, whose description is kept in /root: Docker gives no volume away that a container holds; what was written \
                     in a container outside of its volumes goes with it",
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
            Self::StartContainers {
                projects,
                names,
                idle,
            } => start(projects, names, idle),
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

fn start(projects: &[String], names: &[String], idle: &[String]) -> String {
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
    let still = if idle.is_empty() {
        String::new()
    } else {
        format!(
            "; {} did not run before: name the other services instead, or stop again what is not meant to run",
            idle.join(", ")
        )
    };
    format!("{}: the downtime ends{still}", parts.join("; "))
}

/// No container goes before Docker's own description of it is kept.
fn remove(names: &[String]) -> Vec<String> {
    let one = |name: &String| {
        let kept = quoted(&format!("/root/felhom-container-{name}.json"));
        let fresh = quoted(&format!("/root/felhom-container-{name}.json.new"));
        let name = quoted(name);
        format!(
            "docker container inspect {name} >{fresh} && test -s {fresh} && mv {fresh} {kept} && docker rm {name}"
        )
    };
    names.iter().map(one).collect()
}

/// A rename, or nothing at all: `mv` would copy to another file system, which may be too small for it. Docker removes a volume's
/// directory by itself, and looks for it.
fn aside(from: &str, to: &str) -> Vec<String> {
    let directory = quoted(parent(to));
    let (from, to) = (quoted(from), quoted(to));
    vec![format!(
        "{COMPARED} && mkdir -p -m 0700 {directory} && test \"$(stat -c %d {from})\" = \"$(stat -c %d {directory})\" && \
         mv -T {from} {to} && mkdir {from}"
    )]
}

/// Whether the last comparison found both sides the same.
const COMPARED: &str = "test -s /root/felhom-old && cmp /root/felhom-old /root/felhom-new";

/// Every file's hash and everything's kind, mode, owner, target and name, sorted. Each program of it has a status of its own that
/// is looked at: a list that one of them could not make must not be taken for the list of an empty volume.
fn compare(from: &str, to: &str) -> Vec<String> {
    let side = |directory: &str, list: &str| {
        format!(
            "(cd {} && find . -xdev -type f -exec sha256sum -z {{}} + && find . -xdev -printf '%y %m %U:%G %l %p\\0') >{list} && \
             LC_ALL=C sort -z -o {list} {list}",
            quoted(directory)
        )
    };
    vec![
        side(from, "/root/felhom-old"),
        format!("{} && {COMPARED}", side(to, "/root/felhom-new")),
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
