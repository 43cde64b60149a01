//! The same against the simulated host: its helper, its disks, and PVE's storages on them.

use felhom_agent::exit::Exit;
use felhom_proxmox::{Method, Request};
use felhom_simulator::{Fault, FaultKind};

use super::*;

/// The disk that is plugged in from the beginning.
const DISK: &str = "usb1";

async fn world(name: &str, body: Value, bench: &Bench) {
    bench.world.control(name, body).await.unwrap();
}

async fn detach(bench: &Bench) {
    world("disk-detach", json!({ "id": DISK }), bench).await;
}

async fn attach(bench: &Bench) {
    world("disk-attach", json!({ "id": DISK }), bench).await;
}

/// A box whose helper is the simulated host's.
async fn bench() -> Bench {
    let extra = extra().replace("hostd.sock", "../world/hostd.sock");
    Bench::with(&extra, None).await
}

/// The disk is adopted, and PVE has the storage that the agent prints.
async fn adopted() -> Bench {
    let bench = bench().await;
    let ran = bench.run(&ADOPT).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let command = ran.data()["commands"][0].as_str().unwrap().to_owned();
    assert!(
        command.starts_with("pvesm add dir usb1 --path /mnt/felhom/usb1 "),
        "{command}"
    );
    let create = CreateStorage {
        storage: "usb1".parse().unwrap(),
        place: StoragePlace::Dir {
            path: "/mnt/felhom/usb1".to_owned(),
            is_mountpoint: true,
        },
        content: vec!["backup".to_owned()],
        prune_backups: None,
    };
    bench.root().call(&create).await.unwrap();
    bench
}

async fn standing(bench: &Bench) -> (Exit, String) {
    let ran = bench.run(&["storage", "list"]).await;
    let data = ran.data();
    let mut all = data.as_array().unwrap().iter();
    let usb = all.find(|one| one["id"] == "usb1").unwrap();
    (
        ran.exit,
        usb["target"]["standing"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_is_found_adopted_written_ejected_pulled_and_comes_back() {
    let bench = bench().await;
    let listed = bench.run(&["host", "devices"]).await;
    assert!(listed.text().contains(ADOPT[2]), "{listed:?}");
    drop(bench);
    let bench = adopted().await;
    assert_eq!(standing(&bench).await, (Exit::Done, "attached".into()));
    let first = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(first.data()["verdict"], "good", "{first:?}");
    let ran = bench.run(&["storage", "eject", "usb1"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    detach(&bench).await;
    assert_eq!(standing(&bench).await, (Exit::Done, "detached".into()));
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    attach(&bench).await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
    let listed = bench.run(&["backup", "list"]).await;
    let text = listed.text();
    assert_eq!(
        text.matches("usb1:backup/vzdump-lxc-9001-").count(),
        2,
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_disk_and_a_copy_of_it_are_wrong_and_stay_as_they_are() {
    let bench = adopted().await;
    // A copy, made before the last try: its mark is old.
    let copy = json!({ "id": DISK, "to": "copy" });
    world("disk-clone", copy, &bench).await;
    let first = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(first.data()["verdict"], "good", "{first:?}");
    detach(&bench).await;
    for swapped in [
        json!({ "id": "copy" }),
        json!({ "id": "other", "uuid": UUID }),
    ] {
        world("disk-attach", swapped.clone(), &bench).await;
        let counts = bench.mutations();
        assert_eq!(
            standing(&bench).await,
            (Exit::Findings, "wrong".into()),
            "{swapped}"
        );
        let ran = bench.run(&["backup", "run", "9001"]).await;
        assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
        assert!(ran.text().contains("[target-wrong]"), "{ran:?}");
        assert_eq!(bench.mutations(), counts);
        let id = &swapped["id"];
        world("disk-detach", json!({ "id": id }), &bench).await;
    }
    attach(&bench).await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_pulled_in_the_middle_ends_the_backup_and_leaves_nothing() {
    let bench = adopted().await;
    let production = bench.production();
    bench
        .world
        .inject(Fault::task("vzdump:archive", FaultKind::TaskHold));
    let pulled = async {
        while bench.world.held_answers() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        detach(&bench).await;
        bench.world.release();
    };
    let (ran, ()) = tokio::join!(bench.run(&["backup", "run", "9001"]), pulled);
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    assert_eq!(ran.data()["target"], "detached", "{ran:?}");
    assert!(bench.journal().await.unfinished().await.unwrap().is_empty());
    assert_eq!(bench.production(), production);
    attach(&bench).await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_and_a_read_only_disk_get_no_backup() {
    let bench = adopted().await;
    world("disk-fill", json!({ "id": DISK }), &bench).await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
    assert!(ran.text().contains("[target-full]"), "{ran:?}");
    world("disk-fill", json!({ "id": DISK, "bytes": 0 }), &bench).await;
    world("disk-read-only", json!({ "id": DISK }), &bench).await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
    assert!(ran.text().contains("[target-read-only]"), "{ran:?}");
}

/// The host starts anew: nothing is mounted, and the next backup mounts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_the_target_is_mounted_by_whoever_needs_it() {
    let bench = adopted().await;
    bench
        .world
        .power_cut(std::time::Duration::from_secs(20))
        .await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
    assert!(ran.text().contains("target `usb1` is mounted"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_helper_fits_and_is_missed_when_it_is_off() {
    let bench = adopted().await;
    let doctor = bench.run(&["doctor"]).await.data();
    assert_eq!(doctor["root_helper"]["state"], "works", "{doctor}");
    let scratch = json!({ "scratch": { "vmids": [9100, 9199], "tokens": ["somebody@pve!else"] } });
    world("host-config", scratch, &bench).await;
    let doctor = bench.run(&["doctor"]).await.data();
    assert_eq!(doctor["root_helper"]["state"], "not-configured", "{doctor}");
    world("host-off", json!({}), &bench).await;
    let doctor = bench.run(&["doctor"]).await.data();
    assert_eq!(doctor["root_helper"]["state"], "absent");
    let mut findings = doctor["findings"].as_array().unwrap().iter();
    assert!(
        findings.any(|one| one["code"] == "root-helper-absent"),
        "{doctor}"
    );
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
    world("host-on", json!({}), &bench).await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
}

/// What lies on a disk that is plugged in and not mounted is no less a backup to be tested.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_test_mounts_the_disk_that_its_archive_lies_on() {
    let bench = adopted().await;
    for (kind, who) in [("tokens", TESTER), ("users", "felhom-test@pve")] {
        let grant = Request::new(Method::Put, &[&"access", &"acl"])
            .with("path", "/storage/usb1")
            .with("roles", "FelhomTarget")
            .with(kind, who);
        let () = bench.root().client().send(&grant).await.unwrap();
    }
    let first = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(first.data()["verdict"], "good", "{first:?}");
    detach(&bench).await;
    let ran = bench.run(&["restore-test", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::NoSuchThing, "{ran:?}");
    assert!(
        ran.text().contains("what is on target `usb1` is not seen"),
        "{ran:?}"
    );
    let volid = first.data()["volid"].as_str().unwrap().to_owned();
    let ran = bench.run(&["restore-test", "run", &volid]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    attach(&bench).await;
    let ran = bench.run(&["restore-test", "run", "9001"]).await;
    assert_eq!(ran.data()["verdict"], "passed", "{ran:?}");
    assert!(ran.text().contains("target `usb1` is mounted"), "{ran:?}");
}
