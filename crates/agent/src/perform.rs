//! Steps become calls: translation only, no decision is taken here.

mod find;
mod follow;
mod host;
mod listing;
mod mutate;
mod pbs;
mod read;
mod restore;

use felhom_engine::{
    ArchiveContent, ErrorClass, Observe, Outcome, Principal, Remote, RemoteError, Sent, Step,
    VzdumpLog, WantedContent,
};
use felhom_ids::{StorageId, Vmid, VolumeId};
use felhom_proxmox::Pve;
use felhom_proxmox::pve::tasks::ListTasks;

use crate::archive::{self, ArchiveError};
use crate::config::Config;
use crate::observe::{self, Probe, Trouble};
use crate::progress::Progress;
use crate::remote::Remotes;
pub use listing::ListingError;

/// Who acts: the clients, and the directories whose archives may be read.
#[derive(Debug, Clone)]
pub struct Performer {
    config: Config,
    remotes: Remotes,
}

/// A step that was not performed: what changes the world certainly never left.
fn undone(step: &Step, error: RemoteError) -> Outcome {
    if step.is_mutation() {
        Outcome::Sent(Sent::NotSent(error))
    } else {
        Outcome::Failed(error)
    }
}

impl Performer {
    /// Acts by this configuration.
    pub fn new(config: Config, remotes: Remotes) -> Self {
        Self { config, remotes }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The clients.
    pub fn remotes(&self) -> &Remotes {
        &self.remotes
    }

    /// Performs one step and says what became of it. Never fails: trouble is an outcome.
    pub async fn perform(&self, step: &Step, progress: &dyn Progress) -> Outcome {
        if let Some(why) = self.remotes.mute(step.principal()) {
            let error = RemoteError {
                class: ErrorClass::Local,
                text: why.to_owned(),
            };
            return undone(step, error);
        }
        match step.remote() {
            Remote::Node => self.on_node(step, progress).await,
            Remote::Host => host::perform(&self.config, step).await,
            Remote::Pbs(storage) => match self.remotes.pbs(&storage) {
                Ok(server) => pbs::perform(server, step, progress).await,
                Err(why) => {
                    let (class, text) = (ErrorClass::Local, why.to_string());
                    undone(step, RemoteError { class, text })
                }
            },
        }
    }

    async fn on_node(&self, step: &Step, progress: &dyn Progress) -> Outcome {
        match step {
            Step::Observe(observe) => self
                .observe(observe, progress)
                .await
                .unwrap_or_else(|Trouble(error)| Outcome::Failed(error)),
            Step::Mutate(mutation) => Outcome::Sent(mutate::send(&self.remotes, mutation).await),
            Step::FindTask {
                mutation,
                known,
                settle,
            } => {
                let pve = self.remotes.of(mutation.principal());
                find::find(&find::Server::Node(pve), mutation, known, *settle).await
            }
            Step::Follow {
                principal,
                upid,
                guard,
                fills,
                no_progress,
                remote: _,
            } => {
                let pve = self.remotes.of(*principal);
                let agent = self.remotes.of(Principal::Agent);
                let watched = follow::Watched::of(agent, guard.as_deref(), fills.as_ref());
                let mut following = follow::Following::new(watched, progress);
                following.follow(pve, upid, *no_progress).await
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm an observation: a table")]
    async fn observe(
        &self,
        observe: &Observe,
        progress: &dyn Progress,
    ) -> Result<Outcome, Trouble> {
        let agent = self.remotes.of(Principal::Agent);
        Ok(match observe {
            Observe::BackupSubject { vmid, storage } => Outcome::BackupSubject(Box::new(
                observe::backup_subject(agent, *vmid, storage).await?,
            )),
            Observe::BackupResult {
                vmid,
                storage,
                known,
                file,
                task,
            } => {
                let result = observe::backup_result(
                    agent,
                    (*vmid, storage),
                    known,
                    file.as_deref(),
                    task.as_ref(),
                );
                Outcome::BackupResult(Box::new(result.await?))
            }
            Observe::ArchiveContent { volid, wanted } => {
                let read = self.read_archive(volid, wanted, progress).await;
                Outcome::ArchiveContent(Box::new(read.map_err(|error| local(&error))?))
            }
            Observe::TestSubject { volid, policy } => Outcome::TestSubject(Box::new(
                observe::test_subject(&self.remotes, volid, policy).await?,
            )),
            Observe::Scratch { vmid, storage } => {
                Outcome::Scratch(Box::new(observe::scratch(agent, *vmid, storage).await?))
            }
            Observe::Evidence {
                vmid,
                nonces,
                wanted,
                stable_for,
                timeout,
            } => {
                let probe = Probe {
                    vmid: *vmid,
                    nonces,
                    wanted: *wanted,
                    stable_for: *stable_for,
                    timeout: *timeout,
                };
                self.evidence(probe).await?
            }
            Observe::RestoreSubject { volid, to } => self.restore_subject(volid, *to).await?,
            Observe::Restored { vmid, storages } => self.restored(*vmid, storages).await?,
            Observe::Archive { volid } => {
                Outcome::Archive(observe::archive(agent, volid).await?.map(Box::new))
            }
            Observe::Archives {
                vmid,
                storage,
                whole,
            } => Outcome::Archives(Box::new(
                observe::guest_archives(agent, *vmid, storage, whole).await?,
            )),
            Observe::Snapshots { vmid } => {
                Outcome::Snapshots(observe::snapshots(agent, *vmid).await?)
            }
            Observe::GuardSubject { vmid } => guard_subject(agent, *vmid).await?,
            Observe::PbsSnapshots { target, .. } => {
                return Err(Trouble(pbs::elsewhere(&target.storage)));
            }
            Observe::Tasks {
                principal,
                kind,
                id,
                remote: _,
            } => self.tasks(*principal, kind, id).await?,
        })
    }

    async fn evidence(&self, probe: Probe<'_>) -> Result<Outcome, Trouble> {
        let agent = self.remotes.of(Principal::Agent);
        let tester = self.remotes.of(Principal::RestoreTest);
        let evidence = observe::evidence(tester, agent, probe).await?;
        Ok(Outcome::Evidence(Box::new(evidence)))
    }

    async fn restore_subject(&self, volid: &VolumeId, to: Vmid) -> Result<Outcome, Trouble> {
        let subject = observe::restore_subject(&self.remotes, volid, to).await?;
        Ok(Outcome::RestoreSubject(Box::new(subject)))
    }

    async fn restored(&self, vmid: Vmid, on: &[StorageId]) -> Result<Outcome, Trouble> {
        let facts = observe::restored(&self.remotes, vmid, on).await?;
        Ok(Outcome::Restored(Box::new(facts)))
    }

    async fn tasks(&self, principal: Principal, kind: &str, id: &str) -> Result<Outcome, Trouble> {
        let list = ListTasks {
            kind: Some(kind.to_owned()),
            // A deletion's id is no VMID: then the list holds more than is asked for.
            vmid: id.parse().ok(),
            ..ListTasks::default()
        };
        let mut tasks = self.remotes.of(principal).tasks(&list).await?;
        if list.vmid.is_some() {
            // What else was done to the guest, by whomever, tells later which task was the last, whatever the node's clock says.
            let all = ListTasks { kind: None, ..list };
            tasks.extend(self.remotes.of(Principal::Agent).tasks(&all).await?);
        }
        Ok(Outcome::Tasks(
            tasks.into_iter().map(|task| task.upid).collect(),
        ))
    }

    /// Reads an archive of a configured directory, or lists what matters of one on a backup server.
    ///
    /// # Errors
    /// When it cannot be looked at, which says nothing about it.
    pub async fn read_archive(
        &self,
        volid: &VolumeId,
        wanted: &WantedContent,
        progress: &dyn Progress,
    ) -> Result<ArchiveContent, ArchiveError> {
        if volid.is_on_backup_server() {
            let pve = self.remotes.of(Principal::Agent);
            return Ok(listing::look(pve, volid, wanted).await?);
        }
        let path = archive::locate(volid, &self.config.archives)?;
        read::read(path, wanted.clone(), progress).await
    }

    /// What vzdump wrote beside an archive, where that can be read.
    pub(crate) fn read_log(&self, volid: &VolumeId) -> Option<VzdumpLog> {
        let path = archive::locate(volid, &self.config.archives).ok()?;
        archive::log_beside(&path)
    }
}

async fn guard_subject(agent: &Pve, vmid: Vmid) -> Result<Outcome, Trouble> {
    let subject = observe::guard_subject(agent, vmid).await?;
    Ok(Outcome::GuardSubject(Box::new(subject)))
}

fn local(error: &ArchiveError) -> Trouble {
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    Trouble(RemoteError {
        class: ErrorClass::Local,
        text,
    })
}
