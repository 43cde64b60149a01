//! Jobs that did not end and that nobody goes on with unasked.

use felhom_engine::{Finding, JobKind, codes};

use crate::journal::{Illegible, Journal, JournalError, Unfinished};

/// What a person should know of them. Each is a subject of its own: a guest may have more than one.
pub(super) async fn findings(journal: &Journal) -> Result<Vec<Finding>, JournalError> {
    let unfinished = journal.unfinished().await?;
    let stuck = unfinished.iter().filter(|one| one.is_stuck()).map(cut_off);
    let illegible = journal.illegible().await?;
    Ok(stuck.chain(illegible.iter().map(unread)).collect())
}

fn cut_off(one: &Unfinished) -> Finding {
    let (kind, subject, times) = (one.job.kind_name(), one.job.subject(), one.cut_off);
    let lease = match &one.job.kind {
        JobKind::RestoreTest(test) => test.lease(),
        JobKind::Backup(_)
        | JobKind::RestoreRun(_)
        | JobKind::Reap(_)
        | JobKind::Exercise(_)
        | JobKind::Prune(_)
        | JobKind::Guard(_)
        | JobKind::Verify(_)
        | JobKind::Golden(_) => None,
    };
    let left = lease.map_or_else(String::new, |vmid| {
        format!("; its scratch guest {vmid} may be there still")
    });
    let detail = format!(
        "the program was cut off {times} times in a row while it went on with {kind} of {subject}, which is left aside{left}"
    );
    let finding = Finding::new(codes::JOB_STUCK, format!("job {}", one.job.id), detail);
    finding.hint("`journalctl -u felhom-agent -u felhom-settle` and `journalctl -k` say what ended it; felhom-agent restore-test reap goes on with the job")
}

fn unread(one: &Illegible) -> Finding {
    let Illegible {
        job,
        kind,
        subject,
        why,
    } = one;
    let detail = format!("{kind} of {subject} did not end, and nobody can go on with it: {why}");
    let finding = Finding::new(codes::JOB_STUCK, format!("job {job}"), detail);
    finding.hint("the felhom-agent that began it can read it: install that version, then felhom-agent restore-test reap")
}
