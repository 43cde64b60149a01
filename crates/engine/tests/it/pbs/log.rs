//! The log of a verify task, as a server wrote it and as it might.

use felhom_engine::pbs::VerifyLog;
use felhom_ids::BackupSnapshot;
use proptest::prelude::*;

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn at(text: &str) -> BackupSnapshot {
    text.parse().unwrap()
}

/// Recorded from proxmox-backup 3.2.4, times left out here and there.
const WHOLE: &str = "\
2026-11-22T23:44:40+00:00: verify datastore felhom-corrupt
2026-11-22T23:44:40+00:00: found 5 groups
2026-11-22T23:44:40+00:00: verify group felhom-corrupt:ct/9001 (3 snapshots)
2026-11-22T23:44:40+00:00: SKIPPED: verify felhom-corrupt:ct/9001/2026-11-22T23:36:06Z (recently verified)
2026-11-22T23:44:40+00:00: verify felhom-corrupt:ct/9001/2026-11-22T23:36:04Z
2026-11-22T23:44:40+00:00:   check root.pxar.didx
2026-11-22T23:44:40+00:00: can't verify chunk, load failed - store 'felhom-corrupt', unable to load chunk 'eb606ba2f02053fe0e8e60292e634216e2f530f51c3ee9d6af5e3bd439574ce8' - No such file or directory (os error 2)
2026-11-22T23:44:40+00:00:   verified 2.68/28.28 MiB in 0.01 seconds, speed 485.91/5120.15 MiB/s (1 errors)
2026-11-22T23:44:40+00:00: verify felhom-corrupt:ct/9001/2026-11-22T23:36:04Z/root.pxar.didx failed: chunks could not be verified
verify group felhom-corrupt:ct/9001 (1 snapshots)
verify felhom-corrupt:ct/9001/2026-11-22T23:36:07Z
chunk 3820393e009afe7b5154177d17f0d9a280e71b60a83f3c4eea3a7707d303a9aa was marked as corrupt
verify felhom-corrupt:ct/9001/2026-11-22T23:36:07Z/root.pxar.didx failed: chunks could not be verified
verify group felhom-corrupt:ct/9002 (1 snapshots)
verify felhom-corrupt:ct/9002/2026-11-22T23:36:07Z
verify felhom-corrupt:ct/9002/2026-11-22T23:36:07Z/pct.conf.blob failed: unable to load blob '\"/srv/pbs/x/pct.conf.blob\"' - Data blob has wrong CRC checksum.
verify felhom-corrupt:ct/9004/2026-11-22T23:43:46Z
detected chunk with wrong digest.
corrupted chunk renamed to \"/srv/pbs/felhom-corrupt/.chunks/4f49/4f49bb34b1784fddbd295c4a563473472249de6561874b4d039c9df509551e48.0.bad\"
verify felhom-corrupt:ct/9004/2026-11-22T23:43:46Z/root.pxar.didx failed: chunks could not be verified
2026-11-22T23:44:40+00:00: Failed to verify the following snapshots/groups:
2026-11-22T23:44:40+00:00: \tct/9001/2026-11-22T23:36:04Z
2026-11-22T23:44:40+00:00: \tns/felhomns/ct/9001/2026-11-22T23:36:07Z
2026-11-22T23:44:40+00:00: \tct/9002/2026-11-22T23:36:07Z
2026-11-22T23:44:40+00:00: TASK ERROR: verification failed - please check the log for details";

#[test]
fn each_snapshot_gets_what_was_said_of_it() {
    let log = lines(WHOLE);
    // Snapshot, begun, listed as failed, chunks by their first digits, files.
    let table: [(&str, bool, bool, &[&str], &[&str]); 6] = [
        ("ct/9001/2026-11-22T23:36:06Z", false, false, &[], &[]),
        (
            "ct/9001/2026-11-22T23:36:04Z",
            true,
            true,
            &["eb606"],
            &["root.pxar.didx"],
        ),
        (
            "ct/9001/2026-11-22T23:36:07Z",
            true,
            true,
            &["38203"],
            &["root.pxar.didx"],
        ),
        (
            "ct/9002/2026-11-22T23:36:07Z",
            true,
            true,
            &[],
            &["pct.conf.blob"],
        ),
        (
            "ct/9004/2026-11-22T23:43:46Z",
            true,
            false,
            &["4f49b"],
            &["root.pxar.didx"],
        ),
        ("ct/900/2026-11-22T23:36:07Z", false, false, &[], &[]),
    ];
    for (name, begun, listed, chunks, files) in table {
        let told = VerifyLog::parse(&log, &at(name));
        assert_eq!((told.begun, told.listed_failed), (begun, listed), "{name}");
        let digits: Vec<_> = told.chunks.iter().map(|chunk| &chunk[..5]).collect();
        assert_eq!(digits, chunks, "{name}");
        let names: Vec<_> = told.files.iter().map(|file| file.file.as_str()).collect();
        assert_eq!(names, files, "{name}");
        assert_eq!(told.skipped.is_some(), name.ends_with("36:06Z"), "{name}");
    }
}

#[test]
fn why_a_snapshot_was_skipped_is_told() {
    let name = at("ct/9001/2026-11-22T23:36:04Z");
    for (line, why) in [
        (
            "SKIPPED: verify s:ct/9001/2026-11-22T23:36:04Z (recently verified)",
            Some("recently verified"),
        ),
        (
            "SKIPPED: verify s:ct/9001/2026-11-22T23:36:04Z - could not acquire snapshot lock",
            Some("could not acquire snapshot lock"),
        ),
        (
            "SKIPPED: verify s:ct/19001/2026-11-22T23:36:04Z (recently verified)",
            None,
        ),
        (
            "SKIPPED: verify s:ct/9001/2026-11-22T23:36:04Zx (recently verified)",
            None,
        ),
    ] {
        let told = VerifyLog::parse(&[line.to_owned()], &name);
        assert_eq!(told.skipped.as_deref(), why, "{line}");
    }
    let line = "verify s:ct/9001/2026-11-22T23:36:04Z - manifest load error: unable to parse";
    let told = VerifyLog::parse(&[line.to_owned()], &name);
    assert_eq!(told.notes, ["manifest load error: unable to parse"]);
    assert!(!told.begun);
}

#[test]
fn a_log_without_end_is_kept_short_and_cannot_move_a_cursor() {
    let name = at("ct/9001/2026-11-22T23:36:04Z");
    let mut log = vec![format!("verify s:{name}")];
    for n in 0..1000 {
        log.push(format!("chunk {n:064x} was marked as corrupt"));
        log.push(format!(
            "verify s:{name}/x{n}\u{1b}[2J failed: {}",
            "y".repeat(10_000)
        ));
    }
    log.push("chunk zz was marked as corrupt".to_owned());
    let told = VerifyLog::parse(&log, &name);
    assert_eq!((told.chunks.len(), told.files.len()), (32, 32));
    assert_eq!(told.more, 2 * (1000 - 32));
    for file in &told.files {
        assert!(file.why.chars().count() <= 201);
        assert!(!file.file.contains('\u{1b}'));
    }
}

proptest! {
    #[test]
    fn any_text_can_be_read(log in prop::collection::vec("\\PC{0,80}|(SKIPPED: )?verify [:a-z0-9/ -]{0,60}|chunk .{0,70}|\t.{0,20}", 0..30)) {
        let told = VerifyLog::parse(&log, &at("ct/9001/2026-11-22T23:36:04Z"));
        prop_assert!(told.chunks.iter().all(|chunk| chunk.len() == 64));
    }
}
