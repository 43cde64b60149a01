//! Whether a restored copy may be booted: its configuration, re-read, against a list of what may stand in it.

use std::fmt;

use felhom_ids::GuestKind;

use crate::restore_test::plan::RestorePlan;
use crate::world::{GuestConfig, MountSource, is_drive};

/// One reason not to boot a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keys that may stand in the configuration of a copy besides `netN`, `mpN` and `rootfs`. What is not listed is not booted:
/// a later PVE may learn keys that reach the host.
const ALLOWED: &[&str] = &[
    "arch",
    "cmode",
    "console",
    "cores",
    "cpulimit",
    "cpuunits",
    "description",
    "entrypoint",
    "env",
    "features",
    "hostname",
    "memory",
    "nameserver",
    "onboot",
    "ostype",
    "protection",
    "rootfs",
    "searchdomain",
    "startup",
    "swap",
    "tags",
    "timezone",
    "tty",
    "unprivileged",
];

/// The same for a virtual machine, besides `netN`, drives, `serialN` and what cloud-init is told. Serial ports that are devices of
/// the host are refused with the other devices.
const ALLOWED_MACHINE: &[&str] = &[
    "acpi",
    "agent",
    "arch",
    "balloon",
    "bios",
    "boot",
    "bootdisk",
    "cipassword",
    "citype",
    "ciupgrade",
    "ciuser",
    "cores",
    "cpu",
    "cpulimit",
    "cpuunits",
    "description",
    "keyboard",
    "kvm",
    "localtime",
    "machine",
    "memory",
    "meta",
    "name",
    "nameserver",
    "numa",
    "onboot",
    "ostype",
    "protection",
    "reboot",
    "scsihw",
    "searchdomain",
    "shares",
    "smbios1",
    "sockets",
    "sshkeys",
    "startdate",
    "startup",
    "tablet",
    "tags",
    "tdf",
    "vga",
    "vmgenid",
];

/// Why this copy must not be booted; empty when it may.
pub fn isolation_violations(config: &GuestConfig, plan: &RestorePlan) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut require = |holds: bool, text: String| {
        if !holds {
            found.push(Violation(text));
        }
    };
    for key in &config.keys {
        require(
            is_allowed(plan.kind, key),
            format!("`{key}` stands in the configuration of the copy"),
        );
    }
    require(
        config.kind == plan.kind,
        "it is not the kind of guest that was restored".into(),
    );
    for device in config.devices.iter().chain(&config.raw_lxc) {
        require(
            plan.kind == GuestKind::Lxc,
            format!("`{device}` reaches the host"),
        );
    }
    let marked = config
        .description
        .as_deref()
        .and_then(crate::mark::Mark::find);
    require(
        marked.as_ref() == Some(&plan.mark),
        "our mark is not in its description".into(),
    );
    require(config.lock.is_none(), "it is locked".into());
    require(
        !config.onboot,
        "it would start with the node (`onboot`)".into(),
    );
    require(!config.protection, "it is protected".into());
    let confined = config.unprivileged || plan.kind == GuestKind::Qemu;
    require(confined, "it is privileged".into());
    for nic in &config.nics {
        let planned = plan.nics.iter().any(|planned| planned.index == nic.index);
        require(planned, format!("net{} is not one of ours", nic.index));
        require(nic.link_down, format!("net{} is not link_down", nic.index));
        require(
            nic.bridge.as_deref() == Some(plan.bridge.as_str()),
            format!(
                "net{} is not on the isolated bridge `{}`",
                nic.index, plan.bridge
            ),
        );
    }
    for planned in &plan.nics {
        let present = config.nics.iter().any(|nic| nic.index == planned.index);
        require(present, format!("net{} is missing", planned.index));
    }
    require(
        config.memory_mib.unwrap_or(512) <= plan.memory_mib,
        format!("it may use more than {} MiB of memory", plan.memory_mib),
    );
    found.extend(mount_violations(config, plan).into_iter().map(Violation));
    found
}

/// The mount points: exactly the planned ones, each a volume that was made for this copy.
fn mount_violations(config: &GuestConfig, plan: &RestorePlan) -> Vec<String> {
    let mut found = Vec::new();
    for mount in &config.mounts {
        let key = &mount.key;
        if !plan.mounts.iter().any(|planned| planned.key == *key) {
            found.push(format!("{key} is not one of ours"));
        }
        match &mount.source {
            // Somebody else's volume would be written to by the boot.
            MountSource::Volume(volume)
                if volume.guest() != Some(plan.vmid) || *volume.storage() != plan.storage =>
            {
                found.push(format!(
                    "{key} is `{volume}`, which was not made for this copy"
                ));
            }
            MountSource::Volume(_) => {}
            MountSource::Bind(_) | MountSource::Device(_) => {
                found.push(format!("{key} reaches the host"));
            }
        }
    }
    for planned in &plan.mounts {
        if !config.mounts.iter().any(|mount| mount.key == planned.key) {
            found.push(format!("{} is missing", planned.key));
        }
    }
    found
}

fn is_allowed(kind: GuestKind, key: &str) -> bool {
    let numbered = |prefix: &str| {
        key.strip_prefix(prefix)
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    if kind == GuestKind::Qemu {
        let listed = ALLOWED_MACHINE.contains(&key) || is_drive(key);
        return listed || numbered("net") || numbered("serial") || numbered("ipconfig");
    }
    ALLOWED.contains(&key) || numbered("net") || numbered("mp")
}
