//! What is looked at right before something happens to a scratch guest.

use felhom_engine::{Existence, ScratchFacts, SnapshotFacts, TaskFacts};
use felhom_ids::{StorageId, Vmid};
use felhom_proxmox::Pve;
use felhom_proxmox::pve::tasks::{ListTasks, TaskEntry};

use super::{Trouble, guest_config};
use crate::observe::backup::guest_state;

pub(crate) async fn scratch(
    pve: &Pve,
    vmid: Vmid,
    storage: &StorageId,
) -> Result<ScratchFacts, Trouble> {
    // Whether the VMID is taken is asked in a way that permissions do not shorten; only then what has it.
    let (existence, state) = if pve.is_free(vmid).await? {
        (Existence::Absent, None)
    } else {
        match pve
            .lxc_config(vmid)
            .await
            .map(|config| guest_config(&config))
        {
            Ok(Ok(config)) => {
                let stub = config.is_create_stub();
                // A stub has no state worth asking for.
                let state = if stub {
                    None
                } else {
                    Some(guest_state(pve, vmid).await?)
                };
                (Existence::Container(Box::new(config)), state)
            }
            Ok(Err(error)) => (Existence::Unreadable(error.to_string()), None),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => (Existence::Unreadable(error.to_string()), None),
        }
    };
    let mut tasks = pve
        .tasks(&ListTasks {
            vmid: Some(vmid),
            ..ListTasks::default()
        })
        .await?;
    let last_task = last_task(&mut tasks);
    let volumes = pve.storage_content(storage).await?;
    Ok(ScratchFacts {
        existence,
        state,
        last_task,
        volumes: volumes
            .into_iter()
            .filter(|volume| {
                volume.content.as_deref() != Some("backup") && volume.volid.guest() == Some(vmid)
            })
            .map(|volume| volume.volid)
            .collect(),
        tasks: tasks.into_iter().map(|task| task.upid).collect(),
    })
}

/// The task that started last; a running one counts as later than one of the same second that has ended.
fn last_task(tasks: &mut [TaskEntry]) -> Option<TaskFacts> {
    tasks.sort_by_key(|task| (task.starttime, task.upid.pstart(), task.outcome().is_none()));
    tasks.last().map(|task| TaskFacts {
        upid: task.upid.clone(),
        running: task.outcome().is_none(),
        status: task.status.clone(),
    })
}

pub(crate) async fn snapshots(pve: &Pve, vmid: Vmid) -> Result<Vec<SnapshotFacts>, Trouble> {
    let snapshots = pve.lxc_snapshots(vmid).await?;
    Ok(snapshots
        .list
        .into_iter()
        .map(|snapshot| SnapshotFacts {
            name: snapshot.name,
            description: snapshot.description.map(|text| text.trim_end().to_owned()),
        })
        .collect())
}
