//! Before a storage on a removable disk is used: root looks whether it is there, and mounts it.

use felhom_engine::storages::Attachment;
use felhom_engine::targets::{Admission, Takes};
use felhom_engine::{Principal, Timestamp};
use felhom_host::{Code, Operation, Report};
use felhom_ids::StorageId;

use super::context::{Context, journal_failure};
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::fence::{self, Fence, FenceError};
use crate::journal::{Journal, KnownTarget};
use crate::perform::Performer;
use crate::targets::{self, Target};

/// What a storage is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Archives on it are read.
    Read,
    /// Archives on it are removed, or their notes written.
    Change,
    /// A backup is written to it.
    Backup,
}

/// The targets that the journal knows; none before there is a journal.
pub(super) async fn known(journal: Option<&Journal>) -> Result<Vec<KnownTarget>, Failure> {
    let Some(journal) = journal else {
        return Ok(Vec::new());
    };
    journal
        .targets()
        .await
        .map_err(|error| journal_failure(&error))
}

/// The target that a storage lies on: by its definition, and by its name where that cannot be read.
pub(super) async fn of_storage(
    performer: &Performer,
    journal: Option<&Journal>,
    storage: &StorageId,
) -> Result<Option<KnownTarget>, Failure> {
    let known = known(journal).await?;
    if known.is_empty() {
        return Ok(None);
    }
    let pve = performer.remotes().of(Principal::Agent);
    let definitions = pve.storage_configs().await.unwrap_or_default();
    let path = definitions
        .into_iter()
        .find(|one| one.storage == *storage)
        .and_then(|one| one.path);
    let holds = |target: &KnownTarget| match &path {
        Some(path) => std::path::Path::new(path).starts_with(&target.mount_point),
        None => target.name.as_str() == storage.as_str(),
    };
    Ok(known.into_iter().find(holds))
}

/// Stands before a command that uses storages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door<'a> {
    pub(super) context: &'a Context,
    pub(super) performer: &'a Performer,
    pub(super) journal: Option<&'a Journal>,
    /// Nothing is mounted or written.
    pub(super) dry_run: bool,
}

impl Door<'_> {
    /// Looks at the target that a storage lies on, and mounts it when its disk is there. Refuses what may not be used now.
    pub(super) async fn admit(&self, storage: &StorageId, purpose: Use) -> Result<(), Failure> {
        let Some(known) = of_storage(self.performer, self.journal, storage).await? else {
            return Ok(());
        };
        let config = self.performer.config();
        let gate = Gate {
            context: self.context,
            config,
            fence: Fence::new(config),
            known,
            purpose,
        };
        let name = gate.known.name.clone();
        let looked = targets::probe(&gate.fence, &name, targets::patience(config)).await;
        let Some(target) = gate.judged(looked).await? else {
            return Ok(());
        };
        if target.look.admission(gate.writes()) == Admission::Mount {
            if self.dry_run {
                self.context.printer.narrate(&format!(
                    "target `{name}` would be mounted first; until then its storage is not active"
                ));
                return Ok(());
            }
            let mount = Operation::MountUsb { name: name.clone() };
            let mounted = gate.fence.ask(mount, fence::DISK).await;
            gate.judged(mounted).await?;
            let line = format!("target `{name}` is mounted");
            self.context.printer.narrate(&line);
        }
        if purpose == Use::Backup && !self.dry_run {
            gate.tried().await?;
        }
        Ok(())
    }

    /// Mounts every target whose disk is there, so that what lies on them is seen. What cannot be mounted is told, and missed.
    pub(super) async fn mount_present(&self) -> Result<(), Failure> {
        let known = known(self.journal).await?;
        let config = self.performer.config();
        let seen = targets::look(config, known).await;
        targets::note(&config.state_dir, &seen.all, clock::now()).await;
        for target in &seen.all {
            let name = &target.known.name;
            let line = match target.look.admission(false) {
                Admission::Ready => continue,
                Admission::Mount if self.dry_run => {
                    format!("target `{name}` would be mounted first")
                }
                Admission::Mount => {
                    let mount = Operation::MountUsb { name: name.clone() };
                    match Fence::new(config).ask(mount, fence::DISK).await {
                        Ok(_) => format!("target `{name}` is mounted"),
                        Err(error) => format!("target `{name}` is not mounted: {error}"),
                    }
                }
                Admission::Away(why)
                | Admission::Wrong(why)
                | Admission::Unwritable(why)
                | Admission::Unknown(why) => {
                    format!("what is on target `{name}` is not seen: {why}")
                }
            };
            self.context.printer.narrate(&line);
        }
        Ok(())
    }
}

struct Gate<'a> {
    context: &'a Context,
    config: &'a Config,
    fence: Fence,
    known: KnownTarget,
    purpose: Use,
}

impl Gate<'_> {
    fn writes(&self) -> bool {
        self.purpose == Use::Backup
    }

    /// Has root write to it, and read back from the disk.
    async fn tried(&self) -> Result<(), Failure> {
        let name = &self.known.name;
        let write = Operation::ProbeUsb {
            name: name.clone(),
            write: true,
        };
        let written = self.fence.ask(write, fence::DISK).await;
        let target = self.judged(written).await?;
        if target.is_some_and(|target| target.look.takes == Takes::Data) {
            return Ok(());
        }
        let message = format!("target `{name}`: what is written to it does not come back");
        Err(Failure::new(Exit::Refused, "target-unproven", message))
    }

    /// What an answer means for the purpose. `None`: nobody can say, and it is only to be read.
    async fn judged(&self, answer: Result<Report, FenceError>) -> Result<Option<Target>, Failure> {
        let name = &self.known.name;
        match &answer {
            Err(error @ FenceError::Absent(_)) if self.purpose == Use::Read => {
                let line =
                    format!("nobody can say whether target `{name}` is the right disk: {error}");
                self.context.printer.narrate(&line);
                return Ok(None);
            }
            Err(error @ FenceError::Absent(_)) => {
                let mut failure = error.failure();
                failure.message = format!("target `{name}`: {}", failure.message);
                return Err(failure);
            }
            Ok(_) | Err(FenceError::Refused(_) | FenceError::Lost(_)) => {}
        }
        let said = match &answer {
            Err(error @ FenceError::Refused(refusal)) if refusal.code == Code::NotFound => {
                Some(error.failure().hint(format!(
                    "root has forgotten it: felhom-agent storage adopt UUID={} --name {name} takes it again",
                    self.known.uuid
                )))
            }
            Err(error @ FenceError::Refused(_)) => Some(error.failure()),
            Ok(_) | Err(_) => None,
        };
        let target = Target::new(self.known.clone(), answer);
        let now = clock::now();
        targets::note(&self.config.state_dir, std::slice::from_ref(&target), now).await;
        match (target.look.admission(self.writes()), said) {
            (Admission::Ready | Admission::Mount, _) => Ok(Some(target)),
            // Root said more of it than that nobody knows.
            (Admission::Unknown(_), Some(said)) => Err(said),
            (refused, _) => Err(failure(&refused, &target, now)),
        }
    }
}

fn failure(admission: &Admission, target: &Target, now: Timestamp) -> Failure {
    let name = &target.known.name;
    let told = |state: &str, why: &str| format!("target `{name}` {state}: {why}");
    match admission {
        Admission::Away(why) => {
            let last = target.look.last_there;
            let days = now.since(last).as_secs() / (24 * 3600);
            Failure::new(Exit::Busy, "target-detached", told("is detached", why)).hint(format!(
                "nothing was done; plug its disk in and run it again (it was last seen {days} days ago, on {})",
                last.date()
            ))
        }
        Admission::Wrong(why) => Failure::new(Exit::Refused, "target-wrong", told("is WRONG", why))
            .hint("nothing was written; unplug the other disk and plug the target's own in; `felhom-agent storage list` shows it"),
        Admission::Unwritable(why) => {
            let (code, hint) = if target.look.takes == Takes::Full {
                ("target-full", "felhom-agent backup prune, or a larger disk")
            } else {
                ("target-read-only", "dmesg on the node says why; check the file system, then plug it in again")
            };
            Failure::new(Exit::Refused, code, told("takes no data", why)).hint(hint)
        }
        Admission::Ready | Admission::Mount | Admission::Unknown(_) => {
            let why = target.look.why.clone().unwrap_or_default();
            Failure::new(Exit::Busy, "target-unknown", told("does not tell how it stands", &why)).hint(
                "a disk that hangs keeps root waiting: unplug it; journalctl -u felhom-hostd says what was tried",
            )
        }
    }
}

/// What became of the target that a failed backup was to be written to.
pub(super) struct Vanished {
    /// How the command ends.
    pub(super) exit: Exit,
    /// For a person.
    pub(super) line: String,
    /// How it stands.
    pub(super) standing: Attachment,
}

/// Looks whether the disk was pulled out while a backup was written to it.
pub(super) async fn vanished(
    performer: &Performer,
    journal: &Journal,
    storage: &StorageId,
) -> Option<Vanished> {
    let known = of_storage(performer, Some(journal), storage).await.ok()??;
    let config = performer.config();
    let fence = Fence::new(config);
    let answer = targets::probe(&fence, &known.name, targets::patience(config)).await;
    let target = Target::new(known, answer);
    targets::note(
        &config.state_dir,
        std::slice::from_ref(&target),
        clock::now(),
    )
    .await;
    let name = &target.known.name;
    let why = target
        .look
        .why
        .clone()
        .unwrap_or_else(|| "its disk is gone".to_owned());
    let (exit, line) = match target.look.standing {
        Attachment::Detached => (
            Exit::Busy,
            format!(
                "target `{name}` was detached while the backup ran: {why}; plug it in and run it again"
            ),
        ),
        Attachment::Wrong => (
            Exit::Refused,
            format!("target `{name}` is WRONG after the backup: {why}"),
        ),
        Attachment::Attached | Attachment::Unknown => return None,
    };
    Some(Vanished {
        exit,
        line,
        standing: target.look.standing,
    })
}
