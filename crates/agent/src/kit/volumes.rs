//! A container's archive, restored with the stock command.

use std::collections::BTreeSet;

use felhom_protocol::kit::KitPart;
use felhom_proxmox::property::{MountPoint, MountSource, RootFs};
use felhom_proxmox::pve::guests::LxcConfig;

use super::facts::{Facts, GuestFact};
use super::shell::{command, word};

/// The command that restores it, after what has to be done by hand.
pub(super) fn restore(
    facts: &Facts,
    guest: &GuestFact,
    config: &LxcConfig,
    volid: &str,
) -> Vec<KitPart> {
    let (rootfs, mounts) = match (config.rootfs(), config.mounts()) {
        (Ok(Some(rootfs)), Ok(mounts)) => (rootfs, mounts),
        (Err(error), _) | (_, Err(error)) => {
            return vec![KitPart::Warn(format!(
                "Its volumes cannot be read ({error}): look at the configuration inside the archive."
            ))];
        }
        (Ok(None), Ok(_)) => {
            return vec![KitPart::Warn(
                "Its configuration names no root file system: look at the one inside the archive."
                    .to_owned(),
            )];
        }
    };
    let mut parts = Vec::new();
    for (number, mount) in &mounts {
        parts.extend(lost(facts, *number, mount));
    }
    let vmid = guest.vmid.to_string();
    let mut line = command(["pct", "restore", &vmid, volid]);
    let sources = mounts.values().map(|mount| &mount.source);
    let used: BTreeSet<String> = sources
        .chain([&rootfs.source])
        .filter_map(MountSource::volume)
        .map(|volume| volume.storage().to_string())
        .collect();
    if let (1, Some(storage)) = (used.len(), used.first()) {
        line.extend([format!(" --storage {}", word(storage))]);
    } else {
        line.extend([format!(" --rootfs {}", word(&fresh_root(&rootfs)))]);
        for (number, mount) in &mounts {
            line.extend([format!(" --mp{number} {}", word(&fresh(mount)))]);
        }
    }
    line.extend([format!(
        " --unprivileged {}",
        u8::from(config.is_unprivileged())
    )]);
    if let Some(pool) = &guest.pool {
        line.extend([format!(" --pool {}", word(pool))]);
    }
    parts.push(KitPart::Type(line));
    parts
}

/// A volume to be made where the old one was.
fn anew(source: &MountSource, size: Option<felhom_ids::ByteSize>) -> MountSource {
    match (source.volume(), size) {
        (Some(volume), Some(size)) => MountSource::New {
            storage: volume.storage().clone(),
            size,
        },
        _ => source.clone(),
    }
}

fn fresh_root(rootfs: &RootFs) -> String {
    let mut fresh = rootfs.clone();
    fresh.source = anew(&rootfs.source, rootfs.options.size);
    fresh.options.size = None;
    fresh.to_string()
}

fn fresh(mount: &MountPoint) -> String {
    let mut fresh = mount.clone();
    fresh.source = anew(&mount.source, mount.options.size);
    if mount.source.volume().is_some() {
        fresh.options.size = None;
    }
    fresh.to_string()
}

/// What does not come back with a mount point, and what has to be there before the guest can start.
fn lost(facts: &Facts, number: u16, mount: &MountPoint) -> Vec<KitPart> {
    let path = &mount.mp;
    match &mount.source {
        MountSource::Volume(_) | MountSource::New { .. } if mount.is_backed_up() => Vec::new(),
        MountSource::Volume(_) | MountSource::New { .. } => vec![KitPart::Warn(format!(
            "mp{number} ({path}) is kept out of backups: it comes back empty. Fill it from wherever its data is also kept."
        ))],
        MountSource::Bind(source) => {
            let shared = !super::order::holding(facts, source.as_str()).is_empty();
            let mut parts = Vec::new();
            if !shared {
                parts.push(KitPart::Warn(format!(
                    "mp{number} ({path}) is the directory {source} of the old box, which no backup of a guest holds: bring \
                     its files back yourself."
                )));
            }
            parts.push(KitPart::Type(command(["mkdir", "-p", source.as_str()])));
            parts
        }
        MountSource::Device(source) => vec![KitPart::Warn(format!(
            "mp{number} ({path}) is the device {source} of the old box. If the new one has none, take it out before the \
             start: `pct set VMID --delete mp{number}`."
        ))],
    }
}
