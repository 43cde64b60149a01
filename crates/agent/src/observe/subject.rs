//! What a restore test's preflight looks at.

use std::collections::BTreeSet;

use felhom_engine::{
    BridgeFacts, ErrorClass, GuestConfig, Principal, RemoteError, RestoreTestPolicy, TestSubject,
};
use felhom_ids::{BridgeName, Vmid, VolumeId};
use felhom_proxmox::Pve;

use super::backup::archived_config;
use super::{Trouble, archive, missing_privileges, node, remote_error, storage};
use crate::remote::Remotes;

/// How many free VMIDs are looked for: the others are for jobs that hold the first.
const FREE_VMIDS: usize = 6;

pub(crate) async fn test_subject(
    remotes: &Remotes,
    volid: &VolumeId,
    policy: &RestoreTestPolicy,
) -> Result<TestSubject, Trouble> {
    let agent = remotes.of(Principal::Agent);
    let tester = remotes.of(Principal::RestoreTest);
    let archive = archive(agent, volid).await?;
    let (archived, config_error) = match &archive {
        Some(_) => archived(tester, volid).await?,
        None => (GuestConfig::default(), None),
    };
    Ok(TestSubject {
        archive,
        archived,
        config_error,
        node: node(agent).await?,
        target: storage(agent, &policy.target).await?,
        bridge: bridge(agent, &policy.bridge).await?,
        pool: tester.pool(&policy.pool).await?.map(|pool| pool.poolid),
        free_vmids: free_vmids(agent, policy).await?,
        missing_privileges: missing(tester, volid, policy).await?,
    })
}

/// The configuration inside the archive, read as the principal that will restore it.
async fn archived(
    tester: &Pve,
    volid: &VolumeId,
) -> Result<(GuestConfig, Option<RemoteError>), Trouble> {
    match archived_config(tester, volid).await {
        Ok(config) => Ok(match config {
            Ok(config) => (config, None),
            Err(error) => {
                let text = format!("the archived configuration makes no sense: {error}");
                (
                    GuestConfig::default(),
                    Some(RemoteError {
                        class: ErrorClass::Garbage,
                        text,
                    }),
                )
            }
        }),
        Err(error) if error.is_transient() => Err(error.into()),
        Err(error) => Ok((GuestConfig::default(), Some(remote_error(&error)))),
    }
}

async fn bridge(pve: &Pve, name: &BridgeName) -> Result<Option<BridgeFacts>, Trouble> {
    let interfaces = pve.host_interfaces().await?;
    let found = interfaces
        .into_iter()
        .find(|interface| interface.kind == "bridge" && interface.iface == name.to_string());
    Ok(found.map(|interface| BridgeFacts {
        name: name.clone(),
        ports: interface
            .bridge_ports
            .unwrap_or_default()
            .split_whitespace()
            .filter(|port| *port != "none")
            .map(str::to_owned)
            .collect(),
        addresses: [interface.cidr.or(interface.address), interface.address6]
            .into_iter()
            .flatten()
            .collect(),
    }))
}

/// VMIDs of the scratch range that no guest has and no volume bears: what lies under such a number is somebody's data.
async fn free_vmids(pve: &Pve, policy: &RestoreTestPolicy) -> Result<Vec<Vmid>, Trouble> {
    let taken = volume_owners(pve).await?;
    let mut free = Vec::new();
    for number in policy.first_vmid.get()..=policy.last_vmid.get() {
        let Ok(vmid) = Vmid::new(number) else {
            continue;
        };
        if !taken.contains(&vmid) && pve.is_free(vmid).await? {
            free.push(vmid);
        }
        if free.len() >= FREE_VMIDS {
            break;
        }
    }
    Ok(free)
}

/// The VMIDs whose disks lie on any storage for disks, as far as the token may see.
async fn volume_owners(pve: &Pve) -> Result<BTreeSet<Vmid>, Trouble> {
    let mut owners = BTreeSet::new();
    for status in pve.storages().await? {
        let for_disks = status
            .content
            .iter()
            .any(|content| content == "rootdir" || content == "images");
        let Some(storage) = status.storage.filter(|_| status.active && for_disks) else {
            continue;
        };
        let listed = pve.storage_content(&storage).await?;
        let disks = listed
            .iter()
            .filter(|volume| volume.content.as_deref() != Some("backup"));
        owners.extend(disks.filter_map(|volume| volume.volid.guest()));
    }
    Ok(owners)
}

/// The rights of the confined restore-test principal, path by path; each is needed by one step of the job.
async fn missing(
    tester: &Pve,
    volid: &VolumeId,
    policy: &RestoreTestPolicy,
) -> Result<Vec<(String, String)>, Trouble> {
    let mut wanted: Vec<(String, &[&str])> = vec![
        (
            format!("/pool/{}", policy.pool),
            &[
                "VM.Allocate",
                "VM.Audit",
                "VM.Config.Disk",
                "VM.Config.CPU",
                "VM.Config.Memory",
                "VM.Config.Network",
                "VM.Config.Options",
                "VM.PowerMgmt",
            ],
        ),
        (
            format!("/storage/{}", volid.storage()),
            &["Datastore.AllocateSpace"],
        ),
        (
            format!("/storage/{}", policy.target),
            &["Datastore.AllocateSpace"],
        ),
        (
            format!("/sdn/zones/localnetwork/{}", policy.bridge),
            &["SDN.Use"],
        ),
    ];
    if let Some(source) = volid.guest() {
        wanted.push((format!("/vms/{source}"), &["VM.Backup"]));
    }
    missing_privileges(tester, &wanted).await
}
