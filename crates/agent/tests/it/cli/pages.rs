//! What people read: the status page in every posture, and tables that fit.

use serde_json::json;

use crate::support::*;

/// The posture of a guest on the status page, with a reason that must stand there.
async fn assert_posture(bench: &Bench, vmid: u64, posture: &str, reason: &str) {
    let output = bench.program(&["status", "--json"], "").await;
    let data = output.json()["data"].clone();
    let guests = data["guests"].as_array().unwrap();
    let guest = guests.iter().find(|guest| guest["vmid"] == vmid).unwrap();
    assert_eq!(guest["posture"], posture, "{guest}");
    assert!(
        guest["reasons"].to_string().contains(reason),
        "`{reason}` is not in {guest}"
    );
}

async fn tested(bench: &Bench, vmid: &str, exit: i32) {
    let ran = bench.program(&["restore-test", "run", vmid], "").await;
    assert_eq!(ran.exit, Some(exit), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_four_postures_each_with_their_reasons() {
    let bench = Bench::new().await;
    assert_posture(&bench, 9001, "unprotected", "there is no backup").await;
    let first = bench.backup(9001).await;
    bench.backup(9010).await;
    assert_posture(&bench, 9001, "attention", "never restore-tested").await;
    tested(&bench, "9001", 0).await;
    tested(&bench, "9010", 0).await;
    assert_posture(&bench, 9001, "protected", "[]").await;
    assert_posture(
        &bench,
        9010,
        "attention",
        "2 mount point(s) are in no backup",
    )
    .await;
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

    bench
        .world
        .corrupt_archive(&first.to_string())
        .await
        .unwrap();
    tested(&bench, "9001", 10).await;
    assert_posture(&bench, 9001, "unprotected", "the last restore test failed").await;
    bench.revoke("FelhomAgent", "VM.Backup").await;
    bench.revoke("FelhomAgent", "Datastore.Allocate").await;
    for vmid in [9001, 9010] {
        assert_posture(&bench, vmid, "unknown", "may be shortened").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_is_well_the_page_ends_with_zero() {
    let bench = Bench::new().await;
    let root = bench.root();
    let machine = felhom_proxmox::pve::guests::DestroyQemu {
        vmid: vmid(9000),
        unreferenced_disks: false,
    };
    drop(root.destroy_qemu(&machine).await.unwrap());
    settled(&bench).await;
    // Nothing is left that no backup holds.
    bench.poke(9010, json!({ "delete": ["mp2", "mp3"] })).await;
    for vmid in [9001, 9010] {
        bench.backup(vmid).await;
        tested(&bench, &vmid.to_string(), 0).await;
    }
    let page = bench.program(&["status"], "").await;
    assert_eq!(page.exit, Some(0), "{page:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reused_vmid_does_not_inherit_what_was_proven() {
    let bench = Bench::new().await;
    bench.backup(9001).await;
    tested(&bench, "9001", 0).await;
    assert_posture(&bench, 9001, "protected", "[]").await;
    let net = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth";
    bench.poke(9001, json!({ "set": { "net0": net } })).await;
    let reason = "there is no backup; those of its VMID are of an earlier guest";
    assert_posture(&bench, 9001, "unprotected", reason).await;
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
    tested(&bench, "9010", 0).await;
    bench.world.corrupt_archive(&volid).await.unwrap();
    tested(&bench, "9001", 10).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_whose_archive_nobody_read_is_not_told_as_proven() {
    let bench = Bench::new().await;
    bench.reconfigure(|text| {
        text.replace(
            "[[archives]]\nstorage = \"local\"",
            "[[archives]]\nstorage = \"other\"",
        )
    });
    let ran = bench.program(&["backup", "run", "9001"], "").await;
    assert_eq!(ran.exit, Some(3), "{ran:?}");
    let headline = "demo-ctl (9001) is backed up; what is in the archive was not read";
    assert!(ran.stdout.starts_with(headline), "{ran:?}");
    assert!(ran.stdout.contains("[archive-unread]"), "{ran:?}");
    let listed = bench.program(&["backup", "list"], "").await;
    assert!(listed.stdout.contains(" unproven "), "{listed:?}");
    let listed = bench.program(&["backup", "list", "--json"], "").await;
    assert_eq!(listed.json()["data"][0]["content"], "unproven");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_volumes_of_a_virtual_machine_are_refused_by_name() {
    let bench = Bench::new().await;
    let report = bench.directory.path().join("report.json");
    let listed = r#"{"Driver":"local","Labels":"","Links":"N/A","Mountpoint":"/var/lib/docker/volumes/a/_data","Name":"a","Scope":"local","Size":"N/A"}"#;
    std::fs::write(&report, listed).unwrap();
    for args in [
        &["volumes", "show", "9000"][..],
        &["volumes", "plan", "9000"],
        &["volumes", "import", "9000", report.to_str().unwrap()],
    ] {
        let ran = bench.program(args, "").await;
        assert_eq!(ran.exit, Some(4), "{args:?}: {ran:?}");
        let told =
            "guest 9000 is a virtual machine; reports on Docker volumes are for containers only";
        assert!(ran.stderr.contains(told), "{args:?}: {ran:?}");
    }
    let nobody = bench.program(&["volumes", "show", "9999"], "").await;
    assert_eq!(nobody.exit, Some(5), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suppressed_finding_of_a_backup_is_shown_and_does_not_count() {
    let bench = Bench::new().await;
    for code in ["bind-not-in-backup", "volume-not-in-backup"] {
        let ran = bench.program(&["backup", "run", "9010"], "").await;
        assert_eq!(ran.exit, Some(3), "{ran:?}");
        let line = [
            "findings",
            "suppress",
            code,
            "--until",
            "2099-01-01",
            "--reason",
            "it is meant so",
        ];
        assert_eq!(bench.program(&line, "").await.exit, Some(0));
    }
    let ran = bench.program(&["backup", "run", "9010"], "").await;
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    let told = "suppressed until 2099-01-01 (it is meant so): guest 9010: mp3 (/mnt/mp3)";
    assert!(ran.stdout.contains(told), "{ran:?}");
    let ran = bench
        .program(&["backup", "run", "9010", "--json"], "")
        .await;
    let data = &ran.json()["data"];
    assert_eq!(data["findings"].as_array().unwrap().len(), 0);
    assert_eq!(data["suppressed"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suppressed_finding_of_the_status_page_is_shown_and_does_not_count() {
    // A guard wants the node's clock and ours to agree to a minute.
    let bench = Bench::at(5.0, FAST, None).await;
    let begin = [
        "snapshot",
        "guard",
        "9001",
        "begin",
        "--confirm-within",
        "1s",
        "--on-expiry",
        "keep",
    ];
    let ran = bench.program(&begin, "").await;
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    let mut told = Vec::new();
    for _ in 0..50 {
        let data = bench.program(&["status", "--json"], "").await.json()["data"].clone();
        told = data["findings"].as_array().unwrap().clone();
        if !told.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(told[0]["code"], "guard-expired", "{told:?}");
    let suppress = [
        "findings",
        "suppress",
        "guard-expired",
        "--until",
        "2099-01-01",
        "--reason",
        "next week",
    ];
    assert_eq!(bench.program(&suppress, "").await.exit, Some(0));
    let page = bench.program(&["status", "--json"], "").await;
    let data = &page.json()["data"];
    assert_eq!(data["findings"], json!([]), "{page:?}");
    assert_eq!(data["suppressed"][0]["by"]["reason"], "next week");
    let page = bench.program(&["status"], "").await;
    let line = "suppressed until 2099-01-01 (next week): guest 9001: ";
    assert!(page.stdout.contains(line), "{page:?}");
}
