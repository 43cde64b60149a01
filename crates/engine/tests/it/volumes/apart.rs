//! Mount points below a volume's directory, beside a volume, and people's directories beside Docker's own.

use felhom_engine::volumes::*;

use super::{Case, bound, container};

fn findings(case: &Case) -> Vec<(String, String)> {
    let found = volume_findings(&case.judged(), &case.policy);
    let told = found
        .into_iter()
        .map(|finding| (finding.code, finding.detail));
    told.collect()
}

/// A hot bind mount, with a mount point of the guest below it.
fn cloud(source: &str, backup: bool) -> Case {
    Case::with(|case| {
        case.mount("mp0", "/srv/cloud/data", source, backup);
        let cloud = container("cloud", "example/cloud", "/srv/cloud", "/var/www");
        case.inventory.containers.push(cloud);
        case.path_rule("/srv/cloud", VolumeClass::Hot);
    })
}

#[test]
fn a_hot_volume_with_a_mount_point_below_that_no_backup_holds_is_lost_in_part() {
    for (source, backup) in [("/tank/data", false), ("local-lvm:vm-9010-disk-1", false)] {
        let case = cloud(source, backup);
        let found = findings(&case);
        let [(code, detail)] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(code, "volume-hot-not-in-backup");
        assert!(
            detail.contains("a part of it, `/srv/cloud/data` (mp0)"),
            "{detail}"
        );
        assert_eq!(case.judged().hot_outside(), 1, "the posture counts it");
    }
    let whole = cloud("local-lvm:vm-9010-disk-1", true);
    assert!(findings(&whole).is_empty());
    assert_eq!(whole.judged().hot_outside(), 0);
}

#[test]
fn a_bulk_volume_with_a_mount_point_below_that_every_backup_holds_is_told() {
    let case = |backup| {
        Case::with(|case| {
            case.mount("mp1", "/srv/bulk", "local-lvm:vm-9010-disk-1", false);
            case.mount("mp2", "/srv/bulk/keep", "local-lvm:vm-9010-disk-2", backup);
            case.inventory
                .volumes
                .insert(0, bound("films", "/srv/bulk"));
            let player = container("player", "example/player", "films", "/films");
            case.inventory.containers.push(player);
            case.rule("films", VolumeClass::Bulk, Some(super::elsewhere()));
        })
    };
    let found = findings(&case(true));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "volume-bulk-in-backup");
    assert!(found[0].1.contains("`/srv/bulk/keep` (mp2)"), "{found:?}");
    assert!(findings(&case(false)).is_empty());
}

#[test]
fn a_mount_point_is_meant_to_be_out_only_when_all_of_it_is_said_to_be() {
    let meant = |device: &str, rule: Option<&str>| {
        let case = Case::with(|case| {
            case.mount("mp2", "/mnt/mp2", "local-lvm:vm-9010-disk-1", false);
            case.inventory.volumes.insert(0, bound("films", device));
            let player = container("player", "example/player", "films", "/films");
            case.inventory.containers.push(player);
            case.rule("films", VolumeClass::Bulk, Some(super::elsewhere()));
            if let Some(rule) = rule {
                case.path_rule(rule, VolumeClass::Bulk);
            }
        });
        case.judged().is_meant_outside("mp2", "/mnt/mp2/")
    };
    assert!(meant("/mnt/mp2", None), "the volume is all of it");
    let planned = Case::with(|case| {
        case.mount(
            "mp2",
            "/mnt/felhom/films",
            "local-lvm:vm-9010-disk-1",
            false,
        );
        let films = bound("films", "/mnt/felhom/films/data");
        case.inventory.volumes.insert(0, films);
        case.rule("films", VolumeClass::Bulk, Some(super::elsewhere()));
    });
    let judged = planned.judged();
    assert!(
        judged.is_meant_outside("mp2", "/mnt/felhom/films"),
        "a plan made it for that"
    );
    assert!(
        !meant("/mnt/mp2/films", None),
        "nobody knows what lies beside the films"
    );
    assert!(meant("/mnt/mp2/films", Some("/mnt/mp2*")));
    assert!(!meant("/mnt/mp2/films", Some("/mnt/mp2/films*")));
    assert!(!meant("/srv/films", None), "nothing of it is known");
}

#[test]
fn directories_beside_docker_s_own_are_volumes_as_others_are() {
    let case = Case::with(|case| {
        for (name, source) in [
            ("vault", "/var/lib/docker/vaultwarden"),
            ("watcher", "/var/lib/docker/containers"),
            ("files", "/var/lib/docker/volumes/pgdata/_data/base"),
            ("engine", "/var/lib/docker"),
            ("all", "/var/lib"),
        ] {
            let one = container(name, "example/program", source, "/data");
            case.inventory.containers.push(one);
        }
    });
    let judged = case.judged();
    let names: Vec<&str> = judged.volumes.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["pgdata", "/var/lib/docker/vaultwarden"]);
}
