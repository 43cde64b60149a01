//! What is done before a target is used, and what a backup comes to whose disk is gone.

use felhom_agent::exit::Exit;
use felhom_host::Code;
use felhom_simulator::{Fault, FaultKind};
use tokio::time::Instant;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_mounts_its_target_and_tries_it_first() {
    let site = Site::adopted().await;
    site.helper.set(|desk| desk.mounted = false);
    let dry = site
        .bench
        .run(&["backup", "run", "9001", "--dry-run"])
        .await;
    assert!(dry.text().contains("would be mounted first"), "{dry:?}");
    assert_eq!(site.helper.asked(), ["probe-usb"]);
    let ran = site.bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
    assert!(ran.text().contains("target `usb1` is mounted"), "{ran:?}");
    assert_eq!(
        site.helper.asked(),
        ["probe-usb", "mount-usb", "probe-usb with write"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_away_is_tried_again_later_and_nothing_is_done() {
    let site = Site::adopted().await;
    site.pull().await;
    let counts = site.bench.mutations();
    let ran = site.bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    assert!(ran.text().contains("[target-detached]"), "{ran:?}");
    assert_eq!(site.bench.mutations(), counts);
    assert!(
        site.bench
            .journal()
            .await
            .unfinished()
            .await
            .unwrap()
            .is_empty()
    );
    // Long after, the command still says the same: it is the finding that tells.
    site.last_seen(30).await;
    let ran = site.bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_to_another_disk() {
    let site = Site::adopted().await;
    let volid = site.bench.backup(9001).await.to_string();
    let writes = site.helper.get(|desk| desk.writes);
    site.helper.pull();
    site.helper.plug(UUID, "S2");
    // Somebody mounted it by hand: PVE is content with it.
    site.helper.set(|desk| desk.mounted = true);
    let counts = site.bench.mutations();
    for args in [
        &["backup", "run", "9001"][..],
        &["backup", "prune"],
        &["backup", "proof", &volid],
        &["restore-test", "run", "9001"],
        &["restore-test", "run", &volid],
        &["restore", "plan", &volid],
    ] {
        let ran = site.bench.run(args).await;
        assert_eq!(ran.exit, Exit::Refused, "{args:?}: {ran:?}");
        assert!(ran.text().contains("[target-wrong]"), "{args:?}: {ran:?}");
    }
    assert_eq!(site.bench.mutations(), counts);
    assert_eq!(site.helper.get(|desk| desk.writes), writes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_data_gets_none() {
    let site = Site::adopted().await;
    let counts = site.bench.mutations();
    for (read_only, code) in [(true, "[target-read-only]"), (false, "[target-full]")] {
        site.helper
            .set(|desk| (desk.read_only, desk.full) = (read_only, !read_only));
        let ran = site.bench.run(&["backup", "run", "9001"]).await;
        assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
        assert!(ran.text().contains(code), "{ran:?}");
    }
    assert_eq!(site.bench.mutations(), counts);
}

/// Each trouble with the helper itself, before a backup and before a look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_in_trouble_keeps_backups_off_the_disk_and_nothing_else_waits() {
    let site = Site::adopted().await;
    let counts = site.bench.mutations();
    for (manner, exit, code) in [
        (Manner::Hangs, Exit::Busy, "target-unknown"),
        (Manner::Says("no json".into()), Exit::Busy, "target-unknown"),
        (Manner::Forgets, Exit::Busy, "target-unknown"),
        (
            Manner::Refuses(Code::NotAllowed),
            Exit::Permission,
            "root-helper-refused",
        ),
        (
            Manner::Refuses(Code::NotConfigured),
            Exit::Refused,
            "root-helper-refused",
        ),
        (
            Manner::Refuses(Code::Failed),
            Exit::TaskFailed,
            "root-helper-refused",
        ),
    ] {
        site.helper.set(|desk| desk.manner = manner.clone());
        let begun = Instant::now();
        let ran = site.bench.run(&["backup", "run", "9001"]).await;
        assert_eq!(ran.exit, exit, "{manner:?}: {ran:?}");
        assert!(ran.text().contains(&format!("[{code}]")), "{ran:?}");
        // Two seconds are what a request may take here; the rest is a slow machine's.
        assert!(begun.elapsed().as_secs() < 30, "{manner:?}");
        assert_eq!(
            site.stands().await,
            (Exit::Findings, "unknown".into()),
            "{manner:?}"
        );
    }
    assert_eq!(site.bench.mutations(), counts);
    // A backup elsewhere asks nobody.
    site.helper.set(|desk| desk.manner = Manner::Hangs);
    site.helper.asked();
    let ran = site
        .bench
        .run(&["backup", "run", "9001", "--storage", "local"])
        .await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
    assert_eq!(site.helper.asked(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_helper_archives_are_read_and_none_is_written() {
    let site = Site::adopted().await;
    let volid = site.bench.backup(9001).await.to_string();
    std::fs::remove_file(site.bench.directory.path().join("box/hostd.sock")).unwrap();
    let counts = site.bench.mutations();
    let ran = site.bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
    assert!(ran.text().contains("[root-helper-absent]"), "{ran:?}");
    assert_eq!(site.bench.mutations(), counts);
    let ran = site.bench.run(&["restore", "plan", &volid]).await;
    assert!(
        ran.text().contains("nobody can say whether target `usb1`"),
        "{ran:?}"
    );
    assert_ne!(ran.exit, Exit::Refused, "{ran:?}");
    assert_eq!(
        site.told().await,
        ["root-helper-absent"],
        "once, and not of each target"
    );
    let listed = site.bench.run(&["storage", "list"]).await;
    let told = listed
        .text()
        .matches("how the targets stand is not known")
        .count();
    assert_eq!(told, 1, "{listed:?}");
}

/// A disk that is away keeps nobody from pruning elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_elsewhere_is_pruned_though_a_disk_is_away() {
    let site = Site::adopted().await;
    site.bench.backup(9001).await;
    let ran = site
        .bench
        .run(&["backup", "run", "9001", "--storage", "local"])
        .await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
    site.pull().await;
    let ran = site.bench.run(&["backup", "prune"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    assert_eq!(ran.data()["guests"].as_array().unwrap().len(), 1, "{ran:?}");
    assert!(ran.text().contains("target `usb1` is detached"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_pulled_out_under_a_backup_is_a_detached_target() {
    let site = Site::adopted().await;
    let production = site.bench.production();
    site.helper.set(|desk| desk.pulled_after_write = true);
    let text = "job failed: zstd: error 70: Write error: Input/output error".to_owned();
    site.bench.world.inject(Fault {
        id: Some("9001".to_owned()),
        ..Fault::task("vzdump:archive", FaultKind::TaskFail { text })
    });
    let ran = site.bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    assert_eq!(ran.data()["verdict"], "failed", "{ran:?}");
    assert_eq!(ran.data()["target"], "detached", "{ran:?}");
    assert!(
        ran.text().contains("was detached while the backup ran"),
        "{ran:?}"
    );
    // Nothing is left: no job, no lock, no snapshot, no alarm.
    assert!(
        site.bench
            .journal()
            .await
            .unfinished()
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(site.bench.production(), production);
    site.pve_sees("offline").await;
    assert_eq!(site.told().await, Vec::<String>::new());
    // What fails while the disk is there is a failure.
    site.helper.set(|desk| desk.pulled_after_write = false);
    site.helper.plug(UUID, SERIAL);
    site.pve_sees("online").await;
    let text = "job failed: unexpected".to_owned();
    site.bench.world.inject(Fault {
        id: Some("9001".to_owned()),
        ..Fault::task("vzdump:archive", FaultKind::TaskFail { text })
    });
    let ran = site.bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::TaskFailed, "{ran:?}");
}
