//! Steps that are performed on a backup server.

use felhom_engine::pbs::Target;
use felhom_engine::{ErrorClass, Mutation, Observe, Outcome, RemoteError, Sent, Step};
use felhom_ids::{BackupSnapshot, StorageId};
use felhom_proxmox::pbs::tasks::{ListTasks, TaskEntry};
use felhom_proxmox::pbs::verify::Verify;
use felhom_proxmox::{Error, Pbs};

use super::find::{self, Server};
use super::follow::Following;
use super::mutate::{done, started};
use super::undone;
use crate::observe::{self, Trouble, remote_error};
use crate::progress::Progress;

/// Performs one step and says what became of it.
pub(super) async fn perform(pbs: &Pbs, step: &Step, progress: &dyn Progress) -> Outcome {
    match step {
        Step::Observe(Observe::PbsSnapshots { target, group }) => {
            match observe::pbs_snapshots(pbs, target, group.as_ref()).await {
                Ok(listing) => Outcome::PbsSnapshots(Box::new(listing)),
                Err(Trouble(error)) => Outcome::Failed(error),
            }
        }
        Step::Observe(Observe::Tasks { kind, id, .. }) => match tasks(pbs, kind).await {
            Ok(tasks) => {
                let upids = tasks.into_iter().map(|task| task.upid);
                Outcome::Tasks(upids.filter(|upid| upid.subject() == *id).collect())
            }
            Err(error) => Outcome::Failed(remote_error(&error)),
        },
        Step::Mutate(Mutation::Verify { target, snapshot }) => {
            Outcome::Sent(verify(pbs, target, snapshot).await)
        }
        Step::Mutate(Mutation::StopTask { upid, .. }) => {
            Outcome::Sent(done(pbs.stop_task(upid).await))
        }
        Step::FindTask {
            mutation,
            known,
            settle,
        } => find::find(&Server::Backup(pbs), mutation, known, *settle).await,
        Step::Follow {
            upid, no_progress, ..
        } => {
            let mut following = Following::new(None, progress);
            following.follow_on(pbs, upid, *no_progress).await
        }
        Step::Observe(_) | Step::Mutate(_) => {
            let text = format!("a backup server cannot perform `{}`", step.name());
            let class = ErrorClass::Local;
            undone(step, RemoteError { class, text })
        }
    }
}

/// Always with `ignore-verified=0`: by default a server skips whatever it verified before, also what failed.
async fn verify(pbs: &Pbs, target: &Target, snapshot: &BackupSnapshot) -> Sent {
    let store = target.datastore.clone();
    let verify = Verify::snapshot(store, target.namespace.clone(), snapshot.clone());
    started(pbs.verify(&verify).await)
}

/// The tasks of a type that the server lists for this token.
pub(super) async fn tasks(pbs: &Pbs, kind: &str) -> Result<Vec<TaskEntry>, Error> {
    let list = ListTasks {
        kind: Some(kind.to_owned()),
        ..ListTasks::default()
    };
    pbs.tasks(&list).await
}

/// What is asked of a backup server is never asked of the node.
pub(super) fn elsewhere(storage: &StorageId) -> RemoteError {
    RemoteError {
        class: ErrorClass::Local,
        text: format!("the node is not the backup server of storage `{storage}`"),
    }
}
