//! What a report says is wrong, and what it could not look at.

use felhom_agent::journal::Suppression;
use felhom_agent::notify::look;
use felhom_engine::codes;
use felhom_engine::incident::{EXPLAINS_POSTURE, POSTURE_FAMILY};

use super::*;

fn unknown(what: &str) -> HostReport {
    HostReport {
        unknown: vec![Unknown {
            what: what.to_owned(),
            why: "it did not answer".to_owned(),
        }],
        ..well()
    }
}

#[test]
fn a_posture_is_a_condition_only_where_the_guest_is_selected_and_it_is_known() {
    for (posture, selected, expected) in [
        (Posture::Protected, true, None),
        (
            Posture::Attention,
            true,
            Some(felhom_engine::Severity::Warning),
        ),
        (
            Posture::Unprotected,
            true,
            Some(felhom_engine::Severity::Critical),
        ),
        (Posture::Unknown, true, None),
        (Posture::Unprotected, false, None),
    ] {
        let report = HostReport {
            guests: vec![Guest {
                selected,
                ..guest(101, posture)
            }],
            ..well()
        };
        let look = look(&report, &[]);
        let severity = look.conditions.first().map(|condition| condition.severity);
        assert_eq!(severity, expected, "{posture:?}");
        let blind = look.blind.covers("posture", "guest 101");
        assert_eq!(blind, posture == Posture::Unknown);
        assert!(!look.blind.covers("mode-degraded", "guest 101"));
    }
}

#[test]
fn what_stands_under_unknown_is_not_over() {
    for (what, code, subject) in [
        ("disks", "disk-failing", "disk /dev/sda"),
        ("storage nas", "storage-fills", "storage nas"),
        ("storages", "storage-fills", "storage nas"),
        ("guests", "posture", "guest 101"),
        ("targets", "target-full", "target usb1"),
        ("servers", "backup-verify-failed", "backup ct/101 on pbs"),
        ("node", "clock-off", "node"),
        ("server pbs", "backup-verify-failed", "backup ct/101 on pbs"),
        ("server pbs", "pbs-unusable", "storage pbs"),
        ("rights and health", "bridge-missing", "bridge vmbr9"),
        ("storage nas", "archive-from-future", "backups"),
        ("storages", "archive-from-future", "backups"),
        ("temperatures", "too-hot", "sensor coretemp: Core 0"),
        ("thin pools", "thin-metadata-fills", "storage local-lvm"),
        ("guards", "guard-expired", "guest 101"),
        ("guest 101", "container-without-restart", "guest 101"),
    ] {
        let look = look(&unknown(what), &[]);
        assert!(look.blind.covers(code, subject), "{what}");
        assert!(
            !look.blind.covers("insecure-tls", "configuration"),
            "{what}"
        );
    }
}

fn disk(device: &str, health: DiskHealth, worn_percent: Option<u8>) -> Disk {
    Disk {
        device: device.to_owned(),
        model: None,
        kind: Some("ssd".to_owned()),
        size: 1 << 40,
        health,
        worn_percent,
        celsius: None,
        read_s: None,
    }
}

fn with_disks(disks: Vec<Disk>) -> HostReport {
    HostReport { disks, ..well() }
}

/// A disk that dies stops answering first, and is gone then; the one that takes its place is well.
#[tokio::test]
async fn a_disk_that_fails_is_well_only_when_one_in_its_place_says_so() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    let name = "/dev/sda";
    let failing = HostReport {
        disks: vec![disk(name, DiskHealth::Failed, Some(20))],
        ..wrong("disk-failing", "disk /dev/sda")
    };
    room.pass(&failing, minute(0)).await;
    assert_eq!(receiver.take().len(), 1);
    let other = || disk("/dev/sdb", DiskHealth::Passed, Some(1));
    for (hours, disks) in [
        (10, vec![disk(name, DiskHealth::Unknown, None), other()]),
        (20, vec![other()]),
        (24 * 30, Vec::new()),
    ] {
        let announced = room.pass(&with_disks(disks), minute(60 * hours)).await;
        assert_eq!((announced.open, announced.resolved), (1, 0), "{hours}");
    }
    assert_eq!(receiver.count(), 0);
    let replaced = with_disks(vec![disk(name, DiskHealth::Passed, None), other()]);
    let announced = room.pass(&replaced, minute(60 * 24 * 31)).await;
    assert_eq!((announced.open, announced.resolved), (0, 1));
}

#[test]
fn of_a_disk_that_does_not_tell_its_wear_none_is_over() {
    let worn = |report: &HostReport| look(report, &[]).blind.covers("disk-worn", "disk /dev/sda");
    let with = |percent| with_disks(vec![disk("/dev/sda", DiskHealth::Passed, percent)]);
    assert!(worn(&with(None)) && worn(&with_disks(Vec::new())));
    assert!(!worn(&with(Some(3))));
    let mut turning = with(None);
    turning.disks[0].kind = Some("hdd".to_owned());
    assert!(!worn(&turning), "it never tells");
}

/// A replaced disk has another path: whoever knows that it is mended says so.
#[tokio::test]
async fn a_disk_that_does_not_come_back_can_be_put_to_rest() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    let failing = wrong("disk-failing", "disk /dev/sda");
    room.pass(&failing, minute(0)).await;
    let journal = room.journal().await;
    let accepted = Suppression {
        code: "disk-failing".to_owned(),
        subject: Some("disk /dev/sda".to_owned()),
        until: minute(60 * 24),
        reason: "it was replaced".to_owned(),
    };
    journal.suppress(&accepted, minute(60)).await.unwrap();
    drop(journal);
    assert_eq!(room.pass(&well(), minute(120)).await.open, 0);
    // The day is over, and nothing of it is left.
    let announced = room.pass(&well(), minute(60 * 48)).await;
    assert_eq!((announced.open, announced.opened), (0, 0));
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn damage_on_the_backup_server_is_told_once_for_its_guest() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    for code in ["backup-verify-failed", "backup-group-empty"] {
        let subject = |group: &str| format!("backups {group} on pbs");
        let mut report = HostReport {
            guests: vec![guest(101, Posture::Attention)],
            findings: vec![finding(code, &subject("ct/101"), Severity::Critical)],
            ..well()
        };
        let explained = |report: &HostReport| {
            let look = look(report, &[]);
            let mut all = look.conditions.into_iter();
            all.find(|one| one.code == "posture").unwrap().explained
        };
        assert!(explained(&report), "{code}");
        for other in ["vm/101", "ct/1010", "host/101"] {
            report.findings[0].subject = subject(other);
            assert!(!explained(&report), "{code} of {other}");
        }
    }
    let mut report = HostReport {
        guests: vec![guest(101, Posture::Attention)],
        ..wrong("backup-verify-failed", "backups ct/101 on pbs")
    };
    let announced = room.pass(&report, minute(0)).await;
    assert_eq!((announced.open, announced.opened), (1, 1));
    // The damage is gone, and the guest is not protected: that is told then.
    report.findings.clear();
    let announced = room.pass(&report, minute(120)).await;
    assert_eq!((announced.opened, announced.resolved), (1, 1));
}

#[test]
fn of_a_node_that_is_silent_nothing_else_is_judged() {
    let silent = look(&wrong("node-silent", "node"), &[]);
    assert_eq!(silent.conditions.len(), 1);
    assert!(silent.blind.covers("storage-fills", "storage local"));
    // And it is over when the node answers again, though one of our rights may lack.
    assert!(
        !look(&unknown("node"), &[])
            .blind
            .covers("node-silent", "node")
    );
}

#[test]
fn an_empty_list_of_guests_ends_no_incident() {
    let empty = HostReport {
        guests: Vec::new(),
        ..well()
    };
    assert!(look(&empty, &[]).blind.covers("posture", "guest 101"));
    assert!(!look(&well(), &[]).blind.covers("posture", "guest 102"));
}

#[tokio::test]
async fn an_incident_of_what_is_not_seen_any_more_waits() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    room.pass(&wrong("storage-fills", "storage nas"), minute(0))
        .await;
    room.pass(&unknown("storage nas"), minute(600)).await;
    assert_eq!(receiver.take().len(), 1);
    let announced = room.pass(&well(), minute(1200)).await;
    assert_eq!(announced.resolved, 1);
}

#[tokio::test]
async fn a_guest_that_is_taken_out_of_the_selection_is_not_told_as_well() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    let mut report = HostReport {
        guests: vec![guest(101, Posture::Unprotected)],
        ..well()
    };
    room.pass(&report, minute(0)).await;
    assert_eq!(receiver.take().len(), 1);
    report.guests[0].selected = false;
    let announced = room.pass(&report, minute(600)).await;
    assert_eq!((announced.open, announced.resolved), (0, 0));
    assert_eq!(receiver.count(), 0);
}

#[test]
fn the_codes_that_explain_a_posture_are_written_as_the_catalogue_has_them() {
    for name in EXPLAINS_POSTURE.iter().chain(POSTURE_FAMILY) {
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(name.chars().all(plain), "{name}");
    }
    let known = codes::ALL.iter().any(|code| code.name == "posture");
    assert!(known);
}
