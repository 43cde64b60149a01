//! A backup server as small as the job needs it, with dice for what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use felhom_engine::pbs::*;
use felhom_engine::*;
use felhom_ids::*;

use crate::fake::job_id;

pub(super) const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 24 * HOUR;
/// 2026-11-23T00:00:00Z.
pub(super) const NOW_S: i64 = 1_795_392_000;

pub(super) fn now() -> Timestamp {
    Timestamp::from_secs(NOW_S)
}

pub(super) fn target() -> Target {
    Target {
        storage: "felhom-pbs".parse().unwrap(),
        datastore: "felhom-spike".parse().unwrap(),
        namespace: Namespace::root(),
    }
}

pub(super) fn key(byte: u8) -> KeyFingerprint {
    KeyFingerprint::from_bytes([byte; 32])
}

/// The backup of a group that was begun so many days before now.
pub(super) fn named(group: &str, days_ago: i64) -> BackupSnapshot {
    BackupSnapshot::new(group.parse().unwrap(), NOW_S - days_ago * DAY).unwrap()
}

pub(super) fn files(mode: Option<CryptMode>) -> Vec<SnapshotFile> {
    let file = |name: &str, crypt_mode| SnapshotFile {
        name: name.to_owned(),
        size: Some(100),
        crypt_mode,
    };
    vec![
        file("root.pxar.didx", mode),
        file("pct.conf.blob", mode),
        file("catalog.pcat1.didx", mode),
        file("index.json.blob", Some(CryptMode::SignOnly)),
        file("client.log.blob", None),
    ]
}

pub(super) fn task(number: u32, at: i64, id: &str) -> Upid {
    let at = u32::try_from(at).unwrap();
    format!("UPID:vm:00004F7B:0003D00B:{number:08X}:{at:08X}:verify_snapshot:{id}:felhom@pbs!n100:")
        .parse()
        .unwrap()
}

/// A verify of so many days ago by a task of somebody else's; no day is none.
pub(super) fn verified(
    state: VerifyState,
    days_ago: impl Into<Option<i64>>,
) -> Option<Verification> {
    let upid = task(1, NOW_S - days_ago.into()? * DAY, "other");
    Some(Verification { state, upid })
}

pub(super) fn snapshot(name: BackupSnapshot, verification: Option<Verification>) -> Snapshot {
    Snapshot {
        name,
        size: Some(300),
        owner: Some("felhom@pbs!n100".to_owned()),
        protected: false,
        files: files(Some(CryptMode::Encrypt)),
        key: Some(key(1)),
        verification,
    }
}

pub(super) fn listing(snapshots: Vec<Snapshot>) -> Listing {
    Listing {
        snapshots,
        sight: Sight::Whole,
        server_now_s: Some(NOW_S),
    }
}

pub(super) fn request(wanted: Wanted) -> VerifyRequest {
    VerifyRequest {
        target: target(),
        wanted,
        window: None,
        known_damage: BTreeMap::new(),
        no_progress: Duration::from_hours(12),
        settle: Duration::from_secs(20),
    }
}

pub(super) fn due(most: usize) -> Wanted {
    Wanted::Due {
        outdated_after: Duration::from_hours(24 * 30),
        most,
    }
}

pub(super) fn job(request: VerifyRequest) -> Job {
    Job {
        id: job_id(),
        created: now(),
        kind: JobKind::Verify(Box::new(VerifyJob::new(request))),
    }
}

pub(super) fn verify_of(job: &Job) -> &VerifyJob {
    let JobKind::Verify(verify) = &job.kind else {
        unreachable!()
    };
    verify
}

pub(super) fn report_of(job: &Job) -> &VerifyReport {
    verify_of(job).report().unwrap()
}

/// What happens to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// A look fails, a request never leaves.
    Unreachable,
    /// The request is carried out and its answer is lost.
    LostAfter,
    /// The request is lost on the way.
    LostBefore,
    /// The server refuses.
    Refused,
    /// The token lacks a privilege.
    Forbidden,
    /// The server skips the snapshot, or does not find it, and ends OK.
    Skips,
    /// The task is aborted before it wrote anything.
    Aborted,
    /// The server does not know the task any more.
    Forgotten,
    /// The process dies after the step, and its outcome with it.
    Dies,
}

pub(super) const TROUBLES: [Trouble; 10] = [
    Trouble::None,
    Trouble::Unreachable,
    Trouble::LostAfter,
    Trouble::LostBefore,
    Trouble::Refused,
    Trouble::Forbidden,
    Trouble::Skips,
    Trouble::Aborted,
    Trouble::Forgotten,
    Trouble::Dies,
];

#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) listing: Listing,
    /// Damaged chunks by the snapshots that need them.
    pub(super) damaged: BTreeMap<BackupSnapshot, Vec<String>>,
    pub(super) tasks: Vec<(Upid, TaskVerdict, Vec<String>)>,
    /// Snapshots in the order in which verifies of them took effect.
    pub(super) verified: Vec<BackupSnapshot>,
    pub(super) now: Timestamp,
}

impl Server {
    pub(super) fn new(snapshots: Vec<Snapshot>) -> Self {
        Self {
            listing: listing(snapshots),
            damaged: BTreeMap::new(),
            tasks: Vec::new(),
            verified: Vec::new(),
            now: now(),
        }
    }

    fn verify(&mut self, snapshot: &BackupSnapshot, trouble: Trouble) -> Upid {
        let id = format!(
            "felhom\\x2dspike\\x3a-{}-{}-{:08X}",
            snapshot.group().kind(),
            snapshot.group().id(),
            snapshot.time()
        );
        let number = u32::try_from(self.tasks.len()).unwrap() + 100;
        let upid = task(number, self.now.secs(), &id);
        let at = format!("felhom-spike:{snapshot}");
        let mut listed = self.listing.snapshots.iter_mut();
        let found = listed.find(|one| one.name == *snapshot && !one.is_in_progress());
        let (verdict, log) = match (trouble, found) {
            (Trouble::Aborted, _) => (
                TaskVerdict::Failed("abort requested - aborting task".into()),
                vec![format!("verify {at}")],
            ),
            (Trouble::Skips, _) | (_, None) => (
                TaskVerdict::Succeeded,
                vec![format!("SKIPPED: verify {at} (recently verified)")],
            ),
            (_, Some(one)) => {
                self.verified.push(snapshot.clone());
                let bad = self.damaged.get(snapshot).cloned().unwrap_or_default();
                let state = if bad.is_empty() {
                    VerifyState::Ok
                } else {
                    VerifyState::Failed
                };
                let upid = upid.clone();
                one.verification = Some(Verification { state, upid });
                ended(&at, snapshot, &bad)
            }
        };
        self.tasks.push((upid.clone(), verdict, log));
        upid
    }

    pub(super) fn perform(&mut self, step: &Step, trouble: Trouble) -> Outcome {
        assert_eq!(step.remote(), target().remote(), "{step:?}");
        if trouble == Trouble::Unreachable {
            let error = error(ErrorClass::Unreachable);
            return match step {
                Step::Mutate(_) => Outcome::Sent(Sent::NotSent(error)),
                _ => Outcome::Failed(error),
            };
        }
        if trouble == Trouble::Forbidden && !step.is_mutation() {
            return Outcome::Failed(error(ErrorClass::Forbidden));
        }
        match step {
            Step::Observe(Observe::PbsSnapshots { group, .. }) => {
                let mut seen = self.listing.clone();
                if let Some(group) = group {
                    seen.snapshots.retain(|one| one.name.group() == group);
                }
                Outcome::PbsSnapshots(Box::new(seen))
            }
            Step::Observe(Observe::Tasks { kind, .. }) => {
                assert_eq!(kind, "verify_snapshot");
                Outcome::Tasks(self.tasks.iter().map(|task| task.0.clone()).collect())
            }
            Step::Mutate(Mutation::Verify { snapshot, .. }) => match trouble {
                Trouble::Refused => Outcome::Sent(Sent::Refused(error(ErrorClass::Refused))),
                Trouble::Forbidden => Outcome::Sent(Sent::Refused(error(ErrorClass::Forbidden))),
                Trouble::LostBefore => Outcome::Sent(Sent::Lost(error(ErrorClass::Unreachable))),
                Trouble::LostAfter => {
                    self.verify(snapshot, trouble);
                    Outcome::Sent(Sent::Lost(error(ErrorClass::Unreachable)))
                }
                _ => Outcome::Sent(Sent::Started(self.verify(snapshot, trouble))),
            },
            Step::Mutate(_) => Outcome::Sent(Sent::Done),
            Step::FindTask {
                mutation, known, ..
            } => Outcome::Found {
                upid: self.fresh(mutation, known),
                effect: EffectSeen::No,
            },
            Step::Follow { upid, .. } if trouble == Trouble::Forgotten => {
                let _ = upid;
                Outcome::Failed(error(ErrorClass::NotFound))
            }
            Step::Follow { upid, .. } => {
                let task = self.tasks.iter().find(|task| task.0 == *upid).unwrap();
                Outcome::Followed(Followed::Ended {
                    verdict: task.1.clone(),
                    log: task.2.clone(),
                    elapsed_ms: 10,
                })
            }
            other @ Step::Observe(_) => panic!("{other:?}"),
        }
    }

    fn fresh(&self, mutation: &Mutation, known: &BTreeSet<Upid>) -> Option<Upid> {
        let (kind, id) = mutation.task().unwrap();
        let upids = self.tasks.iter().map(|task| &task.0);
        let mut fresh = upids
            .filter(|upid| upid.kind() == kind && upid.subject() == id && !known.contains(*upid));
        fresh.next().cloned()
    }
}

/// What a task that looked at everything says.
fn ended(at: &str, snapshot: &BackupSnapshot, bad: &[String]) -> (TaskVerdict, Vec<String>) {
    let mut log = vec![
        format!("2026-11-22T23:44:40+00:00: verify {at}"),
        "2026-11-22T23:44:40+00:00:   check root.pxar.didx".to_owned(),
    ];
    if bad.is_empty() {
        log.push("2026-11-22T23:44:40+00:00: TASK OK".to_owned());
        return (TaskVerdict::Succeeded, log);
    }
    for chunk in bad {
        log.push(format!(
            "2026-11-22T23:44:40+00:00: can't verify chunk, load failed - store 'felhom-spike', unable to load chunk \
             '{chunk}' - Data blob has wrong CRC checksum."
        ));
    }
    for line in [
        format!("verify {at}/root.pxar.didx failed: chunks could not be verified"),
        "Failed to verify the following snapshots/groups:".to_owned(),
        format!("\t{snapshot}"),
    ] {
        log.push(format!("2026-11-22T23:44:40+00:00: {line}"));
    }
    let text = "verification failed - please check the log for details";
    (TaskVerdict::Failed(text.to_owned()), log)
}

fn error(class: ErrorClass) -> RemoteError {
    RemoteError {
        class,
        text: "simulated".to_owned(),
    }
}

/// Drives a job; `trouble(n)` is what happens to its n-th step. Every state goes through the journal.
pub(super) fn drive(
    mut job: Job,
    server: &mut Server,
    mut trouble: impl FnMut(usize, &Step) -> Trouble,
) -> (Job, usize) {
    let mut steps = 0;
    for _ in 0..2000 {
        match job.next(server.now) {
            Next::Do(step) => {
                let what = trouble(steps, &step);
                let outcome = server.perform(&step, what);
                steps += 1;
                server.now = server.now.plus(Duration::from_secs(1));
                if what == Trouble::Dies {
                    job.resume();
                    if step.is_mutation() {
                        let lost = Sent::Lost(error(ErrorClass::Local));
                        job.record(server.now, Outcome::Sent(lost));
                    }
                } else {
                    job.record(server.now, outcome);
                }
                let text = serde_json::to_string(&job).unwrap();
                assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
            }
            Next::Wait { until, .. } => server.now = until,
            Next::Pause(_) => job.resume(),
            Next::Done => return (job, steps),
        }
    }
    panic!("the job does not end: {job:?}");
}

pub(super) fn smoothly(request: VerifyRequest, server: &mut Server) -> Job {
    drive(job(request), server, |_, _| Trouble::None).0
}
