//! The rules, one by one; random histories are in `tests/it/retention.rs`.

use super::*;
use crate::mark::Mark;

/// What is changed in the world of a test.
type Change = fn(&mut Vec<(ArchiveFacts, ArchiveRecord)>, &mut GuestArchives);

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_000_000;

fn installation() -> InstallationId {
    "00112233445566778899aabbccddeeff".parse().unwrap()
}

fn vmid() -> Vmid {
    Vmid::new(9010).unwrap()
}

/// An archive of ours, made so many days ago, with its record.
fn made(days: i64) -> (ArchiveFacts, ArchiveRecord) {
    let volid: VolumeId = format!("local:backup/vzdump-lxc-9010-of-{days}.tar.zst")
        .parse()
        .unwrap();
    let job = JobId::from_bits(days.unsigned_abs());
    let mark = Mark {
        installation: installation(),
        job: job.clone(),
        vmid: vmid(),
    };
    let ctime = NOW - days * DAY;
    let facts = ArchiveFacts {
        volid: volid.clone(),
        vmid: Some(vmid()),
        size: 100,
        ctime,
        notes: Some(format!("guest (9010)\n{mark}")),
        protected: false,
        encrypted: None,
    };
    let record = ArchiveRecord {
        volid,
        job,
        finished: Timestamp::from_secs(ctime + 30),
        size: Some(100),
        fingerprint: GuestFingerprint {
            created_s: None,
            rootfs: Some("local-lvm:vm-9010-disk-0".into()),
            macs: Vec::new(),
        },
        good: true,
        proven: None,
    };
    (facts, record)
}

fn keeping(last: u32, daily: u32, at_least: u32) -> KeepPolicy {
    KeepPolicy {
        last,
        daily,
        at_least,
        ..KeepPolicy::keep_all()
    }
}

/// Days of the archives that go, after the world was changed.
fn gone(
    policy: &KeepPolicy,
    days: &[i64],
    change: impl Fn(&mut Vec<(ArchiveFacts, ArchiveRecord)>, &mut GuestArchives),
) -> Vec<i64> {
    let mut all: Vec<_> = days.iter().map(|days| made(*days)).collect();
    let mut seen = GuestArchives {
        now_s: Some(NOW),
        ..GuestArchives::default()
    };
    change(&mut all, &mut seen);
    let (facts, records): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    seen.archives.extend(facts);
    let now = Timestamp::from_secs(NOW);
    let plan = plan_retention(policy, &installation(), vmid(), &records, &seen, now);
    assert_eq!(
        plan.len(),
        seen.archives.len(),
        "a reason for every archive"
    );
    let gone = plan.iter().filter(|decision| decision.delete);
    let made = |volid: &VolumeId| {
        seen.archives
            .iter()
            .find(|one| one.volid == *volid)
            .unwrap()
            .ctime
    };
    gone.map(|decision| (NOW - made(&decision.volid)) / DAY)
        .collect()
}

#[test]
fn the_newest_stay_and_the_oldest_go() {
    assert_eq!(gone(&keeping(2, 0, 1), &[1, 2, 3, 4], |_, _| {}), [3, 4]);
    assert_eq!(gone(&keeping(1, 2, 1), &[1, 2, 3, 4], |_, _| {}), [4]);
    assert!(gone(&keeping(0, 0, 1), &[1, 2, 3, 4], |_, _| {}).is_empty());
}

#[test]
fn so_many_good_ones_stay_whatever_the_rules_say() {
    assert_eq!(gone(&keeping(1, 0, 3), &[1, 2, 3, 4], |_, _| {}), [4]);
    let two_bad = |all: &mut Vec<(ArchiveFacts, ArchiveRecord)>, _: &mut GuestArchives| {
        all[0].1.good = false;
        all[1].1.good = false;
    };
    // 1 and 2 are bad and superseded by nothing; 3 and 4 are all that is good.
    assert!(gone(&keeping(1, 0, 2), &[1, 2, 3, 4], two_bad).is_empty());
}

#[test]
fn a_bad_one_goes_when_good_ones_are_newer() {
    let third = |all: &mut Vec<(ArchiveFacts, ArchiveRecord)>, _: &mut GuestArchives| {
        all[2].1.good = false;
    };
    assert_eq!(gone(&keeping(4, 0, 2), &[1, 2, 3, 4], third), [3]);
}

#[test]
fn what_is_not_proven_to_be_ours_stays() {
    let changes: [fn(&mut (ArchiveFacts, ArchiveRecord)); 7] = [
        |one| one.0.notes = None,
        |one| one.0.notes = Some("by hand".into()),
        |one| one.0.size = 99,
        |one| one.1.volid = "local:backup/other".parse().unwrap(),
        |one| one.1.job = JobId::from_bits(99),
        |one| one.0.protected = true,
        |one| one.1.fingerprint.macs = vec!["BC:24:11:00:00:02".into()],
    ];
    for change in changes {
        let gone = gone(&keeping(1, 0, 1), &[1, 2, 3], |all, _| change(&mut all[2]));
        assert_eq!(gone, [2]);
    }
    let theirs = gone(&keeping(1, 0, 1), &[1, 2, 3], |all, _| {
        let notes = all[2].0.notes.take().unwrap();
        all[2].0.notes = Some(notes.replace("00112233", "ff112233"));
    });
    assert_eq!(theirs, [2], "another installation's mark");
}

#[test]
fn the_last_proven_one_stays() {
    let proven = |all: &mut Vec<(ArchiveFacts, ArchiveRecord)>, _: &mut GuestArchives| {
        all[2].1.proven = Some(Timestamp::from_secs(NOW - 100));
        all[3].1.proven = Some(Timestamp::from_secs(NOW - 200));
    };
    assert_eq!(gone(&keeping(1, 0, 1), &[1, 2, 3, 4], proven), [2, 4]);
}

#[test]
fn nothing_goes_while_clocks_are_implausible() {
    let clocks: [Change; 4] = [
        |_, seen| seen.now_s = None,
        |_, seen| seen.now_s = Some(NOW + 3700),
        |_, seen| seen.now_s = Some(NOW - 3700),
        |all, _| all[0].0.ctime = NOW + 120,
    ];
    for change in clocks {
        assert!(gone(&keeping(1, 0, 1), &[1, 2, 3], change).is_empty());
    }
}

#[test]
fn an_archive_is_superseded_only_where_both_clocks_say_so() {
    let gone = gone(&keeping(1, 0, 1), &[1, 2, 3], |all, _| {
        all[2].1.finished = Timestamp::from_secs(NOW);
    });
    assert_eq!(gone, [2]);
}

/// Gives the archives of these days the addresses and the time of creation.
fn of(all: &mut [(ArchiveFacts, ArchiveRecord)], guests: &[(&[&str], Option<i64>)]) {
    for ((_, record), (macs, created_s)) in all.iter_mut().zip(guests) {
        record.fingerprint.macs = macs.iter().map(ToString::to_string).collect();
        record.fingerprint.created_s = *created_s;
    }
}

/// What goes of archives of 1, 2, 3, … days, newest first, when one is kept.
fn gone_of(guests: &[(&[&str], Option<i64>)]) -> Vec<i64> {
    let days: Vec<i64> = (1..).take(guests.len()).collect();
    gone(&keeping(1, 0, 1), &days, |all, _| of(all, guests))
}

const A: &str = "BC:24:11:00:00:0A";
const B: &str = "BC:24:11:00:00:0B";
const C: &str = "BC:24:11:00:00:0C";

#[test]
fn a_guest_that_was_given_another_interface_supersedes_what_it_was() {
    let added: [(&[&str], _); 3] = [(&[A, B], None), (&[A, B], None), (&[A], None)];
    assert_eq!(gone_of(&added), [2, 3]);
    let written_otherwise: [(&[&str], _); 2] = [(&["bc:24:11:00:00:0a"], None), (&[A], None)];
    assert_eq!(gone_of(&written_otherwise), [2]);
}

#[test]
fn interfaces_that_were_replaced_one_after_another_leave_one_guest() {
    let replaced: [(&[&str], _); 5] = [
        (&[C], Some(7)),
        (&[B, C], Some(7)),
        (&[B], Some(7)),
        (&[A, B], Some(7)),
        (&[A], Some(7)),
    ];
    assert_eq!(gone_of(&replaced), [2, 3, 4, 5]);
    // What ties them together was removed: then nobody can say that they are one.
    let untied: [(&[&str], _); 2] = [(&[C], Some(7)), (&[A], Some(7))];
    assert_eq!(gone_of(&untied), [0_i64; 0]);
    // Put back as it was, it is the guest that it was.
    let restored: [(&[&str], _); 4] = [(&[A], None), (&[B], None), (&[A, B], None), (&[A], None)];
    assert_eq!(gone_of(&restored), [2, 3, 4]);
}

#[test]
fn a_guest_that_was_made_anew_supersedes_nothing_of_the_one_before() {
    // A clone keeps its template's time of creation, and has addresses of its own.
    let clones: [(&[&str], _); 3] = [(&[A], Some(7)), (&[B], Some(7)), (&[B], Some(7))];
    assert_eq!(gone_of(&clones), [3]);
    // One that was given the address of the one before, so that it gets the same lease.
    let remade: [(&[&str], _); 3] = [(&[A], Some(8)), (&[A], Some(7)), (&[A], Some(7))];
    assert_eq!(gone_of(&remade), [3]);
    // An archive that tells no time of creation makes no bridge between two that do.
    let bridged: [(&[&str], _); 3] = [(&[A], Some(8)), (&[A], None), (&[A], Some(7))];
    assert_eq!(gone_of(&bridged), [0_i64; 0]);
}

#[test]
fn what_has_no_address_is_one_guest_with_nothing_that_has() {
    let guests: [(&[&str], _); 4] = [(&[A], None), (&[], None), (&[A], None), (&[], None)];
    assert_eq!(gone_of(&guests), [3, 4]);
    let unknown = gone(&keeping(1, 0, 1), &[1, 2, 3], |all, _| {
        for one in &mut all[1..] {
            one.1.fingerprint = GuestFingerprint::default();
        }
    });
    assert_eq!(unknown, [0_i64; 0]);
    let unknown = gone(&keeping(1, 0, 1), &[1, 2], |all, _| {
        of(all, &[(&[A], None), (&[A], None)]);
        all[1].1.fingerprint.rootfs = None;
    });
    assert_eq!(unknown, [0_i64; 0]);
}
