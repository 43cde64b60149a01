//! A guest, brought back.

use felhom_ids::GuestKind;
use felhom_protocol::kit::{KitArchive, KitGuest, KitPart, KitStep};

use super::archives::{Choice, choose, told};
use super::facts::{Config, Facts, GuestFact};
use super::places::Place;
use super::shell::{command, word};
use super::{machine, page, volumes};

/// Keys that a plain `set` brings from the archive's state to that of now. What holds a volume or a secret is not among them.
const SETTABLE: [&str; 24] = [
    "agent",
    "balloon",
    "bios",
    "boot",
    "cores",
    "cpu",
    "cpulimit",
    "cpuunits",
    "features",
    "hostname",
    "machine",
    "memory",
    "name",
    "nameserver",
    "numa",
    "onboot",
    "ostype",
    "protection",
    "scsihw",
    "searchdomain",
    "sockets",
    "startup",
    "swap",
    "tags",
];

/// The guest as the kit's list has it.
pub(super) fn listed(facts: &Facts, guest: &GuestFact) -> KitGuest {
    let choice = choose(facts, guest);
    KitGuest {
        vmid: guest.vmid,
        kind: guest.kind.to_string(),
        name: guest.name.clone(),
        archive: choice.map(|choice| told(facts, choice.main)),
        newer: choice.and_then(|choice| choice.newer.map(|newer| told(facts, newer))),
    }
}

/// The step that brings it back.
pub(super) fn step(facts: &Facts, guest: &GuestFact, in_circle: bool) -> KitStep {
    let mut parts = vec![KitPart::Say(resources(guest))];
    if in_circle {
        parts.push(KitPart::Warn(
            "It waits for a storage that a guest serves which waits for it: begin with whichever archive lies elsewhere."
                .to_owned(),
        ));
    }
    match choose(facts, guest) {
        None => parts.push(KitPart::Warn(without(guest).to_owned())),
        Some(choice) => {
            parts.extend(archive(facts, guest, choice));
            parts.extend(back(facts, guest, choice));
            parts.extend(start(guest));
        }
    }
    let word = match guest.kind {
        GuestKind::Lxc => "container",
        GuestKind::Qemu => "virtual machine",
    };
    KitStep {
        title: format!("Guest {} {} ({word})", guest.vmid, guest.name),
        parts,
    }
}

fn without(guest: &GuestFact) -> &'static str {
    if guest.selected {
        "NO ARCHIVE of it was seen on any storage: nothing here brings it back."
    } else {
        "NO ARCHIVE of it was seen on any storage, and the schedule leaves it out (`schedule.guests`): it was not meant to \
         come back."
    }
}

fn resources(guest: &GuestFact) -> String {
    let config = match &guest.config {
        Ok(config) => config,
        Err(why) => return format!("Its configuration of now could not be read: {why}."),
    };
    let get = |key: &str, default: &'static str| config.get(key).unwrap_or(default).to_owned();
    let mut said = vec![
        format!("memory {} MiB", get("memory", "512")),
        format!("cores {}", get("cores", "all or one")),
    ];
    let bridges = config.bridges();
    if !bridges.is_empty() {
        said.push(format!("on {}", bridges.join(", ")));
    }
    if config.is_on("onboot") {
        said.push("starts at boot".to_owned());
    }
    format!("It had: {}.", said.join("; "))
}

/// Which archive, and which else there is.
fn archive(facts: &Facts, guest: &GuestFact, choice: Choice<'_>) -> Vec<KitPart> {
    let main = told(facts, choice.main);
    let mut parts = vec![KitPart::Say(format!(
        "Archive: {}, {}.",
        main.volid,
        described(&main)
    ))];
    if main.proven_s.is_none() {
        parts.push(KitPart::Warn(
            "No restore test of this archive has passed.".to_owned(),
        ));
    }
    if let Some(newer) = choice.newer {
        let newer = told(facts, newer);
        parts.push(KitPart::Say(format!(
            "Newer, but not proven: {}, {}. To take that one, write it in place of the other.",
            newer.volid,
            described(&newer)
        )));
    }
    if let Some(better) = choice.on_box {
        let better = told(facts, better);
        parts.push(KitPart::Say(format!(
            "If the old box's disk survived, this one is better: {}, {}.",
            better.volid,
            described(&better)
        )));
    }
    let storage = choice.main.volid.storage().as_str();
    match facts.place(storage) {
        Place::OffBox | Place::Removable(_) => {}
        Place::OwnDisk(_) => parts.push(KitPart::Warn(
            "It lies only inside the old box: without that disk this guest is lost.".to_owned(),
        )),
        Place::Box => parts.push(KitPart::Warn(format!(
            "It lies only on the old box itself: without its disk this guest is lost. Copy it from there to the same place \
             on the new box ({}) before the next line.",
            main.place
        ))),
    }
    if facts.storage(storage).is_none() {
        parts.push(KitPart::Warn(format!(
            "How storage {storage} is defined could not be read: attach it first."
        )));
    }
    parts.push(KitPart::Say(format!(
        "If {} is taken already, `pvesh get /cluster/nextid` tells a free number: write it in place of {} in all lines of \
         this step.",
        guest.vmid, guest.vmid
    )));
    parts
}

fn described(archive: &KitArchive) -> String {
    let proven = match archive.proven_s {
        Some(at) => format!("passed its restore test {}", page::date(at)),
        None => "never restore-tested".to_owned(),
    };
    format!(
        "made {}, {}, {proven}, on {}",
        page::date(archive.made_s),
        felhom_engine::size(archive.size),
        archive.place
    )
}

/// The restore itself, and what brings the configuration to that of now.
fn back(facts: &Facts, guest: &GuestFact, choice: Choice<'_>) -> Vec<KitPart> {
    let volid = choice.main.volid.to_string();
    let mut parts = Vec::new();
    let archived = guest.archived.as_ref();
    let config = match (archived, &guest.config) {
        (Some(Ok(config)), _) => config,
        (why, Ok(config)) => {
            if let Some(Err(why)) = why {
                parts.push(KitPart::Warn(format!(
                    "The configuration inside the archive could not be read ({why}); what follows is made of the one of now."
                )));
            }
            config
        }
        (_, Err(_)) => {
            parts.push(KitPart::Warn(
                "Neither its configuration nor the one inside the archive could be read: all volumes go to one storage. \
                 Write its name in place of STORAGE."
                    .to_owned(),
            ));
            let vmid = guest.vmid.to_string();
            parts.push(KitPart::Type(match guest.kind {
                GuestKind::Lxc => {
                    command(["pct", "restore", &vmid, &volid, "--storage", "STORAGE"])
                }
                GuestKind::Qemu => command(["qmrestore", &volid, &vmid, "--storage", "STORAGE"]),
            }));
            return parts;
        }
    };
    parts.extend(match config {
        Config::Lxc(lxc) => volumes::restore(facts, guest, lxc, &volid),
        Config::Qemu(qemu) => machine::restore(facts, guest, qemu, &volid),
    });
    if let (Some(Ok(archived)), Ok(now)) = (archived, &guest.config) {
        parts.extend(changed(guest, archived, now));
    }
    parts.extend(left_out(facts, guest, config));
    parts
}

fn program(guest: &GuestFact) -> &'static str {
    match guest.kind {
        GuestKind::Lxc => "pct",
        GuestKind::Qemu => "qm",
    }
}

/// What was set since the archive was made.
fn changed(guest: &GuestFact, archived: &Config, now: &Config) -> Vec<KitPart> {
    let matters = |key: &str| SETTABLE.contains(&key) || is_net(key);
    let (mut set, mut gone) = (String::new(), Vec::new());
    for (key, value) in now.raw().iter().filter(|(key, _)| matters(key)) {
        if archived.get(key) != Some(value) {
            set.extend([format!(" --{key} {}", word(value))]);
        }
    }
    for key in archived.raw().keys().filter(|key| matters(key)) {
        if now.get(key).is_none() {
            gone.push(key.as_str());
        }
    }
    let mut parts = Vec::new();
    if !set.is_empty() || !gone.is_empty() {
        parts.push(KitPart::Say(
            "Its configuration has changed since that archive was made; this brings it up to date:"
                .to_owned(),
        ));
        let mut line = format!("{} set {}{set}", program(guest), guest.vmid);
        if !gone.is_empty() {
            line.extend([format!(" --delete {}", gone.join(","))]);
        }
        parts.push(KitPart::Type(line));
    }
    let is_volume = |key: &str| (key.starts_with("mp") && key != "mp") || is_drive(key);
    let added: Vec<&str> = now
        .raw()
        .keys()
        .filter(|key| is_volume(key) && archived.get(key).is_none())
        .map(String::as_str)
        .collect();
    if !added.is_empty() {
        parts.push(KitPart::Warn(format!(
            "Newer than the archive, and not in it: {}.",
            added.join(", ")
        )));
    }
    parts
}

/// Whether a key of a machine names a drive; one that only holds a CD does not matter as much as a warning too few.
fn is_drive(key: &str) -> bool {
    let buses = ["scsi", "virtio", "sata", "ide", "efidisk", "tpmstate"];
    buses.iter().any(|bus| {
        let number = key.strip_prefix(bus);
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn is_net(key: &str) -> bool {
    let number = key.strip_prefix("net");
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// What is restored as a word and stands for something that no archive holds.
fn left_out(facts: &Facts, guest: &GuestFact, config: &Config) -> Vec<KitPart> {
    let (vmid, program) = (guest.vmid.to_string(), program(guest));
    let mut parts = Vec::new();
    if let Some(script) = config.get("hookscript") {
        let storage = script.split(':').next().unwrap_or_default();
        if !facts.place(storage).is_off_box() {
            parts.push(KitPart::Warn(format!(
                "Its hook script {script} is in no backup, and without it the guest does not start. It is taken out; when \
                 the file is back: `{program} set {vmid} --hookscript {script}`."
            )));
            parts.push(KitPart::Type(command([
                program,
                "set",
                &vmid,
                "--delete",
                "hookscript",
            ])));
        }
    }
    if let Config::Lxc(lxc) = config {
        for (number, device) in lxc.devices() {
            parts.push(KitPart::Warn(format!(
                "dev{number} is the device {device} of the old box. If the new one lacks it, take it out before the start: \
                 `pct set {vmid} --delete dev{number}`."
            )));
        }
        if !lxc.raw_lxc().is_empty() {
            parts.push(KitPart::Warn(format!(
                "It has raw `lxc.*` lines, which may name what the new box lacks: look at /etc/pve/lxc/{vmid}.conf."
            )));
        }
    }
    parts
}

/// The start, and how to see that it is well.
fn start(guest: &GuestFact) -> Vec<KitPart> {
    let (vmid, program) = (guest.vmid.to_string(), program(guest));
    let on = |key: &str| guest.config.as_ref().is_ok_and(|config| config.is_on(key));
    if on("template") {
        return vec![KitPart::Say(
            "It is a template and is not started.".to_owned(),
        )];
    }
    if !guest.running && !on("onboot") {
        return vec![KitPart::Say(format!(
            "It did not run when this page was made. `{program} start {vmid}` starts it."
        ))];
    }
    let look = match guest.kind {
        GuestKind::Lxc => format!(
            "It has to say `status: running`. `pct enter {vmid}` leads inside; `systemctl --failed` there lists nothing \
             when all is well."
        ),
        GuestKind::Qemu => format!(
            "It has to say `status: running`. Its console in the web interface shows how far it is; with a guest agent, \
             `qm agent {vmid} ping` ends without a word after a while."
        ),
    };
    vec![
        KitPart::Type(command([program, "start", &vmid])),
        KitPart::Type(command([program, "status", &vmid])),
        KitPart::Say(look),
    ]
}
