//! Making containers: from a template, or from an archive; and destroying them.

use std::collections::BTreeMap;

use felhom_ids::{NodeName, PoolId, StorageId, Vmid, VolumeId};

use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::property::{MountPoint, NetworkInterface, RootFs};
use crate::pve::Pve;
use crate::task::{Started, TaskHandle};

/// What a new container may be given in the request that makes it, whatever it is made from.
#[derive(Debug, Clone, Default)]
pub struct LxcSettings {
    /// Its pool; grants on the pool also permit the making.
    pub pool: Option<PoolId>,
    /// Its host name.
    pub hostname: Option<String>,
    /// What is written about it.
    pub description: Option<String>,
    /// Memory in MiB.
    pub memory: Option<u64>,
    /// Swap in MiB.
    pub swap: Option<u64>,
    /// CPUs.
    pub cores: Option<u32>,
    /// CPU time, in CPUs.
    pub cpulimit: Option<u32>,
    /// Whether it starts with the host.
    pub onboot: Option<bool>,
    /// Whether it is safe from being destroyed.
    pub protection: Option<bool>,
    /// Its root file system.
    pub rootfs: Option<RootFs>,
    /// Its mount points by number.
    pub mounts: BTreeMap<u16, MountPoint>,
    /// Its interfaces by number.
    pub nets: BTreeMap<u16, NetworkInterface>,
}

impl LxcSettings {
    fn add_to(&self, request: Request) -> Request {
        let mut request = request
            .maybe("pool", self.pool.as_ref())
            .maybe("hostname", self.hostname.as_deref())
            .maybe("description", self.description.as_deref())
            .maybe("memory", self.memory)
            .maybe("swap", self.swap)
            .maybe("cores", self.cores)
            .maybe("cpulimit", self.cpulimit)
            .maybe_flag("onboot", self.onboot)
            .maybe_flag("protection", self.protection)
            .maybe("rootfs", self.rootfs.as_ref());
        for (number, mount) in &self.mounts {
            request = request.with(&format!("mp{number}"), mount);
        }
        for (number, net) in &self.nets {
            request = request.with(&format!("net{number}"), net);
        }
        request
    }
}

/// `POST /nodes/N/lxc` from a template, unprivileged. Of the features only `nesting` is offered,
/// since a token can set no other.
#[derive(Debug, Clone)]
pub struct CreateLxc {
    /// Its number.
    pub vmid: Vmid,
    /// The template.
    pub template: VolumeId,
    /// Where its volumes go unless they say otherwise.
    pub storage: StorageId,
    /// Whether containers may run within.
    pub nesting: bool,
    /// Everything else.
    pub settings: LxcSettings,
}

/// `POST /nodes/N/lxc` with `restore=1`. There is no `force`, so an existing container is never
/// overwritten, and no `unique`, which would put the archive's interfaces in place of the given ones.
///
/// With a root file system in `settings`, only the volumes given there are made, and what the
/// archive's other mount points held lands inside the root file system. Without one, all of the
/// archive's volumes are made again, those that were not backed up empty and in full size.
#[derive(Debug, Clone)]
pub struct RestoreLxc {
    /// Its number, which must be free.
    pub vmid: Vmid,
    /// The archive.
    pub archive: VolumeId,
    /// Where its volumes go unless they say otherwise.
    pub storage: Option<StorageId>,
    /// What overrides the archive's configuration. Keys not given here are carried over, autostart
    /// and hook scripts included.
    pub settings: LxcSettings,
    /// KiB/s; only ever less than PVE's own limit.
    pub bwlimit: Option<u64>,
}

/// `DELETE /nodes/N/lxc/ID`: `VM.Allocate`. The container must be stopped and unprotected. There is
/// no `purge`: jobs that mention the VMID are somebody's work.
#[derive(Debug, Clone, Copy)]
pub struct DestroyLxc {
    /// Which.
    pub vmid: Vmid,
    /// Also delete volumes with this VMID in their name that the configuration does not mention.
    pub unreferenced_disks: bool,
}

impl Endpoint for CreateLxc {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        let request = Request::new(Method::Post, &[&"nodes", node, &"lxc"])
            .with("vmid", self.vmid)
            .with("ostemplate", &self.template)
            .with("storage", &self.storage)
            .flag("unprivileged", true);
        let request = if self.nesting {
            request.with("features", "nesting=1")
        } else {
            request
        };
        self.settings.add_to(request)
    }
}

impl Endpoint for RestoreLxc {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        let request = Request::new(Method::Post, &[&"nodes", node, &"lxc"])
            .with("vmid", self.vmid)
            .with("ostemplate", &self.archive)
            .flag("restore", true)
            .maybe("storage", self.storage.as_ref())
            .maybe("bwlimit", self.bwlimit);
        self.settings.add_to(request)
    }
}

impl Endpoint for DestroyLxc {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        let request = Request::new(Method::Delete, &[&"nodes", node, &"lxc", &self.vmid]);
        if self.unreferenced_disks {
            request.flag("destroy-unreferenced-disks", true)
        } else {
            request
        }
    }
}

impl Pve {
    /// Starts making a container.
    pub async fn create_lxc(&self, container: &CreateLxc) -> Result<TaskHandle, Error> {
        self.start(container).await
    }

    /// Starts restoring a container.
    pub async fn restore_lxc(&self, restore: &RestoreLxc) -> Result<TaskHandle, Error> {
        self.start(restore).await
    }

    /// Starts destroying a container.
    pub async fn destroy_lxc(&self, destroy: &DestroyLxc) -> Result<TaskHandle, Error> {
        self.start(destroy).await
    }
}

#[cfg(test)]
mod tests {
    use felhom_ids::ByteSize;

    use super::*;

    #[test]
    fn a_restore_carries_everything_in_one_request() {
        let storage: StorageId = "local-lvm".parse().unwrap();
        let settings = LxcSettings {
            pool: Some("felhom-scratch".parse().unwrap()),
            description: Some("felhom:i/j/9100".to_owned()),
            onboot: Some(false),
            protection: Some(false),
            memory: Some(256),
            rootfs: Some(RootFs::new(storage.clone(), ByteSize::from_bytes(1 << 30))),
            nets: BTreeMap::from([(
                0,
                "name=eth0,bridge=vmbr9,link_down=1,ip=198.51.100.77/32"
                    .parse()
                    .unwrap(),
            )]),
            ..LxcSettings::default()
        };
        let restore = RestoreLxc {
            vmid: Vmid::new(9100).unwrap(),
            archive: "local:backup/vzdump-lxc-9001-2026_11_23-00_12_24.tar.zst"
                .parse()
                .unwrap(),
            storage: Some(storage),
            settings,
            bwlimit: None,
        };
        let request = restore.request(&"pve".parse().unwrap());
        assert_eq!(
            request.params(),
            "vmid=9100&ostemplate=local%3Abackup%2Fvzdump-lxc-9001-2026_11_23-00_12_24.tar.zst&restore=1\
             &storage=local-lvm&pool=felhom-scratch&description=felhom%3Ai%2Fj%2F9100&memory=256&onboot=0\
             &protection=0&rootfs=local-lvm%3A1\
             &net0=name%3Deth0%2Cbridge%3Dvmbr9%2Cip%3D198.51.100.77%2F32%2Clink_down%3D1"
        );
    }

    #[test]
    fn a_destroy_says_no_more_than_it_must() {
        let vmid = Vmid::new(9100).unwrap();
        let node = "pve".parse().unwrap();
        let request = DestroyLxc {
            vmid,
            unreferenced_disks: false,
        }
        .request(&node);
        assert_eq!(
            (request.to_string().as_str(), request.params()),
            ("DELETE /nodes/pve/lxc/9100", "")
        );
        let request = DestroyLxc {
            vmid,
            unreferenced_disks: true,
        }
        .request(&node);
        assert_eq!(request.params(), "destroy-unreferenced-disks=1");
    }
}
