//! Docker volumes: every finding by a guest that has exactly it and one that does not; the proof; the plan.

mod apart;
mod doubts;
mod forecast;
mod placement;
mod proof;

use std::collections::BTreeMap;

use felhom_engine::volumes::*;
use felhom_engine::{GuestConfig, Mount, MountSource, Timestamp};

use crate::fake::vmid;

/// A guest whose volumes are all as they should be.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) config: GuestConfig,
    pub(crate) inventory: Inventory,
    pub(crate) policy: VolumePolicy,
    pub(crate) storages: StorageKinds,
}

impl Case {
    /// A database on the rootfs, hot by its image, and nothing else.
    pub(crate) fn good() -> Self {
        let rootfs = mount("rootfs", "/", "local-lvm:vm-9010-disk-0", false);
        Self {
            config: GuestConfig {
                keys: ["rootfs".to_owned()].into(),
                mounts: vec![rootfs],
                ..GuestConfig::default()
            },
            inventory: Inventory {
                taken: Timestamp::from_secs(0),
                data_root: "/var/lib/docker".into(),
                storage_driver: Some("overlay2".into()),
                volumes: vec![volume("pgdata", &[])],
                containers: vec![container(
                    "db",
                    "postgres:17",
                    "pgdata",
                    "/var/lib/postgresql/data",
                )],
                coverage: Coverage::default(),
            },
            policy: VolumePolicy::default(),
            storages: [("local-lvm".parse().unwrap(), "lvmthin".to_owned())].into(),
        }
    }

    pub(crate) fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self::good();
        change(&mut case);
        case
    }

    pub(crate) fn judged(&self) -> JudgedVolumes {
        JudgedVolumes::judge(vmid(9010), &self.config, &self.inventory, &self.policy)
    }

    fn codes(&self) -> Vec<String> {
        let judged = self.judged();
        let mut found = volume_findings(&judged, &self.policy);
        found.extend(surrounding_findings(
            &judged,
            &self.config,
            &self.inventory,
            &self.storages,
        ));
        found.into_iter().map(|finding| finding.code).collect()
    }

    /// One more mount point.
    pub(crate) fn mount(&mut self, key: &str, path: &str, source: &str, backup: bool) {
        self.config.keys.insert(key.to_owned());
        self.config.mounts.push(mount(key, path, source, backup));
    }

    pub(crate) fn rule(&mut self, name: &str, class: VolumeClass, cover: Option<Cover>) {
        self.policy.rules.push(VolumeRule {
            vmid: None,
            name: Some(name.to_owned()),
            image: None,
            path: None,
            class,
            cover,
        });
    }

    /// All that lies at a path.
    pub(crate) fn path_rule(&mut self, path: &str, class: VolumeClass) {
        self.policy.rules.push(VolumeRule {
            vmid: None,
            name: None,
            image: None,
            path: Some(path.to_owned()),
            class,
            cover: Some(elsewhere()),
        });
    }

    /// A covered bulk volume, on the rootfs as Docker makes it.
    pub(crate) fn films(&mut self) {
        self.inventory.volumes.insert(0, volume("films", &[]));
        let player = container("player", "example/player", "films", "/films");
        self.inventory.containers.push(player);
        self.rule("films", VolumeClass::Bulk, Some(elsewhere()));
    }
}

pub(crate) fn elsewhere() -> Cover {
    Cover::ProtectedBy("the copy on the NAS".into())
}

pub(crate) fn mount(key: &str, path: &str, source: &str, backup: bool) -> Mount {
    Mount {
        key: key.into(),
        path: path.into(),
        source: if source.starts_with("/dev/") {
            MountSource::Device(source.into())
        } else if source.starts_with('/') {
            MountSource::Bind(source.into())
        } else {
            MountSource::Volume(source.parse().unwrap())
        },
        backup,
        size: None,
    }
}

pub(crate) fn volume(name: &str, options: &[(&str, &str)]) -> DockerVolume {
    let options = options.iter();
    DockerVolume {
        name: name.into(),
        driver: "local".into(),
        options: options
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
        labels: BTreeMap::new(),
        mountpoint: format!("/var/lib/docker/volumes/{name}/_data"),
        anonymous: false,
        size: Some(5 << 30),
        described: true,
    }
}

pub(crate) fn bound(name: &str, device: &str) -> DockerVolume {
    volume(name, &[("type", "none"), ("o", "bind"), ("device", device)])
}

pub(crate) fn container(name: &str, image: &str, volume: &str, destination: &str) -> Container {
    let source = if volume.starts_with('/') {
        Mounted::Bind(volume.into())
    } else {
        Mounted::Volume(volume.into())
    };
    Container {
        name: name.into(),
        image: image.into(),
        image_digest: None,
        project: Some("stack".into()),
        service: Some(name.into()),
        running: true,
        restart_policy: "unless-stopped".into(),
        labels: BTreeMap::new(),
        mounts: vec![ContainerMount {
            source,
            destination: destination.into(),
            read_only: false,
        }],
    }
}

#[test]
fn a_guest_whose_volumes_are_as_they_should_be_has_no_finding() {
    assert_eq!(Case::good().codes(), Vec::<String>::new());
    let moved = Case::with(|case| {
        case.films();
        case.mount("mp0", "/mnt/films", "local-lvm:vm-9010-disk-1", false);
        case.inventory.volumes[0] = bound("films", "/mnt/films/data");
    });
    // What is true of every mount point without a backup stays true.
    assert_eq!(moved.codes(), ["rollback-takes-back"]);
}

#[test]
fn bulk_on_the_rootfs_is_the_trap() {
    let case = Case::with(Case::films);
    assert_eq!(case.codes(), ["volume-bulk-in-backup"]);
    // The same on a mount point that is in the backup.
    let case = Case::with(|case| {
        case.films();
        case.mount("mp0", "/mnt/films", "local-lvm:vm-9010-disk-1", true);
        case.inventory.volumes[0] = bound("films", "/mnt/films");
    });
    assert_eq!(case.codes(), ["volume-bulk-in-backup"]);
}

#[test]
fn hot_where_no_backup_takes_it_up_is_a_silent_loss() {
    let out = Case::with(|case| {
        case.mount("mp0", "/mnt/db", "local-lvm:vm-9010-disk-1", false);
        case.inventory.volumes = vec![bound("pgdata", "/mnt/db")];
    });
    assert_eq!(
        out.codes(),
        ["volume-hot-not-in-backup", "rollback-takes-back"]
    );
    let bind = Case::with(|case| {
        case.mount("mp0", "/mnt/db", "/srv/db", false);
        case.inventory.volumes = vec![bound("pgdata", "/mnt/db")];
    });
    assert_eq!(
        bind.codes(),
        [
            "volume-hot-not-in-backup",
            "bind-not-in-backup",
            "snapshot-impossible"
        ]
    );
    let network = Case::with(|case| {
        let options = [("type", "nfs"), ("o", "addr=192.0.2.1"), ("device", ":/db")];
        case.inventory.volumes = vec![volume("pgdata", &options)];
    });
    assert_eq!(network.codes(), ["volume-hot-not-in-backup"]);
    let in_backup = Case::with(|case| {
        case.mount("mp0", "/mnt/db", "local-lvm:vm-9010-disk-1", true);
        case.inventory.volumes = vec![bound("pgdata", "/mnt/db")];
    });
    assert_eq!(in_backup.codes(), Vec::<String>::new());
}

#[test]
fn what_nobody_classed_is_a_finding_and_not_a_guess() {
    let unknown = |case: &mut Case| {
        case.inventory.volumes.push(volume("things", &[]));
        let mut user = container("app", "example/app", "things", "/things");
        user.image_digest = Some("sha256:00".into());
        case.inventory.containers.push(user);
    };
    assert_eq!(Case::with(unknown).codes(), ["volume-unclassified"]);
    let labelled = |word: &str| {
        let word = word.to_owned();
        Case::with(|case| {
            unknown(case);
            case.inventory.volumes[1]
                .labels
                .insert("felhom.class".into(), word);
        })
    };
    assert_eq!(labelled("hot").codes(), Vec::<String>::new());
    assert_eq!(labelled("warm").codes(), ["volume-unclassified"]);
    let ruled = Case::with(|case| {
        unknown(case);
        case.rule("th?ng*", VolumeClass::Hot, None);
    });
    assert_eq!(ruled.codes(), Vec::<String>::new());
}

#[test]
fn a_label_stands_before_a_rule_and_a_rule_before_a_preset() {
    let mut case = Case::with(|case| case.rule("pgdata", VolumeClass::Bulk, Some(elsewhere())));
    assert_eq!(case.codes(), ["volume-bulk-in-backup"]);
    let labels = &mut case.inventory.volumes[0].labels;
    labels.insert("felhom.class".into(), "hot".into());
    assert_eq!(case.codes(), Vec::<String>::new());
}

#[test]
fn a_size_is_a_hint_and_never_a_class() {
    let case = Case::with(|case| {
        let mut large = volume("things", &[]);
        large.size = Some(900 << 30);
        case.inventory.volumes.push(large);
        case.inventory
            .containers
            .push(container("app", "example/app", "things", "/things"));
    });
    let found = volume_findings(&case.judged(), &case.policy);
    assert_eq!(found[0].code, "volume-unclassified");
    assert!(
        found[0].detail.contains("may well be bulk"),
        "{}",
        found[0].detail
    );
}

#[test]
fn bulk_needs_somebodys_word_for_what_protects_it() {
    let uncovered = Case::with(|case| {
        case.films();
        case.policy.rules[0].cover = None;
        case.mount("mp0", "/mnt/films", "local-lvm:vm-9010-disk-1", false);
        case.inventory.volumes[0] = bound("films", "/mnt/films");
    });
    assert_eq!(
        uncovered.codes(),
        ["volume-bulk-uncovered", "rollback-takes-back"]
    );
    let accepted = AcceptedLoss {
        by: "Ada".into(),
        on: "2026-11-23".into(),
    };
    let covered = Case::with(|case| {
        *case = uncovered.clone();
        case.policy.rules[0].cover = Some(Cover::AcceptedLoss(accepted));
    });
    assert_eq!(covered.codes(), ["rollback-takes-back"]);
    // The volume says its class by itself; the box's configuration may still say what protects it.
    let label = |class: &str| {
        Case::with(|case| {
            *case = covered.clone();
            let labels = &mut case.inventory.volumes[0].labels;
            labels.insert("felhom.class".into(), class.into());
        })
    };
    assert_eq!(label("bulk").codes(), ["rollback-takes-back"]);
    let judged = label("hot").judged();
    let films = judged.find("films").unwrap();
    assert_eq!(
        (films.class(), films.classed.cover()),
        (Some(VolumeClass::Hot), None)
    );
}

#[test]
fn a_volume_on_a_path_that_vzdump_leaves_out_is_in_no_backup() {
    let case = Case::with(|case| case.inventory.volumes = vec![bound("pgdata", "/var/tmp/db")]);
    assert_eq!(case.codes(), ["volume-in-excluded-path"]);
    let case = Case::with(|case| case.inventory.volumes = vec![bound("pgdata", "/var/temp/db")]);
    assert_eq!(case.codes(), Vec::<String>::new());
}

#[test]
fn a_volume_of_a_stopped_project_is_told() {
    let stopped = Case::with(|case| case.inventory.containers[0].running = false);
    assert_eq!(stopped.codes(), ["volume-idle"]);
    // `docker compose down` removes the containers and leaves the volumes, with their labels.
    let down = Case::with(|case| {
        case.inventory.containers.clear();
        let labels = &mut case.inventory.volumes[0].labels;
        labels.insert("com.docker.compose.project".into(), "stack".into());
        labels.insert("felhom.class".into(), "hot".into());
    });
    let found = volume_findings(&down.judged(), &down.policy);
    assert_eq!(found[0].code, "volume-idle");
    assert!(found[0].detail.contains("`stack`"), "{}", found[0].detail);
}

#[test]
fn a_data_root_on_a_mount_point_makes_that_ones_flag_decide() {
    let on = |backup: bool| {
        Case::with(|case| {
            case.mount("mp0", "/srv/docker", "local-lvm:vm-9010-disk-1", backup);
            case.inventory.data_root = "/srv/docker".into();
            case.inventory.volumes[0].mountpoint = "/srv/docker/volumes/pgdata/_data".into();
        })
    };
    assert_eq!(on(true).codes(), ["data-root-on-mount"]);
    assert_eq!(
        on(false).codes(),
        [
            "volume-hot-not-in-backup",
            "data-root-on-mount",
            "rollback-takes-back"
        ]
    );
    let elsewhere = Case::with(|case| {
        case.inventory.data_root = "/srv/docker".into();
        case.inventory.volumes[0].mountpoint = "/srv/docker/volumes/pgdata/_data".into();
    });
    assert_eq!(elsewhere.codes(), Vec::<String>::new());
}

#[test]
fn a_running_container_without_a_restart_policy_comes_back_exited() {
    let without = |policy: &str| {
        let policy = policy.to_owned();
        Case::with(|case| case.inventory.containers[0].restart_policy = policy).codes()
    };
    assert_eq!(without("no"), ["container-without-restart"]);
    assert_eq!(without(""), ["container-without-restart"]);
    assert_eq!(without("always"), Vec::<String>::new());
    assert_eq!(without("on-failure"), Vec::<String>::new());
}

#[test]
fn mounts_that_keep_the_guest_from_being_snapshotted_are_told() {
    let bind = Case::with(|case| case.mount("mp0", "/mnt/x", "/srv/x", false));
    assert_eq!(bind.codes(), ["bind-not-in-backup", "snapshot-impossible"]);
    let device = Case::with(|case| case.mount("mp0", "/mnt/x", "/dev/sdb1", false));
    assert_eq!(
        device.codes(),
        ["bind-not-in-backup", "snapshot-impossible"]
    );
    let on = |kind: &str| {
        let kind = kind.to_owned();
        Case::with(|case| {
            case.mount("mp0", "/mnt/x", "other:vm-9010-disk-9", true);
            case.storages.insert("other".parse().unwrap(), kind);
        })
        .codes()
    };
    assert_eq!(on("dir"), ["snapshot-impossible"]);
    assert_eq!(on("zfspool"), Vec::<String>::new());
}

#[test]
fn a_rollback_takes_back_what_no_backup_holds() {
    let case = |backup| {
        Case::with(|case| case.mount("mp0", "/mnt/x", "local-lvm:vm-9010-disk-1", backup)).codes()
    };
    assert_eq!(case(false), ["rollback-takes-back"]);
    assert_eq!(case(true), Vec::<String>::new());
}

#[test]
fn what_containers_mount_to_see_the_machine_is_no_data() {
    let case = Case::with(|case| {
        for path in [
            "/var/run/docker.sock",
            "/",
            "/proc",
            "/etc/localtime",
            "/var/lib/docker/volumes",
        ] {
            case.inventory
                .containers
                .push(container("watcher", "example/watcher", path, "/x"));
        }
    });
    assert_eq!(case.codes(), Vec::<String>::new());
    let data = Case::with(|case| {
        case.inventory
            .containers
            .push(container("files", "example/files", "/srv/files/", "/x"));
    });
    assert_eq!(data.codes(), ["volume-unclassified"]);
    assert_eq!(data.judged().volumes[1].kind, VolumeKind::Bind);
}

#[test]
fn what_lies_in_memory_needs_no_class() {
    let case = Case::with(|case| {
        let options = [("type", "tmpfs"), ("o", "size=1m"), ("device", "tmpfs")];
        case.inventory.volumes.push(volume("speed", &options));
    });
    assert_eq!(case.codes(), Vec::<String>::new());
}
