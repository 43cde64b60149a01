//! Archives of one drive, whole and spoiled in every way.

use super::*;

fn tally(input: impl Read) -> ArchiveContent {
    super::tally(input).unwrap()
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    buffer[at..at + bytes.len()].copy_from_slice(bytes);
}

fn summed(mut buffer: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = Md5::digest(&buffer);
    put(&mut buffer, at, &sum);
    buffer
}

/// An archive of one drive of two clusters, the first with one block.
fn archive() -> Vec<u8> {
    let mut head = vec![0; TABLES + 512];
    put(&mut head, 0, b"VMA\0\0\0\0\x01");
    put(&mut head, 48, &12_288_u32.to_be_bytes());
    put(&mut head, 56, &12_800_u32.to_be_bytes());
    for (at, pointer) in [(2044, 1_u32), (3068, 20), (4096 + 32, 30)] {
        put(&mut head, at, &pointer.to_be_bytes());
    }
    put(&mut head, 4096 + 40, &131_072_u64.to_be_bytes());
    for (at, blob) in [
        (1, &b"qemu-server.conf\0"[..]),
        (20, b"name: x\n"),
        (30, b"drive-scsi0\0"),
    ] {
        put(
            &mut head,
            TABLES + at,
            &u16::try_from(blob.len()).unwrap().to_le_bytes(),
        );
        put(&mut head, TABLES + at + 2, blob);
    }
    let mut extent = vec![0; EXTENT];
    put(&mut extent, 0, b"VMAE");
    put(&mut extent, 6, &1_u16.to_be_bytes());
    put(&mut extent, 40, &[0, 1, 0, 1, 0, 0, 0, 0]);
    put(&mut extent, 48, &[0, 0, 0, 1, 0, 0, 0, 1]);
    [summed(head, 32), summed(extent, 24), vec![7; 4096]].concat()
}

#[test]
fn every_cluster_of_every_drive_is_counted() {
    let content = tally(archive().as_slice());
    assert_eq!(content.error, None);
    assert!(content.complete && content.config_first);
    let tally = MountTally {
        members: 2,
        bytes: 4096,
    };
    assert_eq!(
        content.mounts,
        BTreeMap::from([("scsi0".to_owned(), tally)])
    );
}

#[test]
fn cut_at_any_place_it_is_not_complete() {
    let good = archive();
    let ends = [12_288, 12_800, 13_312, good.len()];
    let near = ends.into_iter().flat_map(|end| end - 3..end + 3);
    for cut in (0..good.len()).step_by(997).chain(near) {
        let cut = cut.min(good.len() - 1);
        let content = tally(&good[..cut]);
        assert!(!content.complete && content.error.is_some(), "{cut}");
    }
}

/// The archive with other text in place of a drive's name, which has as many bytes.
fn named(name: &[u8; 12]) -> Vec<u8> {
    let mut bytes = archive();
    put(&mut bytes, TABLES + 32, name);
    bytes[32..48].fill(0);
    let sum = Md5::digest(&bytes[..TABLES + 512]);
    put(&mut bytes, 32, &sum);
    bytes
}

#[test]
fn drives_beyond_what_is_counted_are_no_damage() {
    let sized = |bytes: u64| {
        let mut archive = archive();
        put(&mut archive, 4096 + 40, &bytes.to_be_bytes());
        archive[32..48].fill(0);
        let sum = Md5::digest(&archive[..TABLES + 512]);
        put(&mut archive, 32, &sum);
        archive
    };
    let most = TooLarge::MOST;
    let bytes = most + 1;
    let refused = super::tally(sized(bytes).as_slice());
    assert_eq!(refused, Err(TooLarge { bytes }));
    // As much as that is read, and lacks what it lacks.
    let error = tally(sized(most).as_slice()).error.unwrap();
    assert_eq!(error, "268435454 clusters of `scsi0` are missing");
    // What an altered size makes of it is damage: the checksum says so.
    let mut altered = archive();
    put(&mut altered, 4096 + 40, &bytes.to_be_bytes());
    let error = tally(altered.as_slice()).error.unwrap();
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn names_that_are_none_and_names_that_are_there_twice_are_refused() {
    for name in [
        b"drive-scs\x1b0\0",
        b"drive-scsi \0",
        b"drive-../..\0",
        b"drive-\0\0\0\0\0\0",
    ] {
        let error = tally(named(name).as_slice()).error.unwrap();
        assert_eq!(error, "a drive has a name that is none");
    }
    let mut twice = archive();
    let entry = twice[4096 + 32..4096 + 64].to_vec();
    put(&mut twice, 4096 + 64, &entry);
    twice[32..48].fill(0);
    let sum = Md5::digest(&twice[..TABLES + 512]);
    put(&mut twice, 32, &sum);
    let error = tally(twice.as_slice()).error.unwrap();
    assert_eq!(error, "there are two drives `scsi0`");
}

#[test]
fn damage_of_every_kind_is_seen() {
    let good = archive();
    for (cut, text) in [
        (100, "failed to fill whole buffer"),
        (12_800, "2 clusters of `scsi0` are missing"),
        (13_000, "ends inside an extent"),
        (good.len() - 1, "ends inside an extent"),
    ] {
        let content = tally(&good[..cut]);
        assert!(!content.complete);
        assert!(
            content.error.as_ref().unwrap().contains(text),
            "{cut}: {:?}",
            content.error
        );
    }
    for (at, text) in [
        (3, "no VMA"),
        (12_300, "header is wrong"),
        (12_850, "extent is wrong"),
    ] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let error = tally(bad.as_slice()).error.unwrap();
        assert!(error.contains(text), "{at}: {error}");
    }
    let twice = [&good[..], &good[12_800..]].concat();
    assert!(tally(twice.as_slice()).error.unwrap().contains("twice"));
}
