//! A storage, attached to the new box.

use felhom_protocol::kit::{KitFile, KitPart, KitStep};
use felhom_proxmox::pve::written::Written;

use super::facts::{DiskFact, Facts};
use super::places::Place;
use super::shell::{command, word};

/// What stands in an answer and is no property of the definition, or a secret's place.
const NEVER: [&str; 8] = [
    "digest",
    "encryption-key",
    "keyring",
    "master-pubkey",
    "password",
    "priority",
    "storage",
    "type",
];
/// Types whose definition may say that others see the same; of all others PVE itself says so (pve-storage `Plugin.pm`,
/// `@SHARED_STORAGE`).
const MAY_BE_SHARED: [&str; 3] = ["btrfs", "dir", "lvm"];
/// Properties that are given once, when a storage is made.
const FIXED: [&str; 14] = [
    "authsupported",
    "base",
    "datastore",
    "export",
    "iscsiprovider",
    "path",
    "pool",
    "portal",
    "server",
    "share",
    "snapshot-as-volume-chain",
    "target",
    "thinpool",
    "vgname",
];
/// What the installer makes, depending on the file system that is chosen.
const INSTALLERS: [&str; 3] = ["local-lvm", "local-zfs", "local-btrfs"];

/// The step that attaches a storage.
pub(super) fn step(facts: &Facts, storage: &Written) -> KitStep {
    let id = storage.get("storage").unwrap_or_default();
    let kind = storage.get("type").unwrap_or_default();
    let mut parts = Vec::new();
    match facts.place(id) {
        Place::Removable(disk) => {
            parts.push(KitPart::Say(format!(
                "It lies on a removable disk{}. Plug it in, then mount it:",
                serial(disk)
            )));
            parts.extend(mount(disk));
        }
        Place::OwnDisk(disk) => {
            parts.push(KitPart::Say(
                "It lies on a disk of its own in the old box. Put that disk into the new one, then mount it. If it is \
                 lost, make a file system on another disk and write its UUID (`blkid`) in place of the old one:"
                    .to_owned(),
            ));
            parts.extend(mount(disk));
        }
        Place::OffBox | Place::Box => {}
    }
    if let Some(guest) = facts.server_guest(storage) {
        parts.push(KitPart::Say(format!(
            "Guest {guest} serves it, and has to run before this."
        )));
    }
    parts.extend(secrets(facts, storage));
    parts.extend(hardware(storage));
    let add = add(storage);
    parts.push(KitPart::Type(if id == "local" {
        set(storage)
    } else if INSTALLERS.contains(&id) {
        format!("{add} || {}", set(storage))
    } else {
        add
    }));
    parts.push(KitPart::Type(command(["pvesm", "status", "--storage", id])));
    parts.push(KitPart::Say("It has to say `active`.".to_owned()));
    let title = format!("Storage {id} ({kind})");
    KitStep { title, parts }
}

/// The options that define it.
fn options(storage: &Written) -> Vec<(&str, &str)> {
    let kind = storage.get("type").unwrap_or_default();
    let own_path = format!("/mnt/pve/{}", storage.get("storage").unwrap_or_default());
    let all = storage.0.iter();
    all.map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, value)| !NEVER.contains(key) && !value.is_empty())
        .filter(|(key, _)| *key != "shared" || MAY_BE_SHARED.contains(&kind))
        // Where PVE mounts a share by itself.
        .filter(|(key, value)| {
            *key != "path" || !matches!(kind, "nfs" | "cifs") || *value != own_path
        })
        .collect()
}

fn add(storage: &Written) -> String {
    let get = |key: &str| storage.get(key).unwrap_or_default();
    let mut line = command(["pvesm", "add", get("type"), get("storage")]);
    for (key, value) in options(storage) {
        line.extend([format!(" --{key} {}", word(value))]);
    }
    if asks_password(storage) {
        line.push_str(" --password");
    }
    if storage.get("encryption-key").is_some() {
        line.extend([format!(" --encryption-key {}", word(&key_file(storage)))]);
    }
    if storage.get("master-pubkey").is_some() {
        line.extend([format!(" --master-pubkey {}", word(&master_file(storage)))]);
    }
    line
}

fn set(storage: &Written) -> String {
    let id = storage.get("storage").unwrap_or_default();
    let mut line = command(["pvesm", "set", id]);
    let changeable = options(storage)
        .into_iter()
        .filter(|(key, _)| !FIXED.contains(key));
    for (key, value) in changeable {
        line.extend([format!(" --{key} {}", word(value))]);
    }
    line
}

fn asks_password(storage: &Written) -> bool {
    matches!(storage.get("type"), Some("pbs" | "cifs")) && storage.get("username").is_some()
}

fn key_file(storage: &Written) -> String {
    format!(
        "/root/{}-key.json",
        storage.get("storage").unwrap_or_default()
    )
}

fn master_file(storage: &Written) -> String {
    format!(
        "/root/{}-master.pem",
        storage.get("storage").unwrap_or_default()
    )
}

/// Where passwords and keys have to come from: none of them is in the kit.
fn secrets(facts: &Facts, storage: &Written) -> Vec<KitPart> {
    let id = storage.get("storage").unwrap_or_default();
    let mut parts = Vec::new();
    if let Some(user) = storage.get("username").filter(|_| asks_password(storage)) {
        let whose = if user.contains('!') {
            format!("the secret of the token {user}; the admin of the server can make a new one")
        } else {
            format!("the password of {user}")
        };
        parts.push(KitPart::Say(format!("It asks for {whose}.")));
    }
    if let Some(key) = storage.get("encryption-key") {
        parts.push(KitPart::Say(format!(
            "The backups are encrypted with the key {key}. It is in the recovery kit of the storage and not in this one. \
             Copy its file key.json to {}; without it nobody reads these backups.",
            key_file(storage)
        )));
        parts.push(match facts.keys.get(id) {
            Some(said) => KitPart::Say(format!("Where that kit is: {said}.")),
            None => KitPart::Warn("Nobody said that this key is stored off the box.".to_owned()),
        });
    }
    if storage.get("master-pubkey").is_some() {
        parts.push(KitPart::Say(format!(
            "A public master key belongs to it: copy that to {}, or leave --master-pubkey out.",
            master_file(storage)
        )));
    }
    if storage.get("keyring").is_some() || matches!(storage.get("type"), Some("rbd" | "cephfs")) {
        parts.push(KitPart::Warn(
            "Its keyring is not in this kit: get it from the Ceph cluster, and add --keyring FILE."
                .to_owned(),
        ));
    }
    parts
}

/// What has to be there before a storage on the box's own disks can be defined.
fn hardware(storage: &Written) -> Option<KitPart> {
    let get = |key: &str| storage.get(key).unwrap_or_default();
    let text = match get("type") {
        "lvmthin" if (get("vgname"), get("thinpool")) == ("pve", "data") => {
            "Volume group pve with thin pool data is what the installer makes on ext4.".to_owned()
        }
        "lvmthin" => {
            let (vg, pool) = (get("vgname"), get("thinpool"));
            format!(
                "Its thin pool has to be there first: `vgcreate {vg} DISK`, then \
                 `lvcreate -l 95%FREE --thinpool {pool} {vg}`."
            )
        }
        "lvm" => format!(
            "Its volume group has to be there first: `vgcreate {} DISK`.",
            get("vgname")
        ),
        "zfspool" => {
            let pool = get("pool");
            let root = pool.split('/').next().unwrap_or_default();
            format!(
                "Its ZFS pool has to be there first: `zpool import {root}` when its disks survived, else `zpool create`; \
                 then `zfs create {pool}` when that is a dataset below it."
            )
        }
        _ => return None,
    };
    Some(KitPart::Say(text))
}

fn serial(disk: &DiskFact) -> String {
    match &disk.serial {
        Some(serial) => format!(" (serial number {serial})"),
        None => String::new(),
    }
}

/// Mounts a disk by the UUID of its file system, now and at every boot at which it is there.
fn mount(disk: &DiskFact) -> Vec<KitPart> {
    let unit = unit_name(&disk.path);
    let text = format!(
        "[Unit]\nDescription=Backups\n\n[Mount]\nWhat=/dev/disk/by-uuid/{}\nWhere={}\nOptions=nofail\n\n[Install]\n\
         WantedBy=multi-user.target\n",
        disk.uuid, disk.path
    );
    vec![
        KitPart::Type(command(["mkdir", "-p", &disk.path])),
        KitPart::File(KitFile {
            path: format!("/etc/systemd/system/{unit}"),
            text,
        }),
        KitPart::Type("systemctl daemon-reload".to_owned()),
        KitPart::Type(command(["systemctl", "enable", "--now", &unit])),
    ]
}

/// The name that systemd demands of the unit of a path.
fn unit_name(path: &str) -> String {
    let mut name = String::new();
    for (place, byte) in path.trim_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if place == 0 => name.push_str(r"\x2e"),
            b if b.is_ascii_alphanumeric() || b":_.".contains(&b) => name.push(char::from(b)),
            b => name.extend([format!(r"\x{b:02x}")]),
        }
    }
    format!("{name}.mount")
}

/// A storage as `storage.cfg` has it.
pub(super) fn stanza(storage: &Written) -> String {
    let get = |key: &str| storage.get(key).unwrap_or_default();
    let mut text = format!("{}: {}\n", get("type"), get("storage"));
    for (key, value) in options(storage) {
        text.extend([format!("\t{key} {}\n", value.replace('\n', " "))]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_named_as_systemd_names_it() {
        for (path, unit) in [
            ("/mnt/felhom/usb1", "mnt-felhom-usb1.mount"),
            ("/mnt/pve/my-disk", r"mnt-pve-my\x2ddisk.mount"),
            ("/.x/a b/", r"\x2ex-a\x20b.mount"),
        ] {
            assert_eq!(unit_name(path), unit);
        }
    }
}
