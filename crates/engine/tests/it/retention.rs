//! Random histories of one storage: two installations, one that was set up anew and forgot, a person, clocks that jump.
//! Whatever happens, nobody loses an archive to somebody else's pruning, and nobody the last good ones of a guest.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::*;
use felhom_ids::{Upid, VolumeId};
use proptest::prelude::*;

use crate::fake::vmid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    First,
    Second,
    /// The first box before it was set up anew: another installation id, and a journal that is gone.
    Former,
    Person,
}

#[derive(Debug, Clone)]
enum Deed {
    Backup(Who, bool),
    Test(usize, bool),
    Protect(usize),
    Delete(usize),
    /// The VMID is given to another guest.
    Reuse(Anew),
    /// The guest is given another interface, beside the last one or in its place.
    Interface(bool),
    NodeClock(i64),
    Days(u8),
    Prune(Who, KeepPolicy, Option<usize>),
}

/// How a VMID comes to be another guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anew {
    /// A clone of the same template: addresses of its own, and the template's time of creation.
    Cloned,
    /// Made at another time, with the addresses of the one before.
    SameAddresses,
}

struct Archive {
    /// The number of the guest that it is truly of.
    guest: u32,
    facts: ArchiveFacts,
    record: ArchiveRecord,
    by: Who,
}

struct Storage {
    archives: Vec<Archive>,
    now: i64,
    node_ahead: i64,
    guest: u32,
    created_s: i64,
    macs: Vec<u32>,
    next_mac: u32,
    made: u64,
    deletions: u32,
}

fn installation(who: Who) -> InstallationId {
    let digit = match who {
        Who::First => "1",
        Who::Second => "2",
        Who::Former => "3",
        Who::Person => "4",
    };
    digit.repeat(32).parse().unwrap()
}

impl Storage {
    fn new() -> Self {
        Self {
            archives: Vec::new(),
            now: 1_795_000_000,
            node_ahead: 0,
            guest: 0,
            created_s: 0,
            macs: vec![0],
            next_mac: 1,
            made: 0,
            deletions: 0,
        }
    }

    fn new_mac(&mut self) -> u32 {
        let mac = self.next_mac;
        self.next_mac += 1;
        mac
    }

    fn reuse(&mut self, how: Anew) {
        self.guest += 1;
        match how {
            Anew::Cloned => self.macs = vec![self.new_mac()],
            Anew::SameAddresses => self.created_s += 1,
        }
    }

    fn interface(&mut self, replaces: bool) {
        let mac = self.new_mac();
        // One that stays says who it is.
        if replaces && self.macs.len() > 1 {
            self.macs.remove(0);
        }
        self.macs.push(mac);
    }

    fn backup(&mut self, by: Who, good: bool) {
        self.made += 1;
        self.now += 60;
        let job = JobId::from_bits(self.made);
        let volid: VolumeId = format!("local:backup/vzdump-lxc-9010-{}.tar.zst", self.made)
            .parse()
            .unwrap();
        let mark = Mark {
            installation: installation(by),
            job: job.clone(),
            vmid: vmid(9010),
        };
        let facts = ArchiveFacts {
            volid: volid.clone(),
            vmid: Some(vmid(9010)),
            size: self.made,
            ctime: self.now + self.node_ahead,
            notes: (by != Who::Person).then(|| format!("guest\n{mark}")),
            protected: false,
            encrypted: None,
        };
        let fingerprint = GuestFingerprint {
            created_s: Some(self.created_s),
            // PVE gives the names of volumes again.
            rootfs: Some("local-lvm:vm-9010-disk-0".into()),
            macs: self
                .macs
                .iter()
                .map(|mac| format!("BC:24:11:{mac:06X}"))
                .collect(),
        };
        let record = ArchiveRecord {
            volid,
            job,
            finished: Timestamp::from_secs(self.now),
            size: Some(self.made),
            fingerprint,
            good,
            proven: None,
        };
        let guest = self.guest;
        self.archives.push(Archive {
            guest,
            facts,
            record,
            by,
        });
    }

    fn at(&mut self, index: usize) -> Option<&mut Archive> {
        let len = self.archives.len().max(1);
        self.archives.get_mut(index % len)
    }

    fn test(&mut self, index: usize, passed: bool) {
        self.now += 60;
        let now = Timestamp::from_secs(self.now);
        if let Some(archive) = self.at(index) {
            archive.record.good &= passed;
            archive.record.proven = passed.then_some(now);
        }
    }

    fn do_deed(&mut self, deed: &Deed) {
        match deed {
            Deed::Backup(who, good) => self.backup(*who, *good),
            Deed::Test(index, passed) => self.test(*index, *passed),
            Deed::Protect(index) => {
                if let Some(archive) = self.at(*index) {
                    archive.facts.protected ^= true;
                }
            }
            Deed::Delete(index) => {
                if !self.archives.is_empty() {
                    self.archives.remove(index % self.archives.len());
                }
            }
            Deed::Reuse(how) => self.reuse(*how),
            Deed::Interface(replaces) => self.interface(*replaces),
            Deed::NodeClock(ahead) => self.node_ahead = *ahead,
            Deed::Days(days) => self.now += i64::from(*days) * 86_400,
            Deed::Prune(who, policy, meddling) => self.prune(*who, policy, *meddling),
        }
    }

    fn prune(&mut self, who: Who, policy: &KeepPolicy, meddling: Option<usize>) {
        // A journal knows what its own installation made, deleted or not; a person's has no such thing.
        let known = self.archives.iter().filter(|archive| archive.by == who);
        let request = PruneRequest {
            vmid: vmid(9010),
            storage: "local".parse().unwrap(),
            installation: installation(who),
            policy: policy.clone(),
            records: known.map(|archive| archive.record.clone()).collect(),
            no_progress: Duration::from_mins(1),
            settle: Duration::from_secs(1),
        };
        let mut job = Job {
            id: JobId::from_bits(0),
            created: Timestamp::from_secs(self.now),
            kind: JobKind::Prune(Box::new(PruneJob::new(request))),
        };
        for _ in 0..1000 {
            let now = Timestamp::from_secs(self.now);
            let outcome = match job.next(now) {
                Next::Do(Step::Observe(Observe::Archives { .. })) => self.look(),
                Next::Do(Step::Mutate(Mutation::DeleteBackup { volid })) => {
                    self.delete(who, policy, &volid);
                    // Right after a deletion somebody else takes one away, too.
                    if let Some(index) = meddling {
                        self.do_deed(&Deed::Delete(index));
                    }
                    Outcome::Sent(Sent::Started(self.upid()))
                }
                Next::Do(Step::Follow { .. }) => Outcome::Followed(Followed::Ended {
                    verdict: TaskVerdict::Succeeded,
                    log: Vec::new(),
                    elapsed_ms: 1,
                }),
                Next::Done => return,
                other => panic!("{other:?}"),
            };
            job.record(now, outcome);
        }
        panic!("does not end");
    }

    fn look(&self) -> Outcome {
        let archives = self.archives.iter();
        Outcome::Archives(Box::new(GuestArchives {
            archives: archives.map(|archive| archive.facts.clone()).collect(),
            tasks: BTreeSet::new(),
            now_s: Some(self.now + self.node_ahead),
            offset_s: 3600,
            max_protected: None,
        }))
    }

    fn upid(&self) -> Upid {
        format!(
            "UPID:pve:{0:08X}:{0:08X}:{0:08X}:imgdel:9010@local:u@pve!t:",
            self.deletions
        )
        .parse()
        .unwrap()
    }

    /// Carries a deletion out, and judges it.
    fn delete(&mut self, who: Who, policy: &KeepPolicy, volid: &VolumeId) {
        self.deletions += 1;
        let place = self
            .archives
            .iter()
            .position(|archive| archive.facts.volid == *volid)
            .unwrap();
        let gone = self.archives.remove(place);
        assert_eq!(gone.by, who, "somebody else's archive was deleted");
        assert!(!gone.facts.protected, "a protected archive was deleted");
        assert!(self.node_ahead.abs() <= 3600, "clocks were implausible");
        let of_guest = |archive: &&Archive| archive.by == who && archive.guest == gone.guest;
        let newer_good = self
            .archives
            .iter()
            .filter(of_guest)
            .filter(|archive| archive.record.good && archive.record.finished > gone.record.finished)
            .count();
        assert!(
            newer_good >= usize::try_from(policy.at_least).unwrap(),
            "too few good ones are left"
        );
        if gone.record.good && gone.record.proven.is_some() {
            let proven_later =
                self.archives.iter().filter(of_guest).any(|archive| {
                    archive.record.good && archive.record.proven > gone.record.proven
                });
            assert!(proven_later, "the last proven archive was deleted");
        }
    }
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        5 => Just(Who::First),
        3 => Just(Who::Second),
        1 => Just(Who::Former),
        1 => Just(Who::Person),
    ]
}

fn policy() -> impl Strategy<Value = KeepPolicy> {
    (0..4_u32, 0..3_u32, 0..3_u32, 0..2_u32, 1..4_u32).prop_map(
        |(last, daily, weekly, monthly, at_least)| KeepPolicy {
            last,
            daily,
            weekly,
            monthly,
            at_least,
        },
    )
}

fn deed() -> impl Strategy<Value = Deed> {
    let clocks = prop_oneof![3 => Just(0_i64), 1 => -1800..1800_i64, 1 => -200_000..200_000_i64];
    prop_oneof![
        8 => (who(), prop::bool::weighted(0.8)).prop_map(|(who, good)| Deed::Backup(who, good)),
        2 => (any::<usize>(), prop::bool::weighted(0.7)).prop_map(|(at, passed)| Deed::Test(at, passed)),
        1 => any::<usize>().prop_map(Deed::Protect),
        1 => any::<usize>().prop_map(Deed::Delete),
        1 => prop_oneof![Just(Anew::Cloned), Just(Anew::SameAddresses)].prop_map(Deed::Reuse),
        1 => any::<bool>().prop_map(Deed::Interface),
        1 => clocks.prop_map(Deed::NodeClock),
        3 => (0..9_u8).prop_map(Deed::Days),
        3 => (prop_oneof![Just(Who::First), Just(Who::Second)], policy(), any::<Option<usize>>())
            .prop_map(|(who, policy, meddling)| Deed::Prune(who, policy, meddling)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn nobody_loses_an_archive_of_theirs(deeds in prop::collection::vec(deed(), 1..60)) {
        let mut storage = Storage::new();
        for deed in &deeds {
            storage.do_deed(deed);
        }
    }
}

#[test]
fn what_is_superseded_does_go() {
    let mut storage = Storage::new();
    for _ in 0..6 {
        storage.backup(Who::First, true);
        storage.backup(Who::Second, true);
        storage.backup(Who::Person, true);
        storage.now += 86_400;
    }
    let policy = KeepPolicy {
        last: 2,
        ..KeepPolicy::keep_all()
    };
    storage.prune(Who::First, &policy, None);
    assert_eq!(storage.deletions, 4, "the property is not empty");
    assert_eq!(storage.archives.len(), 14);
}

#[test]
fn what_a_guest_left_before_its_interfaces_were_changed_goes_in_its_turn() {
    let mut storage = Storage::new();
    for step in 0..6 {
        storage.backup(Who::First, true);
        storage.now += 86_400;
        storage.interface(step % 2 == 1);
    }
    let policy = KeepPolicy {
        last: 2,
        ..KeepPolicy::keep_all()
    };
    storage.prune(Who::First, &policy, None);
    assert_eq!(storage.deletions, 4);
}

/// A pruning that was interrupted sees to the deletion it began, and begins no other.
#[test]
fn an_interrupted_job_begins_no_further_deletion() {
    let mut storage = Storage::new();
    for _ in 0..6 {
        storage.backup(Who::First, true);
    }
    let policy = KeepPolicy {
        last: 1,
        at_least: 1,
        ..KeepPolicy::keep_all()
    };
    let records = storage
        .archives
        .iter()
        .map(|archive| archive.record.clone());
    let request = PruneRequest {
        vmid: vmid(9010),
        storage: "local".parse().unwrap(),
        installation: installation(Who::First),
        policy,
        records: records.collect(),
        no_progress: Duration::from_mins(1),
        settle: Duration::from_secs(1),
    };
    let now = Timestamp::from_secs(storage.now);
    let mut job = Job {
        id: JobId::from_bits(0),
        created: now,
        kind: JobKind::Prune(Box::new(PruneJob::new(request))),
    };
    job.record(now, storage.look());
    assert!(matches!(
        job.next(now),
        Next::Do(Step::Mutate(Mutation::DeleteBackup { .. }))
    ));
    job.resume();
    assert!(
        matches!(job.next(now), Next::Do(Step::Observe(_))),
        "looks again"
    );
    job.record(now, storage.look());
    assert_eq!(job.next(now), Next::Done);
}
