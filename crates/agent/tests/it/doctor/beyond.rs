//! What the doctor says beyond rights: jobs over the scratch range, a certificate that is about to be replaced, what the
//! server would allow when asked, and what each secret could destroy.

use felhom_agent::exit::Exit;
use felhom_proxmox::{Method, Request};
use serde_json::{Value, json};

use super::{codes, doctor, send};
use crate::support::*;

async fn job(bench: &Bench, id: &str, covers: &[(&str, &str)]) {
    let mut make = Request::new(Method::Post, &[&"cluster", &"backup"])
        .with("id", id)
        .with("schedule", "02:00")
        .with("storage", "local");
    for (key, value) in covers {
        make = make.with(key, *value);
    }
    send(&bench.root(), &make).await;
}

fn jobs(data: &Value) -> Vec<String> {
    let findings = data["findings"].as_array().unwrap().iter();
    let of_jobs = findings.filter(|one| one["code"] == "job-archives-scratch");
    let subjects = of_jobs.map(|one| one["subject"].as_str().unwrap().to_owned());
    let mut subjects: Vec<String> = subjects.collect();
    subjects.sort();
    subjects
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_would_archive_copies_are_told() {
    let bench = Bench::new().await;
    assert_eq!(jobs(&doctor(&bench).await), Vec::<String>::new());
    job(&bench, "named", &[("vmid", "9001,9010")]).await;
    job(&bench, "off", &[("all", "1"), ("enabled", "0")]).await;
    let range: Vec<String> = (9100..=9199).map(|vmid| vmid.to_string()).collect();
    let range = range.join(",");
    job(&bench, "careful", &[("all", "1"), ("exclude", &range)]).await;
    assert_eq!(jobs(&doctor(&bench).await), Vec::<String>::new());
    job(&bench, "everything", &[("all", "1"), ("exclude", "9001")]).await;
    job(&bench, "pool", &[("pool", "felhom-scratch")]).await;
    job(&bench, "copy", &[("vmid", "9001,9107")]).await;
    let told = ["copy", "everything", "pool"].map(|id| format!("backup job {id}"));
    assert_eq!(jobs(&doctor(&bench).await), told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_will_not_fit_any_more_is_told_in_time() {
    let bench = Bench::new().await;
    let now = felhom_agent::clock::now().secs();
    for (days, told) in [(60, false), (40, true), (10, true), (-1, true)] {
        let at = json!({ "at": now + days * 24 * 3600 });
        bench.world.control("certificate-until", at).await.unwrap();
        let data = doctor(&bench).await;
        let found = codes(&data).contains("certificate-expires");
        assert_eq!(found, told, "{days} days: {data}");
    }
}

fn answers(data: &Value, principal: &str) -> Vec<(String, String)> {
    let asked = data["probed"].as_array().unwrap().iter();
    let own = asked.filter(|one| one["principal"] == principal);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    own.map(|one| (text(&one["deed"]), text(&one["answer"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_shows_what_would_be_allowed_and_does_nothing() {
    let bench = Bench::new().await;
    let (counts, production) = (bench.mutations(), bench.production());
    let ran = bench.run(&["doctor", "--probe"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{ran:?}");
    let data = ran.data();
    let allowed = |principal: &str| -> Vec<String> {
        let all = answers(&data, principal).into_iter();
        let allowed = all.filter(|(_, answer)| answer == "allowed");
        allowed.map(|(deed, _)| deed).collect()
    };
    // The simulator's role of the everyday principal is made for a box without a second principal.
    let deeds = [
        "destroy guest 9000",
        "stop guest 9000",
        "configure guest 9000",
        "destroy guest 9001",
        "stop guest 9001",
        "configure guest 9001",
        "destroy guest 9010",
        "stop guest 9010",
        "configure guest 9010",
        "change the definition of storage local",
        "change the definition of storage local-lvm",
    ];
    assert_eq!(allowed("agent"), deeds);
    assert_eq!(allowed("restore-test"), Vec::<String>::new());
    let all = answers(&data, "restore-test");
    assert!(all.len() > 15, "{all:?}");
    // The simulator serves neither consoles nor the node's power.
    let unclear = |deed: &str| deed.starts_with("open a console") || deed.starts_with("reboot");
    for (deed, answer) in &all {
        let due = if unclear(deed) { "unclear" } else { "refused" };
        assert_eq!(answer, due, "{deed}");
    }
    assert!(codes(&data).contains("too-much-shown"), "{data}");
    assert!(
        ran.text().contains("asked for what must be refused"),
        "{ran:?}"
    );
    assert_eq!(bench.mutations(), counts, "something was done");
    assert_eq!(bench.production(), production);
}

fn damage(data: &Value, principal: &str, deed: &str) -> Value {
    let reaches = data["blast_radius"].as_array().unwrap().iter();
    let own = reaches.clone().find(|one| one["principal"] == principal);
    let damages = own.unwrap()["damages"].as_array().unwrap().iter();
    let found = damages.clone().find(|one| one["deed"] == deed);
    found.cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_secret_could_destroy_is_counted() {
    let bench = Bench::new().await;
    let sizes = async || {
        let listed = bench.root().backups(&"local".parse().unwrap(), None).await;
        let listed = listed.unwrap();
        listed.iter().filter_map(|volume| volume.size).sum::<u64>()
    };
    bench.backup(9001).await;
    bench.backup(9001).await;
    let protected = bench.backup(9010).await;
    let change = felhom_proxmox::pve::storage::SetVolumeAttributes {
        volume: protected,
        notes: None,
        protected: Some(true),
    };
    bench.root().set_volume_attributes(&change).await.unwrap();
    let ran = bench.run(&["doctor", "--blast-radius"]).await;
    let data = ran.data();
    for principal in ["agent", "restore-test"] {
        let backups = damage(&data, principal, "delete backups");
        assert_eq!(backups["count"], 3, "{principal}: {data}");
        assert_eq!(backups["subjects"], json!(["9001", "9010"]), "{principal}");
        assert_eq!(backups["bytes"], sizes().await, "{principal}");
        assert!(
            backups["note"].to_string().contains("1 of them"),
            "{backups}"
        );
    }
    let over = "restore over guests while they are stopped";
    assert_eq!(damage(&data, "agent", over)["count"], 3);
    assert_eq!(
        damage(&data, "restore-test", over)["subjects"],
        json!(["9000", "9001", "9010"])
    );
    assert_eq!(damage(&data, "agent", "destroy guests")["count"], 3);
    let disks = damage(&data, "agent", "delete guests' disks");
    assert_eq!(disks["subjects"], json!(["local-lvm"]));
    let stop = ran
        .text()
        .contains("stop guests: 3 (9000, 9001, 9010) [VM.PowerMgmt]");
    assert!(stop, "{}", ran.text());
    let either = "[VM.Snapshot or VM.Snapshot.Rollback]";
    assert!(ran.text().contains(either), "{}", ran.text());
    assert_eq!(damage(&data, "restore-test", "destroy guests"), Value::Null);
    assert_eq!(
        damage(&data, "restore-test", "delete guests' disks"),
        Value::Null
    );
    assert!(
        ran.text().contains("delete backups: 3 (9001, 9010)"),
        "{}",
        ran.text()
    );
}
