//! What people read: the status page in every posture, and tables that fit.

use serde_json::json;

use crate::support::*;

/// Posture and reasons of a guest on the status page.
async fn posture(bench: &Bench, vmid: u64) -> (String, String) {
    let output = bench.program(&["status", "--json"], "").await;
    let data = output.json()["data"].clone();
    let guest = data["guests"]
        .as_array()
        .unwrap()
        .iter()
        .find(|guest| guest["vmid"] == vmid)
        .unwrap()
        .clone();
    (
        guest["posture"].as_str().unwrap().to_owned(),
        guest["reasons"].to_string(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_four_postures_each_with_their_reasons() {
    let bench = Bench::new().await;
    let (seen, why) = posture(&bench, 9001).await;
    assert_eq!(
        (seen.as_str(), why.contains("there is no backup")),
        ("unprotected", true),
        "{why}"
    );

    let first = bench.backup(9001).await;
    bench.backup(9010).await;
    let (seen, why) = posture(&bench, 9001).await;
    assert_eq!(
        (seen.as_str(), why.contains("never restore-tested")),
        ("attention", true),
        "{why}"
    );

    for vmid in ["9001", "9010"] {
        let ran = bench.program(&["restore-test", "run", vmid], "").await;
        assert_eq!(ran.exit, Some(0), "{ran:?}");
    }
    assert_eq!(
        posture(&bench, 9001).await,
        ("protected".into(), "[]".into())
    );
    let (seen, why) = posture(&bench, 9010).await;
    assert_eq!(
        (
            seen.as_str(),
            why.contains("2 mount point(s) are in no backup")
        ),
        ("attention", true),
        "{why}"
    );
    let page = bench.program(&["status"], "").await;
    assert_eq!(page.exit, Some(3));
    for words in [
        "demo-felhom · Proxmox VE 9.",
        "protected",
        "attention",
        "passed, ",
        "local-lvm: active",
    ] {
        assert!(page.stdout.contains(words), "{words}: {}", page.stdout);
    }

    // Without the mounts that no backup holds, everything is well; their removal makes no new guest of it.
    bench.poke(9010, json!({ "delete": ["mp2", "mp3"] })).await;
    let page = bench.program(&["status"], "").await;
    assert_eq!(page.exit, Some(0), "{page:?}");

    bench
        .world
        .corrupt_archive(&first.to_string())
        .await
        .unwrap();
    assert_eq!(
        bench
            .program(&["restore-test", "run", "9001"], "")
            .await
            .exit,
        Some(10)
    );
    let (seen, why) = posture(&bench, 9001).await;
    assert_eq!(
        (seen.as_str(), why.contains("the last restore test failed")),
        ("unprotected", true),
        "{why}"
    );

    bench.revoke("FelhomAgent", "VM.Backup").await;
    bench.revoke("FelhomAgent", "Datastore.Allocate").await;
    for vmid in [9001, 9010] {
        let (seen, why) = posture(&bench, vmid).await;
        assert_eq!(
            (seen.as_str(), why.contains("may be shortened")),
            ("unknown", true),
            "{why}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reused_vmid_does_not_inherit_what_was_proven() {
    let bench = Bench::new().await;
    bench.backup(9001).await;
    assert_eq!(
        bench
            .program(&["restore-test", "run", "9001"], "")
            .await
            .exit,
        Some(0)
    );
    assert_eq!(posture(&bench, 9001).await.0, "protected");
    let net = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth";
    bench.poke(9001, json!({ "set": { "net0": net } })).await;
    let (seen, why) = posture(&bench, 9001).await;
    assert_ne!(seen, "protected", "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_fit_a_hundred_columns_and_fold_only_their_last() {
    let bench = Bench::new().await;
    let name = "a-host-name-as-long-as-some-people-like-them";
    bench
        .poke(9001, json!({ "set": { "hostname": name } }))
        .await;
    let volid = bench.backup(9001).await.to_string();
    bench.backup(9010).await;
    assert_eq!(
        bench
            .program(&["restore-test", "run", "9010"], "")
            .await
            .exit,
        Some(0)
    );
    bench.world.corrupt_archive(&volid).await.unwrap();
    assert_eq!(
        bench
            .program(&["restore-test", "run", "9001"], "")
            .await
            .exit,
        Some(10)
    );
    for args in [
        &["status"][..],
        &["guests"],
        &["backup", "list"],
        &["restore-test", "list"],
        &["storage", "list"],
    ] {
        let output = bench.program(args, "").await;
        for line in output.stdout.lines() {
            assert!(
                line.chars().count() <= 100,
                "{args:?}: {} columns: {line}",
                line.chars().count()
            );
            assert_eq!(line, line.trim_end(), "{args:?}: blanks at the end");
        }
        assert!(output.stdout.lines().count() >= 3, "{output:?}");
    }
    let listed = bench.program(&["backup", "list"], "").await.stdout;
    assert!(
        listed.contains(&volid),
        "a volume id can be copied whole: {listed}"
    );
    let guests = bench.program(&["guests"], "").await.stdout;
    assert!(guests.contains(name), "{guests}");
}
