//! Golden images: made by the root helper, backed up, and guests provisioned from them by a token.

use std::collections::BTreeSet;

use felhom_agent::exit::Exit;
use felhom_engine::{JobKind, Principal};
use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::scene::{GOLDEN, TEMPLATE};
use crate::support::*;

const VMID: &str = "9900";

async fn create(bench: &Bench) -> Ran {
    bench
        .run(&["golden", "create", TEMPLATE, "--vmid", VMID])
        .await
}

async fn provision(bench: &Bench, to: &str, name: &str) -> Ran {
    let line = ["provision", "--to", to, "--hostname", name];
    bench.run(&line).await
}

fn config(bench: &Bench, vmid: &str) -> String {
    let guests = &bench.world.state()["world"]["guests"];
    guests[vmid]["config"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The value of a key of a configuration.
fn value(config: &str, key: &str) -> String {
    let mut lines = config.lines();
    let value = lines.find_map(|line| line.strip_prefix(&format!("{key}: ")));
    value.unwrap_or_default().to_owned()
}

fn mac(config: &str) -> String {
    let net = value(config, "net0");
    let mac = net.split(',').find_map(|one| one.strip_prefix("hwaddr="));
    mac.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_made_and_guests_of_their_own_come_from_it() {
    let bench = Bench::new().await;
    let made = create(&bench).await;
    assert_eq!(made.exit, Exit::Done, "{}", made.text());
    let golden = config(&bench, VMID);
    assert!(golden.contains("keyctl=1"), "{golden}");
    let data = made.data();
    let volid = data["image"]["volid"].as_str().unwrap().to_owned();
    assert_eq!(data["golden"]["existed"], false);
    let listed = bench.run(&["golden", "list"]).await;
    assert_eq!(listed.data()["images"][0]["volid"], volid.as_str());
    assert!(
        listed.text().contains(&format!("from {TEMPLATE}")),
        "{}",
        listed.text()
    );
    let backups = bench.run(&["backup", "list", VMID]).await;
    assert_eq!(
        backups.data()[0]["protected"],
        true,
        "no retention removes it"
    );

    for (to, name) in [("9020", "first"), ("9021", "second")] {
        let ran = provision(&bench, to, name).await;
        assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
        let text = config(&bench, to);
        assert_eq!(value(&text, "hostname"), name);
        assert_eq!(value(&text, "unprivileged"), "1");
        let features = value(&text, "features");
        let features: BTreeSet<&str> = features.split(',').collect();
        assert_eq!(features, BTreeSet::from(["keyctl=1", "nesting=1"]));
        assert!(!text.contains("golden container"), "{text}");
        assert!(text.contains("felhom-mark"), "{text}");
    }
    let macs = [VMID, "9020", "9021"].map(|vmid| mac(&config(&bench, vmid)));
    let macs: BTreeSet<String> = macs.into_iter().filter(|mac| !mac.is_empty()).collect();
    assert!(macs.is_empty() || macs.len() == 3, "{macs:?}");
    // By tokens alone, but for the one container.
    assert_eq!(
        bench.world.state()["world"]["guests"][VMID]["status"],
        "stopped"
    );
    let rootfs = ["9020", "9021"].map(|vmid| value(&config(&bench, vmid), "rootfs"));
    assert_ne!(rootfs[0], rootfs[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_again_nothing_is_made_twice() {
    let bench = Bench::new().await;
    let first = create(&bench).await.data()["image"]["volid"].clone();
    let again = create(&bench).await;
    assert_eq!(again.exit, Exit::Done, "{}", again.text());
    assert_eq!(again.data()["image"]["volid"], first);
    assert_eq!(again.data()["golden"]["existed"], true);
    assert_eq!(again.data()["backup"], Value::Null);
    let vzdumps = bench.world.counts();
    assert_eq!(vzdumps.get("vzdump 9900"), Some(&1), "{vzdumps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_the_container_and_its_backup_is_gone_on_from() {
    let bench = Bench::new().await;
    let bare = ["golden", "create", TEMPLATE, "--vmid", VMID, "--no-backup"];
    let ran = bench.run(&bare).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(ran.data()["image"], Value::Null);
    let listed = bench.run(&["golden", "list"]).await;
    assert!(
        listed.text().contains("has no image yet"),
        "{}",
        listed.text()
    );
    let none = provision(&bench, "9020", "first").await;
    assert_eq!(none.exit, Exit::NoSuchThing, "{}", none.text());
    let ran = create(&bench).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(ran.data()["golden"]["existed"], true);
    assert!(ran.data()["image"]["volid"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_lost_makes_no_second_container() {
    let bench = Bench::new().await;
    bench.world.inject(Fault {
        count: Some(1),
        ..Fault::request("ASK", "*/create-golden-container", FaultKind::CutAnswer)
    });
    let ran = create(&bench).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert!(ran.data()["image"]["volid"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_helper_nothing_is_begun() {
    let bench = Bench::new().await;
    drop(bench.world.control("host-off", json!({})).await.unwrap());
    for dry in [&[][..], &["--dry-run"]] {
        let line = ["golden", "create", TEMPLATE, "--vmid", VMID];
        let line: Vec<&str> = line.into_iter().chain(dry.iter().copied()).collect();
        let ran = bench.run(&line).await;
        assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
        assert!(ran.text().contains("root-helper-absent"), "{}", ran.text());
        let typed = format!("as root: pct create {VMID} {TEMPLATE} --unprivileged 1");
        assert!(ran.text().contains(&typed), "{}", ran.text());
    }
    assert_eq!(bench.jobs().await, 0);
    assert_eq!(config(&bench, VMID), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_helper_does_not_allow_is_refused_with_its_words() {
    let bench = Bench::new().await;
    for (template, vmid, exit, words) in [
        (TEMPLATE, "9950", Exit::Refused, "9950"),
        (TEMPLATE, "9001", Exit::Refused, "no golden container"),
        ("local:vztmpl/../x.tar.zst", VMID, Exit::Usage, "TEMPLATE"),
        (
            "elsewhere:vztmpl/debian-13.tar.zst",
            VMID,
            Exit::Refused,
            "elsewhere",
        ),
    ] {
        let line = ["golden", "create", template, "--vmid", vmid];
        let ran = bench.run(&line).await;
        assert_eq!(ran.exit, exit, "{template} {vmid}: {}", ran.text());
        assert!(ran.text().contains(words), "{}", ran.text());
    }
    assert_eq!(config(&bench, VMID), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dry_runs_change_nothing() {
    let bench = Bench::new().await;
    let line = ["golden", "create", TEMPLATE, "--vmid", VMID, "--dry-run"];
    let ran = bench.run(&line).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert!(ran.text().contains("keyctl=1"), "{}", ran.text());
    assert_eq!(config(&bench, VMID), "");
    create(&bench).await;
    let before = bench.mutations();
    let line = [
        "provision",
        "--to",
        "9020",
        "--hostname",
        "first",
        "--dry-run",
    ];
    let ran = bench.run(&line).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert!(ran.text().contains("SSH host keys"), "{}", ran.text());
    assert_eq!(bench.mutations(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_image_is_not_provisioned_from() {
    let bench = Bench::new().await;
    let volid = bench.backup(9001).await.to_string();
    let line = [
        "provision",
        "--to",
        "9020",
        "--hostname",
        "first",
        "--from",
        &volid,
    ];
    let ran = bench.run(&line).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
    assert!(
        ran.text().contains("not taken of a golden container"),
        "{}",
        ran.text()
    );
    assert_eq!(config(&bench, "9020"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guest_is_restored_by_the_token_that_restores() {
    let bench = Bench::new().await;
    create(&bench).await;
    let ran = provision(&bench, "9020", "first").await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let journal = bench.journal().await;
    let rows = journal.restores(None).await.unwrap();
    let job = rows[0].job.parse().unwrap();
    let steps = journal.steps(&job).await.unwrap();
    let restore = steps.iter().find(|step| step.0 == "restore-guest").unwrap();
    assert_eq!(restore.1, Principal::Restore.to_string());
    assert!(steps.iter().all(|step| step.0 != "create-golden"));
    // The container was the helper's, and is in the journal as a job of its own.
    let known = journal.golden().await.unwrap();
    assert_eq!(known[0].vmid, vmid(GOLDEN));
    assert!(
        journal
            .unfinished()
            .await
            .unwrap()
            .iter()
            .all(|one| !matches!(one.job.kind, JobKind::Golden(_)))
    );
}
