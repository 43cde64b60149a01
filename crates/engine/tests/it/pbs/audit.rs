//! Zero knowledge: one blob that can be read turns it red, and what was not seen is named.

use std::collections::BTreeMap;

use felhom_engine::codes;
use felhom_engine::pbs::*;

use super::server::*;

fn head(magic: Magic) -> Head {
    Head::Seen {
        magic,
        len: Some(524),
    }
}

fn subject() -> AuditSubject {
    let mut in_manifest = files(Some(CryptMode::Encrypt));
    in_manifest.retain(|file| file.crypt_mode == Some(CryptMode::Encrypt));
    let heads = BTreeMap::from([
        ("root.pxar.didx".to_owned(), head(Magic::DynamicIndex)),
        ("catalog.pcat1.didx".to_owned(), head(Magic::DynamicIndex)),
        ("pct.conf.blob".to_owned(), head(Magic::EncryptedBlob)),
        (
            "client.log.blob".to_owned(),
            head(Magic::CompressedEncryptedBlob),
        ),
    ]);
    AuditSubject {
        snapshot: named("ct/9001", 1),
        manifest: Ok(Manifest {
            files: in_manifest,
            key: Some(key(1)),
            signed: true,
        }),
        listed: files(None).into_iter().map(|file| file.name).collect(),
        heads,
    }
}

fn policy() -> AuditPolicy {
    AuditPolicy {
        key: Some(key(1)),
        configured: None,
        master_key: Some(false),
    }
}

fn manifest(subject: &mut AuditSubject) -> &mut Manifest {
    subject.manifest.as_mut().unwrap()
}

fn put(subject: &mut AuditSubject, name: &str, magic: Magic) {
    subject.heads.insert(name.to_owned(), head(magic));
}

fn with_escrow(subject: &mut AuditSubject) {
    let file = SnapshotFile {
        name: "rsa-encrypted.key.blob".to_owned(),
        size: Some(524),
        crypt_mode: Some(CryptMode::Encrypt),
    };
    manifest(subject).files.push(file);
    put(subject, "rsa-encrypted.key.blob", Magic::PlainBlob);
}

#[test]
fn magics_are_those_of_the_formats() {
    for (bytes, wanted) in [
        ([66, 171, 56, 7, 190, 131, 112, 161], Magic::PlainBlob),
        ([49, 185, 88, 66, 111, 182, 163, 127], Magic::CompressedBlob),
        ([123, 103, 133, 190, 34, 45, 76, 240], Magic::EncryptedBlob),
        (
            [230, 89, 27, 191, 11, 191, 216, 11],
            Magic::CompressedEncryptedBlob,
        ),
        ([28, 145, 78, 165, 25, 186, 179, 205], Magic::DynamicIndex),
        ([47, 127, 65, 237, 145, 253, 15, 205], Magic::FixedIndex),
        (*b"{\"backup", Magic::Other),
    ] {
        assert_eq!(Magic::of(&bytes), wanted);
        assert_eq!(Magic::of(&[&bytes[..], b"more"].concat()), wanted);
        assert_eq!(Magic::of(&bytes[..7]), Magic::Other);
    }
}

#[test]
fn a_snapshot_that_only_we_can_read_passes_and_names_what_it_cannot_show() {
    let told = audit(&subject(), &policy());
    assert_eq!(told.verdict, AuditVerdict::Passed, "{told:?}");
    assert_eq!(told.shown.len(), 5);
    assert!(told.limits[0].contains("chunks are not downloaded"));
    assert!(told.limits[2].contains("sizes"));
    assert_eq!(audit_findings(&target(), &[told]), []);
}

type Change = fn(&mut AuditSubject, &mut AuditPolicy);

#[test]
fn whatever_the_server_can_read_turns_it_red() {
    let table: [(&str, &str, Change); 13] = [
        ("plain blob", "pct.conf.blob: a blob that is not", |s, _| {
            put(s, "pct.conf.blob", Magic::PlainBlob);
        }),
        ("compressed blob", "not encrypted", |s, _| {
            put(s, "pct.conf.blob", Magic::CompressedBlob);
        }),
        ("plain log", "client.log.blob", |s, _| {
            put(s, "client.log.blob", Magic::CompressedBlob);
        }),
        ("something else", "no file of Proxmox", |s, _| {
            put(s, "pct.conf.blob", Magic::Other);
        }),
        ("no index", "root.pxar.didx", |s, _| {
            put(s, "root.pxar.didx", Magic::EncryptedBlob);
        }),
        ("other index", "root.pxar.didx", |s, _| {
            put(s, "root.pxar.didx", Magic::FixedIndex);
        }),
        ("crypt-mode none", "crypt-mode `none`", |s, _| {
            manifest(s).files[0].crypt_mode = Some(CryptMode::None);
        }),
        ("sign-only", "crypt-mode `sign-only`", |s, _| {
            manifest(s).files[1].crypt_mode = Some(CryptMode::SignOnly);
        }),
        ("no key", "names no encryption key", |s, _| {
            manifest(s).key = None;
        }),
        ("another key", "the storage has 02:02", |_, p| {
            p.key = Some(key(2));
        }),
        ("no signature", "not signed", |s, _| {
            manifest(s).signed = false;
        }),
        ("no data", "names no data", |s, _| manifest(s).files.clear()),
        ("a stranger's escrow", "somebody else's opens", |s, p| {
            with_escrow(s);
            p.master_key = Some(false);
        }),
    ];
    for (name, wanted, change) in table {
        let (mut subject, mut policy) = (subject(), policy());
        change(&mut subject, &mut policy);
        let told = audit(&subject, &policy);
        assert_eq!(told.verdict, AuditVerdict::Failed, "{name}");
        assert!(
            told.breaches.iter().any(|breach| breach.contains(wanted)),
            "{name}: {told:?}"
        );
        let found = audit_findings(&target(), &[told]);
        assert_eq!(found[0].code, codes::SERVER_CAN_READ.name);
    }
}

#[test]
fn what_was_not_seen_is_never_green() {
    let table: [(&str, &str, Change); 10] = [
        ("no manifest", "the manifest: 403", |s, _| {
            s.manifest = Err("403".to_owned());
        }),
        ("not downloaded", "permission", |s, _| {
            let why = Head::NotDownloaded("no permission".to_owned());
            s.heads.insert("pct.conf.blob".to_owned(), why);
        }),
        ("no head", "root.pxar.didx", |s, _| {
            s.heads.remove("root.pxar.didx");
        }),
        ("no log", "client.log.blob", |s, _| {
            s.heads.remove("client.log.blob");
        }),
        ("no crypt-mode", "its crypt-mode", |s, _| {
            manifest(s).files[0].crypt_mode = None;
        }),
        ("no key known", "fingerprint is not known", |_, p| {
            p.key = None;
        }),
        ("beyond the manifest", "nobody vouches", |s, _| {
            s.listed.insert("extra.blob".to_owned());
            put(s, "extra.blob", Magic::EncryptedBlob);
        }),
        ("no escrow copy", "no escrow copy", |_, p| {
            p.master_key = Some(true);
        }),
        ("the storage's key was swapped", "02:02", |_, p| {
            p.configured = p.key;
            p.key = Some(key(2));
        }),
        ("master key not known", "whose master key", |s, p| {
            with_escrow(s);
            p.master_key = None;
        }),
    ];
    for (name, wanted, change) in table {
        let (mut subject, mut policy) = (subject(), policy());
        change(&mut subject, &mut policy);
        let told = audit(&subject, &policy);
        assert_eq!(told.verdict, AuditVerdict::Undetermined, "{name}: {told:?}");
        assert!(
            told.unseen.iter().any(|unseen| unseen.contains(wanted)),
            "{name}: {told:?}"
        );
        let found = audit_findings(&target(), &[told]);
        assert_eq!(found[0].code, codes::SERVER_CAN_READ_UNPROVEN.name);
    }
}

#[test]
fn the_escrow_copy_is_a_plain_container_with_one_rsa_block_in_it() {
    let mut escrowed = subject();
    with_escrow(&mut escrowed);
    let mut policy = policy();
    policy.master_key = Some(true);
    assert_eq!(audit(&escrowed, &policy).verdict, AuditVerdict::Passed);
    for (magic, len, wanted) in [
        (Magic::PlainBlob, Some(12 + 384), AuditVerdict::Passed),
        // The key file itself, not encrypted.
        (Magic::PlainBlob, Some(12 + 255), AuditVerdict::Failed),
        (Magic::PlainBlob, None, AuditVerdict::Undetermined),
        (Magic::CompressedBlob, Some(524), AuditVerdict::Failed),
    ] {
        let head = Head::Seen { magic, len };
        escrowed
            .heads
            .insert("rsa-encrypted.key.blob".to_owned(), head);
        let told = audit(&escrowed, &policy);
        assert_eq!(told.verdict, wanted, "{magic} {len:?}");
    }
}

#[test]
fn the_configured_key_is_judged_by_whatever_the_storage_has_by_now() {
    let mut policy = policy();
    policy.configured = Some(key(2));
    let told = audit(&subject(), &policy);
    assert_eq!(told.verdict, AuditVerdict::Failed, "{told:?}");
    assert!(
        told.breaches[0].contains("the configuration has 02:02"),
        "{told:?}"
    );
    assert!(
        told.unseen[0].contains("01:01") && told.unseen[0].contains("02:02"),
        "{told:?}"
    );
}

#[test]
fn a_backup_that_another_kit_opens_is_not_to_be_removed() {
    let mut policy = policy();
    policy.key = Some(key(2));
    let mut subject = subject();
    let told = audit(&subject, &policy);
    assert_eq!(told.other_key, Some(key(1)));
    let hint = audit_findings(&target(), &[told])[0].hint.clone().unwrap();
    assert!(hint.contains("do not remove it"), "{hint}");
    assert!(hint.contains("01:01"), "{hint}");
    put(&mut subject, "pct.conf.blob", Magic::PlainBlob);
    let told = audit(&subject, &policy);
    assert_eq!(told.other_key, None);
    let hint = audit_findings(&target(), &[told])[0].hint.clone().unwrap();
    assert!(
        hint.contains("only when felhom-agent pbs audit passes"),
        "{hint}"
    );
}

#[test]
fn what_could_not_be_looked_at_is_undetermined_and_says_why() {
    let told = Audit::undetermined(named("ct/9001", 1), "no\nroute");
    assert_eq!(told.verdict, AuditVerdict::Undetermined);
    assert_eq!(told.unseen.len(), 1);
    let found = audit_findings(&target(), &[told]);
    assert_eq!(found[0].code, codes::SERVER_CAN_READ_UNPROVEN.name);
}
