//! The last good backup as a forecast of the next one.

use felhom_engine::*;

use super::proof::{backup, codes};
use crate::fake;

const MIB: u64 = 1 << 20;

fn former(bytes: u64, size: u64) -> FormerBackup {
    let tally = MountTally { members: 9, bytes };
    let mut content = fake::content();
    content.bytes = bytes;
    content.mounts.insert("mp1".into(), tally);
    FormerBackup {
        of: fake::backup_subject().config.fingerprint(),
        size: Some(size),
        content: Some(content),
    }
}

fn details(report: &BackupReport) -> Vec<String> {
    let off = |finding: &&Finding| finding.code == "size-off-forecast";
    let found = report.findings.iter().filter(off);
    found
        .map(|one| format!("{}: {}", one.subject, one.detail))
        .collect()
}

#[test]
fn a_mount_point_that_shrank_or_was_emptied_is_told_by_its_own_name() {
    let after = |members, bytes| {
        backup(
            |request| request.former = Some(Box::new(former(100 * MIB, 10 * MIB))),
            move |read| {
                let tally = MountTally { members, bytes };
                read.mounts.insert("mp1".into(), tally);
                read.bytes = 100 * MIB;
            },
        )
    };
    let told = details(&after(0, 0));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("guest 9010 mp1: nothing below `/mnt/mp1`"),
        "{told:?}"
    );
    assert!(details(&after(9, 10 * MIB))[0].starts_with("guest 9010 mp1: "));
    assert!(details(&after(9, 99 * MIB)).is_empty());
}

#[test]
fn another_guest_that_had_the_number_is_no_forecast() {
    let report = backup(
        |request| {
            let mut former = former(100 * MIB, u64::MAX / 2);
            former.of.macs = vec!["02:00:00:00:00:09".into()];
            request.former = Some(Box::new(former));
        },
        |read| read.mounts.values_mut().for_each(|tally| tally.bytes = 0),
    );
    assert_eq!(report.verdict, BackupVerdict::Good, "{:?}", report.reasons);
    assert!(!codes(&report).contains(&"size-off-forecast"), "{report:?}");
}

#[test]
fn a_guest_that_was_given_an_interface_keeps_its_forecast_and_what_was_told_of_it() {
    let report = backup(
        |request| {
            let mut former = former(100 * MIB, 10 * MIB);
            let mut more = former.of.macs.clone();
            more.insert(0, "02:00:00:00:00:09".into());
            former.of.macs.clone_from(&more);
            former.of.rootfs = Some("elsewhere:vm-9010-disk-0".into());
            request.former = Some(Box::new(former));
            if let Some(known) = request.volumes.as_mut() {
                known.of.macs = more;
            }
        },
        |read| {
            read.mounts.insert("mp1".into(), MountTally::default());
            read.bytes = 100 * MIB;
        },
    );
    assert_eq!(details(&report).len(), 1, "{report:?}");
    let told = report.findings.iter().map(|one| one.detail.as_str());
    let strange: Vec<&str> = told.filter(|one| one.contains("another guest")).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert!(!report.volumes.is_empty(), "{report:?}");
}

#[test]
fn what_was_read_of_a_guest_with_other_interfaces_is_still_its_own() {
    let newest = {
        let mut report = backup(|_| {}, |_| {});
        report.fingerprint.macs.push("02:00:00:00:00:09".into());
        report.content = None;
        report
    };
    let read = backup(|_| {}, |_| {});
    let found = FormerBackup::among([newest, read]).unwrap();
    assert!(found.content.is_some());
}

#[test]
fn the_room_that_is_needed_is_that_of_the_archive_and_not_of_what_it_unpacks_to() {
    let verdict = |unpacked, size| {
        let change = |request: &mut BackupRequest| {
            request.former = Some(Box::new(former(unpacked, size)));
        };
        backup(change, |_| {}).verdict
    };
    assert_eq!(verdict(u64::MAX / 2, MIB), BackupVerdict::Good);
    assert_eq!(verdict(MIB, u64::MAX / 2), BackupVerdict::Refused);
}

#[test]
fn the_newest_good_backup_that_was_read_is_the_forecast() {
    let of = |size, read: bool, verdict| {
        let mut report = backup(|_| {}, |_| {});
        report.size = Some(size);
        report.verdict = verdict;
        if !read {
            report.content = None;
        } else if let Some(content) = &mut report.content {
            content.bytes = size;
        }
        report
    };
    let good = BackupVerdict::Good;
    let found = FormerBackup::among([
        of(4, true, BackupVerdict::Failed),
        of(3, false, good),
        of(2, true, good),
        of(1, true, good),
    ]);
    let found = found.unwrap();
    assert_eq!(found.size, Some(3));
    assert_eq!(found.content.unwrap().bytes, 2);
    assert_eq!(
        FormerBackup::among([of(1, true, BackupVerdict::Failed)]),
        None
    );
}
