//! A guest's configuration in the engine's words.

use felhom_engine::{GuestConfig, Mount, MountSource, Nic};
use felhom_ids::{ByteSize, GuestKind};
use felhom_proxmox::property::{
    Drive, InvalidProperty, MachineNic, MountSource as Source, NetworkInterface,
};
use felhom_proxmox::pve::guests::{LxcConfig, QemuConfig};

/// Translates a configuration; a property string that cannot be read is an error and not an absence.
pub(crate) fn guest_config(config: &LxcConfig) -> Result<GuestConfig, InvalidProperty> {
    let mut keys: std::collections::BTreeSet<String> = config.raw.keys().cloned().collect();
    keys.extend(config.raw_lxc().iter().map(|(key, _)| key.clone()));
    Ok(GuestConfig {
        kind: GuestKind::Lxc,
        hostname: config.hostname().map(str::to_owned),
        unprivileged: config.is_unprivileged(),
        features: config.get("features").map(str::to_owned),
        memory_mib: config.number("memory"),
        lock: config.lock().map(str::to_owned),
        description: config.description().map(str::to_owned),
        onboot: config.is_on("onboot"),
        protection: config.is_on("protection"),
        template: config.is_on("template"),
        hookscript: config.hookscript().map(str::to_owned),
        devices: config
            .devices()
            .keys()
            .map(|number| format!("dev{number}"))
            .collect(),
        raw_lxc: config
            .raw_lxc()
            .iter()
            .map(|(key, _)| key.clone())
            .collect(),
        nics: config
            .nets()?
            .into_iter()
            .map(|(index, net)| nic(index, &net))
            .collect(),
        mounts: mounts(config)?,
        created_s: None,
        keys,
    })
}

fn nic(index: u16, net: &NetworkInterface) -> Nic {
    Nic {
        index: u32::from(index),
        name: net.name.to_string(),
        bridge: net.bridge.as_ref().map(ToString::to_string),
        hwaddr: net.hwaddr.as_ref().map(ToString::to_string),
        ip: net.ip.as_ref().map(ToString::to_string),
        link_down: net.link_down == Some(true),
    }
}

/// Translates a virtual machine's configuration.
pub(crate) fn machine_config(config: &QemuConfig) -> Result<GuestConfig, InvalidProperty> {
    let ovmf = config.get("bios") == Some("ovmf");
    let drives = config.drives()?.into_iter();
    Ok(GuestConfig {
        kind: GuestKind::Qemu,
        hostname: config.name().map(str::to_owned),
        memory_mib: Some(config.memory().bytes() >> 20),
        lock: config.lock().map(str::to_owned),
        description: config.description().map(str::to_owned),
        onboot: config.is_on("onboot"),
        protection: config.is_on("protection"),
        template: config.is_on("template"),
        hookscript: config.hookscript().map(str::to_owned),
        devices: host_devices(config)?,
        raw_lxc: config
            .args()
            .map(|_| "args".to_owned())
            .into_iter()
            .collect(),
        nics: config
            .nets()?
            .into_iter()
            .map(|(index, net)| machine_nic(index, &net))
            .collect(),
        mounts: drives
            .filter(|(_, drive)| !drive.is_cdrom())
            .map(|(key, drive)| machine_drive(key, &drive, ovmf))
            .collect(),
        created_s: config.created_s(),
        keys: config.raw.keys().cloned().collect(),
        ..GuestConfig::default()
    })
}

/// Whatever reaches the host, a CD drive of the host among it.
fn host_devices(config: &QemuConfig) -> Result<Vec<String>, InvalidProperty> {
    let drives = config.drives()?.into_iter();
    let host = drives.filter(|(_, drive)| drive.file.as_str() == "cdrom");
    let devices = config.host_devices().into_keys().map(str::to_owned);
    Ok(devices.chain(host.map(|(key, _)| key)).collect())
}

fn machine_nic(index: u16, net: &MachineNic) -> Nic {
    Nic {
        index: u32::from(index),
        name: net.model.to_string(),
        bridge: net.bridge.as_ref().map(ToString::to_string),
        hwaddr: net.macaddr.as_ref().map(ToString::to_string),
        ip: None,
        link_down: net.is_link_down(),
    }
}

/// An EFI disk without OVMF is left out of backups (qemu-server QemuConfig.pm `get_backup_volumes`).
fn machine_drive(key: String, drive: &Drive, ovmf: bool) -> Mount {
    let source = match drive.volume() {
        Some(volume) => MountSource::Volume(volume),
        None => MountSource::Device(drive.file.to_string()),
    };
    let idle = key.starts_with("efidisk") && !ovmf;
    Mount {
        key,
        path: drive.file.to_string(),
        source,
        backup: drive.is_backed_up() && !idle,
        size: drive.size,
    }
}

fn mounts(config: &LxcConfig) -> Result<Vec<Mount>, InvalidProperty> {
    let mut mounts = Vec::new();
    if let Some(rootfs) = config.rootfs()? {
        mounts.push(Mount {
            key: "rootfs".to_owned(),
            path: "/".to_owned(),
            source: source(&rootfs.source),
            backup: true,
            size: rootfs.options.size,
        });
    }
    for (index, mount) in config.mounts()? {
        mounts.push(Mount {
            key: format!("mp{index}"),
            path: mount.mp.to_string(),
            source: source(&mount.source),
            backup: mount.is_backed_up(),
            size: mount.options.size,
        });
    }
    Ok(mounts)
}

fn source(source: &Source) -> MountSource {
    match source {
        Source::Volume(volume) => MountSource::Volume(volume.clone()),
        Source::Bind(path) => MountSource::Bind(path.to_string()),
        Source::Device(path) => MountSource::Device(path.to_string()),
        // Only requests hold it; a stored configuration that does is as good as unknown.
        Source::New { storage, size } => {
            MountSource::Device(format!("{storage}:{}", ByteSize::bytes(*size)))
        }
    }
}
