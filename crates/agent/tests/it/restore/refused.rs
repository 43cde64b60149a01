//! What is never done, and what is said instead.

use felhom_agent::exit::Exit;
use serde_json::json;

use super::{config, line};
use crate::support::*;

/// The command line of a restore of this archive, with further words.
fn words<'a>(volid: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["restore", "run", volid], more].concat()
}

async fn is_refused(bench: &Bench, args: &[&str], exit: Exit, told: &str) {
    let (production, mutations) = (bench.production(), bench.mutations());
    let ran = bench.run(args).await;
    assert_eq!(ran.exit, exit, "{args:?}: {}", ran.text());
    assert!(ran.text().contains(told), "{args:?}: {}", ran.text());
    assert_eq!(bench.production(), production, "{args:?}");
    assert_eq!(bench.mutations(), mutations, "{args:?}");
    assert_eq!(config(bench, RESTORED), json!(null), "{args:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_restored_that_must_not_be() {
    let bench = Bench::new().await;
    let volid = bench.backup(9010).await.to_string();
    let fresh = ["--to", "9020", "--identity", "fresh"];
    let cases: [(&[&str], &str); 8] = [
        (
            &["--to", "9001", "--identity", "fresh"],
            "there is a guest 9001",
        ),
        (
            &["--to", "9010", "--identity", "keep"],
            "there is a guest 9010",
        ),
        (
            &["--to", "9150", "--identity", "fresh"],
            "scratch range 9100 to 9199",
        ),
        (
            &["--to", "9020", "--identity", "keep"],
            "pct shutdown 9010 && pct set 9010 --onboot 0",
        ),
        (
            &[&fresh[..], &["--storage", "local"]].concat(),
            "content `rootdir` is missing",
        ),
        (
            &[&fresh[..], &["--storage", "nas"]].concat(),
            "`nas` is not there",
        ),
        (
            &[&fresh[..], &["--hostname", "a_b"]].concat(),
            "is no host name",
        ),
        (
            &[&fresh[..], &["--hostname", ""]].concat(),
            "is no host name",
        ),
    ];
    for (more, told) in cases {
        is_refused(&bench, &words(&volid, more), Exit::Refused, told).await;
        let record = bench.journal().await.restores(None).await.unwrap();
        assert_eq!(record[0].report.end.as_str(), "refused");
    }
    let missing = volid.replace("9010-20", "9010-19");
    let args = words(&missing, &fresh);
    is_refused(&bench, &args, Exit::NoSuchThing, "is not on the storage").await;
    let nonsense = words(&volid, &["--to", "9020", "--identity", "other"]);
    is_refused(&bench, &nonsense, Exit::Usage, "expected `fresh` or `keep`").await;
    let disk = words("local-lvm:vm-9010-disk-0", &fresh);
    is_refused(&bench, &disk, Exit::Usage, "is no backup").await;

    let size = bench.world.state()["world"]["pool"]["size"]
        .as_u64()
        .unwrap();
    bench.world.fill_pool(size / 100 * 95).await.unwrap();
    let args = words(&volid, &fresh);
    is_refused(&bench, &args, Exit::Refused, "storage `local-lvm`, space").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_identity_is_let_beside_a_stopped_original_and_started_by_a_person() {
    let bench = Bench::new().await;
    let volid = bench.backup(9010).await.to_string();
    let stopped = json!({ "running": false, "set": { "onboot": "0" } });
    bench.poke(9010, stopped).await;
    let keep = words(&volid, &["--to", "9020", "--identity", "keep"]);
    let started = [&keep[..], &["--start"]].concat();
    is_refused(&bench, &started, Exit::Refused, "decided by a person").await;
    let ran = bench.run(&keep).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(line(&bench, 9020, "net0"), line(&bench, 9010, "net0"));
    assert_eq!(line(&bench, 9020, "hostname").unwrap(), "demo-guest");
    assert!(ran.text().contains("pct start 9020"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reaches_the_host_comes_back_told_and_is_not_started() {
    let bench = Bench::new().await;
    let script = json!({
        "set": { "hookscript": "local:snippets/guard.pl", "protection": "1", "description": "mine" },
        "raw": [["lxc.cap.drop", "sys_time"]],
        "firewall": "[OPTIONS]\nenable: 1\n",
    });
    bench.poke(9001, script).await;
    let volid = bench.backup(9001).await.to_string();
    let fresh = words(&volid, &["--to", "9020", "--identity", "fresh"]);
    let started = [&fresh[..], &["--start"]].concat();
    is_refused(&bench, &started, Exit::Refused, "hookscript as root").await;
    let plan = bench.run(&["restore", "plan", &volid]).await.text();
    assert!(plan.contains("--delete hookscript"), "{plan}");
    let ran = bench.run(&fresh).await;
    // PVE warns that it drops the raw line; the plan said so.
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let told = ran.text();
    assert!(
        told.contains("echo 'lxc.cap.drop: sys_time' >> /etc/pve/lxc/9020.conf"),
        "{told}"
    );
    assert_eq!(
        line(&bench, 9020, "hookscript").unwrap(),
        "local:snippets/guard.pl"
    );
    assert_eq!(line(&bench, 9020, "lxc.cap.drop"), None);
    assert_eq!(line(&bench, 9020, "protection").unwrap_or("0".into()), "0");
    let guest = config(&bench, 9020).to_string();
    assert!(
        guest.contains("mine") && guest.contains("felhom-mark"),
        "{guest}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_token_restores_is_refused_with_the_command_of_root() {
    let bench = Bench::new().await;
    for (change, told) in [
        (
            json!({ "delete": ["unprivileged"] }),
            "the guest is privileged",
        ),
        (
            json!({ "raw": [["lxc.idmap", "u 0 100000 65536"]] }),
            "`lxc.idmap` is dropped",
        ),
    ] {
        bench.poke(9001, change).await;
        let volid = bench.backup(9001).await.to_string();
        let fresh = words(&volid, &["--to", "9020", "--identity", "fresh"]);
        is_refused(&bench, &fresh, Exit::Refused, told).await;
        let root = format!("pct restore 9020 {volid}");
        is_refused(&bench, &fresh, Exit::Refused, &root).await;
        bench
            .poke(9001, json!({ "set": { "unprivileged": "1" } }))
            .await;
    }
}
