//! Backups: what is in the archive, what the log says, what is refused, what is pruned.

use std::time::Duration;

use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use crate::client::World;
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
async fn the_archive_holds_what_the_measured_matrix_says() {
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

/// A volume id as one segment of a path.
fn segment(volid: &str) -> String {
    volid.replace(':', "%3A").replace('/', "%2F")
}

const TEMPLATE: &str = "{{guestname}} {{vmid}} {{node}} {{cluster}}\\nsecond";
const NOTES: &str = "demo-ctl 9001 demo-felhom standalone node";

#[tokio::test]
async fn an_archive_has_its_sidecars_and_its_row() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let volid = backup(
        &agent,
        9001,
        &[("notes-template", TEMPLATE), ("protected", "1")],
    )
    .await;
    let list = agent
        .get(&format!("{NODE}/storage/local/content?content=backup"))
        .await
        .data();
    let row = &list[0];
    assert_eq!(row["notes"], NOTES);
    assert_eq!((&row["protected"], &row["vmid"]), (&json!(1), &json!(9001)));
    assert_eq!(
        (&row["format"], &row["subtype"]),
        (&json!("tar.zst"), &json!("lxc"))
    );
    let log = world
        .dir
        .path()
        .join("storage/local/dump")
        .join(log_name(&volid));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains(" INFO: CT Name: demo-ctl") && !log.contains("Backup started at"));
    let path = format!("{NODE}/storage/local/content/{}", segment(&volid));
    let one = agent.get(&path).await.data();
    assert_eq!(one["notes"], format!("{NOTES}\nsecond"));
    let path = format!("{NODE}/vzdump/extractconfig?volume={}", segment(&volid));
    let text = agent.get(&path).await.data();
    let start = "arch: amd64\ncores: 1\nfeatures: nesting=1,keyctl=1\n";
    assert!(text.as_str().unwrap().starts_with(start));
    assert!(!text.as_str().unwrap().contains("lock"));
}

fn log_name(volid: &str) -> String {
    volid
        .trim_start_matches("local:backup/")
        .replace(".tar.zst", ".log")
}

#[tokio::test]
async fn a_protected_archive_stays_until_it_is_let_go() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let volid = backup(&agent, 9001, &[("protected", "1")]).await;
    let path = format!("/storage/local/content/{}", segment(&volid));
    let kept = crate::story::delete(&agent, &path).await;
    let name = volid.trim_start_matches("local:");
    assert_eq!(
        kept.exit,
        format!("cannot remove protected volume '{name}' on 'local'")
    );
    agent
        .put(&format!("{NODE}{path}"), &[("protected", "0")])
        .await
        .ok();
    let gone = crate::story::delete(&agent, &path).await.ok();
    assert!(gone.has(&format!("Removed volume '{volid}'")));
    let log = world
        .dir
        .path()
        .join("storage/local/dump")
        .join(log_name(&volid));
    assert!(!log.exists());
    crate::story::delete(&agent, &path).await.ok();
}

type Refusal = (&'static [(&'static str, &'static str)], &'static str);

const FORBIDDEN: [Refusal; 3] = [
    (
        &[("storage", "local-lvm")],
        "/storage/local-lvm, Datastore.AllocateSpace",
    ),
    (
        &[("prune-backups", "keep-last=1"), ("storage", "local")],
        "/storage/local, Datastore.Allocate",
    ),
    (&[("bwlimit", "0")], "/, Sys.Modify"),
];

#[tokio::test]
async fn permission_on_guests_is_asked_in_the_task_and_on_storages_before_it() {
    let world = built_in().await;
    let ctl = world.as_token(CTL);
    let refused = "403 Permission check failed (/vms/9010, VM.Backup)";
    for vmids in ["9010", "9001,9010"] {
        let task = post(&ctl, "/vzdump", &[("vmid", vmids), ("storage", "local")]).await;
        assert_eq!((task.exit.as_str(), task.log.len()), (refused, 2));
    }
    let task = post(&ctl, "/vzdump", &[("all", "1"), ("storage", "local")])
        .await
        .ok();
    assert!(task.has("INFO: Starting Backup of VM 9001 (lxc)"));
    assert!(!task.has("INFO: Starting Backup of VM 9010 (lxc)"));
    let path = format!("{NODE}/vzdump");
    for (params, detail) in FORBIDDEN {
        let params = [params, &[("vmid", "9001")]].concat();
        ctl.post(&path, &params)
            .await
            .says(403, &format!("Permission check failed ({detail})"));
    }
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
    let errors = json!({"storage": "missing property required by 'protected'"});
    assert_eq!(answer.json()["errors"], errors);
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
    world
        .running
        .inject(at_the_archive(FaultKind::TaskDelay { seconds: 20.0 }));
    let path = format!("{NODE}/vzdump");
    let params = [("vmid", "9001"), ("storage", "local")];
    let first = upid(&agent.post(&path, &params).await);
    begun(&world).await;
    let none = [("vmid", "9010"), ("storage", "local"), ("lockwait", "0")];
    let none = post(&agent, "/vzdump", &none).await;
    assert_eq!(none.exit, "unexpected status");
    assert_eq!(
        none.log,
        ["ERROR: can't acquire lock '/var/run/vzdump.lock' (wait = 0)"]
    );
    let patient = [("vmid", "9010"), ("storage", "local"), ("lockwait", "10")];
    let second = post(&agent, "/vzdump", &patient).await.ok();
    assert!(second.has("INFO: trying to get global lock - waiting..."));
    assert!(second.has("INFO: got global lock"));
    end(&agent, &first).await.ok();
}

/// A fault at the point where the archive is written.
fn at_the_archive(kind: FaultKind) -> Fault {
    let task = Some("vzdump:archive".to_owned());
    Fault {
        method: None,
        path: None,
        task,
        id: None,
        count: Some(1),
        skip: 0,
        kind,
    }
}

async fn begun(world: &World) {
    for _ in 0..400 {
        let files = std::fs::read_dir(world.dir.path().join("storage/local/dump")).unwrap();
        if files
            .filter_map(Result::ok)
            .any(|file| file.file_name().to_string_lossy().ends_with(".dat"))
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no archive is being written");
}

#[tokio::test]
async fn a_stopped_job_lets_the_guest_go() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    for mode in ["snapshot", "stop"] {
        world.running.inject(at_the_archive(FaultKind::TaskStall));
        let params = [("vmid", "9001"), ("storage", "local"), ("mode", mode)];
        let job = upid(&agent.post(&format!("{NODE}/vzdump"), &params).await);
        begun(&world).await;
        let change = agent
            .put(&format!("{NODE}/lxc/9001/config"), &[("cores", "2")])
            .await;
        change.says(500, "CT is locked (backup)");
        agent
            .delete(&format!("{NODE}/tasks/{}", job.replace(':', "%3A")))
            .await
            .ok();
        let task = end(&agent, &job).await;
        assert_eq!(task.exit, "interrupted by signal");
        let line = "ERROR: Backup of VM 9001 failed - interrupted by signal";
        assert!(task.has(line), "{:#?}", task.log);
        let guest = world.running.state()["world"]["guests"]["9001"].clone();
        assert_eq!(
            (&guest["status"], &guest["lock"]),
            (&json!("running"), &json!(null))
        );
        assert_eq!(guest["frozen"], false);
        assert!(!guest["config"].as_str().unwrap().contains("[vzdump]"));
        let left = std::fs::read_dir(world.dir.path().join("storage/local/dump")).unwrap();
        let names = left.filter_map(Result::ok).map(|entry| entry.file_name());
        assert!(
            names
                .into_iter()
                .all(|name| !name.to_string_lossy().ends_with(".dat"))
        );
    }
}

const FULL: &str = "ERROR: Backup of VM 9001 failed - There is a max backup limit of 2 enforced by the target storage or the vzdump parameters. Either increase the limit or delete old backups.";

#[tokio::test]
async fn retention_prunes_with_remove_and_refuses_without() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.as_token(ROOT_TOKEN));
    root.put("/storage/local", &[("prune-backups", "keep-last=2")])
        .await
        .ok();
    let first = backup(&agent, 9001, &[]).await;
    let second = backup(&agent, 9001, &[]).await;
    let job = |more: &[(&'static str, &'static str)]| {
        [
            &[("vmid", "9001"), ("storage", "local"), ("compress", "zstd")],
            more,
        ]
        .concat()
    };
    let full = post(&agent, "/vzdump", &job(&[("remove", "0")])).await;
    assert_eq!(full.exit, "job errors");
    assert!(full.has(FULL), "{:#?}", full.log);
    let third = post(&agent, "/vzdump", &job(&[])).await.ok();
    for line in [
        "INFO: prune older backups with retention: keep-last=2",
        &format!("INFO: removing backup '{first}'"),
        "INFO: pruned 1 backup(s) not covered by keep-retention policy",
    ] {
        assert!(third.has(line), "{line}: {:#?}", third.log);
    }
    let path = format!("{NODE}/storage/local/prunebackups?prune-backups=keep-last%3D1&vmid=9001");
    let plan = agent.get(&path).await.data();
    assert_eq!(
        (&plan[0]["volid"], &plan[0]["mark"]),
        (&json!(second), &json!("remove"))
    );
    assert_eq!(plan[1]["mark"], "keep");
    post(
        &agent,
        "/vzdump",
        &job(&[("remove", "0"), ("protected", "1")]),
    )
    .await
    .ok();
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

#[tokio::test]
async fn a_job_stopped_while_it_snapshots_leaves_lock_and_snapshot() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let point = Some("snapshot:frozen".to_owned());
    let stall = Fault {
        task: point,
        ..at_the_archive(FaultKind::TaskStall)
    };
    world.running.inject(stall);
    let job = [("vmid", "9001"), ("storage", "local")];
    let job = upid(&agent.post(&format!("{NODE}/vzdump"), &job).await);
    let guest = || world.running.state()["world"]["guests"]["9001"].clone();
    while guest()["frozen"] != true {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    agent
        .delete(&format!("{NODE}/tasks/{}", job.replace(':', "%3A")))
        .await
        .ok();
    assert_eq!(end(&agent, &job).await.exit, "interrupted by signal");
    let left = guest();
    assert_eq!(
        (&left["lock"], &left["frozen"]),
        (&json!("snapshot"), &json!(false))
    );
    assert!(left["config"].as_str().unwrap().contains("\n[vzdump]\n"));
}
