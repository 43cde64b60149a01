//! Restoring virtual machines, and destroying them.

use std::collections::BTreeMap;

use felhom_ids::{NodeName, PoolId, StorageId, Vmid, VolumeId};

use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::property::MachineNic;
use crate::pve::Pve;
use crate::task::{Started, TaskHandle};

/// What overrides the archive's configuration. Disks cannot be given with an archive: every drive that it holds is
/// restored in full (qemu-server `API2/Qemu.pm`: "option conflicts with option 'archive'").
#[derive(Debug, Clone, Default)]
pub struct QemuSettings {
    /// Its name.
    pub name: Option<String>,
    /// What is written about it, in place of the archive's text and of the lines about drives that were left out.
    pub description: Option<String>,
    /// Memory in MiB.
    pub memory: Option<u64>,
    /// The least memory in MiB that the balloon leaves; 0 takes the balloon away.
    pub balloon: Option<u64>,
    /// Cores a socket.
    pub cores: Option<u32>,
    /// Sockets.
    pub sockets: Option<u32>,
    /// Whether it starts with the host.
    pub onboot: Option<bool>,
    /// Whether it is safe from being destroyed.
    pub protection: Option<bool>,
    /// Its network devices by number.
    pub nets: BTreeMap<u16, MachineNic>,
}

impl QemuSettings {
    fn add_to(&self, request: Request) -> Request {
        let request = request
            .maybe("name", self.name.as_deref())
            .maybe("description", self.description.as_deref())
            .maybe("memory", self.memory)
            .maybe("balloon", self.balloon)
            .maybe("cores", self.cores)
            .maybe("sockets", self.sockets)
            .maybe_flag("onboot", self.onboot)
            .maybe_flag("protection", self.protection);
        let nets = self.nets.iter();
        nets.fold(request, |request, (number, net)| {
            request.with(&format!("net{number}"), net)
        })
    }
}

/// `POST /nodes/N/qemu` with `archive=`. There is no `force`, so an existing machine is never overwritten, and no
/// `start`: what was restored is looked at before it runs. A `vmgenid` is always made anew.
///
/// When it fails, PVE frees the volumes it made and leaves a configuration without a mark: empty, or `memory: 128`.
#[derive(Debug, Clone)]
pub struct RestoreQemu {
    /// Its number, which must be free.
    pub vmid: Vmid,
    /// The archive.
    pub archive: VolumeId,
    /// Where its disks go; without one, each to the storage that it came from.
    pub storage: Option<StorageId>,
    /// Its pool; grants on the pool also permit the making.
    pub pool: Option<PoolId>,
    /// New hardware addresses and a new machine id. Devices given in `settings` keep what they are given.
    pub unique: bool,
    /// What overrides the archive's configuration. Keys not given here are carried over, autostart, `args` and hook
    /// scripts included.
    pub settings: QemuSettings,
    /// KiB/s; only ever less than PVE's own limit.
    pub bwlimit: Option<u64>,
}

/// `DELETE /nodes/N/qemu/ID`: `VM.Allocate`. The machine must be stopped and unprotected; that it is locked is found
/// out in the task. There is no `purge`: jobs that mention the VMID are somebody's work.
#[derive(Debug, Clone, Copy)]
pub struct DestroyQemu {
    /// Which.
    pub vmid: Vmid,
    /// Also delete volumes with this VMID in their name that the configuration does not mention.
    pub unreferenced_disks: bool,
}

impl Endpoint for RestoreQemu {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        let request = Request::new(Method::Post, &[&"nodes", node, &"qemu"])
            .with("vmid", self.vmid)
            .with("archive", &self.archive)
            .maybe("storage", self.storage.as_ref())
            .maybe("pool", self.pool.as_ref())
            .maybe("bwlimit", self.bwlimit)
            .maybe_flag("unique", self.unique.then_some(true));
        self.settings.add_to(request)
    }
}

impl Endpoint for DestroyQemu {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        let request = Request::new(Method::Delete, &[&"nodes", node, &"qemu", &self.vmid]);
        if self.unreferenced_disks {
            request.flag("destroy-unreferenced-disks", true)
        } else {
            request
        }
    }
}

impl Pve {
    /// Starts restoring a virtual machine.
    pub async fn restore_qemu(&self, restore: &RestoreQemu) -> Result<TaskHandle, Error> {
        self.start(restore).await
    }

    /// Starts destroying a virtual machine.
    pub async fn destroy_qemu(&self, destroy: &DestroyQemu) -> Result<TaskHandle, Error> {
        self.start(destroy).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_carries_everything_in_one_request() {
        let restore = RestoreQemu {
            vmid: Vmid::new(9100).unwrap(),
            archive: "local:backup/vzdump-qemu-9000-2026_11_23-00_12_24.vma.zst"
                .parse()
                .unwrap(),
            storage: Some("local-lvm".parse().unwrap()),
            pool: Some("felhom-scratch".parse().unwrap()),
            unique: true,
            settings: QemuSettings {
                memory: Some(512),
                onboot: Some(false),
                nets: BTreeMap::from([(0, "virtio,bridge=vmbr9,link_down=1".parse().unwrap())]),
                ..QemuSettings::default()
            },
            bwlimit: None,
        };
        let request = restore.request(&"pve".parse().unwrap());
        assert_eq!(
            request.params(),
            "vmid=9100&archive=local%3Abackup%2Fvzdump-qemu-9000-2026_11_23-00_12_24.vma.zst&storage=local-lvm\
             &pool=felhom-scratch&unique=1&memory=512&onboot=0&net0=virtio%2Cbridge%3Dvmbr9%2Clink_down%3D1"
        );
    }
}
