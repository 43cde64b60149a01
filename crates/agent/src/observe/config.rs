//! A container's configuration in the engine's words.

use felhom_engine::{GuestConfig, Mount, MountSource, Nic};
use felhom_ids::ByteSize;
use felhom_proxmox::property::{InvalidProperty, MountSource as Source, NetworkInterface};
use felhom_proxmox::pve::guests::LxcConfig;

/// Translates a configuration; a property string that cannot be read is an error and not an absence.
pub(crate) fn guest_config(config: &LxcConfig) -> Result<GuestConfig, InvalidProperty> {
    let mut keys: std::collections::BTreeSet<String> = config.raw.keys().cloned().collect();
    keys.extend(config.raw_lxc().iter().map(|(key, _)| key.clone()));
    Ok(GuestConfig {
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
