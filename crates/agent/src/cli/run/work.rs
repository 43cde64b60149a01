//! One thing that is due, done by the same path as the command for it.

use std::time::Duration;

use felhom_engine::{BackupReport, BackupVerdict, Due, Finding, Timestamp, Work};
use felhom_ids::{StorageId, Vmid, VolumeId};
use serde::Serialize;

use crate::cli::context::{Context, journal_failure};
use crate::cli::targets::{Door, Use};
use crate::cli::{backup, pbs, restore_test};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::perform::Performer;

/// What became of one thing that was due.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Done {
    /// What.
    #[serde(flatten)]
    pub(super) work: Work,
    /// Why it was due.
    pub(super) reason: String,
    /// How it ended, in one word.
    pub(super) verdict: String,
    /// The exit code that the command for it would have ended with.
    pub(super) exit: u8,
    /// What there is to say of it.
    pub(super) says: Vec<String>,
    /// The archive, where one was made or tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) volid: Option<VolumeId>,
    /// When it ended, in milliseconds since 1970.
    pub(super) ended_ms: Timestamp,
    /// Where a good backup was made that rules of ours prune.
    #[serde(skip)]
    pub(super) good_on: Option<StorageId>,
}

impl Done {
    fn new(due: &Due, verdict: impl Into<String>, exit: Exit) -> Self {
        Self {
            work: due.work.clone(),
            reason: due.reason.clone(),
            verdict: verdict.into(),
            exit: exit.code(),
            says: Vec::new(),
            volid: None,
            ended_ms: clock::now(),
            good_on: None,
        }
    }

    /// Of something that did not even begin, or waits in the journal.
    pub(super) fn failed(due: &Due, failure: &Failure) -> Self {
        let mut says = vec![failure.message.clone()];
        says.extend(failure.hint.iter().map(|hint| format!("hint: {hint}")));
        Self {
            says,
            ..Self::new(due, failure.code, failure.exit)
        }
    }

    fn finding(mut self, findings: &[Finding]) -> Self {
        let line = |one: &Finding| format!("{}: {} [{}]", one.subject, one.detail, one.code);
        self.says.extend(findings.iter().map(line));
        self
    }
}

/// The guest and the storage that are pruned after this backup: it is good, and the server that it lies on does not prune itself.
pub(super) fn prunable(report: &BackupReport) -> Option<(Vmid, StorageId)> {
    let volid = report.volid.as_ref()?;
    let good = report.verdict == BackupVerdict::Good && !volid.is_on_backup_server();
    good.then(|| (report.vmid, volid.storage().clone()))
}

/// What every piece of work is done with.
struct Hands<'a> {
    context: &'a Context,
    journal: &'a mut Journal,
    performer: &'a Performer,
    due: &'a Due,
}

pub(super) async fn perform(
    context: &Context,
    journal: &mut Journal,
    performer: &Performer,
    due: &Due,
) -> Result<Done, Failure> {
    let mut hands = Hands {
        context,
        journal,
        performer,
        due,
    };
    match &due.work {
        Work::Backup { vmid } => hands.backup(*vmid).await,
        Work::Prune { vmid, storage } => hands.prune(*vmid, storage).await,
        Work::Proof {
            volid: Some(volid), ..
        } => hands.proof(volid).await,
        Work::Proof { volid: None, .. } => Ok(Done::new(due, "nothing", Exit::Done)),
        Work::Verify { storage, until } => hands.verify(storage, *until).await,
    }
}

impl Hands<'_> {
    async fn backup(&mut self, vmid: Vmid) -> Result<Done, Failure> {
        let policy = self.performer.config().backup.clone();
        let job = backup::perform(self.context, self.journal, self.performer, vmid, policy).await?;
        let Some(report) = backup::report(&job) else {
            return Ok(Done::new(self.due, "unexpected", Exit::Unexpected));
        };
        let volid = report.volid.clone();
        let good_on = prunable(report).map(|(_, storage)| storage);
        let mut done = Done::new(self.due, report.verdict.as_str(), backup::exit(report));
        done.says.extend(report.reasons.iter().cloned());
        Ok(Done {
            volid,
            good_on,
            ..done.finding(&report.findings)
        })
    }

    async fn prune(&mut self, vmid: Vmid, storage: &StorageId) -> Result<Done, Failure> {
        let target = (vmid, storage.clone());
        self.door().admit(storage, Use::Change).await?;
        let pruned =
            backup::apply_retention(self.context, self.journal, self.performer, &target).await?;
        let Some(report) = pruned else {
            return Ok(Done::new(self.due, "unexpected", Exit::Unexpected));
        };
        let verdict = format!("{} removed", report.deleted.len());
        let mut done = Done::new(self.due, verdict, backup::retention_exit(&report));
        done.says.extend(report.reason.iter().cloned());
        Ok(done.finding(&report.findings))
    }

    async fn proof(&mut self, volid: &VolumeId) -> Result<Done, Failure> {
        self.door().admit(volid.storage(), Use::Change).await?;
        let job = restore_test::perform(self.context, self.journal, self.performer, volid).await?;
        let Some(report) = restore_test::report(&job) else {
            return Ok(Done::new(self.due, "unexpected", Exit::Unexpected));
        };
        let verdict = report.judgement.verdict.to_string();
        let mut done = Done::new(self.due, verdict, restore_test::exit(report));
        done.says.extend(report.judgement.reasons.iter().cloned());
        done.volid = Some(volid.clone());
        Ok(done.finding(&report.findings))
    }

    async fn verify(
        &mut self,
        storage: &StorageId,
        until: Option<Timestamp>,
    ) -> Result<Done, Failure> {
        let Some(section) = self.performer.config().pbs.get(storage) else {
            return Ok(Done::new(self.due, "nothing", Exit::Done));
        };
        let most: Option<Duration> = until.map(|until| until.since(clock::now()));
        let server = (storage, section);
        let verified =
            pbs::verify_due(self.context, self.journal, self.performer, server, most).await;
        let good = verified
            .as_ref()
            .is_ok_and(|report| report.trouble.is_none() && report.reason.is_none());
        let noted = self.journal.note_server(storage, clock::now(), good).await;
        noted.map_err(|error| journal_failure(&error))?;
        let report = verified?;
        let verdict = format!("{} verified", report.verdicts.len());
        let mut done = Done::new(self.due, verdict, pbs::verify_exit(&report));
        done.says.extend(report.reason.iter().cloned());
        Ok(done.finding(&report.findings))
    }

    fn door(&self) -> Door<'_> {
        Door {
            context: self.context,
            performer: self.performer,
            journal: Some(self.journal),
            dry_run: false,
        }
    }
}
