//! The plan of a scratch copy: what comes back, what is lost, and why it is refused.

use std::net::Ipv4Addr;

use felhom_ids::{BridgeName, ByteSize, GuestKind, PoolId, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::evidence::EvidenceLevel;
use crate::mark::Mark;
use crate::policy::RestoreTestPolicy;
use crate::refusal::Refusal;
use crate::world::{GuestConfig, Mount, MountSource, is_drive};

/// A mount point that is made anew for the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMount {
    /// `rootfs` or `mpN`.
    pub key: String,
    /// Path inside the guest.
    pub path: String,
    /// Size of the new volume.
    pub size: ByteSize,
}

/// A network interface of the copy: on the isolated bridge, link down, with an address that nobody routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedNic {
    /// The N of `netN`.
    pub index: u32,
    /// The interface's name inside the guest.
    pub name: String,
    /// The nonce: an address of a documentation range (RFC 5737) that only the guest's init can put on the interface.
    pub address: Ipv4Addr,
}

/// Something that will not be in the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// `mpN`.
    pub key: String,
    /// Path inside the guest.
    pub path: String,
    /// Why.
    pub why: String,
}

/// A restore into the scratch range, fully determined: nothing is left to choose when it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// What is restored.
    #[serde(default)]
    pub kind: GuestKind,
    /// The archive.
    pub volid: VolumeId,
    /// The scratch VMID.
    pub vmid: Vmid,
    /// The pool that gives the rights.
    pub pool: PoolId,
    /// Where the new volumes go.
    pub storage: StorageId,
    /// The isolated bridge.
    pub bridge: BridgeName,
    /// New volumes, `rootfs` first.
    pub mounts: Vec<PlannedMount>,
    /// Every archived `netN`, overridden; one of our own when the archive has none.
    pub nics: Vec<PlannedNic>,
    /// Memory of the copy in MiB.
    pub memory_mib: u64,
    /// Cores of the copy.
    pub cores: u32,
    /// Goes into the description in the same request.
    pub mark: Mark,
    /// What will not be there.
    pub lost: Vec<Lost>,
    /// Why it must not be done; empty when it may.
    pub refused: Vec<Refusal>,
}

/// The size of a volume whose archived configuration names none. PVE's own default is 4 GiB.
const DEFAULT_SIZE: ByteSize = ByteSize::from_bytes(4 << 30);

/// Plans a restore of `archived` into `vmid`. `nonce` picks the addresses, so that the same job plans the same twice.
pub fn plan_restore(
    volid: &VolumeId,
    archived: &GuestConfig,
    vmid: Vmid,
    policy: &RestoreTestPolicy,
    mark: Mark,
    nonce: u64,
) -> RestorePlan {
    let included = |mount: &&Mount| {
        // Every drive that is in a backup becomes a volume, also one that was a device of the host (qemu-server QemuServer.pm
        // `parse_backup_hints`).
        if is_drive(&mount.key) {
            return mount.backup;
        }
        matches!(mount.source, MountSource::Volume(_)) && (mount.key == "rootfs" || mount.backup)
    };
    let mounts = archived
        .mounts
        .iter()
        .filter(included)
        .map(|mount| PlannedMount {
            key: mount.key.clone(),
            path: mount.path.clone(),
            size: mount.size.unwrap_or(DEFAULT_SIZE),
        })
        .collect();
    let lost = archived
        .mounts
        .iter()
        .filter(|mount| !included(mount))
        .map(lost)
        .collect();
    RestorePlan {
        kind: archived.kind,
        volid: volid.clone(),
        vmid,
        pool: policy.pool.clone(),
        storage: policy.target.clone(),
        bridge: policy.bridge.clone(),
        mounts,
        nics: nics(archived, nonce),
        memory_mib: archived.memory_mib.unwrap_or(512).min(policy.memory_mib),
        cores: policy.cores,
        mark,
        lost,
        refused: refusals(archived, policy.evidence),
    }
}

impl RestorePlan {
    /// Bytes that the new volumes could grow to.
    pub fn volume_bytes(&self) -> u64 {
        self.mounts
            .iter()
            .fold(0, |sum, mount| mount.size.bytes().saturating_add(sum))
    }

    /// The plan in lines for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "restore `{}` as {} on `{}`, pool `{}`, {} MiB of memory, {} core(s)",
            self.volid, self.vmid, self.storage, self.pool, self.memory_mib, self.cores
        )];
        for mount in &self.mounts {
            lines.push(format!(
                "  {} ({}) comes back, {}",
                mount.key, mount.path, mount.size
            ));
        }
        for lost in &self.lost {
            lines.push(format!(
                "  {} ({}) will be missing: {}",
                lost.key, lost.path, lost.why
            ));
        }
        for nic in &self.nics {
            let address = match self.kind {
                GuestKind::Lxc => format!(", address {}", nic.address),
                // Nobody but the guest itself could give it one.
                GuestKind::Qemu => String::new(),
            };
            lines.push(format!(
                "  net{} ({}) goes to `{}` with its link down{address}",
                nic.index, nic.name, self.bridge
            ));
        }
        for refusal in &self.refused {
            lines.push(format!("  refused: {}", refusal.what));
        }
        lines
    }
}

fn lost(mount: &Mount) -> Lost {
    let why = match &mount.source {
        _ if is_drive(&mount.key) => "left out of the backup (backup=0)".to_owned(),
        MountSource::Volume(_) => "excluded from the backup (no backup=1)".to_owned(),
        MountSource::Bind(source) => format!("bind mount of `{source}`, never in a backup"),
        MountSource::Device(source) => format!("device mount of `{source}`, never in a backup"),
    };
    Lost {
        key: mount.key.clone(),
        path: mount.path.clone(),
        why,
    }
}

fn nics(archived: &GuestConfig, nonce: u64) -> Vec<PlannedNic> {
    // A virtual machine without a network device needs none: nothing in it is asked over the network.
    let needs_one = archived.nics.is_empty() && archived.kind == GuestKind::Lxc;
    let names: Vec<(u32, String)> = if needs_one {
        vec![(0, "eth0".to_owned())]
    } else {
        archived
            .nics
            .iter()
            .map(|nic| (nic.index, nic.name.clone()))
            .collect()
    };
    names
        .into_iter()
        .map(|(index, name)| PlannedNic {
            index,
            name,
            address: address(nonce, index),
        })
        .collect()
}

/// TEST-NET-1, -2 and -3 (RFC 5737): addresses that are never routed, so that seeing one proves that we asked for it.
const TEST_NETS: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];

fn address(nonce: u64, index: u32) -> Ipv4Addr {
    // Hosts 1 to 254 of three nets; neighbouring interfaces get different ones.
    let pick = (nonce.wrapping_add(u64::from(index).wrapping_mul(7))) % 762;
    let net = usize::try_from(pick / 254).unwrap_or(0);
    let host = u8::try_from(pick % 254).unwrap_or(0).saturating_add(1);
    let [a, b, c] = TEST_NETS.get(net).copied().unwrap_or([198, 51, 100]);
    Ipv4Addr::new(a, b, c, host)
}

/// An EFI disk without OVMF is in no backup, whatever it says of itself.
fn stays(mount: &Mount) -> bool {
    mount.key.starts_with("efidisk") && !mount.backup
}

/// What a token cannot take off a restored copy, and what would reach the host when it boots.
fn refusals(archived: &GuestConfig, wanted: EvidenceLevel) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let mut refuse = |what: String, hint: &str| {
        refused.push(Refusal {
            what,
            hint: Some(hint.to_owned()),
        });
    };
    if let Some(script) = &archived.hookscript {
        refuse(
            format!("`hookscript: {script}` would run as root on the host when the copy boots"),
            "no API token can remove it from a restored guest; test a backup made without it",
        );
    }
    for device in &archived.devices {
        refuse(
            format!("`{device}` would give the copy a device of the host"),
            "no API token can remove it from a restored guest; test a backup made without it",
        );
    }
    for key in &archived.raw_lxc {
        refuse(
            format!("raw `{key}` reaches past PVE's own checks"),
            match archived.kind {
                GuestKind::Lxc => {
                    "PVE drops raw keys when a token restores, so the copy would not be the guest"
                }
                GuestKind::Qemu => {
                    "no API token can remove it from a restored guest; test a backup made without it"
                }
            },
        );
    }
    if archived.template {
        refuse(
            "the guest is a template".to_owned(),
            "templates are not booted; test a clone of it",
        );
    }
    refused.extend(match archived.kind {
        GuestKind::Lxc => container_refusals(archived, wanted),
        GuestKind::Qemu => machine_refusals(archived),
    });
    refused
}

/// What stands in the way of a container's copy besides.
fn container_refusals(archived: &GuestConfig, wanted: EvidenceLevel) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let mut refuse = |what: &str, hint: &str| {
        refused.push(Refusal {
            what: what.to_owned(),
            hint: Some(hint.to_owned()),
        });
    };
    if wanted == EvidenceLevel::Answered {
        refuse(
            "evidence `answered` is asked for, and nothing inside a container answers: only a virtual machine's guest agent does",
            "set `restore-test.evidence` to `booted`, which is the most that a container can show",
        );
    }
    if !archived.unprivileged {
        refuse(
            "the guest is privileged: restoring it needs Sys.Modify on `/`",
            "make the guest unprivileged, or test it by hand as root",
        );
    }
    let is_root =
        |mount: &Mount| mount.key == "rootfs" && matches!(mount.source, MountSource::Volume(_));
    if !archived.mounts.iter().any(is_root) {
        refuse(
            "the archived configuration has no rootfs volume",
            "look at the archive's configuration",
        );
    }
    refused
}

/// What stands in the way of a virtual machine's copy besides.
fn machine_refusals(archived: &GuestConfig) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let mut refuse = |what: String, hint: &str| {
        refused.push(Refusal {
            what,
            hint: Some(hint.to_owned()),
        });
    };
    // Neither in the archive nor marked `backup=0`: PVE leaves the line as it is, and the copy would have the very volume of
    // the guest (qemu-server QemuServer.pm `restore_update_config_line`).
    for mount in archived.mounts.iter().filter(|mount| stays(mount)) {
        refuse(
            format!("`{}` would be the guest's own `{}`", mount.key, mount.path),
            "take the drive off the guest, or give it `bios: ovmf`, and test a backup made after that",
        );
    }
    if !archived.mounts.iter().any(|mount| mount.backup) {
        refuse(
            "the archive holds no drive".to_owned(),
            "there is nothing to boot from; look at `backup=` of the guest's drives",
        );
    }
    refused
}
