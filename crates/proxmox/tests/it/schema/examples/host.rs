//! Calls about the node, the cluster and tasks.

use std::iter::successors;

use felhom_ids::{Upid, Vmid};
use felhom_proxmox::pve::access::GetPermissions;
use felhom_proxmox::pve::certificates::ListCertificates;
use felhom_proxmox::pve::cluster::{GetClusterStatus, ListResources, NextId};
use felhom_proxmox::pve::disks::{GetSmart, ListDisks, ListMountUnits, ListThinPools};
use felhom_proxmox::pve::jobs::ListBackupJobs;
use felhom_proxmox::pve::network::ListInterfaces;
use felhom_proxmox::pve::nodes::{GetNodeStatus, GetNodeTime, ListNodes};
use felhom_proxmox::pve::packages::ListPackages;
use felhom_proxmox::pve::pools::GetPool;
use felhom_proxmox::pve::probe::Probe;
use felhom_proxmox::pve::tasks::{ListTasks, StopTask, TaskLogOf, TaskSource, TaskStatusOf};
use felhom_proxmox::pve::version::GetVersion;
use felhom_proxmox::pve::written::{ListWrittenInterfaces, ListWrittenStorages};

use super::{Examples, id};

pub(super) fn add(examples: &mut Examples) {
    examples.one(&GetVersion);
    examples.one(&ListNodes);
    examples.one(&GetNodeStatus);
    examples.one(&GetNodeTime);
    examples.one(&ListCertificates);
    examples.one(&ListBackupJobs);
    examples.one(&ListInterfaces);
    examples.one(&ListWrittenInterfaces);
    examples.one(&ListWrittenStorages);
    examples.one(&ListThinPools);
    examples.one(&ListMountUnits);
    examples.one(&ListDisks);
    for disk in ["/dev/sda", "/dev/nvme0n1", "/dev/cciss/c0d0"] {
        let disk = disk.to_owned();
        examples.one(&GetSmart { disk });
    }
    examples.one(&ListPackages);
    examples.one(&GetClusterStatus);
    for kind in ["vm", "storage", "node", "sdn"] {
        examples.pair(
            &ListResources::default(),
            &ListResources { kind: Some(kind) },
        );
    }
    for vmid in [Vmid::MIN, Vmid::MAX] {
        examples.pair(&NextId::default(), &NextId { vmid: Some(vmid) });
    }
    for pool in ["felhom-scratch", "lab/tests/deep"] {
        examples.one(&GetPool { pool: id(pool) });
    }
    let permissions = GetPermissions {
        user: Some(id("felhom-agent@pve")),
        path: Some("/vms/9001".to_owned()),
    };
    examples.pair(&GetPermissions::default(), &permissions);
    tasks(examples);
    let guest = id("9001");
    for probe in [
        Probe::Destroy(guest),
        Probe::Stop(guest),
        Probe::Configure(guest),
        Probe::Console(guest),
        Probe::Snapshot(guest),
        Probe::ChangeStorage(id("local")),
        Probe::MakeJob,
        Probe::SwitchOff,
        Probe::ChangeNetwork,
        Probe::MakeRole,
        Probe::Grant,
    ] {
        examples.one(&probe);
    }
}

fn tasks(examples: &mut Examples) {
    let after = |source: &TaskSource| match source {
        TaskSource::Archive => Some(TaskSource::Active),
        TaskSource::Active => Some(TaskSource::All),
        TaskSource::All => None,
    };
    for source in successors(Some(TaskSource::Archive), after) {
        let least = ListTasks {
            source,
            ..ListTasks::default()
        };
        let most = ListTasks {
            source,
            vmid: Some(Vmid::MAX),
            kind: Some("vzdump".to_owned()),
            since: Some(1_795_392_000),
            start: u32::MAX,
            limit: 0,
        };
        examples.pair(&least, &most);
    }
    let upid: Upid =
        id("UPID:demo-felhom:0000C5AB:0004A9F1:6B025F47:vzdump:9001:felhom-agent@pve!agent:");
    examples.one(&TaskStatusOf::new(upid.clone()));
    examples.one(&TaskStatusOf {
        upid: upid.clone(),
        fresh: true,
    });
    for limit in [0, 500] {
        examples.one(&TaskLogOf {
            upid: upid.clone(),
            start: limit,
            limit,
        });
    }
    examples.one(&StopTask { upid });
}
