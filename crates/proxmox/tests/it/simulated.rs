//! The client against a whole simulated PVE: every call once, one backup's and restore's life, and
//! the trouble that only a server with state can make.

use felhom_ids::{ByteSize, GuestKind, SnapshotName, StorageId, TokenId, Vmid, VolumeId};
use felhom_proxmox::property::RootFs;
use felhom_proxmox::pve::backup::Vzdump;
use felhom_proxmox::pve::guests::{
    CreateSnapshot, DestroyLxc, LxcSettings, RestoreLxc, RollbackSnapshot, SetLxcConfig,
    ShutdownGuest,
};
use felhom_proxmox::pve::storage::{SetVolumeAttributes, StoredVolume};
use felhom_proxmox::pve::tasks::{ListTasks, TaskSource};
use felhom_proxmox::{
    Client, Delivery, Error, FollowOptions, Outcome, Pve, Settings, TaskHandle, Token, Trust,
};
use felhom_simulator::{Fault, FaultKind, Options, Running, Simulator, Time};
use secrecy::SecretString;
use tempfile::TempDir;

const AGENT: &str = "felhom-agent@pve!agent";
const TESTER: &str = "felhom-test@pve!restore-test";

pub(crate) struct World {
    pub(crate) sim: Running,
    _state: TempDir,
}

impl World {
    /// Simulated hours pass in seconds.
    pub(crate) async fn start() -> Self {
        let state = TempDir::new().unwrap();
        let options = Options {
            time: Time::Scaled(100.0),
            ..Options::new(state.path())
        };
        Self {
            sim: Simulator::start(options).await.unwrap(),
            _state: state,
        }
    }

    pub(crate) fn pve(&self, token: &str) -> Pve {
        let id: TokenId = token.parse().unwrap();
        let secret = SecretString::from(self.sim.tokens()[token].clone());
        let trust = Trust::PinnedLeaf(self.sim.fingerprint().parse().unwrap());
        let address = self.sim.url().parse().unwrap();
        let client = Client::new(Settings::new(address, Token::new(id, &secret), trust)).unwrap();
        Pve::new(client, self.sim.node().parse().unwrap())
    }
}

pub(crate) fn vmid(number: u32) -> Vmid {
    Vmid::new(number).unwrap()
}

fn local() -> StorageId {
    "local".parse().unwrap()
}

pub(crate) async fn done(pve: &Pve, task: Result<TaskHandle, Error>) {
    let task = task.unwrap();
    let upid = task.upid().clone();
    let outcome = pve.finish(task, &FollowOptions::default()).await.unwrap();
    assert!(outcome.is_good(), "{upid}: {outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_about_the_host_can_be_read() {
    let world = World::start().await;
    let pve = world.pve(AGENT);
    assert!(pve.version().await.unwrap().major_minor().unwrap() >= (9, 0));
    assert_eq!(&pve.nodes().await.unwrap()[0].node, pve.node());
    assert_eq!(&pve.client().nodes().await.unwrap()[0].node, pve.node());
    assert!(pve.node_status().await.unwrap().memory.total > 0);
    assert!(pve.node_time().await.unwrap().time > 0);
    assert!(pve.cluster_status().await.unwrap()[0].local);
    let permissions = pve.permissions_at("/vms/9001").await.unwrap();
    assert!(permissions.has("/vms/9001", "VM.Backup"));
    assert!(!pve.permissions().await.unwrap().0.is_empty());
    let bridges = pve.host_interfaces().await.unwrap();
    let isolated = |name: &str| {
        let found = bridges.iter().find(|found| found.iface == name);
        found.unwrap().is_isolated_bridge()
    };
    assert!(isolated("vmbr9") && !isolated("vmbr0"));
    assert!(pve.thin_pools().await.unwrap()[0].metadata_size > 0);
    let disks = pve.disks().await.unwrap();
    assert_eq!(disks[0].devpath, "/dev/sda");
    assert_eq!(pve.smart("/dev/sda").await.unwrap().celsius(), Some(31));
    let packages = pve.packages().await.unwrap();
    assert!(
        packages
            .iter()
            .any(|package| package.name == "pve-manager" && !package.is_outdated())
    );
    assert!(
        pve.storages()
            .await
            .unwrap()
            .iter()
            .all(|storage| storage.active)
    );
    assert!(pve.storage_status(&local()).await.unwrap().avail > Some(0));
    let configs = pve.storage_configs().await.unwrap();
    assert!(configs.iter().any(|storage| storage.storage == local()));
    let pool = "felhom-scratch".parse().unwrap();
    assert!(world.pve(TESTER).pool(&pool).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_about_guests_can_be_read() {
    let world = World::start().await;
    let pve = world.pve(AGENT);
    let resources = pve.resources().await.unwrap();
    assert!(resources.iter().any(|resource| resource.vmid == Some(9001)));
    assert!(pve.is_free(pve.next_id().await.unwrap()).await.unwrap());
    assert!(!pve.is_free(vmid(9001)).await.unwrap());
    let guests = pve.lxc_list().await.unwrap();
    assert_eq!(guests.iter().filter(|guest| guest.is_running()).count(), 2);
    assert!(pve.lxc_status(vmid(9001)).await.unwrap().is_running());
    let config = pve.lxc_config(vmid(9010)).await.unwrap();
    let mounts = config.mounts().unwrap();
    let backed_up = mounts.iter().filter(|(_, mount)| mount.is_backed_up());
    assert_eq!(
        backed_up.map(|(number, _)| *number).collect::<Vec<_>>(),
        [1]
    );
    assert!(!config.features().unwrap().is_at_most_nesting());
    assert!(pve.lxc_snapshots(vmid(9001)).await.unwrap().list.is_empty());
    assert!(pve.lxc_interfaces(vmid(9001)).await.unwrap().is_some());
    assert!(pve.tasks(&ListTasks::default()).await.is_ok());
    let thin = "local-lvm".parse().unwrap();
    assert!(!pve.storage_content(&thin).await.unwrap().is_empty());
    let error = pve.lxc_config(vmid(9999)).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

/// Backs 9001 up, with notes that want escaping.
async fn archive(agent: &Pve) -> StoredVolume {
    let notes = "felhom: job 1; {{guestname}} = \\\n100 %".to_owned();
    let backup = Vzdump {
        notes: Some(notes),
        ..Vzdump::new(vmid(9001), local())
    };
    done(agent, agent.vzdump(&backup).await).await;
    agent
        .backups(&local(), Some(vmid(9001)))
        .await
        .unwrap()
        .remove(0)
}

/// A restore of it as 9100 that stays off the network.
async fn scratch(tester: &Pve, archive: &VolumeId) -> RestoreLxc {
    let inside = tester.extract_lxc_config(archive).await.unwrap();
    let mut nets = inside.nets().unwrap();
    for net in nets.values_mut() {
        net.bridge = Some("vmbr9".parse().unwrap());
        net.link_down = Some(true);
        net.ip = Some("198.51.100.77/32".parse().unwrap());
    }
    let size = inside.rootfs().unwrap().unwrap().options.size.unwrap();
    let storage: StorageId = "local-lvm".parse().unwrap();
    let settings = LxcSettings {
        pool: Some("felhom-scratch".parse().unwrap()),
        hostname: Some("scratch".to_owned()),
        description: Some("felhom:installation/job/9100".to_owned()),
        memory: Some(128),
        onboot: Some(false),
        protection: Some(false),
        rootfs: Some(RootFs::new(storage.clone(), size)),
        nets,
        ..LxcSettings::default()
    };
    let storage = Some(storage);
    RestoreLxc {
        vmid: vmid(9100),
        archive: archive.clone(),
        storage,
        settings,
        bwlimit: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_comes_back_and_goes_again() {
    let world = World::start().await;
    let (agent, tester) = (world.pve(AGENT), world.pve(TESTER));
    let archive = archive(&agent).await;
    assert_eq!(archive.volid.backup().unwrap().vmid, vmid(9001));
    assert_eq!(
        archive.notes.as_deref(),
        Some("felhom: job 1; { {guestname}} = \\")
    );
    let restore = scratch(&tester, &archive.volid).await;
    done(&tester, tester.restore_lxc(&restore).await).await;
    let config = tester.lxc_config(vmid(9100)).await.unwrap();
    assert_eq!(config.description(), Some("felhom:installation/job/9100"));
    assert_eq!(config.memory(), ByteSize::from_bytes(128 << 20));
    for (number, net) in config.nets().unwrap() {
        assert!(net.same(&restore.settings.nets[&number]), "{net}");
    }
    done(
        &tester,
        tester.start_guest(GuestKind::Lxc, vmid(9100)).await,
    )
    .await;
    assert!(tester.lxc_status(vmid(9100)).await.unwrap().is_running());
    done(&tester, tester.stop_guest(GuestKind::Lxc, vmid(9100)).await).await;
    assert_eq!(tester.lxc_interfaces(vmid(9100)).await.unwrap(), None);
    let destroy = DestroyLxc {
        vmid: vmid(9100),
        unreferenced_disks: false,
    };
    done(&tester, tester.destroy_lxc(&destroy).await).await;
    assert!(tester.is_free(vmid(9100)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_archive_stays() {
    let world = World::start().await;
    let agent = world.pve(AGENT);
    let archive = archive(&agent).await.volid;
    let notes = "restore-tested; passed = yes & + 100 %\nsecond".to_owned();
    let (volume, protected) = (archive.clone(), Some(true));
    let change = SetVolumeAttributes {
        volume,
        notes: Some(notes.clone()),
        protected,
    };
    agent.set_volume_attributes(&change).await.unwrap();
    let volume = agent.volume(&archive).await.unwrap();
    assert!(volume.protected);
    assert_eq!(volume.notes.unwrap().trim_end(), notes);
    // PVE says so only inside the task.
    let task = agent.delete_volume(&archive).await.unwrap();
    let outcome = agent.finish(task, &FollowOptions::default()).await.unwrap();
    assert!(matches!(outcome, Outcome::Failed(text) if text.contains("protected")));
    let change = SetVolumeAttributes {
        notes: None,
        protected: Some(false),
        ..change
    };
    agent.set_volume_attributes(&change).await.unwrap();
    done(&agent, agent.delete_volume(&archive).await).await;
    assert!(agent.backups(&local(), None).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_brings_everything_back_but_the_description() {
    let world = World::start().await;
    let pve = world.pve(AGENT);
    let name: SnapshotName = "before".parse().unwrap();
    let description = Some("a; b=c".to_owned());
    let snapshot = CreateSnapshot {
        vmid: vmid(9001),
        name: name.clone(),
        description,
    };
    done(&pve, pve.create_snapshot(&snapshot).await).await;
    let list = pve.lxc_snapshots(vmid(9001)).await.unwrap();
    assert_eq!(list.parent.as_ref(), Some(&name));
    let found = list.get(&name).unwrap().description.as_deref();
    assert_eq!(found.map(str::trim_end), Some("a; b=c"));

    let before = pve.lxc_config(vmid(9001)).await.unwrap();
    let text = "ü; a=b&c+d\n2";
    let mut change = SetLxcConfig::one(vmid(9001), "description", &text);
    change.set.insert("memory".to_owned(), "320".to_owned());
    pve.set_lxc_config(&change).await.unwrap();
    let changed = pve.lxc_config(vmid(9001)).await.unwrap();
    assert_eq!(
        (changed.description(), changed.get("memory")),
        (Some(text), Some("320"))
    );

    let rollback = RollbackSnapshot {
        vmid: vmid(9001),
        name: name.clone(),
        start: true,
    };
    done(&pve, pve.rollback_snapshot(&rollback).await).await;
    let after = pve.lxc_config(vmid(9001)).await.unwrap();
    assert_eq!(after.memory(), before.memory());
    assert_eq!(after.description(), Some(text));
    done(&pve, pve.delete_snapshot(vmid(9001), &name).await).await;
    assert!(pve.lxc_snapshots(vmid(9001)).await.unwrap().list.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_refused_when_somebody_was_faster_or_it_is_not_ours() {
    let world = World::start().await;
    let pve = world.pve(AGENT);
    let seen = pve.lxc_config(vmid(9001)).await.unwrap();
    let change = SetLxcConfig::one(vmid(9001), "memory", &300).guarded_by(&seen);
    pve.set_lxc_config(&change).await.unwrap();
    let stale = pve.set_lxc_config(&change).await.unwrap_err();
    assert!(
        stale
            .to_string()
            .contains("detected modified configuration"),
        "{stale}"
    );
    let forbidden = SetLxcConfig::one(vmid(9001), "features", &"nesting=1,keyctl=1,fuse=1");
    let error = pve.set_lxc_config(&forbidden).await.unwrap_err();
    assert!(
        matches!(&error, Error::Forbidden { denied: None, .. }),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_off_cannot_be_switched_off() {
    let world = World::start().await;
    let pve = world.pve(AGENT);
    let shutdown = ShutdownGuest {
        kind: GuestKind::Lxc,
        vmid: vmid(9001),
        timeout: Some(30),
        force_stop: true,
    };
    done(&pve, pve.shutdown_guest(&shutdown).await).await;
    let again = pve
        .stop_guest(GuestKind::Lxc, vmid(9001))
        .await
        .unwrap_err();
    assert!(
        again.to_string().ends_with("500: CT 9001 not running"),
        "{again}"
    );
    done(&pve, pve.start_guest(GuestKind::Lxc, vmid(9001)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_unknown_and_the_task_is_found_again() {
    let world = World::start().await;
    let pve = world.pve(AGENT);
    let list = ListTasks {
        vmid: Some(vmid(9001)),
        kind: Some("vzdump".to_owned()),
        ..ListTasks::default()
    };
    assert!(pve.tasks(&list).await.unwrap().is_empty());
    world.sim.inject(Fault::request(
        "POST",
        "/nodes/*/vzdump",
        FaultKind::CutAnswer,
    ));
    let error = pve
        .vzdump(&Vzdump::new(vmid(9001), local()))
        .await
        .unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown, "{error:?}");
    let found = pve.tasks(&list).await.unwrap();
    assert_eq!(found.len(), 1, "executed once: {found:?}");
    assert!(found[0].is_by(&AGENT.parse().unwrap()) && found[0].upid.kind() == "vzdump");

    world
        .sim
        .inject(Fault::request("POST", "/nodes/*/vzdump", FaultKind::Refuse));
    let error = pve
        .vzdump(&Vzdump::new(vmid(9010), local()))
        .await
        .unwrap_err();
    assert_ne!(error.delivery(), Delivery::Answered, "{error:?}");
    for kind in [FaultKind::Html, FaultKind::Garbage, FaultKind::Truncated] {
        // On a connection of its own: one that was idle may have been closed, and is tried again.
        let pve = world.pve(AGENT);
        let fault = Fault::request("GET", "/version", kind.clone());
        world.sim.inject(fault);
        let error = pve.version().await.unwrap_err();
        assert_eq!(error.delivery(), Delivery::Unknown, "{kind:?}: {error:?}");
    }
    world.sim.inject(Fault::request(
        "GET",
        "/version",
        FaultKind::Status {
            code: 596,
            text: "Connection timed out".to_owned(),
        },
    ));
    let error = pve.version().await.unwrap_err();
    assert!(
        matches!(&error, Error::Proxy { code: 596, text, .. } if text == "Connection timed out"),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vanished_worker_is_undetermined_and_a_stuck_one_can_be_stopped() {
    let world = World::start().await;
    let pve = world.pve(AGENT);
    world
        .sim
        .inject(Fault::task("vzdump", FaultKind::TaskVanish));
    let task = pve.vzdump(&Vzdump::new(vmid(9001), local())).await.unwrap();
    let outcome = pve.finish(task, &FollowOptions::default()).await.unwrap();
    assert!(outcome.is_undetermined(), "{outcome}");

    world
        .sim
        .inject(Fault::task("vzdump", FaultKind::TaskStall));
    let task = pve.vzdump(&Vzdump::new(vmid(9001), local())).await.unwrap();
    let upid = task.upid().clone();
    let active = ListTasks {
        source: TaskSource::Active,
        ..ListTasks::default()
    };
    assert!(
        pve.tasks(&active)
            .await
            .unwrap()
            .iter()
            .any(|entry| entry.upid == upid && entry.outcome().is_none())
    );
    pve.stop_task(&upid).await.unwrap();
    let outcome = pve.finish(task, &FollowOptions::default()).await.unwrap();
    assert!(!outcome.is_good(), "{outcome}");
    assert!(pve.task_status(&upid).await.unwrap().outcome().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_turned_away() {
    let world = World::start().await;
    let tester = world.pve(TESTER);
    let error = tester
        .stop_guest(GuestKind::Lxc, vmid(9001))
        .await
        .unwrap_err();
    let Error::Forbidden {
        denied: Some(denied),
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(denied.to_string(), "VM.PowerMgmt on /vms/9001");
    assert_eq!(error.delivery(), Delivery::Answered);

    let trust = Trust::PinnedLeaf(world.sim.fingerprint().parse().unwrap());
    let wrong = Token::new(
        AGENT.parse().unwrap(),
        &SecretString::from("wrong".to_owned()),
    );
    let settings = Settings::new(world.sim.url().parse().unwrap(), wrong, trust);
    let error = Client::new(settings).unwrap().nodes().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
}
