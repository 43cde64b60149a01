//! What pruning and the protection of proofs look at: one guest's archives on one storage.

use std::collections::BTreeSet;

use felhom_engine::{ErrorClass, GuestArchives};
use felhom_ids::{StorageId, Vmid, VolumeId};
use felhom_proxmox::Pve;
use felhom_proxmox::pve::tasks::ListTasks;

use super::{Trouble, archive_facts, remote_error};

pub(crate) async fn guest_archives(
    pve: &Pve,
    vmid: Vmid,
    storage: &StorageId,
    whole: &BTreeSet<VolumeId>,
) -> Result<GuestArchives, Trouble> {
    let configs = pve.storage_configs().await?;
    let max_protected = configs
        .iter()
        .find(|config| config.storage == *storage)
        .and_then(|config| config.max_protected_backups);
    let deletions = ListTasks {
        kind: Some("imgdel".into()),
        ..ListTasks::default()
    };
    let tasks = pve.tasks(&deletions).await?;
    let listed = pve.backups(storage, Some(vmid)).await?;
    let mut archives = Vec::new();
    for volume in &listed {
        let mut facts = archive_facts(volume);
        if whole.contains(&facts.volid) {
            // The list shows the first line only.
            match pve.volume(&facts.volid).await {
                Ok(volume) => {
                    facts.notes = volume.notes;
                    facts.protected = volume.protected;
                }
                // Whose it is cannot be read: then it is not ours.
                Err(error) if remote_error(&error).class == ErrorClass::Refused => {
                    tracing::warn!(%error, volid = %facts.volid, "an archive cannot be looked at");
                    facts.notes = None;
                }
                Err(error) => return Err(error.into()),
            }
        }
        archives.push(facts);
    }
    // Last, so that nothing that was made meanwhile looks as if it were of the future.
    let time = pve.node_time().await.ok();
    Ok(GuestArchives {
        archives,
        tasks: tasks.into_iter().map(|task| task.upid).collect(),
        now_s: time.as_ref().map(|time| time.time),
        offset_s: time.map_or(0, |time| time.localtime.saturating_sub(time.time)),
        max_protected,
    })
}
