//! After a lost answer: is there a task of our own that was not there before, or the effect?

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::{EffectSeen, Mutation, Outcome};
use felhom_ids::Upid;
use felhom_proxmox::pve::tasks::ListTasks;
use felhom_proxmox::{Error, Pbs, Pve};
use tokio::time::{Instant, sleep};

use super::pbs;
use crate::observe::remote_error;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where the request went.
pub(super) enum Server<'a> {
    /// To the node.
    Node(&'a Pve),
    /// To a backup server.
    Backup(&'a Pbs),
}

/// Looks until a task of ours is found, or until "not there" has held for the settle time. A server that cannot be
/// reached proves nothing: then the settle time begins again when it answers.
pub(super) async fn find(
    server: &Server<'_>,
    mutation: &Mutation,
    known: &BTreeSet<Upid>,
    settle: Duration,
) -> Outcome {
    let began = Instant::now();
    let mut absent_since = None;
    let mut pause = FIRST_PAUSE;
    loop {
        match ours(server, mutation, known).await {
            Ok(Fresh::One(upid)) => {
                return Outcome::Found {
                    upid: Some(upid),
                    effect: EffectSeen::Unknown,
                };
            }
            // Two of them: which is ours cannot be told.
            Ok(Fresh::Several) => {
                return Outcome::Found {
                    upid: None,
                    effect: EffectSeen::Unknown,
                };
            }
            Ok(Fresh::None) => {
                let since: Instant = *absent_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= settle {
                    let effect = match server {
                        Server::Node(pve) => effect(pve, mutation).await,
                        Server::Backup(_) => effect_on_backups(mutation),
                    };
                    return Outcome::Found { upid: None, effect };
                }
            }
            Err(error) => {
                absent_since = None;
                // The job pauses, and goes on looking at the next start.
                if !error.is_transient() || began.elapsed() > settle.saturating_mul(4) {
                    return Outcome::Failed(remote_error(&error));
                }
            }
        }
        sleep(pause.min(settle)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tasks of our own that were not there before.
enum Fresh {
    None,
    One(Upid),
    Several,
}

async fn ours(
    server: &Server<'_>,
    mutation: &Mutation,
    known: &BTreeSet<Upid>,
) -> Result<Fresh, Error> {
    let Some((kind, id)) = mutation.task() else {
        return Ok(Fresh::None);
    };
    let (client, tasks) = match server {
        Server::Node(pve) => {
            let list = ListTasks {
                kind: Some(kind.to_owned()),
                // A deletion's id is no VMID, and no filter finds it.
                vmid: id.parse().ok(),
                ..ListTasks::default()
            };
            (pve.client(), pve.tasks(&list).await?)
        }
        Server::Backup(pbs) => (pbs.client(), pbs::tasks(pbs, kind).await?),
    };
    let Some(token) = client.settings().credentials.token_id() else {
        return Ok(Fresh::None);
    };
    let mut fresh = tasks.into_iter().filter(|task| {
        let same = task.upid.kind() == kind && task.upid.subject() == id;
        same && task.is_by(token) && !known.contains(&task.upid)
    });
    Ok(match (fresh.next(), fresh.next()) {
        (None, _) => Fresh::None,
        (Some(task), None) => Fresh::One(task.upid),
        (Some(_), Some(_)) => Fresh::Several,
    })
}

/// A verify leaves its mark by its task alone, which the server lists from the moment that it takes the request. Without one
/// nothing was begun; and what was verified twice is none the worse.
fn effect_on_backups(mutation: &Mutation) -> EffectSeen {
    if matches!(mutation, Mutation::Verify { .. }) {
        EffectSeen::No
    } else {
        EffectSeen::Unknown
    }
}

#[expect(clippy::too_many_lines, reason = "one arm a mutation: a table")]
async fn effect(pve: &Pve, mutation: &Mutation) -> EffectSeen {
    let seen = match mutation {
        Mutation::Backup {
            vmid,
            storage,
            known,
            ..
        } => pve
            .backups(storage, Some(*vmid))
            .await
            .map(|listed| listed.iter().any(|volume| !known.contains(&volume.volid))),
        Mutation::Restore(plan) => pve.is_free(plan.vmid).await.map(|free| !free),
        Mutation::RestoreGuest(plan) => pve.is_free(plan.vmid).await.map(|free| !free),
        Mutation::Destroy(vmid)
        | Mutation::DestroyMachine(vmid)
        | Mutation::DestroyRestored(vmid)
        | Mutation::DestroyRestoredMachine(vmid)
        | Mutation::DestroyStub { vmid, .. } => pve.is_free(*vmid).await,
        Mutation::StartMachine(vmid) | Mutation::StartRestoredMachine(vmid) => pve
            .qemu_status(*vmid)
            .await
            .map(|status| status.guest.is_running()),
        Mutation::StopMachine(vmid) => pve
            .qemu_status(*vmid)
            .await
            .map(|status| !status.guest.is_running()),
        Mutation::Start(vmid) | Mutation::StartRestored(vmid) => pve
            .lxc_status(*vmid)
            .await
            .map(|status| status.is_running()),
        Mutation::Stop(vmid) => pve
            .lxc_status(*vmid)
            .await
            .map(|status| !status.is_running()),
        Mutation::Snapshot { vmid, name, .. } => pve
            .lxc_snapshots(*vmid)
            .await
            .map(|snapshots| snapshots.get(name).is_some()),
        Mutation::DeleteSnapshot { vmid, name } => pve
            .lxc_snapshots(*vmid)
            .await
            .map(|snapshots| snapshots.get(name).is_none()),
        Mutation::DeleteBackup { volid } => pve
            .backups(volid.storage(), volid.guest())
            .await
            .map(|listed| listed.iter().all(|volume| volume.volid != *volid)),
        // Whether a guest was rolled back cannot be seen of it.
        Mutation::Rollback { .. }
        | Mutation::Verify { .. }
        | Mutation::StopTask { .. }
        | Mutation::ReleaseUnfinished { .. }
        | Mutation::CreateGolden { .. }
        | Mutation::SetNotes { .. }
        | Mutation::SetProtected { .. } => {
            return EffectSeen::Unknown;
        }
    };
    match seen {
        Ok(true) => EffectSeen::Yes,
        Ok(false) => EffectSeen::No,
        Err(_) => EffectSeen::Unknown,
    }
}
