//! The record of a backup snapshot: what it counts as, and what it may not say.

use felhom_protocol::pbs::{Encryption, SnapshotRecord, VerifyState};
use felhom_protocol::{DocumentError, read, write};

const UPID: &str =
    r"UPID:vm:00004F7B:0003D00B:0000001A:6B037E38:verify:felhom\x2dspike:felhom@pbs!n100:";

fn record() -> SnapshotRecord {
    SnapshotRecord {
        namespace: "customers/n100".parse().unwrap(),
        backup_type: "ct".parse().unwrap(),
        backup_id: "9001".to_owned(),
        backup_time: 1_795_390_566,
        size_bytes: Some(32_038_330),
        owner: Some("felhom@pbs!n100".to_owned()),
        protected: false,
        data_files: 3,
        encrypted: Encryption::Encrypted,
        key_fingerprint: Some("bb".repeat(32).parse().unwrap()),
        verify_state: VerifyState::Ok,
        verified_at: Some(1_795_391_032),
        verify_upid: Some(UPID.parse().unwrap()),
        in_progress: false,
    }
}

fn with(change: impl FnOnce(&mut SnapshotRecord)) -> SnapshotRecord {
    let mut record = record();
    change(&mut record);
    record
}

#[test]
fn a_record_is_read_as_it_is_written() {
    let text = write(&record());
    assert!(
        text.contains("felhom.pbs-snapshot") && text.contains("\"ok\""),
        "{text}"
    );
    assert_eq!(read::<SnapshotRecord>(text.as_bytes()), Ok(record()));
    let name = record().snapshot().unwrap().to_string();
    assert_eq!(name, "ct/9001/2026-11-22T23:36:06Z");
    // Fields of tomorrow are ignored, a version of tomorrow is not.
    let more = text.replace("\"protected\"", "\"colour\":\"red\",\"protected\"");
    assert_eq!(read::<SnapshotRecord>(more.as_bytes()), Ok(record()));
    let newer = text.replace("\"version\":1", "\"version\":2");
    let error = read::<SnapshotRecord>(newer.as_bytes()).unwrap_err();
    assert!(matches!(error, DocumentError::Newer { .. }), "{error}");
}

#[test]
fn what_is_in_progress_or_empty_counts_as_no_backup() {
    let unverified = |record: &mut SnapshotRecord| {
        record.verify_state = VerifyState::None;
        record.verify_upid = None;
        record.verified_at = None;
    };
    let growing = with(|record| {
        unverified(record);
        record.in_progress = true;
        record.data_files = 0;
        record.encrypted = Encryption::Unknown;
    });
    let empty = with(|record| {
        record.data_files = 0;
        record.encrypted = Encryption::Unknown;
    });
    for (record, wanted) in [(record(), true), (growing, false), (empty, false)] {
        assert_eq!(record.is_backup(), wanted);
        let read = read::<SnapshotRecord>(write(&record).as_bytes());
        assert_eq!(read, Ok(record));
    }
}

#[test]
fn a_record_that_contradicts_itself_is_refused() {
    let table: [(&str, SnapshotRecord); 7] = [
        (
            "`backup_id`",
            with(|record| record.backup_id = "../x".to_owned()),
        ),
        ("`backup_time`", with(|record| record.backup_time = 0)),
        ("names its task", with(|record| record.verify_upid = None)),
        (
            "names its task",
            with(|record| record.verify_state = VerifyState::None),
        ),
        ("in progress", with(|record| record.in_progress = true)),
        ("without data files", with(|record| record.data_files = 0)),
        (
            "its owner",
            with(|record| record.owner = Some("x".repeat(1000))),
        ),
    ];
    for (wanted, record) in table {
        let error = read::<SnapshotRecord>(write(&record).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
    }
}
