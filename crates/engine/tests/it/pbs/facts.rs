//! What a list says of a snapshot, and what it does not.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::pbs::*;
use felhom_engine::*;

use super::server::*;

fn file(name: &str, crypt_mode: Option<CryptMode>) -> SnapshotFile {
    SnapshotFile {
        name: name.to_owned(),
        size: None,
        crypt_mode,
    }
}

#[test]
fn a_snapshot_is_as_encrypted_as_every_data_file_of_it() {
    use CryptMode::{Encrypt, None as Plain, SignOnly};
    let table: [(&[Option<CryptMode>], Encryption); 10] = [
        (&[Some(Encrypt), Some(Encrypt)], Encryption::Encrypted),
        (&[Some(SignOnly), Some(SignOnly)], Encryption::SignOnly),
        (&[Some(Plain)], Encryption::Plain),
        (&[Some(Encrypt), Some(Plain)], Encryption::Mixed),
        (&[Some(Encrypt), Some(SignOnly)], Encryption::Mixed),
        (&[Some(SignOnly), Some(Plain)], Encryption::Mixed),
        (&[Some(Encrypt), None], Encryption::Unknown),
        (&[Some(Encrypt), Some(Plain), None], Encryption::Mixed),
        (&[None], Encryption::Unknown),
        (&[], Encryption::Unknown),
    ];
    for (modes, wanted) in table {
        let data = modes.iter().enumerate();
        let mut files: Vec<_> = data
            .map(|(n, mode)| file(&format!("{n}.didx"), *mode))
            .collect();
        // What is no data says nothing: the manifest is never encrypted, log and escrow copy have no mode of their own.
        files.push(file("index.json.blob", Some(SignOnly)));
        files.push(file("client.log.blob", None));
        files.push(file("rsa-encrypted.key.blob", Some(Plain)));
        assert_eq!(Encryption::of(&files), wanted, "{modes:?}");
    }
}

#[test]
fn a_state_is_believed_for_a_time_and_damage_for_ever() {
    let ttl = Duration::from_hours(24 * 30);
    for (verification, wanted) in [
        (None, VerifyStanding::Never),
        (verified(VerifyState::Ok, 1), VerifyStanding::Ok),
        (verified(VerifyState::Ok, 30), VerifyStanding::Ok),
        (verified(VerifyState::Ok, 31), VerifyStanding::Unknown),
        // A clock was ahead.
        (verified(VerifyState::Ok, -2), VerifyStanding::Unknown),
        (verified(VerifyState::Failed, 1), VerifyStanding::Failed),
        (verified(VerifyState::Failed, 400), VerifyStanding::Failed),
    ] {
        let one = snapshot(named("ct/9001", 50), verification.clone());
        assert_eq!(one.standing(now(), ttl), wanted, "{verification:?}");
    }
}

#[test]
fn privileges_say_how_much_of_a_list_is_seen() {
    let of = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned());
        Sight::of(&names.collect::<BTreeSet<String>>())
    };
    // Roles as `DatastoreAudit`, `DatastoreReader`, `DatastoreBackup`, and none.
    let reader = ["Datastore.Audit", "Datastore.Read", "Datastore.Verify"];
    for (sight, wanted, whole) in [
        (of(&["Datastore.Audit"]), Sight::Whole, true),
        (of(&reader), Sight::Whole, true),
        (of(&["Datastore.Backup"]), Sight::Own, false),
        (of(&[]), Sight::Nothing, false),
        (Sight::Unknown, Sight::Unknown, false),
    ] {
        assert_eq!(sight, wanted);
        assert_eq!(sight.shortened().is_none(), whole);
    }
}

#[test]
fn copies_off_the_box_count_for_the_posture() {
    let ttl = Duration::from_hours(24 * 30);
    let group = "ct/9001".parse().unwrap();
    let table: [(Vec<Snapshot>, Sight, Option<&str>); 8] = [
        (
            vec![snapshot(named("ct/9001", 1), verified(VerifyState::Ok, 0))],
            Sight::Whole,
            None,
        ),
        // Not verified yet, and not late.
        (
            vec![snapshot(named("ct/9001", 1), None)],
            Sight::Whole,
            None,
        ),
        (
            vec![snapshot(named("ct/9001", 31), None)],
            Sight::Whole,
            Some("verified in time"),
        ),
        (
            vec![snapshot(
                named("ct/9001", 40),
                verified(VerifyState::Ok, 39),
            )],
            Sight::Whole,
            Some("verified in time"),
        ),
        (
            vec![
                snapshot(named("ct/9001", 1), verified(VerifyState::Failed, 0)),
                snapshot(named("ct/9001", 2), verified(VerifyState::Ok, 0)),
            ],
            Sight::Whole,
            Some("2026-11-21T00:00:00Z did not"),
        ),
        (
            vec![snapshot(
                named("ct/9001", 1),
                verified(VerifyState::Failed, 0),
            )],
            Sight::Whole,
            Some("none verified well"),
        ),
        (
            vec![snapshot(named("ct/9002", 1), None)],
            Sight::Whole,
            Some("no backup off the box"),
        ),
        (vec![], Sight::Own, Some("may be shortened")),
    ];
    for (snapshots, sight, wanted) in table {
        let mut list = listing(snapshots);
        list.sight = sight;
        let record = GuestRecord {
            newest_archive_s: Some(3600),
            last_backup: Some(BackupVerdict::Good),
            last_proof: Some((Verdict::Passed, 3600)),
            off_box: OffBoxLook::Seen(off_box(&list, &group, now(), ttl)),
            ..GuestRecord::default()
        };
        let (posture, reasons) = posture(&record);
        match wanted {
            None => assert_eq!((posture, reasons), (Posture::Protected, vec![])),
            Some(wanted) => {
                assert_eq!(posture, Posture::Attention);
                assert!(
                    reasons.iter().any(|reason| reason.contains(wanted)),
                    "{reasons:?}"
                );
            }
        }
    }
}
