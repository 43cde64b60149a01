//! A virtual machine's archive, restored with the stock command.

use std::collections::BTreeSet;

use felhom_protocol::kit::KitPart;
use felhom_proxmox::property::{Drive, MountSource};
use felhom_proxmox::pve::guests::QemuConfig;

use super::facts::{Facts, GuestFact};
use super::shell::{command, word};

/// The command that restores it, and what mends what no archive holds.
pub(super) fn restore(
    facts: &Facts,
    guest: &GuestFact,
    config: &QemuConfig,
    volid: &str,
) -> Vec<KitPart> {
    let drives = match config.drives() {
        Ok(drives) => drives,
        Err(error) => {
            return vec![KitPart::Warn(format!(
                "Its drives cannot be read ({error}): look at the configuration inside the archive."
            ))];
        }
    };
    let vmid = guest.vmid.to_string();
    let mut line = command(["qmrestore", volid, &vmid]);
    let used: BTreeSet<String> = drives
        .iter()
        .filter(|(_, drive)| drive.is_backed_up() || is_cloud_init(drive))
        .filter_map(|(_, drive)| drive.volume())
        .map(|volume| volume.storage().to_string())
        .collect();
    // Without a storage each drive goes to where it came from.
    if let (1, Some(storage)) = (used.len(), used.first()) {
        line.extend([format!(" --storage {}", word(storage))]);
    }
    if let Some(pool) = &guest.pool {
        line.extend([format!(" --pool {}", word(pool))]);
    }
    let mut parts = vec![KitPart::Type(line)];
    for (key, drive) in &drives {
        parts.extend(lost(facts, &vmid, key, drive));
    }
    parts.extend(devices(config));
    parts
}

fn is_cloud_init(drive: &Drive) -> bool {
    drive.is_cdrom()
        && drive
            .volume()
            .is_some_and(|volume| volume.name().contains("cloudinit"))
}

fn lost(facts: &Facts, vmid: &str, key: &str, drive: &Drive) -> Vec<KitPart> {
    if drive.is_backed_up() || is_cloud_init(drive) {
        return Vec::new();
    }
    let Some(volume) = drive.volume() else {
        return Vec::new();
    };
    if drive.is_cdrom() {
        if facts.place(volume.storage().as_str()).is_off_box() {
            return Vec::new();
        }
        return vec![
            KitPart::Warn(format!(
                "{key} holds {volume}, which no backup holds: the drive is emptied, or the machine would not start."
            )),
            KitPart::Type(command([
                "qm",
                "set",
                vmid,
                &format!("--{key}"),
                "none,media=cdrom",
            ])),
        ];
    }
    let empty = KitPart::Warn(format!(
        "{key} is kept out of backups: it comes back empty. Fill it from wherever its data is also kept."
    ));
    let Some(size) = drive.size else {
        return vec![empty];
    };
    let mut fresh = drive.clone();
    let place = MountSource::New {
        storage: volume.storage().clone(),
        size,
    };
    match place.to_string().parse() {
        Ok(file) => fresh.file = file,
        Err(_) => return vec![empty],
    }
    fresh.size = None;
    let set = command(["qm", "set", vmid, &format!("--{key}"), &fresh.to_string()]);
    vec![empty, KitPart::Type(set)]
}

fn devices(config: &QemuConfig) -> Vec<KitPart> {
    let reached = config.host_devices().into_iter();
    let mut parts: Vec<KitPart> = reached
        .map(|(key, value)| {
            KitPart::Warn(format!(
                "{key} reaches hardware of the old box ({value}). If the new one lacks it, take it out before the start: \
                 `qm set VMID --delete {key}`."
            ))
        })
        .collect();
    if config.args().is_some() {
        parts.push(KitPart::Warn(
            "It has `args` for QEMU; they may name what the new box lacks: `qm config VMID` shows them.".to_owned(),
        ));
    }
    parts
}
