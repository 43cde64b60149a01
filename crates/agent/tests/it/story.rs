//! The main job, asserted on the world and on the records: back up, prove, restore, boot, remove, write down.

use felhom_agent::exit::Exit;
use felhom_engine::{BackupVerdict, EvidenceLevel, Posture, Verdict};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_guests_are_backed_up_proven_restored_and_noted() {
    let bench = Bench::new().await;
    let production = bench.production();
    let first = bench.backup(9001).await;
    let second = bench.backup(9010).await;

    the_content_is_proven(&bench, &second).await;
    for volid in [&first, &second] {
        it_comes_back(&bench, volid).await;
    }
    assert!(bench.scratch_guests().is_empty() && bench.scratch_volumes().is_empty());
    assert_eq!(bench.production(), production);
    it_is_written_down(&bench).await;
}

async fn the_content_is_proven(bench: &Bench, second: &felhom_ids::VolumeId) {
    let journal = bench.journal().await;
    let of_second = journal.backup_of(second).await.unwrap().unwrap().report;
    assert_eq!(of_second.verdict, BackupVerdict::Good);
    let members = |key: &str| {
        of_second
            .content
            .as_ref()
            .unwrap()
            .mounts
            .get(key)
            .map_or(0, |tally| tally.members)
    };
    assert!(members("rootfs") > 0 && members("mp1") > 0);
    assert_eq!(
        (members("mp2"), members("mp3")),
        (0, 0),
        "what is out is out"
    );
    let volumes: Vec<_> = of_second
        .docker_volumes
        .iter()
        .map(|volume| (volume.name.as_str(), volume.root_present, volume.files))
        .collect();
    assert_eq!(
        volumes,
        [("b2vol", true, 2), ("bulkvol", true, 0)],
        "the traps: a named volume lies in the rootfs and is in; of one that is bound onto an excluded mount there is \
         an empty directory"
    );
    let sampled = &of_second.docker_volumes[0].samples;
    let paths: Vec<_> = sampled.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["SENTINEL_DOCKERVOL", "library.db"]);
    assert_eq!(sampled[1].size, 1 << 20);
    assert_ne!(sampled[0].sha256, sampled[1].sha256);
}

async fn it_comes_back(bench: &Bench, volid: &felhom_ids::VolumeId) {
    let ran = bench
        .run(&["restore-test", "run", &volid.to_string()])
        .await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let data = ran.data();
    assert_eq!(data["verdict"], "passed");
    assert_eq!(data["judgement"]["level"], "booted");
    assert_eq!(data["nothing_left"], true);
    assert!(data["rto_ms"].as_u64().unwrap() > 0);
    let restore: felhom_ids::Upid = data["restore_upid"].as_str().unwrap().parse().unwrap();
    assert_eq!(restore.user(), TESTER, "the confined principal did it");
}

async fn it_is_written_down(bench: &Bench) {
    let journal = bench.journal().await;
    let tests = journal.tests(None).await.unwrap();
    assert_eq!(tests.len(), 2);
    for test in &tests {
        assert_eq!(test.report.judgement.verdict, Verdict::Passed);
        assert_eq!(
            test.report.evidence.as_ref().unwrap().level(),
            Some(EvidenceLevel::Booted)
        );
    }
    let lost: Vec<_> = tests[0]
        .report
        .plan
        .as_ref()
        .unwrap()
        .lost
        .iter()
        .map(|lost| lost.key.clone())
        .collect();
    assert_eq!(lost, ["mp2", "mp3"]);
    drop(journal);

    let ran = bench.run(&["backup", "list"]).await;
    let rows = ran.data();
    for row in rows.as_array().unwrap() {
        assert!(
            row["notes"]
                .as_str()
                .unwrap()
                .starts_with("restore-tested "),
            "{row}"
        );
    }
    let ran = bench.run(&["status"]).await;
    let data = ran.data();
    let posture = |vmid: u64| {
        let guests = data["guests"].as_array().unwrap();
        guests.iter().find(|guest| guest["vmid"] == vmid).unwrap()["posture"].clone()
    };
    assert_eq!(
        posture(9001),
        serde_json::to_value(Posture::Protected).unwrap()
    );
    assert_eq!(
        posture(9010),
        serde_json::to_value(Posture::Attention).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_archive_fails_and_a_cut_one_too() {
    for truncate in [false, true] {
        let bench = Bench::new().await;
        let volid = bench.backup(9001).await;
        let damage = serde_json::json!({ "volid": volid.to_string(), "truncate": truncate });
        bench
            .world
            .control("corrupt-archive", damage)
            .await
            .unwrap();
        let ran = bench.run(&["restore-test", "run", "9001"]).await;
        assert_eq!(ran.exit, Exit::VerdictFailed, "{}", ran.text());
        assert!(bench.scratch_guests().is_empty() && bench.scratch_volumes().is_empty());
        let notes = bench.run(&["backup", "list"]).await.data()[0]["notes"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(notes.contains(": failed"), "{notes}");
        let ran = bench.run(&["backup", "proof", &volid.to_string()]).await;
        assert_eq!(ran.exit, Exit::VerdictFailed, "{}", ran.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_whose_init_is_gone_does_not_boot_and_one_that_dies_does_not_pass() {
    for (file, content) in [("sbin/init", None), ("etc/sim-crash-after", Some("1"))] {
        let bench = Bench::new().await;
        let poked = serde_json::json!({ "vmid": 9001, "files": { file: content } });
        bench.world.control("poke-guest", poked).await.unwrap();
        bench.backup(9001).await;
        let ran = bench.run(&["restore-test", "run", "9001"]).await;
        assert_eq!(ran.exit, Exit::VerdictFailed, "{file}: {}", ran.text());
        assert!(bench.scratch_guests().is_empty(), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_init_that_leaves_the_network_alone_says_nothing_about_the_backup() {
    let quick = FAST.replace("evidence_timeout = \"5s\"", "evidence_timeout = \"500ms\"");
    let bench = Bench::with(&quick, None).await;
    let poked = serde_json::json!({ "vmid": 9001, "files": { "sbin/ifup": null } });
    bench.world.control("poke-guest", poked).await.unwrap();
    bench.backup(9001).await;
    let ran = bench.run(&["restore-test", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::VerdictError, "{}", ran.text());
    assert!(ran.text().contains("was not reached"), "{}", ran.text());
    assert!(bench.scratch_guests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_subject_the_guest_whose_proof_is_oldest_is_tested() {
    let bench = Bench::new().await;
    bench.backup(9001).await;
    bench.backup(9010).await;
    let first = bench.run(&["restore-test", "run"]).await.data()["source"].clone();
    let second = bench.run(&["restore-test", "run"]).await.data()["source"].clone();
    let third = bench.run(&["restore-test", "run"]).await.data()["source"].clone();
    assert_ne!(first, second);
    assert_eq!(first, third);
}
