//! What a report says is wrong, and what it could not look at.

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
