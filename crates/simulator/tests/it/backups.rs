//! Backups: what is in the archive, what the log says, what is refused, what is pruned.

use std::time::Duration;

use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use crate::story::{
    AGENT, CTL, NODE, ROOT_TOKEN, Task, backup, built_in, end, members, newest, post, upid,
};

/// The lines of a log without what differs from run to run.
fn shape(task: &Task) -> Vec<String> {
    let cut = [
        "INFO: starting new backup job: ",
        "INFO: Backup started at ",
        "INFO: Finished Backup of VM 9010 (",
        "INFO: Backup finished at ",
        "INFO: Total bytes written: ",
        "INFO: archive file size: ",
        "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-9010-",
        "INFO: guest is online again after ",
    ];
    let short = |line: &String| match cut.iter().find(|start| line.starts_with(**start)) {
        Some(start) => (*start).to_owned(),
        None => line.clone(),
    };
    task.log.iter().map(short).collect()
}

const INCLUSION: [&str; 5] = [
    "INFO: CT Name: demo-guest",
    "INFO: including mount point rootfs ('/') in backup",
    "INFO: including mount point mp1 ('/mnt/mp1') in backup",
    "INFO: excluding volume mount point mp2 ('/mnt/mp2') from backup (disabled)",
    "INFO: excluding bind mount point mp3 ('/mnt/mp3') from backup (not a volume)",
];

#[tokio::test]
async fn snapshot_mode_logs_what_pve_logs_and_leaves_the_guest_as_it_was() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let before = crate::story::config(&agent, 9010).await;
    let params = [
        ("vmid", "9010"),
        ("storage", "local"),
        ("mode", "snapshot"),
        ("compress", "zstd"),
    ];
    let task = post(&agent, "/vzdump", &params).await.ok();
    let mut expected = vec![
        "INFO: starting new backup job: ",
        "INFO: Starting Backup of VM 9010 (lxc)",
        "INFO: Backup started at ",
        "INFO: status = running",
    ];
    expected.extend(INCLUSION);
    expected.extend([
        "INFO: backup mode: snapshot",
        "INFO: ionice priority: 7",
        "INFO: suspend vm to make snapshot",
        "INFO: create storage snapshot 'vzdump'",
        "  Logical volume \"snap_vm-9010-disk-0_vzdump\" created.",
        "  Logical volume \"snap_vm-9010-disk-1_vzdump\" created.",
        "INFO: resume vm",
        "INFO: guest is online again after ",
        "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-9010-",
        "INFO: Total bytes written: ",
        "INFO: archive file size: ",
        "INFO: cleanup temporary 'vzdump' snapshot",
        "  Logical volume \"snap_vm-9010-disk-0_vzdump\" successfully removed.",
        "  Logical volume \"snap_vm-9010-disk-1_vzdump\" successfully removed.",
        "INFO: Finished Backup of VM 9010 (",
        "INFO: Backup finished at ",
        "INFO: Backup job finished successfully",
        "TASK OK",
    ]);
    assert_eq!(shape(&task), expected);
    assert_eq!(crate::story::config(&agent, 9010).await, before);
    let state = world.running.state();
    assert_eq!(state["world"]["guests"]["9010"]["status"], "running");
    assert_eq!(state["world"]["guests"]["9010"]["frozen"], false);
    let snapshots = agent.get(&format!("{NODE}/lxc/9010/snapshot")).await.data();
    assert_eq!(snapshots.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn stop_and_suspend_mode_describe_the_guest_after_the_mode() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    for (mode, middle) in [
        ("stop", vec!["INFO: stopping virtual guest"]),
        (
            "suspend",
            vec!["INFO: suspending guest", "INFO: resuming guest"],
        ),
    ] {
        let params = [
            ("vmid", "9010"),
            ("storage", "local"),
            ("mode", mode),
            ("compress", "zstd"),
        ];
        let task = post(&agent, "/vzdump", &params).await.ok();
        let mut expected = vec![
            format!("INFO: backup mode: {mode}"),
            "INFO: ionice priority: 7".to_owned(),
        ];
        expected.extend(INCLUSION.map(ToOwned::to_owned));
        assert_eq!(task.log[4..11], expected[..]);
        for line in middle {
            assert!(task.has(line), "{line}: {:#?}", task.log);
        }
        let status = agent
            .get(&format!("{NODE}/lxc/9010/status/current"))
            .await
            .data();
        assert_eq!(status["status"], "running");
    }
}

#[tokio::test]
async fn the_archive_holds_what_the_matrix_of_the_experiments_says() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let volid = backup(&agent, 9010, &[("mode", "stop")]).await;
    let names = members(world.dir.path(), &volid);
    assert_eq!(names[..2], ["./etc/vzdump/pct.conf", "./etc/vzdump/pct.fw"]);
    let sentinels: Vec<&String> = names
        .iter()
        .filter(|name| name.contains("SENTINEL"))
        .collect();
    assert_eq!(
        sentinels,
        [
            "./SENTINEL_ROOTFS",
            "./var/lib/docker/volumes/b2vol/_data/SENTINEL_DOCKERVOL",
            "./mnt/mp1/SENTINEL_MP1"
        ]
    );
    // The mount points themselves are directories of the root file system.
    assert!(names.contains(&"./mnt/mp2/".to_owned()));
    let volid = backup(&agent, 9001, &[]).await;
    let names = members(world.dir.path(), &volid);
    assert!(names.contains(&"./var/lib/docker/volumes/pgdata/_data/SENTINEL_PGDATA".to_owned()));
    assert!(names.contains(&"./tmp/".to_owned()) && !names.contains(&"./tmp/scratch".to_owned()));
}

#[tokio::test]
async fn an_archive_has_its_sidecars_and_its_row() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let notes = "{{guestname}} {{vmid}} {{node}} {{cluster}}\\nsecond";
    let volid = backup(
        &agent,
        9001,
        &[("notes-template", notes), ("protected", "1")],
    )
    .await;
    let list = agent
        .get(&format!("{NODE}/storage/local/content?content=backup"))
        .await
        .data();
    let row = &list[0];
    assert_eq!(row["notes"], "demo-ctl 9001 demo-felhom standalone node");
    assert_eq!(
        (&row["protected"], &row["subtype"], &row["vmid"]),
        (&json!(1), &json!("lxc"), &json!(9001))
    );
    assert_eq!(row["format"], "tar.zst");
    let stem = volid
        .split('/')
        .next_back()
        .unwrap()
        .trim_end_matches(".tar.zst")
        .to_owned();
    let log = std::fs::read_to_string(
        world
            .dir
            .path()
            .join(format!("storage/local/dump/{stem}.log")),
    )
    .unwrap();
    assert!(log.contains(" INFO: CT Name: demo-ctl") && !log.contains("Backup started at"));
    let escaped = volid.replace(':', "%3A").replace('/', "%2F");
    let one = agent
        .get(&format!("{NODE}/storage/local/content/{escaped}"))
        .await
        .data();
    assert_eq!(
        one["notes"],
        "demo-ctl 9001 demo-felhom standalone node\nsecond"
    );
    let text = agent
        .get(&format!("{NODE}/vzdump/extractconfig?volume={escaped}"))
        .await
        .data();
    assert!(
        text.as_str()
            .unwrap()
            .starts_with("arch: amd64\ncores: 1\nfeatures: nesting=1,keyctl=1\n")
    );
    assert!(!text.as_str().unwrap().contains("lock"));
    let gone = crate::story::delete(&agent, &format!("/storage/local/content/{escaped}")).await;
    let name = volid.trim_start_matches("local:");
    assert_eq!(
        gone.exit,
        format!("cannot remove protected volume '{name}' on 'local'")
    );
    agent
        .put(
            &format!("{NODE}/storage/local/content/{escaped}"),
            &[("protected", "0")],
        )
        .await
        .ok();
    let gone = crate::story::delete(&agent, &format!("/storage/local/content/{escaped}"))
        .await
        .ok();
    assert!(gone.has(&format!("Removed volume '{volid}'")));
    assert!(
        !world
            .dir
            .path()
            .join(format!("storage/local/dump/{stem}.log"))
            .exists()
    );
}

#[tokio::test]
async fn permission_on_guests_is_asked_in_the_task_and_on_storages_before_it() {
    let world = built_in().await;
    let ctl = world.as_token(CTL);
    let refused = "403 Permission check failed (/vms/9010, VM.Backup)";
    for vmids in ["9010", "9001,9010"] {
        let task = post(
            &ctl,
            "/vzdump",
            &[("vmid", vmids), ("storage", "local"), ("compress", "zstd")],
        )
        .await;
        assert_eq!((task.exit.as_str(), task.log.len()), (refused, 2));
    }
    let task = post(
        &ctl,
        "/vzdump",
        &[("all", "1"), ("storage", "local"), ("compress", "zstd")],
    )
    .await
    .ok();
    assert!(
        task.has("INFO: Starting Backup of VM 9001 (lxc)")
            && !task.has("INFO: Starting Backup of VM 9010 (lxc)")
    );
    let path = format!("{NODE}/vzdump");
    let answer = ctl
        .post(&path, &[("vmid", "9001"), ("storage", "local-lvm")])
        .await;
    answer.says(
        403,
        "Permission check failed (/storage/local-lvm, Datastore.AllocateSpace)",
    );
    let answer = ctl
        .post(
            &path,
            &[
                ("vmid", "9001"),
                ("prune-backups", "keep-last=1"),
                ("storage", "local"),
            ],
        )
        .await;
    answer.says(
        403,
        "Permission check failed (/storage/local, Datastore.Allocate)",
    );
    let answer = ctl.post(&path, &[("vmid", "9001"), ("bwlimit", "0")]).await;
    answer.says(403, "Permission check failed (/, Sys.Modify)");
    let answer = ctl
        .post(&path, &[("vmid", "9001"), ("dumpdir", "/tmp")])
        .await;
    answer.says(400, "Parameter verification failed.");
    assert_eq!(
        answer.json()["errors"],
        json!({"dumpdir": "Only root may set this option."})
    );
    let answer = ctl
        .post(&path, &[("vmid", "9001"), ("protected", "1")])
        .await;
    assert_eq!(
        answer.json()["errors"],
        json!({"storage": "missing property required by 'protected'"})
    );
}

#[tokio::test]
async fn a_guest_that_is_not_there_fails_its_part_of_the_job() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let task = post(
        &agent,
        "/vzdump",
        &[
            ("vmid", "9021,9001"),
            ("storage", "local"),
            ("compress", "zstd"),
        ],
    )
    .await;
    assert_eq!(task.exit, "job errors");
    assert!(task.has("ERROR: Backup of VM 9021 failed - unable to find VM '9021'"));
    assert!(task.has("INFO: Backup job finished with errors"));
    assert!(newest(&agent, 9001).await.contains("9001"));
    let gone = post(&agent, "/vzdump", &[("vmid", "9001"), ("storage", "gone")]).await;
    let text = "storage 'gone' does not exist";
    assert_eq!(
        gone.exit,
        format!(
            "could not activate storage 'gone': {text} could not get storage information for 'gone': {text}"
        )
    );
}

#[tokio::test]
async fn one_job_at_a_time() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let slow = Fault {
        method: None,
        path: None,
        task: Some("vzdump:archive".into()),
        id: None,
        count: Some(1),
        skip: 0,
        kind: FaultKind::TaskDelay { seconds: 20.0 },
    };
    world.running.inject(slow);
    let path = format!("{NODE}/vzdump");
    let first = upid(
        &agent
            .post(&path, &[("vmid", "9001"), ("storage", "local")])
            .await,
    );
    tokio::time::sleep(Duration::from_millis(60)).await;
    let none = post(
        &agent,
        "/vzdump",
        &[("vmid", "9010"), ("storage", "local"), ("lockwait", "0")],
    )
    .await;
    assert_eq!(none.exit, "unexpected status");
    assert_eq!(
        none.log,
        ["ERROR: can't acquire lock '/var/run/vzdump.lock' (wait = 0)"]
    );
    let second = post(
        &agent,
        "/vzdump",
        &[("vmid", "9010"), ("storage", "local"), ("lockwait", "10")],
    )
    .await
    .ok();
    assert!(
        second.has("INFO: trying to get global lock - waiting...")
            && second.has("INFO: got global lock")
    );
    end(&agent, &first).await.ok();
}

#[tokio::test]
async fn a_stopped_job_lets_the_guest_go() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    for mode in ["snapshot", "stop"] {
        let stall = Fault {
            method: None,
            path: None,
            task: Some("vzdump:archive".into()),
            id: None,
            count: Some(1),
            skip: 0,
            kind: FaultKind::TaskStall,
        };
        world.running.inject(stall);
        let job = upid(
            &agent
                .post(
                    &format!("{NODE}/vzdump"),
                    &[("vmid", "9001"), ("storage", "local"), ("mode", mode)],
                )
                .await,
        );
        for _ in 0..200 {
            let lock = world.running.state()["world"]["guests"]["9001"]["lock"].clone();
            if lock == "backup"
                && std::fs::read_dir(world.dir.path().join("storage/local/dump"))
                    .unwrap()
                    .count()
                    > 0
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let config = agent
            .put(&format!("{NODE}/lxc/9001/config"), &[("cores", "2")])
            .await;
        config.says(500, "CT is locked (backup)");
        agent
            .delete(&format!("{NODE}/tasks/{}", job.replace(':', "%3A")))
            .await
            .ok();
        let task = end(&agent, &job).await;
        assert_eq!(task.exit, "interrupted by signal");
        assert!(
            task.has("ERROR: Backup of VM 9001 failed - interrupted by signal"),
            "{:#?}",
            task.log
        );
        let guest = world.running.state()["world"]["guests"]["9001"].clone();
        assert_eq!(
            (&guest["status"], &guest["lock"], &guest["frozen"]),
            (&json!("running"), &json!(null), &json!(false))
        );
        assert!(!guest["config"].as_str().unwrap().contains("[vzdump]"));
        let left = std::fs::read_dir(world.dir.path().join("storage/local/dump")).unwrap();
        assert!(
            left.filter_map(Result::ok)
                .all(|entry| !entry.file_name().to_string_lossy().ends_with(".dat"))
        );
    }
}

#[tokio::test]
async fn retention_prunes_with_remove_and_refuses_without() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.as_token(ROOT_TOKEN));
    root.put("/storage/local", &[("prune-backups", "keep-last=2")])
        .await
        .ok();
    let first = backup(&agent, 9001, &[]).await;
    let second = backup(&agent, 9001, &[]).await;
    let params = [
        ("vmid", "9001"),
        ("storage", "local"),
        ("compress", "zstd"),
        ("remove", "0"),
    ];
    let full = post(&agent, "/vzdump", &params).await;
    assert_eq!(full.exit, "job errors");
    assert!(full.has("ERROR: Backup of VM 9001 failed - There is a max backup limit of 2 enforced by the target storage or the vzdump parameters. Either increase the limit or delete old backups."));
    let params = [("vmid", "9001"), ("storage", "local"), ("compress", "zstd")];
    let third = post(&agent, "/vzdump", &params).await.ok();
    assert!(
        third.has("INFO: prune older backups with retention: keep-last=2"),
        "{:#?}",
        third.log
    );
    assert!(third.has(&format!("INFO: removing backup '{first}'")));
    assert!(third.has("INFO: pruned 1 backup(s) not covered by keep-retention policy"));
    let plan = agent
        .get(&format!(
            "{NODE}/storage/local/prunebackups?prune-backups=keep-last%3D1&vmid=9001"
        ))
        .await
        .data();
    assert_eq!(
        (&plan[0]["volid"], &plan[0]["mark"]),
        (&json!(second), &json!("remove"))
    );
    assert_eq!(plan[1]["mark"], "keep");
    let keep = [
        ("vmid", "9001"),
        ("storage", "local"),
        ("compress", "zstd"),
        ("remove", "0"),
        ("protected", "1"),
    ];
    post(&agent, "/vzdump", &keep).await.ok();
}

#[tokio::test]
async fn a_user_without_the_storage_may_protect_five() {
    let world = built_in().await;
    let ctl = world.as_token(CTL);
    let params = [
        ("vmid", "9001"),
        ("storage", "local"),
        ("protected", "1"),
        ("mode", "stop"),
    ];
    for _ in 0..5 {
        post(&ctl, "/vzdump", &params).await.ok();
    }
    let task = post(&ctl, "/vzdump", &params).await;
    assert!(task.has("ERROR: Backup of VM 9001 failed - The number of protected backups per guest is limited to 5 on storage 'local'"));
}

#[tokio::test]
async fn a_volume_without_snapshots_means_suspend_mode() {
    let world = built_in().await;
    let root = world.as_token(ROOT_TOKEN);
    let storage = [
        ("storage", "slow"),
        ("type", "dir"),
        ("path", "/mnt/slow"),
        ("content", "rootdir,images"),
    ];
    root.post("/storage", &storage).await.ok();
    root.put(
        &format!("{NODE}/lxc/9001/config"),
        &[("mp0", "slow:0.1,mp=/mnt/slow,backup=1")],
    )
    .await
    .ok();
    let task = post(
        &root,
        "/vzdump",
        &[("vmid", "9001"), ("storage", "local"), ("compress", "zstd")],
    )
    .await
    .ok();
    assert!(task.has("INFO: mode failure - some volumes do not support snapshots"));
    assert!(
        task.has("INFO: trying 'suspend' mode instead") && task.has("INFO: backup mode: suspend")
    );
}

#[tokio::test]
async fn a_compressor_that_is_not_installed_is_a_failed_backup() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let task = post(
        &agent,
        "/vzdump",
        &[("vmid", "9001"), ("storage", "local"), ("compress", "lzo")],
    )
    .await;
    assert_eq!(task.exit, "job errors");
    assert!(
        task.log
            .iter()
            .any(|line| line.ends_with("failed: exit code 127")),
        "{:#?}",
        task.log
    );
    let lock = world.running.state()["world"]["guests"]["9001"]["lock"].clone();
    assert_eq!(lock, json!(null));
}
