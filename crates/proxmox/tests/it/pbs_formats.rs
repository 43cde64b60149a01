//! What lies on a backup server, against fixtures that another implementation made: Python's `hashlib`, `hmac` and `zlib`,
//! OpenSSL's AES-GCM, and the `zstd` program, with the key of the bytes 0 to 31.

use felhom_ids::KeyFingerprint;
use felhom_proxmox::pbs::format::{
    Blob, Container, HEAD, Index, IndexHead, Invalid, Key, Layout, Manifest, chunk_digest,
};
use felhom_proxmox::pbs::snapshots::{CryptMode, VerifyState};
use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

const TEXT: &str = "arch: amd64\narch: amd64\narch: amd64\narch: amd64\narch: amd64\narch: amd64\n";

fn fixture(name: &str) -> String {
    let all: Value = serde_json::from_str(include_str!("fixtures/pbs_formats.json")).unwrap();
    all[name].as_str().unwrap().to_owned()
}

fn bytes(name: &str) -> Vec<u8> {
    let hex = fixture(name);
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn key() -> Key {
    Key::from_bytes(&std::array::from_fn(|n| u8::try_from(n).unwrap()))
}

fn index(kind: &str) -> Vec<u8> {
    let mut whole = bytes(&format!("{kind}_head"));
    whole.resize(HEAD, 0);
    whole.extend(bytes(&format!("{kind}_entries")));
    whole
}

#[test]
fn all_four_containers_open() {
    for (name, container) in [
        ("plain", Container::Plain),
        ("zstd", Container::Zstd),
        ("enc", Container::Encrypted),
        ("enczstd", Container::EncryptedZstd),
    ] {
        let stored = bytes(name);
        let blob = Blob::parse(&stored).unwrap();
        assert_eq!(blob.container(), container);
        let contents = blob.contents(Some(&key()), TEXT.len()).unwrap();
        assert_eq!(contents, TEXT.as_bytes(), "{name}");
        let few = blob.contents(Some(&key()), TEXT.len() - 1);
        assert!(matches!(few, Err(Invalid::TooLong { .. })), "{name}");
        let without = blob.contents(None, TEXT.len());
        if container.is_encrypted() {
            assert!(matches!(without, Err(Invalid::NeedsKey)));
            let other = Key::from_bytes(&[7; 32]);
            let opened = blob.contents(Some(&other), TEXT.len());
            assert!(matches!(opened, Err(Invalid::Unopened)));
        } else {
            assert_eq!(without.unwrap(), TEXT.as_bytes());
        }
    }
}

#[test]
fn what_the_checksum_does_not_cover_the_tag_does() {
    let stored = bytes("enczstd");
    for place in 0..stored.len() {
        let mut changed = stored.clone();
        changed[place] ^= 1;
        let opened = Blob::parse(&changed).and_then(|blob| blob.contents(Some(&key()), 1 << 20));
        let error = opened.unwrap_err();
        let sealed = (12..44).contains(&place);
        assert_eq!(
            matches!(error, Invalid::Unopened),
            sealed,
            "{place}: {error}"
        );
    }
    // Altered and with a new checksum: what the server itself takes for good.
    let mut changed = stored.clone();
    *changed.last_mut().unwrap() ^= 1;
    let sum = crc32(&changed[44..]);
    changed[8..12].copy_from_slice(&sum.to_le_bytes());
    let blob = Blob::parse(&changed).unwrap();
    assert!(matches!(
        blob.contents(Some(&key()), 1 << 20),
        Err(Invalid::Unopened)
    ));
    for length in 0..stored.len() {
        assert!(Blob::parse(&stored[..length]).is_err());
    }
}

/// Bit by bit, as the polynomial says.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 * (sum & 1))
        })
    })
}

#[test]
fn a_small_blob_that_swells_is_stopped() {
    let swollen = zstd(&vec![0; 64 << 20]);
    assert!(swollen.len() < 64 << 10);
    let mut stored = vec![49, 185, 88, 66, 111, 182, 163, 127];
    stored.extend(crc32(&swollen).to_le_bytes());
    stored.extend(swollen);
    let blob = Blob::parse(&stored).unwrap();
    let contents = blob.contents(None, 1 << 20);
    assert!(matches!(
        contents,
        Err(Invalid::TooLong {
            limit: 1_048_576,
            ..
        })
    ));
    assert_eq!(blob.contents(None, 64 << 20).unwrap().len(), 64 << 20);
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::stream::encode_all(bytes, 1).unwrap()
}

#[test]
fn a_key_has_one_fingerprint_and_a_file() {
    assert_eq!(key().fingerprint().to_string(), fixture("fp"));
    let file = key().to_file(1_795_390_564, Some("felhom"));
    let text: Value = serde_json::from_str(file.expose_secret()).unwrap();
    assert_eq!(text["kdf"], Value::Null);
    assert_eq!(text["created"], "2026-11-22T23:36:04Z");
    assert_eq!(text["data"], "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    assert_eq!(text["fingerprint"], fixture("fp"));
    let read = Key::from_file(&file).unwrap();
    assert_eq!(read.fingerprint(), key().fingerprint());
    let (one, two) = (Key::generate().unwrap(), Key::generate().unwrap());
    assert_ne!(one.fingerprint(), two.fingerprint());
}

#[test]
fn a_key_shows_in_nothing() {
    let data = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let file = key().to_file(1, None).expose_secret().to_owned();
    let other = file.replace(fixture("fp").split_at(8).0, "ff:ff:ff");
    let protected = file.replace("null", r#"{"Scrypt":{"n":65536,"r":8,"p":1,"salt":""}}"#);
    let short = file.replace(data, "AAECAwQF");
    let long = file.replace(data, &format!("AAAA{data}"));
    let broken = file.replace('}', "");
    let refused = |text: &str| Key::from_file(&SecretString::from(text)).unwrap_err();
    assert!(matches!(refused(&other), Invalid::OtherKey { .. }));
    assert!(matches!(refused(&protected), Invalid::PasswordProtected));
    for text in [other, protected, short, long, broken, String::new()] {
        let error = refused(&text);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("AAEC"), "{shown}");
    }
    assert_eq!(
        format!("{:?}", key()),
        "Key(0e:ab:d4:46:0b:6e:b9:ca, [redacted])"
    );
}

#[test]
fn chunks_of_encrypted_backups_have_other_names() {
    let hex = |bytes: [u8; 32]| {
        KeyFingerprint::from_bytes(bytes)
            .to_string()
            .replace(':', "")
    };
    assert_eq!(
        hex(chunk_digest(TEXT.as_bytes(), None)),
        fixture("chunk_plain")
    );
    let keyed = chunk_digest(TEXT.as_bytes(), Some(&key()));
    assert_eq!(hex(keyed), fixture("chunk_enc"));
}

#[test]
fn indexes_tell_their_chunks() {
    let whole = index("didx");
    let dynamic = Index::parse(&whole).unwrap();
    let ends: Vec<u64> = dynamic.entries().map(|entry| entry.end).collect();
    assert_eq!(ends, [5, 12, 4_096_000]);
    assert_eq!((dynamic.len(), dynamic.size()), (3, 4_096_000));
    assert_eq!(dynamic.head().ctime, 1_795_390_564);
    let whole = index("fidx");
    let fixed = Index::parse(&whole).unwrap();
    let (size, chunk_size) = (9 << 20, 4 << 20);
    assert_eq!(fixed.head().layout, Layout::Fixed { size, chunk_size });
    let pieces: Vec<(u64, u64)> = fixed
        .entries()
        .map(|entry| (entry.start, entry.end))
        .collect();
    assert_eq!(
        pieces,
        [(0, 4 << 20), (4 << 20, 8 << 20), (8 << 20, 9 << 20)]
    );
    // The head is enough to compare an index with the manifest.
    assert_eq!(IndexHead::parse(&whole[..80]).unwrap(), *fixed.head());
    assert!(IndexHead::parse(&whole[..79]).is_err());
}

#[test]
fn an_index_that_contradicts_itself_is_refused() {
    for kind in ["didx", "fidx"] {
        let whole = index(kind);
        for length in [0, 8, 79, 4095, whole.len() - 1, whole.len() - 32] {
            assert!(Index::parse(&whole[..length]).is_err(), "{kind} {length}");
        }
        for place in [0, 40, HEAD, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert!(Index::parse(&changed).is_err(), "{kind} {place}");
        }
    }
    let mut endless = index("fidx");
    endless[64..72].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(Index::parse(&endless).is_err());
    endless[72..80].copy_from_slice(&0_u64.to_le_bytes());
    assert!(matches!(
        Index::parse(&endless),
        Err(Invalid::Contradiction { .. })
    ));
}

#[test]
fn a_manifest_is_signed_as_it_stands() {
    let text = fixture("manifest");
    let manifest = Manifest::from_json(text.as_bytes()).unwrap();
    manifest.check(&key()).unwrap();
    assert_eq!(
        manifest.snapshot.to_string(),
        "ct/9001/2026-11-22T23:36:04Z"
    );
    assert_eq!(manifest.notes.as_deref(), Some("a note"));
    assert_eq!(
        manifest.verification.as_ref().unwrap().state,
        VerifyState::Ok
    );
    let conf = manifest.file("pct.conf.blob").unwrap();
    assert_eq!(conf.crypt_mode, CryptMode::Encrypt);
    assert!(conf.is_blob(&bytes("enczstd")) && !conf.is_blob(&bytes("enc")));
    let root = manifest.file("root.pxar.didx").unwrap();
    assert!(root.is_index(Index::parse(&index("didx")).unwrap().head()));
    assert!(!root.is_index(Index::parse(&index("fidx")).unwrap().head()));
    // Notes may change, nothing else may.
    let noted = text.replace("a note", "another");
    Manifest::from_json(noted.as_bytes())
        .unwrap()
        .check(&key())
        .unwrap();
    for (from, to) in [
        ("4096000", "4096001"),
        ("\"9001\"", "\"9002\""),
        ("2.5", "2.6"),
    ] {
        let changed = Manifest::from_json(text.replace(from, to).as_bytes()).unwrap();
        assert!(
            matches!(changed.check(&key()), Err(Invalid::Signature)),
            "{from}"
        );
    }
    let other = Key::from_bytes(&[7; 32]);
    assert!(matches!(
        manifest.check(&other),
        Err(Invalid::OtherKey { .. })
    ));
    let unnamed = text.replace("key-fingerprint", "x");
    let unnamed = Manifest::from_json(unnamed.as_bytes()).unwrap();
    assert!(matches!(unnamed.check(&other), Err(Invalid::Signature)));
}

#[test]
fn a_manifest_without_a_proper_signature_is_unsigned() {
    let text = fixture("manifest");
    let mut value: Value = serde_json::from_str(&text).unwrap();
    for odd in [
        Value::Null,
        Value::from(""),
        Value::from("ab"),
        Value::from("é".repeat(32)),
    ] {
        value["signature"] = odd;
        let manifest = Manifest::from_json(value.to_string().as_bytes()).unwrap();
        assert!(matches!(manifest.check(&key()), Err(Invalid::Signature)));
    }
    let twice = text.replace("root.pxar.didx", "pct.conf.blob");
    let twice = Manifest::from_json(twice.as_bytes());
    assert!(matches!(twice, Err(Invalid::Contradiction { .. })));
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(magic in 0_usize..6, tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let names = ["plain", "zstd", "enc", "enczstd", "didx_head", "fidx_head"];
        let mut stored = bytes(names[magic])[..8].to_vec();
        stored.extend(&tail);
        if tail.len() > 40 {
            let start = if magic > 1 { 44 } else { 12 };
            let sum = crc32(&stored[start..]);
            stored[8..12].copy_from_slice(&sum.to_le_bytes());
        }
        if let Ok(blob) = Blob::parse(&stored) {
            drop(blob.contents(Some(&key()), 1000));
        }
        drop(IndexHead::parse(&stored));
        stored.resize(HEAD, 0);
        stored.extend(&tail);
        drop(Index::parse(&stored));
        drop(Manifest::from_json(&tail));
    }

    #[test]
    fn no_manifest_is_too_odd(text in "[\\[\\]{}:,\"a-z0-9-]{0,80}") {
        drop(Manifest::from_json(text.as_bytes()));
        drop(Key::from_file(&SecretString::from(text)));
    }
}
