//! Guests and boxes as they should not be: foreign, locked, reaching for the host; no room, no isolation, somebody else at work.

use std::time::Duration;

use felhom_engine::{JobId, Mark};
use felhom_proxmox::pve::guests::{LxcSettings, RestoreLxc};
use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use super::{assert_untouched, refused};
use crate::support::*;

/// A mark that is not of this journal.
fn foreign(number: u32) -> Mark {
    Mark {
        installation: "f".repeat(32).parse().unwrap(),
        job: JobId::from_bits(0xf00d),
        vmid: vmid(number),
    }
}

/// A guest in the scratch pool, made by somebody else, with this description.
async fn put_scratch(bench: &Bench, number: u32, description: &str) {
    let archive = bench.run(&["backup", "list", "9001"]).await.data()[0]["volid"].clone();
    let restore = RestoreLxc {
        vmid: vmid(number),
        archive: archive.as_str().unwrap().parse().unwrap(),
        storage: Some("local-lvm".parse().unwrap()),
        settings: LxcSettings {
            pool: Some("felhom-scratch".parse().unwrap()),
            description: Some(description.to_owned()),
            ..LxcSettings::default()
        },
        bwlimit: None,
    };
    let root = bench.root();
    let upid = root.restore_lxc(&restore).await.unwrap().into_upid();
    let runs = |bench: &Bench| {
        bench.world.state()["running_tasks"]
            .to_string()
            .contains(&upid.to_string())
    };
    eventually("it is restored", || !runs(bench)).await;
}

fn guest(bench: &Bench, number: u32) -> Value {
    bench.world.state()["world"]["guests"][number.to_string()].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_guest_in_the_scratch_range_is_left_alone() {
    let bench = Bench::new().await;
    bench.backup(9001).await;
    put_scratch(&bench, 9100, &format!("somebody's\n{}", foreign(9100))).await;
    let before = guest(&bench, 9100);
    // A test takes the next VMID, a reap finds nothing of ours.
    let ran = bench
        .program(&["restore-test", "run", "9001", "--json"], "")
        .await;
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    assert_eq!(ran.json()["data"]["scratch"], 9101);
    let ran = bench.program(&["restore-test", "reap"], "").await;
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    assert_eq!(bench.scratch_guests(), ["9100"]);
    assert_eq!(guest(&bench, 9100), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_carries_a_foreign_mark_in_the_end_is_left_alone_and_reported() {
    let bench = Bench::new().await;
    bench.backup(9001).await;
    let slow = FaultKind::TaskDelay { seconds: 60.0 };
    bench.world.inject(Fault::task("vzstart", slow));
    let retouch = async {
        let starts = || {
            bench.world.state()["running_tasks"]
                .to_string()
                .contains(":vzstart:9100:")
        };
        eventually("the copy starts", starts).await;
        let description = format!("mine {}", foreign(9100));
        bench
            .poke(9100, json!({ "set": { "description": description } }))
            .await;
    };
    let (ran, ()) = tokio::join!(
        bench.program(&["restore-test", "run", "9001", "--json"], ""),
        retouch
    );
    assert!(matches!(ran.exit, Some(3 | 11)), "{ran:?}");
    let told = ran.json()["data"].clone();
    assert_eq!(told["nothing_left"], false);
    assert_eq!(told["findings"][0]["code"], "scratch-foreign", "{told}");
    let detail = told["findings"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("another installation"), "{detail}");

    let before = guest(&bench, 9100);
    let counts = bench.mutations();
    assert!(
        !counts.contains_key("vzdestroy 9100") && !counts.contains_key("vzstop 9100"),
        "{counts:?}"
    );
    let ran = bench.program(&["restore-test", "reap"], "").await;
    assert_eq!(ran.exit, Some(3), "{ran:?}");
    assert!(ran.stdout.contains("[scratch-foreign]"), "{ran:?}");
    assert_eq!((guest(&bench, 9100), bench.mutations()), (before, counts));
    let status = bench.program(&["status"], "").await;
    assert!(status.stdout.contains("[scratch-foreign]"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reaches_for_the_host_is_found_in_the_archive_and_never_restored() {
    for (poked, word) in [
        (
            json!({ "set": { "hookscript": "local:snippets/hook.sh" } }),
            "hookscript: local:snippets/hook.sh",
        ),
        (json!({ "set": { "dev0": "/dev/ttyUSB0" } }), "`dev0`"),
        (
            json!({ "raw": [["lxc.mount.entry", "/etc etc none bind 0 0"]] }),
            "lxc.mount.entry",
        ),
        (json!({ "delete": ["unprivileged"] }), "privileged"),
    ] {
        let bench = Bench::new().await;
        bench.poke(9001, poked).await;
        let volid = bench.backup(9001).await.to_string();
        let before = bench.mutations();
        for dry in [true, false] {
            let mut args = vec!["restore-test", "run", volid.as_str(), "--json"];
            args.extend(dry.then_some("--dry-run"));
            let ran = bench.program(&args, "").await;
            assert_eq!(ran.exit, Some(11), "{word}: {ran:?}");
            let data = ran.json()["data"].clone();
            assert_eq!(data["judgement"]["verdict"], "error", "{data}");
            assert!(
                data["judgement"]["reasons"].to_string().contains(word),
                "{data}"
            );
        }
        // A restore that stays brings back what the guest had, or tells what no token brings back; it is told in any case.
        let plan = bench.program(&["restore", "plan", &volid], "").await;
        let told = word.trim_matches('`');
        assert!(plan.stdout.contains(told), "{plan:?}");
        let refused = word == "privileged";
        assert_eq!(plan.exit, Some(if refused { 4 } else { 0 }), "{plan:?}");
        assert_eq!(plan.stdout.contains("refused: "), refused, "{plan:?}");
        assert_eq!(
            bench.mutations(),
            before,
            "{word}: nothing is made, the notes are not touched"
        );
        let tests = bench.journal().await.tests(None).await.unwrap();
        assert_eq!(
            tests.len(),
            1,
            "one verdict, from the run that was no rehearsal"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_vmid_or_an_isolated_bridge_nothing_is_restored() {
    let full = FAST.replace(
        "memory_mib",
        "first_vmid = 9010\nlast_vmid = 9010\nmemory_mib",
    );
    let open = FAST.replace("memory_mib", "bridge = \"vmbr0\"\nmemory_mib");
    let absent = FAST.replace("memory_mib", "bridge = \"vmbr7\"\nmemory_mib");
    let no_pool = FAST.replace("memory_mib", "pool = \"nobodys\"\nmemory_mib");
    let no_room = FAST.replace("root_mib = 16", "root_mib = 16000000");
    let no_memory = FAST.replace("root_mib = 16", "root_mib = 16\nmemory_mib = 16000");
    for (extra, exit, word) in [
        (full, 4, "no VMID is free in 9010 to 9010"),
        (open, 11, "bridge `vmbr0` is not isolated: port"),
        (absent, 11, "bridge `vmbr7` is not there"),
        (no_pool, 5, "pool 'nobodys' does not exist"),
        (no_room, 11, "root disk"),
        (no_memory, 11, "memory"),
    ] {
        let bench = Bench::with(&extra, None).await;
        bench.backup(9001).await;
        let before = (bench.mutations(), bench.production());
        let ran = bench.program(&["restore-test", "run", "9001"], "").await;
        assert_eq!(ran.exit, Some(exit), "{word}: {ran:?}");
        assert!(ran.stdout.contains(word), "{word}: {ran:?}");
        assert!(ran.stdout.contains("nothing was made"), "{ran:?}");
        assert_eq!((bench.mutations(), bench.production()), before);
        assert!(bench.journal().await.unfinished().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_guest_is_waited_for_and_then_refused_with_the_reason() {
    let bench = Bench::with(&FAST.replace("wait = \"5s\"", "wait = \"700ms\""), None).await;
    bench
        .poke(9001, json!({ "set": { "lock": "snapshot" } }))
        .await;
    let ran = bench.program(&["backup", "run", "9001"], "").await;
    assert_eq!(ran.exit, Some(4), "{ran:?}");
    assert!(
        ran.stderr
            .contains("waiting: guest 9001 is locked (snapshot)"),
        "{ran:?}"
    );
    assert!(
        ran.stdout
            .contains("gave up waiting: guest 9001 is locked (snapshot)"),
        "{ran:?}"
    );
    assert!(bench.mutations().is_empty());
    // A rehearsal says what it would wait for, and does not wait.
    let ran = bench
        .program(&["backup", "run", "9001", "--dry-run"], "")
        .await;
    assert!(
        ran.stdout
            .contains("waiting: guest 9001 is locked (snapshot)"),
        "{ran:?}"
    );
    bench.poke(9001, json!({ "delete": ["lock"] })).await;
    bench.backup(9001).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_goes_in_time_is_waited_for() {
    let bench = Bench::new().await;
    bench
        .poke(9001, json!({ "set": { "lock": "backup" } }))
        .await;
    let unlock = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        bench.poke(9001, json!({ "delete": ["lock"] })).await;
    };
    let (ran, ()) = tokio::join!(bench.program(&["backup", "run", "9001"], ""), unlock);
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    assert_eq!(bench.mutations().get("vzdump 9001"), Some(&1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_told_who_works_and_at_what() {
    let bench = Bench::new().await;
    bench.backup(9001).await;
    let mut journal = bench.journal().await;
    journal.say("restore test of local:backup/x, job 0123456789abcdef");
    let before = (bench.mutations(), bench.jobs().await);
    let holder = format!("pid {}", std::process::id());
    for args in [
        &["backup", "run", "9010"][..],
        &["restore-test", "run"],
        &["restore-test", "reap"],
        &["selftest", "task", "9001"],
        &["selftest", "restore-test"],
    ] {
        let told = refused(&bench, args).await;
        told.says(75, &[&holder, "job 0123456789abcdef"]);
        assert_eq!(told.code(), "busy");
        assert!(told.hint().contains("try again"), "{}", told.error);
    }
    // Looking is free.
    for args in [
        &["status"][..],
        &["backup", "list"],
        &["restore-test", "list"],
        &["backup", "run", "9010", "--dry-run"],
        &["restore-test", "reap", "--dry-run"],
    ] {
        let ran = bench.program(args, "").await;
        assert!(matches!(ran.exit, Some(0 | 3)), "{args:?}: {ran:?}");
    }
    assert_eq!((bench.mutations(), bench.jobs().await), before);
    drop(journal);
    let ran = bench.program(&["restore-test", "run"], "").await;
    assert_eq!(ran.exit, Some(0), "the lock goes with its holder: {ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopting_needs_a_mark_for_this_vmid_and_the_vmid_typed() {
    let bench = Bench::new().await;
    bench.backup(9001).await;
    put_scratch(&bench, 9100, &format!("left over\n{}", foreign(9100))).await;
    put_scratch(&bench, 9101, &format!("a clone\n{}", foreign(9100))).await;
    put_scratch(&bench, 9102, "made by hand").await;
    let before = (bench.mutations(), bench.jobs().await);

    let adopt = |number: &'static str| ["--json", "restore-test", "reap", "--adopt", number];
    for (number, typed, exit, word) in [
        ("9001", "9001\n", 4, "outside the scratch range"),
        ("9101", "9101\n", 4, "no mark of felhom-agent for this VMID"),
        ("9102", "9102\n", 4, "no mark of felhom-agent for this VMID"),
        ("9150", "9150\n", 5, "there is no guest 9150"),
        ("9100", "9101\n", 4, "was not typed"),
        ("9100", "yes\n", 4, "was not typed"),
        ("9100", "", 4, "was not typed"),
    ] {
        let ran = bench.program(&adopt(number), typed).await;
        assert_eq!(ran.exit, Some(exit), "{number}, {typed:?}: {ran:?}");
        assert!(
            ran.json()["error"]["message"]
                .as_str()
                .unwrap()
                .contains(word),
            "{ran:?}"
        );
    }
    let dry = bench
        .program(
            &["restore-test", "reap", "--adopt", "9100", "--dry-run"],
            "",
        )
        .await;
    assert_eq!(dry.exit, Some(0), "{dry:?}");
    let line = "it will be stopped and destroyed";
    assert!(
        dry.stdout.contains("9100") && dry.stdout.contains(line),
        "{dry:?}"
    );
    let dry = bench
        .program(
            &["restore-test", "reap", "--adopt", "9102", "--dry-run"],
            "",
        )
        .await;
    assert_eq!(dry.exit, Some(4), "{dry:?}");
    assert_eq!((bench.mutations(), bench.jobs().await), before);

    let ran = bench
        .program(&["restore-test", "reap", "--adopt", "9100"], "9100\n")
        .await;
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    assert!(
        ran.stderr.contains(line) && ran.stderr.contains("type 9100"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("scratch 9100 is gone"), "{ran:?}");
    assert_eq!(bench.scratch_guests(), ["9101", "9102"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_that_cannot_be_made_is_named() {
    let bench = Bench::new().await;
    std::fs::write(bench.directory.path().join("box/agent-state"), "a file").unwrap();
    let told = refused(&bench, &["backup", "run", "9001"]).await;
    assert!(told.message().contains("agent-state"), "{}", told.error);
    assert_eq!(told.exit, 78, "{}", told.error);
    std::fs::remove_file(bench.directory.path().join("box/agent-state")).unwrap();
    assert_untouched(&bench).await;
}
