//! The requests that restore: the one that carries everything that keeps a copy from the world, and the one that stays.

use std::collections::BTreeMap;

use felhom_engine::{RestorePlan, RestoreRunPlan, Sent};
use felhom_ids::GuestKind;
use felhom_proxmox::Pve;
use felhom_proxmox::property::{
    InvalidProperty, Ipv4Setting, MachineNic, MountPoint, MountSource, NetworkInterface,
    PropertyValue, RootFs,
};
use felhom_proxmox::pve::guests::{LxcSettings, QemuSettings, RestoreLxc, RestoreQemu};

use super::mutate::{local, started};

/// Into the scratch range.
pub(super) async fn restore(pve: &Pve, plan: &RestorePlan) -> Sent {
    match plan.kind {
        GuestKind::Lxc => match restore_container(plan) {
            Ok(request) => started(pve.restore_lxc(&request).await),
            Err(error) => local(error.to_string()),
        },
        GuestKind::Qemu => match restore_machine(plan) {
            Ok(request) => started(pve.restore_qemu(&request).await),
            Err(error) => local(error.to_string()),
        },
    }
}

/// Under the VMID that was asked for.
pub(super) async fn restore_for_good(pve: &Pve, plan: &RestoreRunPlan) -> Sent {
    match plan.kind {
        GuestKind::Lxc => match restore_guest(plan) {
            Ok(request) => started(pve.restore_lxc(&request).await),
            Err(text) => local(text),
        },
        GuestKind::Qemu => match restore_whole_machine(plan) {
            Ok(request) => started(pve.restore_qemu(&request).await),
            Err(text) => local(text),
        },
    }
}

/// The same for a virtual machine. The description replaces the lines that PVE makes of drives without a backup, and new
/// addresses and ids keep the copy from being taken for the guest.
fn restore_machine(plan: &RestorePlan) -> Result<RestoreQemu, InvalidProperty> {
    let mut nets = BTreeMap::new();
    for nic in &plan.nics {
        let model = nic.name.parse::<PropertyValue>();
        let mut net = MachineNic::new(model?);
        net.bridge = Some(plan.bridge.clone());
        net.link_down = Some(true);
        nets.insert(u16::try_from(nic.index).unwrap_or(u16::MAX), net);
    }
    Ok(RestoreQemu {
        vmid: plan.vmid,
        archive: plan.volid.clone(),
        storage: Some(plan.storage.clone()),
        pool: Some(plan.pool.clone()),
        unique: true,
        settings: QemuSettings {
            name: None,
            description: Some(described(plan)),
            memory: Some(plan.memory_mib),
            balloon: Some(0),
            cores: Some(plan.cores),
            sockets: Some(1),
            onboot: Some(false),
            protection: Some(false),
            nets,
        },
        bwlimit: None,
    })
}

fn described(plan: &RestorePlan) -> String {
    format!(
        "scratch guest of a restore test by felhom-agent, removed when the test ends\n{}",
        plan.mark
    )
}

/// The one request that carries everything that keeps a copy from the world.
fn restore_container(plan: &RestorePlan) -> Result<RestoreLxc, InvalidProperty> {
    let mut settings = LxcSettings {
        pool: Some(plan.pool.clone()),
        description: Some(described(plan)),
        memory: Some(plan.memory_mib),
        swap: Some(0),
        cores: Some(plan.cores),
        onboot: Some(false),
        protection: Some(false),
        ..LxcSettings::default()
    };
    for mount in &plan.mounts {
        match mount
            .key
            .strip_prefix("mp")
            .and_then(|number| number.parse().ok())
        {
            Some(number) => {
                let mut point =
                    MountPoint::new(plan.storage.clone(), mount.size, mount.path.parse()?);
                point.backup = Some(true);
                settings.mounts.insert(number, point);
            }
            None => settings.rootfs = Some(RootFs::new(plan.storage.clone(), mount.size)),
        }
    }
    settings.nets = nets(plan)?;
    Ok(RestoreLxc {
        vmid: plan.vmid,
        archive: plan.volid.clone(),
        storage: Some(plan.storage.clone()),
        settings,
        bwlimit: None,
    })
}

/// The one request of a restore that stays: every volume and every key that the plan sets, and neither `force` nor `unique`.
fn restore_guest(plan: &RestoreRunPlan) -> Result<RestoreLxc, String> {
    let told = |error: InvalidProperty| error.to_string();
    let mut settings = LxcSettings::default();
    for (key, value) in &plan.set {
        match key.as_str() {
            "hostname" => settings.hostname = Some(value.clone()),
            "description" => settings.description = Some(value.clone()),
            "onboot" => settings.onboot = Some(value == "1"),
            "protection" => settings.protection = Some(value == "1"),
            _ => {
                let number = net_number(key)?;
                settings.nets.insert(number, value.parse().map_err(told)?);
            }
        }
    }
    for volume in &plan.volumes {
        // Read with a volume of no consequence, which the new one takes the place of.
        let text = format!("{}:1,{}", volume.storage, volume.options);
        let (storage, size) = (volume.storage.clone(), volume.size);
        let source = MountSource::New { storage, size };
        if let Some(number) = volume.key.strip_prefix("mp") {
            let number = number.parse().map_err(|_| unplanned(&volume.key))?;
            let mut point: MountPoint = text.parse().map_err(told)?;
            point.source = source;
            settings.mounts.insert(number, point);
        } else {
            let mut rootfs: RootFs = text.parse().map_err(told)?;
            rootfs.source = source;
            settings.rootfs = Some(rootfs);
        }
    }
    Ok(RestoreLxc {
        vmid: plan.vmid,
        archive: plan.volid.clone(),
        storage: plan.storages().into_iter().next(),
        settings,
        bwlimit: None,
    })
}

fn unplanned(key: &str) -> String {
    format!("no request sets `{key}`")
}

fn net_number(key: &str) -> Result<u16, String> {
    let number = key.strip_prefix("net").and_then(|n| n.parse().ok());
    number.ok_or_else(|| unplanned(key))
}

/// The same of a virtual machine, whose drives no request can name. `unique` gives it a UUID of its own, and leaves the
/// interfaces alone that are named: all are.
fn restore_whole_machine(plan: &RestoreRunPlan) -> Result<RestoreQemu, String> {
    let mut settings = QemuSettings::default();
    for (key, value) in &plan.set {
        match key.as_str() {
            "name" => settings.name = Some(value.clone()),
            "description" => settings.description = Some(value.clone()),
            "onboot" => settings.onboot = Some(value == "1"),
            "protection" => settings.protection = Some(value == "1"),
            _ => {
                let net: Result<MachineNic, InvalidProperty> = value.parse();
                let net = net.map_err(|error| error.to_string())?;
                settings.nets.insert(net_number(key)?, net);
            }
        }
    }
    Ok(RestoreQemu {
        vmid: plan.vmid,
        archive: plan.volid.clone(),
        storage: plan.storage.clone(),
        pool: None,
        unique: plan.unique,
        settings,
        bwlimit: None,
    })
}

fn nets(plan: &RestorePlan) -> Result<BTreeMap<u16, NetworkInterface>, InvalidProperty> {
    plan.nics
        .iter()
        .map(|nic| {
            let mut net = NetworkInterface::new(nic.name.parse()?);
            net.bridge = Some(plan.bridge.clone());
            net.link_down = Some(true);
            net.ip = Some(Ipv4Setting::Static {
                address: nic.address,
                prefix: 32,
            });
            Ok((u16::try_from(nic.index).unwrap_or(u16::MAX), net))
        })
        .collect()
}
