//! Every finding with a case that has it and one that has not.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::pbs::*;
use felhom_engine::*;
use felhom_ids::Fingerprint;

use super::server::*;

fn certificate(byte: u8) -> Fingerprint {
    Fingerprint::from_bytes([byte; 32])
}

fn seen() -> Seen {
    Seen {
        target: target(),
        listing: Ok(listing(vec![
            snapshot(named("ct/9001", 1), verified(VerifyState::Ok, 0)),
            snapshot(named("ct/9001", 50), verified(VerifyState::Ok, 40)),
        ])),
        maintenance: None,
        certificate: Some(certificate(1)),
    }
}

fn expected() -> Expected {
    Expected {
        encrypted: true,
        key: Some(key(1)),
        owner: Some("felhom@pbs!n100".to_owned()),
        groups: BTreeSet::from(["ct/9001".parse().unwrap()]),
        verify_ttl: Duration::from_hours(24 * 30),
        in_progress: Duration::from_hours(12),
        clock: Duration::from_secs(30),
        certificate: Some(certificate(1)),
        kit: Kit::Confirmed,
    }
}

type Change = fn(&mut Seen, &mut Expected);

fn codes_of(change: Change) -> Vec<Finding> {
    let (mut seen, mut expected) = (seen(), expected());
    change(&mut seen, &mut expected);
    findings(&seen, &expected, now())
}

fn list(seen: &mut Seen) -> &mut Listing {
    seen.listing.as_mut().unwrap()
}

fn newest(seen: &mut Seen) -> &mut Snapshot {
    &mut list(seen).snapshots[0]
}

#[test]
fn a_server_where_all_is_well_says_nothing() {
    assert_eq!(codes_of(|_, _| {}), []);
}

#[test]
fn each_trouble_is_one_finding_with_what_to_do() {
    let table: [(&str, Code, &str, Change); 17] = [
        (
            "plain",
            codes::BACKUP_NOT_ENCRYPTED,
            "1 of 2 are plain",
            |seen, _| {
                newest(seen).files = files(Some(CryptMode::None));
            },
        ),
        (
            "sign-only",
            codes::BACKUP_NOT_ENCRYPTED,
            "sign-only",
            |seen, _| {
                newest(seen).files = files(Some(CryptMode::SignOnly));
            },
        ),
        (
            "an older one",
            codes::BACKUP_NOT_ENCRYPTED,
            "2026-10-04",
            |seen, _| {
                list(seen).snapshots[1].files = files(Some(CryptMode::None));
            },
        ),
        (
            "mixed",
            codes::BACKUP_ENCRYPTION_MIXED,
            "mixed",
            |seen, _| {
                newest(seen).files[1].crypt_mode = Some(CryptMode::None);
            },
        ),
        (
            "untold",
            codes::BACKUP_ENCRYPTION_UNKNOWN,
            "unknown",
            |seen, _| {
                newest(seen).files[1].crypt_mode = None;
            },
        ),
        (
            "another key",
            codes::BACKUP_KEY_DIFFERS,
            "02:02:02:02:02:02:02:02",
            |seen, _| {
                newest(seen).key = Some(key(2));
            },
        ),
        (
            "another owner",
            codes::BACKUP_OWNER_FOREIGN,
            "root@pam",
            |seen, _| {
                newest(seen).owner = Some("root@pam".to_owned());
            },
        ),
        (
            "failed",
            codes::BACKUP_VERIFY_FAILED,
            "may need what is damaged",
            |seen, _| {
                let list = list(seen);
                list.snapshots[1].verification = verified(VerifyState::Failed, 100);
            },
        ),
        (
            "all failed",
            codes::BACKUP_VERIFY_FAILED,
            "none verified well",
            |seen, _| {
                for one in &mut list(seen).snapshots {
                    one.verification = verified(VerifyState::Failed, 1);
                }
            },
        ),
        (
            "never verified",
            codes::BACKUP_VERIFY_STALE,
            "none of 2",
            |seen, _| {
                for one in &mut list(seen).snapshots {
                    one.verification = None;
                }
            },
        ),
        (
            "verified long ago",
            codes::BACKUP_VERIFY_STALE,
            "none of 2",
            |seen, _| {
                newest(seen).verification = verified(VerifyState::Ok, 45);
            },
        ),
        (
            "unfinished",
            codes::BACKUP_UNFINISHED,
            "24 hours ago",
            |seen, _| {
                let mut growing = snapshot(named("ct/9001", 1), None);
                growing.files.clear();
                list(seen).snapshots[0].name = named("ct/9001", 2);
                list(seen).snapshots.push(growing);
            },
        ),
        (
            "no backup",
            codes::BACKUP_GROUP_EMPTY,
            "lists no backup",
            |_, expected| {
                expected.groups.insert("vm/100".parse().unwrap());
            },
        ),
        (
            "in maintenance",
            codes::DATASTORE_MAINTENANCE,
            "offline",
            |seen, _| {
                seen.maintenance = Some("offline".to_owned());
            },
        ),
        ("clock", codes::PBS_CLOCK_OFF, "40 s behind", |seen, _| {
            list(seen).server_now_s = Some(NOW_S - 40);
        }),
        (
            "certificate",
            codes::PBS_CERTIFICATE_CHANGED,
            "02:02",
            |seen, _| {
                seen.certificate = Some(certificate(2));
            },
        ),
        (
            "kit",
            codes::RECOVERY_KIT_UNCONFIRMED,
            "recovery kit",
            |_, expected| {
                expected.kit = Kit::Unconfirmed;
            },
        ),
    ];
    for (name, code, detail, change) in table {
        let found = codes_of(change);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert_eq!(found[0].code, code.name, "{name}");
        assert_eq!(found[0].severity, code.severity, "{name}");
        assert!(
            found[0].detail.contains(detail),
            "{name}: {}",
            found[0].detail
        );
        assert!(found[0].hint.is_some(), "{name}");
        assert!(found[0].subject.contains("felhom-pbs"), "{name}");
    }
}

#[test]
fn what_is_no_trouble_is_not_told() {
    let table: [(&str, Change); 8] = [
        ("a policy that wants no encryption", |seen, expected| {
            expected.encrypted = false;
            newest(seen).files = files(Some(CryptMode::None));
        }),
        ("nobody knows the storage's key", |seen, expected| {
            newest(seen).key = Some(key(2));
            expected.key = None;
        }),
        ("a backup that has just begun", |seen, _| {
            let mut growing = snapshot(named("ct/9001", 0), None);
            growing.files.clear();
            list(seen).snapshots.push(growing);
        }),
        ("a group that is young", |seen, _| {
            list(seen).snapshots.truncate(1);
            newest(seen).verification = None;
        }),
        ("a clock within the tolerance", |seen, _| {
            list(seen).server_now_s = Some(NOW_S + 29);
        }),
        ("a server that tells no time", |seen, _| {
            list(seen).server_now_s = None;
        }),
        ("no certificate was known", |_, expected| {
            expected.certificate = None;
        }),
        ("no key, no kit", |_, expected| expected.kit = Kit::None),
    ];
    for (name, change) in table {
        assert_eq!(codes_of(change), [], "{name}");
    }
}

#[test]
fn a_list_that_may_be_shortened_proves_no_absence() {
    let table: [(&str, Change); 4] = [
        ("own only", |seen, expected| {
            list(seen).sight = Sight::Own;
            expected.groups.insert("vm/100".parse().unwrap());
        }),
        ("nothing", |seen, _| {
            list(seen).sight = Sight::Nothing;
            list(seen).snapshots.clear();
        }),
        ("unknown", |seen, _| list(seen).sight = Sight::Unknown),
        ("refused", |seen, _| {
            seen.listing = Err(RemoteError {
                class: ErrorClass::Forbidden,
                text: "permission check failed".to_owned(),
            });
        }),
    ];
    for (name, change) in table {
        let found = codes_of(change);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert_eq!(found[0].code, codes::LIST_MAY_BE_SHORTENED.name, "{name}");
    }
    let away = codes_of(|seen, _| {
        seen.listing = Err(RemoteError {
            class: ErrorClass::Unreachable,
            text: "no route".to_owned(),
        });
    });
    assert_eq!(away, [], "what is out of reach is told by the storages");
}

#[test]
fn many_snapshots_make_few_findings() {
    let many = (1..20_000).map(|n| {
        let mut one = snapshot(named("ct/9001", 1), None);
        one.name =
            felhom_ids::BackupSnapshot::new("ct/9001".parse().unwrap(), NOW_S - n * 600).unwrap();
        one.files = files(Some(CryptMode::None));
        one
    });
    let mut seen = seen();
    seen.listing = Ok(listing(many.collect()));
    let found = findings(&seen, &expected(), now());
    assert_eq!(found.len(), 2, "{found:?}");
}
