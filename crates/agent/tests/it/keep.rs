//! Retention and proof kept: what is superseded and ours goes, nothing else does, and the last proof is protected.

use std::collections::BTreeSet;

use felhom_agent::exit::Exit;
use felhom_ids::VolumeId;
use felhom_proxmox::pve::backup::Vzdump;
use felhom_proxmox::pve::storage::SetVolumeAttributes;
use felhom_simulator::{Fault, FaultKind};

use crate::support::*;

/// Slow enough that the node's clock stays near ours for as long as a test takes.
const SLOWER: f64 = 25.0;

async fn bench() -> Bench {
    Bench::at(SLOWER, FAST, None).await
}

fn keep(bench: &Bench, rules: &str) {
    bench.reconfigure(|text| text.replacen("[backup]\n", &format!("[backup]\n{rules}\n"), 1));
}

/// All archives of 9001, as the simulator's root sees them.
async fn archives(bench: &Bench) -> BTreeSet<VolumeId> {
    let storage = "local".parse().unwrap();
    let listed = bench
        .root()
        .backups(&storage, Some(vmid(9001)))
        .await
        .unwrap();
    listed.into_iter().map(|volume| volume.volid).collect()
}

async fn protected(bench: &Bench, volid: &VolumeId) -> bool {
    bench.root().volume(volid).await.unwrap().protected
}

async fn protect(bench: &Bench, volid: &VolumeId) {
    let change = SetVolumeAttributes {
        volume: volid.clone(),
        notes: None,
        protected: Some(true),
    };
    bench.root().set_volume_attributes(&change).await.unwrap();
}

/// A backup that a person makes, without any mark.
async fn by_hand(bench: &Bench) -> VolumeId {
    let before = archives(bench).await;
    let backup = Vzdump::new(vmid(9001), "local".parse().unwrap());
    drop(bench.root().vzdump(&backup).await.unwrap());
    for _ in 0..500 {
        let running = bench.world.state()["running_tasks"].to_string();
        let new = archives(bench).await.difference(&before).next().cloned();
        if let Some(volid) = new.filter(|_| !running.contains(":vzdump:")) {
            return volid;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no backup was made");
}

fn volids(value: &serde_json::Value) -> BTreeSet<VolumeId> {
    let list = value.as_array().unwrap().iter();
    list.map(|one| one.as_str().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_planned_is_done_and_nobody_elses_archive_is_touched() {
    let bench = bench().await;
    let other = equip(
        &bench.world,
        &bench.directory.path().join("other-box"),
        FAST,
    );
    let kept_by_root = bench.backup(9001).await;
    protect(&bench, &kept_by_root).await;
    let first = bench.backup(9001).await;
    let by_hand = by_hand(&bench).await;
    let ran = run(&other, &["backup", "run", "9001"]).await;
    let by_other: VolumeId = ran.data()["volid"].as_str().unwrap().parse().unwrap();
    let second = bench.backup(9001).await;
    let third = bench.backup(9001).await;
    let fourth = bench.backup(9001).await;

    let ran = bench.run(&["backup", "prune"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(archives(&bench).await.len(), 7, "without rules all is kept");

    keep(&bench, "keep_last = 2");
    let plan = bench.run(&["backup", "prune", "--dry-run"]).await;
    assert_eq!(plan.exit, Exit::Done, "{}", plan.text());
    let decisions = plan.data()["decisions"].clone();
    let planned: BTreeSet<VolumeId> = decisions
        .as_array()
        .unwrap()
        .iter()
        .filter(|decision| decision["delete"] == true)
        .map(|decision| decision["volid"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(planned, [first, second].into(), "{}", plan.text());
    assert_eq!(archives(&bench).await.len(), 7, "a plan removes nothing");

    let ran = bench.run(&["backup", "prune", "9001"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(volids(&ran.data()["guests"][0]["deleted"]), planned);
    let left = [kept_by_root, by_hand, by_other, third, fourth];
    assert_eq!(archives(&bench).await, left.into());

    let again = bench.run(&["backup", "prune"]).await;
    assert!(volids(&again.data()["guests"][0]["deleted"]).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_backup_is_followed_by_the_rules_and_a_bad_one_is_not() {
    let bench = bench().await;
    let first = bench.backup(9001).await;
    let second = bench.backup(9001).await;
    keep(&bench, "keep_last = 2");
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(
        volids(&ran.data()["pruned"]["deleted"]),
        [first].into(),
        "{}",
        ran.text()
    );
    let left = archives(&bench).await;
    assert!(left.len() == 2 && left.contains(&second));

    bench.reconfigure(|text| text.replace("keep_last = 2", "keep_last = 1\nkeep_at_least = 1"));
    let text = "simulated".into();
    bench
        .world
        .inject(Fault::task("vzdump", FaultKind::TaskFail { text }));
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::TaskFailed, "{}", ran.text());
    assert_eq!(
        archives(&bench).await,
        left,
        "nothing goes in a run without a good backup"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_by_age_while_the_clocks_are_apart() {
    let bench = bench().await;
    for _ in 0..3 {
        bench.backup(9001).await;
    }
    keep(&bench, "keep_last = 1\nkeep_at_least = 1");
    let ahead = serde_json::json!({ "seconds": 7200.0 });
    bench.world.control("advance", ahead).await.unwrap();
    let ran = bench.run(&["backup", "prune"]).await;
    assert_eq!(archives(&bench).await.len(), 3, "{}", ran.text());
    assert!(ran.text().contains("s off ours"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_proof_is_protected_until_a_newer_one_passes() {
    let bench = bench().await;
    let test = async |volid: &VolumeId| {
        let ran = bench
            .run(&["restore-test", "run", &volid.to_string()])
            .await;
        assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
        ran.data()
    };
    let first = bench.backup(9001).await;
    assert_eq!(test(&first).await["protected"], true);
    assert!(protected(&bench, &first).await);

    let second = bench.backup(9001).await;
    let told = test(&second).await;
    assert_eq!(volids(&told["released"]), [first.clone()].into());
    assert!(protected(&bench, &second).await && !protected(&bench, &first).await);

    // What a person protected is not ours to release, now or later.
    let third = bench.backup(9001).await;
    protect(&bench, &third).await;
    assert_eq!(test(&third).await["protected"], false);
    assert!(!protected(&bench, &second).await);
    let fourth = bench.backup(9001).await;
    test(&fourth).await;
    assert!(protected(&bench, &third).await && protected(&bench, &fourth).await);

    // An older one that passes again takes nothing from the newer proof.
    test(&first).await;
    assert!(protected(&bench, &fourth).await && !protected(&bench, &first).await);

    // Somebody else's archive may pass; how it is kept is theirs to say.
    let theirs = by_hand(&bench).await;
    assert_eq!(test(&theirs).await["protected"], false);
    assert!(!protected(&bench, &theirs).await && protected(&bench, &fourth).await);
}
