//! The host report: whole from a box that answers, possible from one that does not, numbered, and healed when the box is.

use std::collections::BTreeSet;

use felhom_agent::exit::Exit;
use felhom_protocol::host::{Guest, HostReport, Posture};
use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::helper::Helper;
use crate::support::*;

const HOST: &str = "\n[host]\nsocket = \"hostd.sock\"\n";

async fn bench() -> Bench {
    Bench::with(&format!("{FAST}{HOST}"), None).await
}

fn listen(bench: &Bench) -> Helper {
    Helper::listen(&bench.directory.path().join("box/hostd.sock"))
}

async fn report(bench: &Bench) -> HostReport {
    let ran = bench.run(&["report"]).await;
    serde_json::from_value(ran.data()).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn codes(report: &HostReport) -> BTreeSet<String> {
    let found = report.findings.iter();
    found
        .map(|one| format!("{} {}", one.code, one.subject))
        .collect()
}

fn unknown(report: &HostReport) -> Vec<&str> {
    report.unknown.iter().map(|one| one.what.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one box, looked at from every side")]
async fn every_part_of_a_box_that_answers_is_told() {
    let bench = bench().await;
    let _helper = listen(&bench);
    let volid = bench.backup(9001).await.to_string();
    assert_eq!(
        bench.run(&["restore-test", "run", "9001"]).await.exit,
        Exit::Done
    );
    let disk = json!({
        "device": "/dev/sdb", "type": "ssd", "model": "DISK", "size": 1_u64 << 40, "health": "PASSED", "left": 60, "celsius": 38,
    });
    bench.world.control("put-disk", disk).await.unwrap();

    let told = report(&bench).await;
    assert_eq!(unknown(&told), Vec::<&str>::new());
    let installation = bench.journal().await.installation().to_string();
    assert_eq!(told.installation, installation);
    assert_eq!(told.sequence, 1);
    let node = &told.node;
    assert!(node.pve_version.is_some() && node.kernel.is_some() && node.updates.is_some());
    assert!(node.memory.is_some() && node.root.is_some() && node.load.len() == 3);
    let storages: Vec<_> = told.storages.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(storages, ["local", "local-lvm"]);
    assert!(told.storages.iter().all(|one| one.usage.is_some()));
    assert_eq!(told.thin_pools[0].name, "pve/data");
    assert!(
        told.disks
            .iter()
            .any(|one| one.device == "/dev/sdb" && one.worn_percent == Some(40))
    );
    assert!(!told.temperatures.is_empty());

    let guest = told.guests.iter().find(|one| one.vmid == 9001).unwrap();
    assert_eq!((guest.posture, guest.running), (Posture::Protected, true));
    let backup = guest.last_backup.as_ref().unwrap();
    assert_eq!(
        (backup.verdict.as_str(), backup.volid.as_ref()),
        ("good", Some(&volid))
    );
    let proof = guest.last_proof.as_ref().unwrap();
    assert_eq!(
        (proof.verdict.as_str(), proof.volid.as_str()),
        ("passed", volid.as_str())
    );
    assert_eq!(proof.evidence.as_deref(), Some("booted"));
    assert!(proof.rto_ms.is_some());
    let other = told.guests.iter().find(|one| one.vmid == 9010).unwrap();
    assert_eq!(other.posture, Posture::Unprotected);
    let jobs: Vec<_> = told
        .jobs
        .iter()
        .map(|job| (job.kind.as_str(), job.verdict.as_str()))
        .collect();
    assert_eq!(jobs, [("restore-test", "passed"), ("backup", "good")]);
    assert!(told.jobs.iter().all(|job| job.ended_s >= job.began_s));

    // What is kept is what was told, and needs nobody to be shown again.
    let last = bench.run(&["report", "--last"]).await;
    assert_eq!(last.data(), serde_json::to_value(&told).unwrap());
    let text = last.text();
    for words in [
        "report 1 of demo-felhom",
        "thin pools",
        "last jobs",
        "last proof passed (booted)",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// A document that any reader of the protocol can read, and that the committed schema knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_prints_the_document_of_the_protocol() {
    let bench = bench().await;
    let ran = bench.program(&["report", "--json"], "").await;
    assert_eq!(ran.exit, Some(3), "{ran:?}");
    let told: HostReport = felhom_protocol::read(ran.stdout.as_bytes()).unwrap();
    assert_eq!(told.sequence, 1);
    let none = bench.program(&["--json", "report", "--last"], "").await;
    assert_eq!(none.exit, Some(3), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_grow_and_who_holds_the_journal_is_not_in_the_way() {
    let bench = bench().await;
    assert_eq!(
        bench.run(&["report", "--last"]).await.exit,
        Exit::NoSuchThing
    );
    for number in 1..=2 {
        assert_eq!(report(&bench).await.sequence, number);
    }
    let holder = bench.journal().await;
    assert_eq!(report(&bench).await.sequence, 3);
    drop(holder);
    // Whoever only looks takes no number.
    bench.run(&["status"]).await;
    assert_eq!(report(&bench).await.sequence, 4);
    // The journal cannot be had: the report is there, and says that it has no number.
    let state = bench.state_dir();
    let away = state.with_extension("away");
    std::fs::rename(&state, &away).unwrap();
    std::fs::write(&state, "no directory").unwrap();
    let told = report(&bench).await;
    assert_eq!(told.sequence, 0);
    assert!(unknown(&told).contains(&"journal"), "{told:?}");
    assert!(!told.guests.is_empty());
    std::fs::remove_file(&state).unwrap();
    std::fs::rename(&away, &state).unwrap();
    assert_eq!(report(&bench).await.sequence, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_silent_part_is_named_and_the_rest_is_whole() {
    let bench = bench().await;
    let _helper = listen(&bench);
    bench.backup(9001).await;
    let whole = report(&bench).await;
    for (path, what) in [
        ("/nodes/*/status", "node"),
        ("/nodes/*/disks/list", "disks"),
        ("/nodes/*/disks/lvmthin", "thin pools"),
        ("/nodes/*/apt/versions", "updates"),
        ("/nodes/*/storage/local/content", "storage local"),
        ("/nodes/*/storage", "storages"),
        ("/storage", "storages"),
        ("/nodes/*/lxc/9001/config", "guest 9001"),
        ("/nodes/*/network", "rights and health"),
    ] {
        bench
            .world
            .control("clear-faults", json!({}))
            .await
            .unwrap();
        report(&bench).await;
        let mut fault = Fault::request("GET", path, FaultKind::Garbage);
        fault.count = None;
        bench.world.inject(fault);
        let told = report(&bench).await;
        assert!(unknown(&told).contains(&what), "{path}: {:?}", told.unknown);
        if what == "node" {
            continue;
        }
        assert_eq!(unknown(&told), [what], "{path}: {:?}", told.unknown);
        assert_eq!(told.guests.len(), whole.guests.len(), "{path}");
        let unlisted = what == "storages";
        let listed = if unlisted { 0 } else { whole.storages.len() };
        assert_eq!(told.storages.len(), listed, "{path}");
        // What was not seen is missed by nobody.
        assert_eq!(codes(&told), codes(&whole), "{path}");
        let unprotected = |one: &Guest| one.posture == Posture::Unprotected;
        assert!(!unlisted || !told.guests.iter().any(unprotected), "{path}");
        assert_eq!(told.disks.is_empty(), what == "disks", "{path}");
        assert_eq!(told.thin_pools.is_empty(), what == "thin pools", "{path}");
        assert_eq!(told.node.updates.is_none(), what == "updates", "{path}");
        assert_eq!(told.temperatures, whole.temperatures, "{path}");
        let guest = told.guests.iter().find(|one| one.vmid == 9001).unwrap();
        // What was known of its past is as true as before.
        assert!(guest.newest_archive_s.is_some(), "{path}");
        let former = whole.guests.iter().find(|one| one.vmid == 9001).unwrap();
        assert_eq!(guest.last_backup, former.last_backup, "{path}");
        assert!(guest.last_backup.is_some() && guest.good_backup_s.is_some());
        let expected = match what {
            "guest 9001" | "storage local" | "storages" => Posture::Unknown,
            _ => Posture::Attention,
        };
        assert_eq!(guest.posture, expected, "{path}: {guest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_leaves_what_is_remembered() {
    let bench = bench().await;
    let _helper = listen(&bench);
    bench.backup(9001).await;
    let before = report(&bench).await;
    let text = std::fs::read_to_string(&bench.config).unwrap();
    std::fs::write(
        &bench.config,
        text.replace(&bench.world.url(), "https://127.0.0.1:1"),
    )
    .unwrap();
    let told = report(&bench).await;
    assert_eq!(told.sequence, before.sequence + 1);
    for what in ["node", "storages", "guests", "disks"] {
        assert!(unknown(&told).contains(&what), "{what}: {:?}", told.unknown);
    }
    let names = |report: &HostReport| {
        let guests = report.guests.iter();
        guests
            .map(|one| (one.vmid, one.name.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&told), names(&before));
    assert!(
        told.guests
            .iter()
            .all(|one| one.posture == Posture::Unknown)
    );
    let guest = told.guests.iter().find(|one| one.vmid == 9001).unwrap();
    assert_eq!(guest.last_backup.as_ref().unwrap().verdict, "good");
    assert!(codes(&told).contains("node-silent node"), "{told:?}");
    assert_eq!(told.temperatures, before.temperatures);
    assert_eq!(told.jobs.len(), 1);
    // The page of `status` says why there is none, as ever.
    assert_eq!(bench.run(&["status"]).await.exit, Exit::Remote);
    std::fs::write(&bench.config, text).unwrap();
    let healed = report(&bench).await;
    assert!(!codes(&healed).contains("node-silent node"));
    assert_eq!(unknown(&healed), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_backups_and_tests_are_told_until_they_are_good_again() {
    let bench = bench().await;
    let volid = bench.backup(9001).await.to_string();
    assert_eq!(codes(&report(&bench).await), BTreeSet::new());
    bench.world.corrupt_archive(&volid).await.unwrap();
    bench.run(&["restore-test", "run", "9001"]).await;
    assert!(codes(&report(&bench).await).contains("restore-test-failed guest 9001"));
    bench.world.inject(Fault::task(
        "vzdump:end",
        FaultKind::TaskFail {
            text: "no space left".into(),
        },
    ));
    let failed = bench.run(&["backup", "run", "9001"]).await;
    assert_ne!(failed.exit, Exit::Done, "{failed:?}");
    let told = report(&bench).await;
    assert!(
        codes(&told).contains("backup-failed guest 9001"),
        "{told:?}"
    );
    assert!(
        told.findings.iter().all(|one| one.remedy.is_some()),
        "{told:?}"
    );
    // Both heal by themselves.
    bench.backup(9001).await;
    assert!(!codes(&report(&bench).await).contains("backup-failed guest 9001"));
    assert_eq!(
        bench.run(&["restore-test", "run", "9001"]).await.exit,
        Exit::Done
    );
    assert_eq!(codes(&report(&bench).await), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_heat_and_a_bridge_that_leads_somewhere_are_told_and_heal() {
    let bench = bench().await;
    let _helper = listen(&bench);
    let disk = |health: &str, left: Value| {
        json!({
            "device": "/dev/sdb", "type": "ssd", "model": "DISK", "size": 1_u64 << 40, "health": health, "left": left, "celsius": 38,
        })
    };
    bench
        .world
        .control("put-disk", disk("FAILED!", json!(5)))
        .await
        .unwrap();
    let expected: BTreeSet<String> = ["disk-failing disk /dev/sdb", "disk-worn disk /dev/sdb"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    let told = report(&bench).await;
    assert_eq!(codes(&told), expected, "{told:?}");
    bench
        .world
        .control("put-disk", disk("PASSED", json!(80)))
        .await
        .unwrap();
    assert_eq!(codes(&report(&bench).await), BTreeSet::new());
    let suppress = [
        "findings",
        "suppress",
        "disk-failing",
        "--until",
        "2099-01-01",
        "--reason",
        "it is known",
    ];
    assert_eq!(bench.run(&suppress).await.exit, Exit::Done);
    bench
        .world
        .control("put-disk", disk("FAILED!", json!(80)))
        .await
        .unwrap();
    let told = report(&bench).await;
    assert_eq!((codes(&told), told.suppressed), (BTreeSet::new(), 1));
}

/// Everything at once: long names, a disk that fails, updates, a server that is mute, findings, jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one box, looked at from every side")]
async fn the_page_fits_eighty_columns_whatever_is_on_it() {
    let bench = bench().await;
    let _helper = listen(&bench);
    secret(&bench.directory.path().join("box/offsite"), "secret", 0o600);
    let server = format!(
        "\n[pbs.offsite]\nurl = \"https://127.0.0.1:1\"\nfingerprint = \"{}\"\ntoken = \"felhom@pbs!agent\"\n\
         secret_file = \"offsite\"\ndatastore = \"a-datastore-with-a-long-name\"\n",
        ["ab"; 32].join(":")
    );
    let text = std::fs::read_to_string(&bench.config).unwrap();
    std::fs::write(&bench.config, format!("{text}{server}")).unwrap();
    let name = "a-host-name-as-long-as-some-people-like-them-and-then-some";
    bench
        .poke(9001, json!({ "set": { "hostname": name } }))
        .await;
    let volid = bench.backup(9001).await.to_string();
    bench.backup(9010).await;
    bench.world.corrupt_archive(&volid).await.unwrap();
    bench.run(&["restore-test", "run", "9001"]).await;
    let disk = json!({
        "device": "/dev/nvme0n1", "type": "ssd", "model": "A MODEL WITH A NAME THAT GOES ON AND ON AND ON AND ON",
        "size": 1_u64 << 40, "health": "FAILED!", "left": 1, "celsius": 68,
    });
    bench.world.control("put-disk", disk).await.unwrap();
    let order = json!({ "package": "pve-manager", "version": "9.2.12" });
    bench.world.control("put-update", order).await.unwrap();
    let suppress = [
        "findings",
        "suppress",
        "disk-worn",
        "--until",
        "2099-01-01",
        "--reason",
        "a reason that somebody has written down at some length, since it has to be understood in a year",
    ];
    assert_eq!(bench.run(&suppress).await.exit, Exit::Done);
    for args in [["status"], ["report"]] {
        let ran = bench.program(&args, "").await;
        assert_eq!(ran.exit, Some(3), "{ran:?}");
        for line in ran.stdout.lines() {
            assert!(line.chars().count() <= 80, "{args:?}: {line}");
            assert_eq!(line, line.trim_end(), "{args:?}: blanks at the end");
        }
        for words in [
            "9001",
            "9010",
            "/dev/nvme0n1: FAILING",
            "offsite",
            "[restore-test-failed]",
            "thin pool",
        ] {
            assert!(
                ran.stdout.contains(words),
                "{args:?}: {words}: {}",
                ran.stdout
            );
        }
    }
    let page = bench.run(&["status"]).await.text();
    for words in [
        "hottest: ",
        "1 updates (to 9.2.12)",
        ": backup of guest ",
        "suppressed until",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains(name), "{page}");
}

/// What is known of a guest, as `posture: reasons`.
fn of_guest(report: &HostReport, vmid: u32) -> String {
    let guest = report.guests.iter().find(|one| one.vmid == vmid).unwrap();
    format!("{:?}: {}", guest.posture, guest.reasons.join("; "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_on_a_storage_that_is_away_is_out_of_sight_and_not_gone() {
    let bench = bench().await;
    let _helper = listen(&bench);
    bench.backup(9001).await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let order = json!({ "storage": "local", "state": "offline" });
    bench.world.control("storage-state", order).await.unwrap();
    let told = report(&bench).await;
    let away = "Unknown: its backups cannot be seen while `local` is away";
    assert_eq!(of_guest(&told, 9001), away);
    // Of this one there never was any.
    assert_eq!(of_guest(&told, 9010), "Unprotected: there is no backup");
    let of_storage = |one: &String| one.starts_with("storage-") && one.ends_with(" storage local");
    assert!(codes(&told).iter().any(of_storage), "{:?}", codes(&told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_went_with_a_guest_alarm_nobody() {
    let bench = bench().await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    crate::year::gone(&bench, "lxc", 9001).await;
    let doctor = bench.run(&["doctor"]).await.data();
    let found = doctor["findings"].as_array().unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|one| {
            (
                one["code"].as_str().unwrap(),
                one["severity"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(
        found.contains(&("gone-guest-unseen", "notice")),
        "{found:?}"
    );
    let told = report(&bench).await;
    assert!(
        !codes(&told).iter().any(|one| one.contains("/vms/9001")),
        "{:?}",
        codes(&told)
    );
}
