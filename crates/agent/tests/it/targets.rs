//! Targets on removable disks: adopted, away, back, another one, read-only, full, and a root helper in trouble.

mod used;
mod world;

use felhom_agent::exit::Exit;
use felhom_agent::journal::KnownTarget;
use felhom_engine::Timestamp;
use felhom_proxmox::pve::storage::{CreateStorage, StoragePlace};
use serde_json::{Value, json};

use crate::helper::{Helper, Manner, SERIAL, UUID};
use crate::support::*;

pub(super) const ADOPT: [&str; 5] = [
    "storage",
    "adopt",
    "UUID=0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11",
    "--name",
    "usb1",
];

/// A box with a helper, and backups that go to the target.
pub(super) struct Site {
    pub(super) bench: Bench,
    pub(super) helper: Helper,
}

/// The configuration of a box with a helper.
pub(super) fn extra() -> String {
    let backups = "[backup]\nwait = \"5s\"\nstorage = \"usb1\"\n";
    let fast = FAST.replace("[backup]\nwait = \"5s\"\n", backups);
    format!("{fast}\n[host]\nsocket = \"hostd.sock\"\n")
}

impl Site {
    pub(super) async fn new() -> Self {
        let bench = Bench::with(&extra(), None).await;
        let helper = Helper::listen(&bench.directory.path().join("box/hostd.sock"));
        helper.plug(UUID, SERIAL);
        Self { bench, helper }
    }

    /// Adopted, and defined in PVE.
    pub(super) async fn adopted() -> Self {
        let site = Self::new().await;
        let ran = site.bench.run(&ADOPT).await;
        assert_eq!(ran.exit, Exit::Done, "{ran:?}");
        site.define(true).await;
        site.helper.asked();
        site
    }

    pub(super) async fn define(&self, is_mountpoint: bool) {
        let create = CreateStorage {
            storage: "usb1".parse().unwrap(),
            place: StoragePlace::Dir {
                path: "/mnt/stick/usb1".to_owned(),
                is_mountpoint,
            },
            content: vec!["backup".to_owned()],
            prune_backups: None,
        };
        self.bench.root().call(&create).await.unwrap();
    }

    /// What PVE sees of it.
    pub(super) async fn pve_sees(&self, state: &str) {
        let order = json!({ "storage": "usb1", "state": state });
        let set = self.bench.world.control("storage-state", order).await;
        set.unwrap();
    }

    pub(super) async fn pull(&self) {
        self.helper.pull();
        self.pve_sees("offline").await;
    }

    /// What `storage list` says of the target: exit, standing, and the codes of findings about it.
    pub(super) async fn stands(&self) -> (Exit, String) {
        let ran = self.bench.run(&["storage", "list"]).await;
        let data = ran.data();
        let mut all = data.as_array().unwrap().iter();
        let usb = all.find(|one| one["id"] == "usb1").unwrap();
        let standing = usb["target"]["standing"].as_str().unwrap().to_owned();
        (ran.exit, standing)
    }

    /// The codes of `doctor` about targets and the helper.
    pub(super) async fn told(&self) -> Vec<String> {
        let data = self.bench.run(&["doctor"]).await.data();
        let findings = data["findings"].as_array().unwrap().iter();
        let codes = findings.map(|one| one["code"].as_str().unwrap().to_owned());
        codes
            .filter(|code| {
                ["target-", "root-helper-", "storage-"]
                    .iter()
                    .any(|own| code.starts_with(own))
            })
            .collect()
    }

    pub(super) async fn known(&self) -> KnownTarget {
        let mut all = self.bench.journal().await.targets().await.unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// The disk was last seen so many days ago.
    pub(super) async fn last_seen(&self, days: i64) {
        let then = felhom_agent::clock::now().secs() - days * 86_400;
        let then = Timestamp::from_secs(then);
        let known = self.known().await;
        let old = KnownTarget {
            since: then,
            attached: Some(then),
            ..known
        };
        self.bench
            .journal()
            .await
            .remember_target(&old)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_is_adopted_by_uuid_and_the_definition_is_printed() {
    let site = Site::new().await;
    let rehearsed = site.bench.run(&[&ADOPT[..], &["--dry-run"]].concat()).await;
    assert_eq!(rehearsed.exit, Exit::Done, "{rehearsed:?}");
    assert!(
        rehearsed.text().contains("would take sdb1"),
        "{rehearsed:?}"
    );
    assert_eq!(site.helper.asked(), ["list-block-devices"]);
    let ran = site.bench.run(&ADOPT).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert_eq!(
        site.helper.asked(),
        ["install-usb-mount", "mount-usb", "probe-usb with write"]
    );
    let command = "pvesm add dir usb1 --path /mnt/stick/usb1 --content backup --is_mountpoint yes \
                   --nodes demo-felhom --prune-backups keep-all=1";
    assert_eq!(ran.data()["commands"], json!([command]));
    assert!(ran.text().contains(command), "{ran:?}");
    assert_eq!(ran.data()["target"]["takes"], "data");
    let known = site.known().await;
    assert_eq!(
        (known.uuid.as_str(), known.serial.as_deref()),
        (UUID, Some(SERIAL))
    );
    // Again is the same; and with the storage there is nothing left to type.
    site.define(true).await;
    let ran = site.bench.run(&ADOPT).await;
    assert_eq!(
        (ran.exit, &ran.data()["commands"]),
        (Exit::Done, &json!([]))
    );
    assert_eq!(site.known().await.since, known.since);
    assert_eq!(site.stands().await.1, "attached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_without_the_check_for_a_mount_is_told_with_the_command() {
    let site = Site::new().await;
    site.define(false).await;
    let ran = site.bench.run(&ADOPT).await;
    let command = "pvesm set usb1 --is_mountpoint yes";
    assert_eq!(ran.data()["commands"], json!([command]));
    let data = site.bench.run(&["doctor"]).await.data();
    let mut findings = data["findings"].as_array().unwrap().iter();
    let found = findings
        .find(|one| one["code"] == "mount-unchecked")
        .unwrap();
    assert_eq!(found["hint"], command);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_adopted_is_refused_and_not_remembered() {
    let site = Site::new().await;
    let exit = |args: Vec<&'static str>| {
        let bench = &site.bench;
        async move { bench.run(&args).await }
    };
    let nameless = exit(vec!["storage", "adopt", ADOPT[2]]).await;
    assert_eq!(nameless.exit, Exit::Usage);
    for odd in ["UUID=--help", "UUID=", "UUID=../x"] {
        let ran = exit(vec!["storage", "adopt", odd, "--name", "usb1"]).await;
        assert_eq!(ran.exit, Exit::Usage, "{odd}");
    }
    let ran = exit(vec!["storage", "adopt", ADOPT[2], "--name", "a;rm"]).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert_eq!(site.helper.asked(), Vec::<String>::new());
    for (change, expected) in [("read_only", "READ-ONLY"), ("full", "FULL")] {
        site.helper.set(|desk| {
            desk.read_only = change == "read_only";
            desk.full = change == "full";
        });
        let ran = site.bench.run(&ADOPT).await;
        assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
        assert!(ran.text().contains(expected), "{ran:?}");
        // What failed leaves nothing behind.
        assert!(
            site.helper
                .get(|desk| desk.adopted.is_empty() && !desk.mounted)
        );
    }
    site.helper.pull();
    let ran = site.bench.run(&ADOPT).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    assert!(
        site.bench
            .journal()
            .await
            .targets()
            .await
            .unwrap()
            .is_empty()
    );
    // Another disk under a name that is taken.
    let site = Site::adopted().await;
    let other = "UUID=5d0c3f6e-0000-4000-8000-000000000009";
    let ran = site
        .bench
        .run(&["storage", "adopt", other, "--name", "usb1"])
        .await;
    assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
    assert_eq!(site.helper.asked(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_away_alarms_nobody_until_its_days_are_over() {
    let site = Site::adopted().await;
    site.pull().await;
    assert_eq!(site.stands().await, (Exit::Done, "detached".into()));
    assert_eq!(site.told().await, Vec::<String>::new());
    site.last_seen(9).await;
    assert_eq!(site.stands().await, (Exit::Done, "detached".into()));
    site.last_seen(12).await;
    assert_eq!(site.stands().await, (Exit::Findings, "detached".into()));
    assert_eq!(site.told().await, ["target-away-too-long"]);
    let page = site.bench.run(&["status"]).await;
    assert!(
        page.text().contains("targets: usb1 away for 12 d"),
        "{page:?}"
    );
    // It is back, and nothing is told any more.
    site.helper.plug(UUID, SERIAL);
    site.helper.set(|desk| desk.mounted = true);
    site.pve_sees("online").await;
    assert_eq!(site.stands().await, (Exit::Done, "attached".into()));
    assert_eq!(site.told().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_disk_read_only_and_full_are_told_each_by_its_own_word() {
    let site = Site::adopted().await;
    site.pull().await;
    site.helper.plug(UUID, "S2");
    assert_eq!(site.stands().await, (Exit::Findings, "wrong".into()));
    assert_eq!(site.told().await, ["target-wrong"]);
    let page = site.bench.run(&["status"]).await;
    assert!(page.text().contains("targets: usb1 WRONG"), "{page:?}");
    site.helper.plug(UUID, SERIAL);
    site.helper
        .set(|desk| (desk.mounted, desk.full) = (true, true));
    site.pve_sees("online").await;
    assert_eq!(site.told().await, ["target-full"]);
    site.helper.set(|desk| {
        (desk.full, desk.manner) = (false, Manner::Refuses(felhom_host::Code::ReadOnly));
    });
    let listed = site.bench.run(&["storage", "list"]).await;
    assert!(listed.text().contains("READ-ONLY"), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ejected_target_can_be_unplugged_and_is_used_again_when_it_was_away() {
    let site = Site::adopted().await;
    let dry = site
        .bench
        .run(&["storage", "eject", "usb1", "--dry-run"])
        .await;
    assert!(
        dry.text().contains("would unmount target `usb1`"),
        "{dry:?}"
    );
    site.helper
        .set(|desk| desk.held_by = Some("12 (cp)".into()));
    let ran = site.bench.run(&["storage", "eject", "usb1"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    assert!(ran.text().contains("12 (cp) holds it"), "{ran:?}");
    let kept =
        "it is unmounted here, but mounted in the namespace of 7 (lxc-start); do not pull it out";
    site.helper
        .set(|desk| (desk.held_by, desk.kept_by) = (None, Some(kept.into())));
    let ran = site.bench.run(&["storage", "eject", "usb1"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    assert!(ran.text().contains("do not pull it out") && !ran.text().contains("unplugged now"));
    site.helper.set(|desk| desk.kept_by = None);
    let ran = site.bench.run(&["storage", "eject", "usb1"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert!(ran.text().contains("can be unplugged now"), "{ran:?}");
    site.pve_sees("offline").await;
    // Before it was away nobody mounts it again under the hand that unplugs it.
    site.helper.asked();
    let ran = site.bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    assert!(ran.text().contains("ejected"), "{ran:?}");
    assert_eq!(site.helper.asked(), ["probe-usb"]);
    site.pull().await;
    assert_eq!(site.stands().await, (Exit::Done, "detached".into()));
    assert!(site.known().await.away);
    site.helper.plug(UUID, SERIAL);
    site.pve_sees("online").await;
    let ran = site.bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
    assert_eq!(site.known().await.ejected, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_unmounted_under_a_job() {
    let site = Site::adopted().await;
    let journal = site.bench.journal().await;
    let job = backup_job(&site.bench, &journal, 9001, 7);
    journal.insert(&job).await.unwrap();
    drop(journal);
    let ran = site.bench.run(&["storage", "eject", "usb1"]).await;
    assert_eq!(ran.exit, Exit::Busy, "{ran:?}");
    assert!(ran.text().contains("this comes first"), "{ran:?}");
    assert_eq!(site.helper.asked(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_forgotten_and_a_storage_is_not() {
    let site = Site::adopted().await;
    let ran = site
        .bench
        .run(&["storage", "eject", "local", "--forget"])
        .await;
    assert_eq!(ran.exit, Exit::NoSuchThing, "{ran:?}");
    let ran = site
        .bench
        .run(&["storage", "eject", "usb1", "--forget"])
        .await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert_eq!(site.helper.asked(), ["unmount-usb", "remove-usb-mount"]);
    assert!(
        site.bench
            .journal()
            .await
            .targets()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_whole() {
    let site = Site::adopted().await;
    for (args, exit, schema) in [
        (&["host", "devices"][..], 0, "felhom.block-devices"),
        (&["host", "sensors"], 0, "felhom.sensors"),
        (&["host", "config"], 0, "felhom.host-config"),
        (
            &["storage", "adopt", ADOPT[2], "--name", "usb1"],
            0,
            "felhom.target-decision",
        ),
        (&["storage", "eject", "usb1"], 0, "felhom.target-decision"),
        (&["storage", "list"], 0, "felhom.storages"),
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let output = site.bench.program(&args, "").await;
        assert_eq!(output.exit, Some(exit), "{args:?}: {output:?}");
        assert_eq!(output.json()["schema"], schema, "{args:?}");
    }
    let doctor: Value = site.bench.run(&["doctor"]).await.data();
    assert_eq!(doctor["root_helper"]["state"], "works");
    assert_eq!(doctor["targets"][0]["name"], "usb1");
}
