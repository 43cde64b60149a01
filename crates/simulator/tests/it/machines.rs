//! Virtual machines: what a backup's log says, what is in the archive, how they come back, and what a failure leaves.

use std::io::Read as _;

use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::client::{Client, World};
use crate::story::{
    AGENT, NODE, ROOT_TOKEN, TEST, Task, backup, built_in, delete, end, newest, post, upid,
};

fn at(task: &str, kind: FaultKind) -> Fault {
    Fault {
        method: None,
        path: None,
        task: Some(task.into()),
        id: None,
        count: Some(1),
        skip: 0,
        kind,
    }
}

/// A running machine with two disks, one of them kept out of backups, and a CD drive.
pub(crate) async fn machine(world: &World, vmid: u32, more: &Value) {
    let mut config = json!({
        "name": "shop", "memory": "1024", "cores": "2", "ostype": "l26", "onboot": "1", "agent": "1",
        "boot": "order=scsi0", "scsihw": "virtio-scsi-single", "ide2": "none,media=cdrom",
        "net0": "virtio=BC:24:11:00:92:00,bridge=vmbr0,firewall=1",
        "vmgenid": "0b8dc3c1-95cb-4bb1-8bb5-0ad5d7c4a111",
        "smbios1": "uuid=2b1f6c04-1111-4b6e-9f2a-9a3a5f6b7c8d",
        "description": "the shop\n",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let order = json!({
        "vmid": vmid, "config": config, "running": 300.0,
        "disks": [
            { "key": "scsi0", "size": "1G", "boot": { "agent_after": 2.0 } },
            { "key": "scsi1", "size": "2G", "options": "backup=0" },
        ],
    });
    world.running.control("put-qemu", order).await.unwrap();
}

async fn config(client: &Client, vmid: u32) -> Value {
    client
        .get(&format!("{NODE}/qemu/{vmid}/config"))
        .await
        .data()
}

async fn status(client: &Client, vmid: u32) -> Value {
    client
        .get(&format!("{NODE}/qemu/{vmid}/status/current"))
        .await
        .data()
}

async fn restore(client: &Client, vmid: &str, archive: &str, more: &[(&str, &str)]) -> Task {
    let mut params = vec![
        ("vmid", vmid),
        ("archive", archive),
        ("storage", "local-lvm"),
    ];
    params.extend(more);
    post(client, "/qemu", &params).await
}

fn volumes(world: &World, owner: u32) -> Vec<String> {
    let state = world.running.state();
    let volumes = state["world"]["volumes"].as_object().unwrap();
    let own = volumes
        .iter()
        .filter(|(_, volume)| volume["owner"] == owner);
    own.map(|(id, _)| id.clone()).collect()
}

/// The lines of a log without what differs from run to run.
fn shape(task: &Task) -> Vec<String> {
    let cut = [
        "INFO: starting new backup job: ",
        "INFO: Backup started at ",
        "INFO: Finished Backup of VM 9200 (",
        "INFO: Backup finished at ",
        "INFO: archive file size: ",
        "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-qemu-9200-",
        "INFO: started backup task '",
        "INFO: 100% (1.0 GiB of 1.0 GiB) in ",
        "INFO: transferred 1.00 GiB in ",
        "INFO: resuming VM again after ",
    ];
    let short = |line: &String| match cut.iter().find(|start| line.starts_with(**start)) {
        Some(start) => (*start).to_owned(),
        None => line.clone(),
    };
    task.log.iter().map(short).collect()
}

const START: [&str; 4] = [
    "INFO: starting new backup job: ",
    "INFO: Starting Backup of VM 9200 (qemu)",
    "INFO: Backup started at ",
    "INFO: status = running",
];
const DISKS: [&str; 3] = [
    "INFO: VM Name: shop",
    "INFO: include disk 'scsi0' 'local-lvm:vm-9200-disk-0' 1G",
    "INFO: exclude disk 'scsi1' 'local-lvm:vm-9200-disk-1' (backup=no)",
];
const END: [&str; 8] = [
    "INFO: 100% (1.0 GiB of 1.0 GiB) in ",
    "INFO: backup is sparse: 1023.62 MiB (99%) total zero data",
    "INFO: transferred 1.00 GiB in ",
    "INFO: archive file size: ",
    "INFO: Finished Backup of VM 9200 (",
    "INFO: Backup finished at ",
    "INFO: Backup job finished successfully",
    "TASK OK",
];

async fn dumped(client: &Client, mode: &str) -> Task {
    let params = [
        ("vmid", "9200"),
        ("storage", "local"),
        ("mode", mode),
        ("compress", "zstd"),
    ];
    post(client, "/vzdump", &params).await.ok()
}

#[tokio::test]
async fn snapshot_mode_freezes_through_the_agent_and_logs_what_pve_logs() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let agent = world.as_token(AGENT);
    let before = config(&agent, 9200).await;
    let task = dumped(&agent, "snapshot").await;
    let expected = [
        &START[..],
        &DISKS,
        &[
            "INFO: backup mode: snapshot",
            "INFO: ionice priority: 7",
            "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-qemu-9200-",
            "INFO: issuing guest-agent 'fs-freeze' command",
            "INFO: starting backup via QMP command",
            "INFO: issuing guest-agent 'fs-thaw' command",
            "INFO: started backup task '",
            "INFO: resuming VM again",
        ],
        &END,
    ]
    .concat();
    assert_eq!(shape(&task), expected);
    assert_eq!(config(&agent, 9200).await, before);
    assert_eq!(status(&agent, 9200).await["qmpstatus"], "running");
}

#[tokio::test]
async fn every_reason_not_to_freeze_has_its_line() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let skipped = "INFO: skipping guest filesystem freeze - ";
    for (more, reason) in [
        (json!({ "agent": "0" }), "disabled in VM options"),
        (
            json!({ "agent": "1,freeze-fs=0" }),
            "disabled in VM options",
        ),
        (json!({}), "agent configured but not running?"),
    ] {
        machine(&world, 9200, &more).await;
        let poke = json!({ "vmid": 9200, "boot": {} });
        world.running.control("poke-qemu", poke).await.unwrap();
        let task = dumped(&agent, "snapshot").await;
        assert!(task.has(&format!("{skipped}{reason}")), "{:#?}", task.log);
        assert!(!task.log.iter().any(|line| line.contains("fs-freeze")));
    }
    machine(&world, 9200, &json!({})).await;
    let refused = "unable to freeze guest fs - timeout";
    world.running.inject(at(
        "vzdump:freeze",
        FaultKind::TaskFail {
            text: refused.into(),
        },
    ));
    let task = dumped(&agent, "snapshot").await;
    assert!(task.has(&format!("ERROR: {refused}")), "{:#?}", task.log);
    assert!(task.has("INFO: issuing guest-agent 'fs-thaw' command"));
}

#[tokio::test]
async fn stop_and_suspend_mode_hold_the_machine_still_and_let_it_go_on() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let agent = world.as_token(AGENT);
    let shaped = shape(&dumped(&agent, "stop").await);
    let stop = [
        &["INFO: backup mode: stop", "INFO: ionice priority: 7"][..],
        &DISKS,
        &[
            "INFO: stopping virtual guest",
            "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-qemu-9200-",
            "INFO: starting kvm to execute backup task",
            "INFO: starting backup via QMP command",
            "INFO: started backup task '",
            "INFO: resuming VM again after ",
        ],
    ]
    .concat();
    assert_eq!(shaped, [&START[..], &stop, &END].concat());
    assert_eq!(status(&agent, 9200).await["qmpstatus"], "running");
    let shaped = shape(&dumped(&agent, "suspend").await);
    assert!(shaped.contains(&"INFO: suspending guest".to_owned()));
    assert!(shaped.contains(&"INFO: resuming VM again after ".to_owned()));
    assert_eq!(status(&agent, 9200).await["qmpstatus"], "running");
    post(&agent, "/qemu/9200/status/stop", &[]).await.ok();
    let shaped = shape(&dumped(&agent, "snapshot").await);
    for line in [
        "backup mode: stop",
        "starting kvm to execute backup task",
        "stopping kvm after backup task",
    ] {
        assert!(shaped.contains(&format!("INFO: {line}")), "{shaped:#?}");
    }
    assert_eq!(status(&agent, 9200).await["status"], "stopped");
}

#[tokio::test]
async fn the_archive_is_a_vma_with_the_configuration_and_its_map() {
    let world = built_in().await;
    machine(
        &world,
        9200,
        &json!({ "unused0": "local-lvm:vm-9200-disk-7" }),
    )
    .await;
    let agent = world.as_token(AGENT);
    let volid = backup(&agent, 9200, &[]).await;
    let path = format!("{NODE}/vzdump/extractconfig?volume={volid}");
    let text = agent.get(&path).await.data();
    let text = text.as_str().unwrap();
    assert!(text.starts_with("#the shop\n"), "{text}");
    assert!(
        text.ends_with("#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:\n"),
        "{text}"
    );
    assert!(
        text.contains("scsi1: local-lvm:vm-9200-disk-1,backup=0,size=2G\n"),
        "{text}"
    );
    assert!(
        !text.contains("unused0") && !text.contains("lock:"),
        "{text}"
    );
    let file = volid.trim_start_matches("local:backup/");
    let file = std::fs::File::open(world.dir.path().join("storage/local/dump").join(file)).unwrap();
    let mut bytes = Vec::new();
    zstd::Decoder::new(file)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    assert!(bytes.starts_with(b"VMA\0\0\0\0\x01"));
    // One extent of 59 clusters after the other behind the header.
    let head = u32::from_be_bytes(bytes[56..60].try_into().unwrap());
    assert_eq!(&bytes[usize::try_from(head).unwrap()..][..4], b"VMAE");
    let row = agent
        .get(&format!(
            "{NODE}/storage/local/content?content=backup&vmid=9200"
        ))
        .await
        .data();
    assert_eq!(
        (&row[0]["subtype"], &row[0]["format"]),
        (&json!("qemu"), &json!("vma.zst"))
    );
}

#[tokio::test]
async fn a_restore_makes_new_volumes_a_new_generation_and_comment_lines() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9200, &[]).await;
    let before = config(&agent, 9200).await;
    let task = restore(&agent, "9300", &archive, &[("unique", "1")])
        .await
        .ok();
    let file = archive.trim_start_matches("local:backup/");
    assert!(task.has(&format!(
        "restore vma archive: zstd -q -d -c /var/lib/vz/dump/{file} | vma extract -v -r /var/tmp/vzdumptmp3711.fifo - /var/tmp/vzdumptmp3711"
    )));
    for line in [
        "DEV: dev_id=1 size: 1073741824 devname: drive-scsi0",
        "new volume ID is 'local-lvm:vm-9300-disk-0'",
        "map 'drive-scsi0' to '/dev/pve/vm-9300-disk-0' (write zeros = 0)",
        "rescan volumes...",
    ] {
        assert!(task.has(line), "{line}: {:#?}", task.log);
    }
    let after = config(&agent, 9300).await;
    assert_eq!(after["scsi0"], "local-lvm:vm-9300-disk-0,size=1G");
    assert_eq!(after["scsi1"], Value::Null);
    assert_eq!(
        after["description"],
        "the shop\nscsi1: local-lvm:vm-9200-disk-1,backup=0,size=2G\n"
    );
    for key in ["vmgenid", "smbios1", "net0"] {
        assert_ne!(after[key], before[key], "{key}");
    }
    assert!(
        after["net0"]
            .as_str()
            .unwrap()
            .ends_with(",bridge=vmbr0,firewall=1")
    );
    assert_eq!(
        (&after["onboot"], &after["lock"]),
        (&json!(1), &Value::Null)
    );
    // Without `unique` only the generation is new; options of the request replace archived ones.
    let given = [
        ("net0", "virtio,bridge=vmbr9,link_down=1"),
        ("description", "mine"),
        ("onboot", "0"),
    ];
    restore(&agent, "9301", &archive, &given).await.ok();
    let after = config(&agent, 9301).await;
    assert_eq!(
        (&after["smbios1"], &after["description"]),
        (&before["smbios1"], &json!("mine\n"))
    );
    assert_ne!(after["vmgenid"], before["vmgenid"]);
    assert!(
        after["net0"]
            .as_str()
            .unwrap()
            .ends_with(",bridge=vmbr9,link_down=1")
    );
}

#[tokio::test]
async fn the_agent_is_asked_only_where_it_can_answer() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let root = world.as_token(ROOT_TOKEN);
    let ping = format!("{NODE}/qemu/9200/agent/ping");
    assert_eq!(root.post(&ping, &[]).await.data(), json!({ "result": {} }));
    assert_eq!(status(&root, 9200).await["agent"], 1);
    let refused = world.as_token(AGENT).post(&ping, &[]).await;
    refused.says(
        403,
        "Permission check failed (/vms/9200, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)",
    );
    let poke = json!({ "vmid": 9200, "boot": {} });
    world.running.control("poke-qemu", poke).await.unwrap();
    root.post(&ping, &[])
        .await
        .says(500, "QEMU guest agent is not running");
    post(&root, "/qemu/9200/status/shutdown", &[]).await.ok();
    root.post(&ping, &[])
        .await
        .says(500, "VM 9200 is not running");
    root.put(&format!("{NODE}/qemu/9200/config"), &[("delete", "agent")])
        .await
        .ok();
    root.post(&ping, &[])
        .await
        .says(500, "No QEMU guest agent configured");
}

#[tokio::test]
async fn what_a_token_may_not_set_and_may_not_restore() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let (agent, root) = (world.as_token(AGENT), world.as_token(ROOT_TOKEN));
    let archive = backup(&agent, 9200, &[]).await;
    let asked = async |key: &str, value: &str| {
        let params = [("vmid", "9300"), ("archive", &*archive), (key, value)];
        agent.post(&format!("{NODE}/qemu"), &params).await
    };
    asked("args", "-S")
        .await
        .says(500, "only root can set 'args' config");
    asked("hookscript", "local:snippets/a.sh")
        .await
        .says(500, "only root can set 'hookscript' config");
    asked("scsi0", "local-lvm:1")
        .await
        .says(400, "Parameter verification failed.");
    let twice = [("vmid", "9200"), ("archive", &*archive)];
    let answer = agent.post(&format!("{NODE}/qemu"), &twice).await;
    answer.says(
        500,
        "unable to restore VM 9200 - VM 9200 already exists on node 'demo-felhom'",
    );
    assert_eq!(
        root.get(&format!("{NODE}/qemu/9300/config")).await.status,
        500
    );

    // The archive's own options: args and hookscript come back, devices of the host do not.
    machine(
        &world,
        9201,
        &json!({ "args": "-S", "hookscript": "local:snippets/a.sh" }),
    )
    .await;
    let archive = backup(&agent, 9201, &[]).await;
    restore(&agent, "9301", &archive, &[]).await.ok();
    assert_eq!(config(&agent, 9301).await["args"], "-S");
    machine(&world, 9202, &json!({ "usb0": "host=1234:5678" })).await;
    let archive = backup(&agent, 9202, &[]).await;
    let task = restore(&agent, "9302", &archive, &[]).await;
    assert_eq!(
        task.exit,
        "only root can set 'usb0' config for real devices"
    );
    // Nobody's stub: no lock, no mark, no disk.
    let stub = config(&agent, 9302).await;
    assert_eq!(
        stub.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["digest"]
    );
    assert_eq!(volumes(&world, 9302), [""; 0]);
    delete(&agent, "/qemu/9302").await.ok();
}

#[tokio::test]
async fn what_is_mapped_wants_the_mapping() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    for (vmid, key, value, path) in [
        (9203, "rng0", "source=/dev/hwrng", "/mapping/hwrng"),
        (9204, "virtiofs0", "share", "/mapping/dir/share"),
        (9205, "usb0", "mapping=key", "/mapping/usb/key"),
    ] {
        machine(&world, vmid, &json!({ key: value })).await;
        let archive = backup(&agent, vmid, &[]).await;
        let task = restore(&agent, "9303", &archive, &[]).await;
        assert!(
            task.exit.contains(path) && task.exit.contains("Mapping.Use"),
            "{key}: {}",
            task.exit
        );
        delete(&agent, "/qemu/9303").await.ok();
    }
}

#[tokio::test]
async fn a_restored_machine_has_its_rules_and_the_rest_of_what_it_says_of_itself() {
    let world = built_in().await;
    let smbios = "uuid=2b1f6c04-1111-4b6e-9f2a-9a3a5f6b7c8d,base64=1,serial=QUJD";
    let order = json!({
        "vmid": 9200, "config": { "memory": "512", "smbios1": smbios }, "firewall": "[OPTIONS]\nenable: 1\n",
        "disks": [{ "key": "scsi0", "size": "64M" }],
    });
    world.running.control("put-qemu", order).await.unwrap();
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9200, &[]).await;
    restore(&agent, "9300", &archive, &[("unique", "1")])
        .await
        .ok();
    let after = config(&agent, 9300).await["smbios1"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        after.contains("base64=1,serial=QUJD,uuid=") && !after.contains("2b1f6c04"),
        "{after}"
    );
    // What the next backup of it holds came from the first.
    let again = backup(&agent, 9300, &[]).await;
    let task = restore(&agent, "9301", &again, &[]).await.ok();
    assert!(
        task.log
            .iter()
            .any(|line| line.ends_with("name: qemu-server.fw")),
        "{:#?}",
        task.log
    );
}

#[tokio::test]
async fn a_failed_restore_frees_its_volumes_and_leaves_an_unmarked_stub() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9200, &[]).await;
    let order = json!({ "volid": archive, "truncate": true });
    world
        .running
        .control("corrupt-archive", order)
        .await
        .unwrap();
    let task = restore(&agent, "9300", &archive, &[("description", "marked")]).await;
    assert!(task.exit.ends_with("failed: exit code 1"), "{}", task.exit);
    assert!(
        task.has("temporary volume 'local-lvm:vm-9300-disk-0' successfully removed"),
        "{:#?}",
        task.log
    );
    assert!(task.has("error before or during data restore, some or all disks were not completely restored. VM 9300 state is NOT cleaned up."));
    let stub = config(&agent, 9300).await;
    assert_eq!(
        (&stub["memory"], &stub["description"], &stub["lock"]),
        (&json!("128"), &Value::Null, &Value::Null)
    );
    assert_eq!(volumes(&world, 9300), [""; 0]);
}

#[tokio::test]
async fn a_killed_restore_leaves_the_stub_and_volumes_that_nothing_names() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9200, &[]).await;
    world
        .running
        .inject(at("qmrestore:extract", FaultKind::TaskVanish));
    let task = restore(&agent, "9300", &archive, &[("pool", "felhom-scratch")]).await;
    assert_eq!(task.exit, "unexpected status");
    let stub = config(&agent, 9300).await;
    assert_eq!(
        (&stub["memory"], &stub["lock"]),
        (&json!("128"), &Value::Null)
    );
    assert_eq!(volumes(&world, 9300), ["local-lvm:vm-9300-disk-0"]);
    // A destroy that takes what bears the number finds them.
    delete(&agent, "/qemu/9300?destroy-unreferenced-disks=1")
        .await
        .ok();
    assert_eq!(volumes(&world, 9300), [""; 0]);
    // Killed earlier, the lock is still there, and nothing of the API takes it away.
    world.running.inject(at("qmrestore", FaultKind::TaskVanish));
    restore(&agent, "9300", &archive, &[]).await;
    assert_eq!(config(&agent, 9300).await["lock"], "create");
    let task = delete(&agent, "/qemu/9300").await;
    assert_eq!(task.exit, "VM is locked (create)");
}

#[tokio::test]
async fn a_full_pool_fails_a_restore_in_its_middle() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9200, &[]).await;
    world
        .running
        .inject(at("qmrestore:extract", FaultKind::TaskHold));
    let params = [
        ("vmid", "9300"),
        ("archive", &*archive),
        ("storage", "local-lvm"),
    ];
    let upid = upid(&agent.post(&format!("{NODE}/qemu"), &params).await);
    while volumes(&world, 9300).is_empty() {
        tokio::task::yield_now().await;
    }
    world.running.fill_pool(u64::MAX / 4).await.unwrap();
    world.running.release();
    let task = end(&agent, &upid).await;
    assert!(task.exit.contains("failed: exit code 1"), "{}", task.exit);
    assert_eq!(volumes(&world, 9300), [""; 0]);
}

#[tokio::test]
async fn power_and_removal_are_judged_in_their_tasks() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let agent = world.as_token(AGENT);
    let answer = agent.delete(&format!("{NODE}/qemu/9200")).await;
    answer.says(500, "VM 9200 is running - destroy failed");
    assert_eq!(
        post(&agent, "/qemu/9200/status/start", &[]).await.exit,
        "VM 9200 already running"
    );
    post(&agent, "/qemu/9200/status/stop", &[]).await.ok();
    // A machine that is down is stopped again without a word.
    post(&agent, "/qemu/9200/status/stop", &[]).await.ok();
    assert_eq!(status(&agent, 9200).await["qmpstatus"], "stopped");
    post(&agent, "/qemu/9200/status/start", &[]).await.ok();
    let row = status(&agent, 9200).await;
    assert!(
        row["pid"].as_u64().unwrap() > 0 && row["status"] == "running",
        "{row}"
    );
    let refused = world
        .as_token(TEST)
        .post(&format!("{NODE}/qemu/9200/status/stop"), &[])
        .await;
    refused.says(403, "Permission check failed (/vms/9200, VM.PowerMgmt)");
    post(&agent, "/qemu/9200/status/stop", &[]).await.ok();
    delete(&agent, "/qemu/9200").await.ok();
    assert_eq!(volumes(&world, 9200), [""; 0]);
}

#[tokio::test]
async fn without_a_storage_each_disk_goes_back_to_where_it_came_from() {
    let world = built_in().await;
    machine(&world, 9200, &json!({})).await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9200, &[]).await;
    let params = [("vmid", "9300"), ("archive", &*archive)];
    post(&agent, "/qemu", &params).await.ok();
    assert_eq!(volumes(&world, 9300), ["local-lvm:vm-9300-disk-0"]);
    let params = [
        ("vmid", "9301"),
        ("archive", &*archive),
        ("storage", "local"),
    ];
    let task = post(&agent, "/qemu", &params).await;
    assert_eq!(
        task.exit,
        "Content type 'images' is not available on storage 'local'"
    );
    assert_eq!(newest(&agent, 9200).await, archive);
}
