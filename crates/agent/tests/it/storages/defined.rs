//! What each type is, from its definition; and definitions that are made and read back.

use felhom_agent::exit::Exit;
use felhom_engine::Timestamp;
use felhom_engine::storages::{Sample, Samples};
use felhom_proxmox::pve::storage::{CreateStorage, GetStorageConfig, StoragePlace};
use serde_json::{Value, json};

use super::*;

const DAY: i64 = 24 * 3600;

fn disk() -> StoragePlace {
    StoragePlace::Dir {
        path: "/mnt/usb".to_owned(),
        is_mountpoint: true,
    }
}

fn share(secret: Option<&str>) -> StoragePlace {
    StoragePlace::Cifs {
        server: SERVER.to_owned(),
        share: "backup".to_owned(),
        username: secret.map(|_| "felhom".to_owned()),
        password: secret.map(Into::into),
    }
}

fn thin() -> StoragePlace {
    StoragePlace::LvmThin {
        vgname: "pve".to_owned(),
        thinpool: "data".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_type_has_its_durable_id_and_its_figures() {
    let bench = with_nas(SPEED, FAST).await;
    export(&bench, "cifs", "backup", 10).await;
    define(&bench, "share", share(None)).await;
    define(&bench, "usb", disk()).await;
    let ran = bench.run(&["storage", "list"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let data = ran.data();
    for (id, kind, durable, told_by) in [
        ("local", "dir", "path:/var/lib/vz", "path"),
        ("usb", "dir", "path:/mnt/usb", "path"),
        ("nas", "nfs", "192.0.2.20:/export/a", "definition"),
        ("share", "cifs", "//192.0.2.20/backup", "definition"),
        ("local-lvm", "lvmthin", "pve/data", "definition"),
    ] {
        let one = of(&data, id);
        assert_eq!(one["kind"], kind, "{one}");
        assert_eq!(one["type"], kind);
        assert_eq!(one["durable_id"], durable);
        assert_eq!(one["told_by"], told_by);
        assert_eq!(one["state"], "attached");
        assert_eq!(one["why"], Value::Null);
        assert_eq!(one["growth"], Value::Null, "one look is no trend");
        assert_eq!(one["retention"], "keep-all");
    }
    let nas = of(&data, "nas");
    assert_eq!(
        (&nas["total"], &nas["used"]),
        (&json!(100 * GIB), &json!(40 * GIB))
    );
    assert_eq!(nas["content"], json!(["backup"]));
    let pool = &of(&data, "local-lvm")["thin_pool"];
    let sizes = ["data_size", "data_used", "metadata_size", "metadata_used"];
    assert!(sizes.iter().all(|key| pool[key].is_u64()), "{pool}");
    assert!(ran.text().contains("nas: 192.0.2.20:/export/a"), "{ran:?}");
    assert!(
        ran.text()
            .contains("local: path:/var/lib/vz (nothing tells the file system's UUID")
    );
}

/// A disk that the node mounts by its file system's UUID is told from another one; nothing mounted is no disk at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_is_known_by_the_uuid_of_its_file_system() {
    let bench = Bench::new().await;
    let mount = |uuid: &str| {
        let order = json!({ "name": "usb", "uuid": uuid });
        bench.world.control("put-mount", order)
    };
    let place = |is_mountpoint| StoragePlace::Dir {
        path: "/mnt/pve/usb".to_owned(),
        is_mountpoint,
    };
    mount("0f6c-1").await.unwrap();
    define(&bench, "usb", place(true)).await;
    define(&bench, "loose", place(false)).await;
    let data = bench.run(&["storage", "list"]).await.data();
    let usb = of(&data, "usb");
    assert_eq!(
        (&usb["durable_id"], &usb["told_by"]),
        (&json!("UUID=0f6c-1"), &json!("filesystem"))
    );
    assert_eq!(of(&data, "loose")["durable_id"], "path:/mnt/pve/usb");
    assert_eq!(doctor(&bench).await, one("mount-unchecked", "loose"));
    undefine(&bench, "loose").await;
    bench.run(&["storage", "eject", "loose"]).await;
    mount("0f6c-2").await.unwrap();
    assert_eq!(state(&bench, "usb").await, (Exit::Findings, "wrong".into()));
    mount("0f6c-1").await.unwrap();
    assert_eq!(state(&bench, "usb").await, (Exit::Done, "attached".into()));
    // Without the right to ask nobody can say whether it is the same.
    bench.revoke("FelhomAgent", "Sys.Audit").await;
    let ran = bench.run(&["storage", "list"]).await;
    assert_eq!(
        (ran.exit, &of(&ran.data(), "usb")["state"]),
        (Exit::Done, &json!("unknown"))
    );
    assert!(
        ran.text().contains("nobody can say whether it is the same"),
        "{ran:?}"
    );
    behave(&bench, "usb", "offline").await;
    assert_eq!(
        state(&bench, "usb").await,
        (Exit::Findings, "detached".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_are_made_and_read_back() {
    let bench = Bench::new().await;
    export(&bench, "nfs", "/export/a", 0).await;
    export(&bench, "cifs", "backup", 0).await;
    let root = bench.root();
    for (id, place, content) in [
        ("usb", disk(), "backup"),
        ("nas", nfs("/export/a"), "backup"),
        ("share", share(Some("of-the-share")), "backup"),
        ("thin", thin(), "rootdir"),
    ] {
        let kind = place.kind();
        let create = CreateStorage {
            storage: id.parse().unwrap(),
            place,
            content: vec![content.to_owned()],
            prune_backups: Some("keep-all=1".parse().unwrap()),
        };
        let create = CreateStorage {
            prune_backups: create.prune_backups.filter(|_| kind != "lvmthin"),
            ..create
        };
        assert_eq!(root.call(&create).await.unwrap().kind, kind);
        let again = root.call(&create).await.unwrap_err().to_string();
        assert!(again.contains("already defined"), "{again}");
    }
    let read = |id: &str| {
        let get = GetStorageConfig {
            storage: id.parse().unwrap(),
        };
        let root = root.clone();
        async move { root.call(&get).await.unwrap() }
    };
    let usb = read("usb").await;
    assert_eq!(usb.path.as_deref(), Some("/mnt/usb"));
    assert_eq!(usb.is_mountpoint.as_deref(), Some("yes"));
    let nas = read("nas").await;
    assert_eq!(nas.server.as_deref(), Some(SERVER));
    assert_eq!(nas.export.as_deref(), Some("/export/a"));
    assert_eq!(nas.path.as_deref(), Some("/mnt/pve/nas"));
    assert!(nas.keeps_all());
    let share = read("share").await;
    assert_eq!(share.share.as_deref(), Some("backup"));
    assert_eq!(share.username.as_deref(), Some("felhom"));
    let thin = read("thin").await;
    assert_eq!(
        (thin.vgname.as_deref(), thin.thinpool.as_deref()),
        (Some("pve"), Some("data"))
    );
    assert_eq!(thin.content, ["rootdir"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_exports_is_not_defined() {
    let bench = Bench::new().await;
    export(&bench, "nfs", "/export/a", 0).await;
    for (place, words) in [
        (nfs("/export/b"), "reason given by server"),
        (share(None), "storage 'new' is not online"),
    ] {
        let create = CreateStorage {
            storage: "new".parse().unwrap(),
            place,
            content: vec!["backup".to_owned()],
            prune_backups: None,
        };
        let refused = bench.root().call(&create).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let ran = bench.run(&["storage", "list"]).await;
    assert_eq!(ran.data().as_array().unwrap().len(), 2);
}

fn days(used_gib: &[u64]) -> Samples {
    let now = felhom_agent::clock::now();
    let mut samples = Samples::default();
    for (place, used) in used_gib.iter().enumerate() {
        let ago = i64::try_from(used_gib.len() - place).unwrap() * DAY;
        samples.remember(Sample {
            at: Timestamp::from_secs(now.secs() - ago),
            used: used * GIB,
            total: 100 * GIB,
        });
    }
    samples
}

/// A straight line of too few looks is not told; of enough it is, with the day on which the storage is full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn growth_takes_looks_of_some_days() {
    let bench = with_nas(SPEED, FAST).await;
    assert_eq!(state(&bench, "nas").await, (Exit::Done, "attached".into()));
    let journal = bench.journal().await;
    let known = journal.storages().await.unwrap();
    let nas = known
        .into_iter()
        .find(|one| one.id.to_string() == "nas")
        .unwrap();
    assert_eq!(nas.samples.all().len(), 1, "the first look is kept");
    let mut young = nas.clone();
    young.samples = days(&[38]);
    journal.remember_storage(&young).await.unwrap();
    assert_eq!(listed(&bench, "nas").await.1["growth"], Value::Null);
    let mut grown = nas;
    grown.samples = days(&[25, 30, 35]);
    journal.remember_storage(&grown).await.unwrap();
    drop(journal);
    let (exit, nas) = listed(&bench, "nas").await;
    assert_eq!(nas["samples"], 4);
    let a_day = nas["growth"]["bytes_per_day"].as_u64().unwrap();
    assert!(a_day.abs_diff(5 * GIB) < 5 * GIB / 100, "{nas}");
    // 60 GiB are left: twelve days, so there is time to order a disk.
    assert_eq!(exit, Exit::Findings);
    assert_eq!(doctor(&bench).await, one("storage-fills", "nas"));
    // Within the hour nothing more is kept.
    let known = bench.journal().await.storages().await.unwrap();
    let nas = known
        .into_iter()
        .find(|one| one.id.to_string() == "nas")
        .unwrap();
    assert_eq!(nas.samples.all().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_storage_and_full_metadata_are_told_with_what_mends_them() {
    let bench = with_nas(SPEED, FAST).await;
    export(&bench, "nfs", "/export/a", 95).await;
    let size = bench.world.state()["world"]["pool"]["metadata_size"]
        .as_u64()
        .unwrap();
    let fill = json!({ "metadata": size / 100 * 85 });
    bench.world.control("fill-pool", fill).await.unwrap();
    let told = doctor(&bench).await;
    assert_eq!(
        told,
        [
            one("thin-metadata-fills", "local-lvm"),
            one("storage-fills", "nas")
        ]
        .concat()
    );
    let ran = bench.run(&["storage", "list"]).await;
    assert_eq!(ran.exit, Exit::Findings);
    assert!(
        ran.text()
            .contains("lvextend --poolmetadatasize +256M pve/data"),
        "{ran:?}"
    );
}
