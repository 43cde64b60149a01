//! Two matrices that were measured on a real node, row by row: what a guest's own token may do; what the everyday token
//! may do and which data an archive holds. Status, text, exit status, and the effect re-read.

use serde_json::Value;

use crate::client::{Answer, Client, World};
use crate::guests::options;
use crate::story::{
    AGENT, CTL, NODE, ROOT_TOKEN, backup, built_in, config, delete, end, members, newest, post,
    upid,
};

const SELF: &str = "Permission check failed (/vms/9001, VM.Audit)";

async fn current(client: &Client, kind: &str, vmid: u32) -> Answer {
    let path = format!("{NODE}/{kind}/{vmid}/status/current");
    client.get(&path).await
}

/// The names of a guest's snapshots, without the entry that stands for the present.
async fn snapshots(client: &Client, vmid: u32) -> Vec<String> {
    let list = client.get(&format!("{NODE}/lxc/{vmid}/snapshot")).await;
    let name = |row: &Value| row["name"].as_str().unwrap().to_owned();
    let names: Vec<String> = list.data().as_array().unwrap().iter().map(name).collect();
    names.into_iter().filter(|name| name != "current").collect()
}

/// The archives of a guest.
async fn archives(client: &Client, vmid: u32) -> Vec<Value> {
    let path = format!("{NODE}/storage/local/content?content=backup&vmid={vmid}");
    client.get(&path).await.data().as_array().unwrap().clone()
}

/// Takes a role's grant on a path away from the user or gives it back; the token keeps its own.
async fn user_grant(world: &World, path: &str, delete: &str) {
    let params = [
        ("path", path),
        ("roles", "FelhomSelfBackup"),
        ("users", "felhom-ctl@pve"),
        ("delete", delete),
    ];
    world.root().await.put("/access/acl", &params).await.ok();
}

#[tokio::test]
async fn first_row_1_the_version_needs_no_privilege() {
    let world = built_in().await;
    let data = world.as_token(CTL).get("/version").await.data();
    assert!(data["version"].as_str().unwrap().starts_with("9.2"));
    let nobody = world.principal("nobody@pve", "tok").await;
    nobody.get("/version").await.ok();
}

#[tokio::test]
async fn first_row_2_a_separated_token_sees_itself_once_its_user_may() {
    let world = built_in().await;
    let own = world.as_token(CTL);
    for path in ["/vms/9001", "/storage/local"] {
        user_grant(&world, path, "1").await;
    }
    let before = current(&own, "lxc", 9001).await;
    before.says(403, SELF);
    assert_eq!(before.json()["message"], format!("{SELF}\n"));
    for path in ["/vms/9001", "/storage/local"] {
        user_grant(&world, path, "0").await;
    }
    assert_eq!(current(&own, "lxc", 9001).await.data()["status"], "running");
}

#[tokio::test]
async fn first_row_3_it_snapshots_itself_while_it_runs() {
    let world = built_in().await;
    let own = world.as_token(CTL);
    let params = [("snapname", "spk1")];
    let task = post(&own, "/lxc/9001/snapshot", &params).await;
    assert_eq!(task.exit, "OK");
    let root = world.root().await;
    assert_eq!(snapshots(&root, 9001).await, ["spk1"]);
    let status = current(&root, "lxc", 9001).await.data();
    assert_eq!(
        (&status["status"], &status["lock"]),
        (&"running".into(), &Value::Null)
    );
}

#[tokio::test]
async fn first_row_4_it_backs_itself_up_and_reads_how_that_ended() {
    let world = built_in().await;
    let own = world.as_token(CTL);
    for mode in ["snapshot", "stop"] {
        let params = [("vmid", "9001"), ("storage", "local"), ("mode", mode)];
        // The wait for the end reads the task as the token itself.
        let task = post(&own, "/vzdump", &params).await;
        assert_eq!(task.exit, "OK", "{mode} needs no VM.PowerMgmt");
        let made = newest(&own, 9001).await;
        assert!(members(world.dir.path(), &made).len() > 10, "{mode}");
    }
    let root = world.root().await;
    assert_eq!(archives(&root, 9001).await.len(), 2);
    assert_eq!(
        current(&root, "lxc", 9001).await.data()["status"],
        "running"
    );
}

#[tokio::test]
async fn first_row_5_another_guest_is_not_shown() {
    let world = built_in().await;
    let answer = current(&world.as_token(CTL), "qemu", 9000).await;
    answer.says(403, "Permission check failed (/vms/9000, VM.Audit)");
}

#[tokio::test]
async fn first_row_6_backing_another_guest_up_is_taken_and_fails_in_the_task() {
    let world = built_in().await;
    let (own, root) = (world.as_token(CTL), world.root().await);
    for vmid in ["9000", "9010"] {
        let params = [("vmid", vmid), ("storage", "local")];
        let answer = own.post(&format!("{NODE}/vzdump"), &params).await;
        answer.says(200, "OK");
        let id = upid(&answer);
        assert!(id.ends_with(&format!(":vzdump:{vmid}:{CTL}:")), "{id}");
        let task = end(&root, &id).await;
        let text = format!("403 Permission check failed (/vms/{vmid}, VM.Backup)");
        assert_eq!(task.exit, text);
        assert_eq!(task.log.last().unwrap(), &format!("TASK ERROR: {text}"));
        assert!(archives(&root, vmid.parse().unwrap()).await.is_empty());
    }
    let dump = world.dir.path().join("storage/local/dump");
    assert_eq!(std::fs::read_dir(dump).unwrap().count(), 0);
    let counted = world.running.counts();
    assert!(counted.keys().all(|key| !key.starts_with("vzdump ")));
}

#[tokio::test]
async fn first_row_7_it_makes_no_guest() {
    let world = built_in().await;
    let made = options("9009", &[]);
    let answer = world
        .as_token(CTL)
        .post(&format!("{NODE}/lxc"), &made)
        .await;
    answer.says(403, "Permission check failed");
    assert_eq!(answer.json()["message"], "Permission check failed\n");
    assert!(!world.running.guests().contains(&9009));
}

/// Where the measurement put its files, and which of them an archive has to hold.
const SENTINELS: [(&str, bool); 5] = [
    ("./SENTINEL_ROOTFS", true),
    (
        "./var/lib/docker/volumes/b2vol/_data/SENTINEL_DOCKERVOL",
        true,
    ),
    ("./mnt/mp1/SENTINEL_MP1", true),
    ("./mnt/mp2/SENTINEL_MP2", false),
    ("./mnt/mp2/SENTINEL_BULK", false),
];

const DECISIONS: [&str; 4] = [
    "INFO: including mount point rootfs ('/') in backup",
    "INFO: including mount point mp1 ('/mnt/mp1') in backup",
    "INFO: excluding volume mount point mp2 ('/mnt/mp2') from backup (disabled)",
    "INFO: excluding bind mount point mp3 ('/mnt/mp3') from backup (not a volume)",
];

#[tokio::test]
async fn third_inclusion_three_ways_log_archive_and_restored_guest() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.root().await);
    let params = [
        ("vmid", "9010"),
        ("storage", "local"),
        ("mode", "stop"),
        ("compress", "zstd"),
    ];
    let log = post(&agent, "/vzdump", &params).await.ok().log;
    let decisions: Vec<&String> = log
        .iter()
        .filter(|line| line.contains("mount point"))
        .collect();
    assert_eq!(decisions, DECISIONS);

    let archive = newest(&agent, 9010).await;
    let names = members(world.dir.path(), &archive);
    for (file, included) in SENTINELS {
        assert_eq!(names.contains(&file.to_owned()), included, "{file}");
    }
    assert!(names.iter().all(|name| !name.contains("SENTINEL_MP3")));

    // Only root itself gets the bind mount back.
    let restore = [
        ("vmid", "9011"),
        ("restore", "1"),
        ("ostemplate", archive.as_str()),
        ("storage", "local-lvm"),
    ];
    post(&root, "/lxc", &restore).await.ok();
    let new = config(&root, 9011).await;
    assert_eq!(new["mp3"], "/var/lib/bindmount,mp=/mnt/mp3");
    let volume = |number: u32| {
        let path = format!("volumes/vm-9011-disk-{number}");
        world.dir.path().join(path)
    };
    assert!(volume(0).join("SENTINEL_ROOTFS").is_file());
    let docker = "var/lib/docker/volumes/b2vol/_data/SENTINEL_DOCKERVOL";
    assert!(volume(0).join(docker).is_file());
    assert!(volume(1).join("SENTINEL_MP1").is_file());
    assert_eq!(
        new["mp2"],
        "local-lvm:vm-9011-disk-2,mp=/mnt/mp2,backup=0,size=1G"
    );
    let empty = std::fs::read_dir(volume(2)).unwrap();
    assert_eq!(empty.count(), 0, "made again, at full size, and empty");
}

#[tokio::test]
async fn third_row_read_the_host_and_its_storages() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let status = agent.get(&format!("{NODE}/status")).await.data();
    assert!(status["memory"]["total"].is_u64());
    let storages = agent.get("/storage").await.data();
    let names = |row: &Value| row["storage"].as_str().unwrap().to_owned();
    let names: Vec<String> = storages.as_array().unwrap().iter().map(names).collect();
    assert_eq!(names, ["local", "local-lvm"]);
}

const FEATURES: &str = "Permission check failed \
                        (changing feature flags (except nesting) is only allowed for root@pam)";

#[tokio::test]
async fn third_row_1_keyctl_is_for_root_itself_and_for_no_token() {
    let world = built_in().await;
    let wanted = options("9020", &[("features", "nesting=1,keyctl=1")]);
    let path = format!("{NODE}/lxc");
    for token in [AGENT, ROOT_TOKEN] {
        let answer = world.as_token(token).post(&path, &wanted).await;
        answer.says(403, FEATURES);
        assert!(!world.running.guests().contains(&9020));
    }
    let root = world.root().await;
    post(&root, "/lxc", &wanted).await.ok();
    assert_eq!(config(&root, 9020).await["features"], "nesting=1,keyctl=1");
}

#[tokio::test]
async fn third_rows_1_to_5_make_change_allocate_start_stop() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let nesting = [("features", "nesting=1")];
    post(&agent, "/lxc", &options("9020", &nesting)).await.ok();
    assert_eq!(config(&agent, 9020).await["features"], "nesting=1");

    let mount = "local-lvm:1,mp=/srv/data,backup=1";
    let change = [
        ("memory", "512"),
        ("cores", "2"),
        ("onboot", "1"),
        ("mp1", mount),
    ];
    let answer = agent.put(&format!("{NODE}/lxc/9020/config"), &change).await;
    answer.says(200, "OK");
    let new = config(&agent, 9020).await;
    assert_eq!((&new["memory"], &new["cores"]), (&512.into(), &2.into()));
    assert_eq!(
        new["mp1"],
        "local-lvm:vm-9020-disk-1,mp=/srv/data,backup=1,size=1G"
    );

    let volume = [
        ("vmid", "9020"),
        ("filename", "vm-9020-disk-9"),
        ("size", "64M"),
    ];
    let path = format!("{NODE}/storage/local-lvm/content");
    let answer = agent.post(&path, &volume).await;
    assert_eq!(answer.data(), "local-lvm:vm-9020-disk-9");
    let listed = agent.get(&path).await.data();
    let rows = listed.as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["volid"] == "local-lvm:vm-9020-disk-9");
    assert_eq!(row.unwrap()["size"], 64 << 20);

    for (order, state) in [("start", "running"), ("stop", "stopped")] {
        let task = post(&agent, &format!("/lxc/9020/status/{order}"), &[]).await;
        assert_eq!(task.exit, "OK");
        let status = current(&agent, "lxc", 9020).await.data();
        assert_eq!(status["status"], state);
    }
}

#[tokio::test]
async fn third_row_6_snapshot_and_rollback() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    post(&agent, "/lxc", &options("9020", &[])).await.ok();
    let task = post(&agent, "/lxc/9020/snapshot", &[("snapname", "s1")]).await;
    assert_eq!(task.exit, "OK");
    assert_eq!(snapshots(&agent, 9020).await, ["s1"]);
    let path = format!("{NODE}/lxc/9020/config");
    agent.put(&path, &[("memory", "512")]).await.ok();
    let task = post(&agent, "/lxc/9020/snapshot/s1/rollback", &[]).await;
    assert_eq!(task.exit, "OK");
    assert_eq!(config(&agent, 9020).await["memory"], 256);
}

#[tokio::test]
async fn third_rows_7_to_9_back_up_restore_with_keyctl_destroy() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9001, &[("mode", "stop")]).await;
    assert_eq!(
        current(&agent, "lxc", 9001).await.data()["status"],
        "running"
    );
    let restore = [
        ("vmid", "9021"),
        ("restore", "1"),
        ("ostemplate", archive.as_str()),
        ("storage", "local-lvm"),
    ];
    let task = post(&agent, "/lxc", &restore).await;
    assert_eq!(task.exit, "OK");
    let new = config(&agent, 9021).await;
    assert_eq!(new["features"], "nesting=1,keyctl=1");
    assert_eq!(new["unprivileged"], 1);
    let file = "volumes/vm-9021-disk-0/var/lib/docker/volumes/pgdata/_data/SENTINEL_PGDATA";
    assert!(world.dir.path().join(file).is_file());

    let task = delete(&agent, "/lxc/9021?purge=1").await;
    assert_eq!(task.exit, "OK");
    let gone = agent.get(&format!("{NODE}/lxc/9021/config")).await;
    let text = "Configuration file 'nodes/demo-felhom/lxc/9021.conf' does not exist";
    gone.says(500, text);
    assert!(!world.dir.path().join("volumes/vm-9021-disk-0").exists());
}

#[tokio::test]
async fn third_row_9b_a_storage_is_defined_without_root() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let definition = [
        ("storage", "felhom-dir"),
        ("type", "dir"),
        ("path", "/var/lib/felhom-dir"),
        ("content", "backup"),
    ];
    let answer = agent.post("/storage", &definition).await;
    assert_eq!(answer.data()["storage"], "felhom-dir");
    let path = format!("{NODE}/storage/felhom-dir/status");
    assert_eq!(agent.get(&path).await.data()["active"], 1);
}

/// The everyday role as it was measured, in the order of its list.
const ROLE: [&str; 16] = [
    "VM.Allocate",
    "VM.Audit",
    "VM.Config.Disk",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
    "VM.Backup",
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.Audit",
    "Sys.Audit",
    "SDN.Use",
];

/// Gives the everyday role these privileges.
async fn set_role(world: &World, privileges: &[&str]) {
    let list = privileges.join(" ");
    let root = world.root().await;
    let answer = root
        .put("/access/roles/FelhomAgent", &[("privs", &list)])
        .await;
    answer.ok();
}

#[tokio::test]
async fn third_paring_each_privilege_is_missed_where_it_was_missed() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let made = options("9020", &[("features", "nesting=1")]);
    for (privilege, path) in [
        ("VM.Config.Network", "/vms/9020"),
        ("SDN.Use", "/sdn/zones/localnetwork/vmbr0"),
        ("Sys.Audit", "/nodes/demo-felhom"),
        ("VM.Config.Options", "/vms/9001"),
    ] {
        let rest: Vec<&str> = ROLE.into_iter().filter(|have| *have != privilege).collect();
        set_role(&world, &rest).await;
        let answer = match privilege {
            "Sys.Audit" => agent.get(&format!("{NODE}/status")).await,
            "VM.Config.Options" => {
                let path = format!("{NODE}/lxc/9001/config");
                agent.put(&path, &[("onboot", "0")]).await
            }
            _ => agent.post(&format!("{NODE}/lxc"), &made).await,
        };
        let text = format!("Permission check failed ({path}, {privilege})");
        answer.says(403, &text);
    }
    assert!(!world.running.guests().contains(&9020));
    assert_eq!(config(&agent, 9001).await["onboot"], 1, "unchanged");
    // `Datastore.AllocateTemplate` is not in the list and not missed by a creation from a template.
    set_role(&world, &ROLE).await;
    post(&agent, "/lxc", &made).await.ok();
}
