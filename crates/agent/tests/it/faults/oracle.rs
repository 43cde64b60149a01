//! What must be true whatever went wrong, and which end is due for which trouble.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::pbs::VerifyVerdict;
use felhom_engine::*;
use serde_json::Value;

use super::trouble::Trouble;
use crate::scene::*;
use crate::support::*;

/// How a job ended, in the words that all jobs share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// As if nothing had gone wrong.
    Right,
    /// It says that it could not, and why.
    CouldNot,
    /// It says that nobody can say.
    Undetermined,
    /// A backup that is not there, or not what it should be; or a bad archive.
    Failed,
}

/// Why a job ended as it did, in its own words.
pub(super) fn why(job: &Job) -> String {
    match &job.kind {
        JobKind::Backup(backup) => format!("{:?}", backup.report().unwrap().reasons),
        JobKind::RestoreTest(test) => format!("{:?}", test.report().unwrap().judgement),
        JobKind::RestoreRun(restore) => {
            let report = restore.report().unwrap();
            format!("{:?} {:?}", report.reasons, report.findings)
        }
        JobKind::Exercise(exercise) => format!("{:?}", exercise.report().unwrap().reason),
        JobKind::Reap(reap) => format!("{:?}", reap.report().unwrap().findings),
        JobKind::Prune(prune) => format!("{:?}", prune.report().unwrap().reason),
        JobKind::Guard(guard) => format!("{:?}", guard.report().unwrap().reasons),
        JobKind::Verify(verify) => format!("{:?}", verify.report().unwrap().verdicts),
        JobKind::Golden(golden) => format!("{:?}", golden.report().unwrap().reasons),
    }
}

/// The end of a job that has ended.
pub(super) fn end_of(job: &Job) -> End {
    let done = |done: bool| if done { End::Right } else { End::CouldNot };
    match &job.kind {
        JobKind::Backup(backup) => match backup.report().unwrap().verdict {
            BackupVerdict::Good => End::Right,
            BackupVerdict::Failed => End::Failed,
            BackupVerdict::Refused => End::CouldNot,
            BackupVerdict::Undetermined => End::Undetermined,
        },
        JobKind::RestoreTest(test) => match test.report().unwrap().judgement.verdict {
            Verdict::Passed => End::Right,
            Verdict::Failed => End::Failed,
            Verdict::Error | Verdict::Unverified => End::CouldNot,
        },
        JobKind::RestoreRun(restore) => {
            let report = restore.report().unwrap();
            done(report.end == RestoreEnd::Restored && report.started)
        }
        JobKind::Exercise(exercise) => done(exercise.report().unwrap().done),
        JobKind::Verify(verify) => {
            let report = verify.report().unwrap();
            match report.count(VerifyVerdict::Failed) {
                0 if report.passed() => End::Right,
                0 => End::Undetermined,
                _ => End::Failed,
            }
        }
        JobKind::Reap(reap) => done(reap.report().unwrap().gone),
        JobKind::Golden(golden) => done(golden.report().unwrap().ready),
        JobKind::Prune(prune) => {
            let report = prune.report().unwrap();
            done(report.left.is_empty() && report.reason.is_none())
        }
        JobKind::Guard(guard) => match guard.report().unwrap().end {
            GuardEnd::Opened | GuardEnd::Confirmed | GuardEnd::RolledBack | GuardEnd::Outlived => {
                End::Right
            }
            GuardEnd::Undetermined => End::Undetermined,
            GuardEnd::Refused | GuardEnd::Failed | GuardEnd::Gone | GuardEnd::Unchanged => {
                End::CouldNot
            }
        },
    }
}

/// Which ends are due when this trouble hits this step. Whatever passes, or is noticed and looked into, ends right; only a
/// task that was broken, a server that nobody may talk to and what only an admin can remove end otherwise.
pub(super) fn due(trouble: Trouble, step: &str) -> &'static [End] {
    use End::{CouldNot, Failed, Right, Undetermined};
    let looks = step.starts_with("list-") || step.starts_with("observe-");
    match trouble {
        Trouble::Refused
        | Trouble::Hang
        | Trouble::AnswerCut
        | Trouble::AnswerCutLateStart
        | Trouble::GatewayTimeout
        | Trouble::LockTimeout
        | Trouble::Truncated
        | Trouble::TaskWarns
        | Trouble::OtherVzdump
        | Trouble::ClockAhead
        | Trouble::ClockBack => &[Right],
        // What is no PVE before anything was done is not asked again.
        Trouble::WebPage => {
            if looks {
                &[Right, CouldNot]
            } else {
                &[Right]
            }
        }
        // Whether a job waits for the admin or ends depends on what it has to come back for.
        Trouble::UnauthorizedStorm | Trouble::CertificateSwap => &[Right, CouldNot],
        Trouble::TaskKilled
        | Trouble::UnexpectedStatus
        | Trouble::UnexpectedStatusAfterwards
        | Trouble::Reboot => match step {
            "backup" => &[Undetermined],
            "stop" | "destroy" | "destroy-stub" => &[Right],
            "delete-snapshot" | "delete-backup" | "start-restored" => &[Right, CouldNot],
            _ => &[CouldNot],
        },
        Trouble::StaleLock if step == "backup" => &[Failed],
        // The verdict was fixed before; what is left is told.
        Trouble::StaleLock if matches!(step, "stop" | "destroy" | "destroy-stub") => {
            &[Right, CouldNot]
        }
        Trouble::StaleLock => &[CouldNot],
        Trouble::OtherVzdumpForHours => &[Failed],
    }
}

/// What the world looked like before.
pub(super) struct Before {
    production: BTreeMap<String, Value>,
    counts: BTreeMap<String, u64>,
    archives: BTreeSet<String>,
}

impl Before {
    pub(super) fn look(bench: &Bench) -> Self {
        Self {
            production: production(bench),
            counts: bench.world.counts(),
            archives: archives(bench),
        }
    }

    /// Whether production guests are what they were.
    pub(super) fn unchanged(&self, job: Option<&Job>, bench: &Bench) -> Result<(), String> {
        let (was, mut now) = (&self.production, production(bench));
        if now != *was && job.is_some_and(tells_of_a_lock) {
            unlock(&mut now);
        }
        if now == *was {
            return Ok(());
        }
        Err(format!(
            "a production guest was changed: {now:?} was {was:?}"
        ))
    }
}

/// A vzdump that is killed while it removes its snapshot leaves the lock of that, which the record tells with what takes it
/// away.
fn tells_of_a_lock(job: &Job) -> bool {
    let mut findings = job.findings().iter();
    findings.any(|finding| {
        let hint = finding.hint.as_deref().unwrap_or_default();
        finding.code == "guest-changed-by-backup" && hint.contains("unlock")
    })
}

fn unlock(guests: &mut BTreeMap<String, Value>) {
    for guest in guests.values_mut() {
        let config = guest[0].as_str().unwrap_or_default();
        guest[0] = config.replace("lock: snapshot-delete\n", "").into();
        if guest[2] == "snapshot-delete" {
            guest[2] = Value::Null;
        }
    }
}

/// What production guests look like. The snapshot that vzdump leaves when the power goes is PVE's own, and its next backup
/// removes it (pve-container `VZDump/LXC.pm`).
pub(super) fn production(bench: &Bench) -> BTreeMap<String, Value> {
    let mut guests = without_guards(bench.production());
    for guest in guests.values_mut() {
        let config = guest[0].as_str().unwrap_or_default();
        let before = config.split("\n[vzdump]\n").next().unwrap_or_default();
        let kept = before.replace("parent: vzdump\n", "");
        guest[0] = kept.trim_end().into();
    }
    guests
}

/// Nothing left that nobody was told of, nothing of anybody else's changed, nothing done twice, and what the record claims
/// is so.
pub(super) async fn check(job: &Job, before: &Before, bench: &Bench) -> Result<(), String> {
    once(before, bench)?;
    claims(job, before, bench)?;
    told_and_reaped(bench).await?;
    told_and_removed(job, bench).await?;
    super::guard::told_and_ended(job, bench).await?;
    before.unchanged(Some(job), bench)
}

/// What took effect in the world; requests that were answered with a failure may be sent again.
fn once(before: &Before, bench: &Bench) -> Result<(), String> {
    for (what, count) in bench.world.counts() {
        let fresh = count.saturating_sub(before.counts.get(&what).copied().unwrap_or(0));
        // Somebody else's vzdump is of another guest than ours.
        // A production guest is started by the boot as well.
        let ours = what.starts_with("vz") || what.starts_with("qm");
        let boots = what.starts_with("vzstart 90") || what.starts_with("qmstart 92");
        let effect = ours && !boots;
        if effect && fresh > 1 {
            return Err(format!("`{what}` was carried out {fresh} times"));
        }
    }
    Ok(())
}

/// What the record says is there is there, and what it says is gone is gone.
fn claims(job: &Job, before: &Before, bench: &Bench) -> Result<(), String> {
    let now = archives(bench);
    let is_there = |volid: &felhom_ids::VolumeId| {
        let text = volid.to_string();
        let name = text.rsplit('/').next().unwrap_or_default();
        now.contains(name)
    };
    match &job.kind {
        JobKind::Backup(backup) => {
            let report = backup.report().unwrap();
            let of = format!("-{}-", report.vmid);
            let ours = now.difference(&before.archives);
            let ours: Vec<_> = ours.filter(|name| name.contains(&of)).collect();
            match (report.verdict, ours.len()) {
                (BackupVerdict::Good, 1) if report.volid.as_ref().is_some_and(is_there) => Ok(()),
                (BackupVerdict::Good, _) => Err(format!("good, and the archives are {ours:?}")),
                (BackupVerdict::Refused, 1..) => Err(format!("refused, and there is {ours:?}")),
                (_, 2..) => Err(format!("two archives: {ours:?}")),
                _ => Ok(()),
            }
        }
        JobKind::Prune(prune) => {
            let report = prune.report().unwrap();
            if let Some(volid) = report.deleted.iter().find(|volid| is_there(volid)) {
                return Err(format!("{volid} is said to be deleted and is there"));
            }
            let gone = before.archives.difference(&now).count();
            // Nobody knows of an archive whose deletion was lost and cannot be looked at.
            if gone < report.deleted.len() || gone > report.deleted.len() + report.left.len() {
                return Err(format!("{gone} are gone: {report:?}"));
            }
            Ok(())
        }
        JobKind::RestoreRun(restore) => restored_or_nothing(bench, restore.report().unwrap()),
        JobKind::RestoreTest(_)
        | JobKind::Exercise(_)
        | JobKind::Reap(_)
        | JobKind::Guard(_)
        | JobKind::Golden(_)
        | JobKind::Verify(_) => {
            if now == before.archives {
                Ok(())
            } else {
                Err("the archives changed".into())
            }
        }
    }
}

/// What is left of a scratch guest is in the journal with the commands that remove it, and goes when the next reap looks.
async fn told_and_reaped(bench: &Bench) -> Result<(), String> {
    let (guests, volumes) = (bench.scratch_guests(), bench.scratch_volumes());
    if guests.is_empty() && volumes.is_empty() {
        return Ok(());
    }
    let left = format!("left behind: {guests:?} {volumes:?}");
    let journal = bench.journal().await;
    let remains = journal.remains().await.map_err(|error| error.to_string())?;
    let [one] = remains.as_slice() else {
        return Err(format!("{left}, and the journal tells {remains:?}"));
    };
    if one.finding.hint.is_none() {
        return Err(format!("{left}, and nobody is told what to do: {one:?}"));
    }
    let ended = reap(one.leftover.clone(), &journal, bench).await?;
    let stub = &bench.world.state()["world"]["guests"]["9100"]["config"];
    if end_of(&ended) == End::Right && bench.scratch_guests().is_empty() {
        return Ok(());
    }
    // No token can remove what PVE left half made or half destroyed; the commands say how.
    let hint = one.finding.hint.clone().unwrap_or_default();
    if stub.is_null() && left_to_the_admin(bench, "9100").is_ok_and(|line| hint.contains(line)) {
        return Ok(());
    }
    let locked = ["lock: create", "lock: destroyed"];
    let text = stub.as_str().unwrap_or_default();
    if locked.iter().any(|lock| text.contains(lock))
        && hint.contains("pct unlock 9100 && pct destroy 9100")
    {
        return Ok(());
    }
    Err(format!("{left}, and a reap leaves it: {stub} {hint}"))
}

/// A snapshot that could not be removed is told with the command that removes it.
async fn told_and_removed(job: &Job, bench: &Bench) -> Result<(), String> {
    let JobKind::Exercise(exercise) = &job.kind else {
        return Ok(());
    };
    let report = exercise.report().unwrap();
    let guest = &bench.world.state()["world"]["guests"][report.vmid.to_string()]["config"];
    let name = report.snapshot.to_string();
    if !guest.to_string().contains(&name) {
        return Ok(());
    }
    let command = format!("pct delsnapshot {} {name}", report.vmid);
    let hints = report.findings.iter().filter_map(|one| one.hint.as_deref());
    if !hints.into_iter().any(|hint| hint.contains(&command)) {
        return Err(format!(
            "snapshot {name} is left, and nobody is told: {report:?}"
        ));
    }
    let root = bench.root();
    let removed = root.delete_snapshot(report.vmid, &report.snapshot).await;
    drop(removed.map_err(|error| error.to_string())?);
    settled(bench).await;
    Ok(())
}
