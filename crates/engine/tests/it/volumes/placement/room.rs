//! Where a plan mounts and sets aside: over nothing, and on the same mount.

use std::collections::BTreeSet;

use felhom_engine::volumes::*;

use super::{plan, setting};
use crate::volumes::{Case, bound, container, volume};

fn paths(plan: &PlacementPlan) -> Vec<String> {
    assert!(plan.refused.is_empty(), "{:?}", plan.refused);
    let steps = plan.moves.iter().flat_map(|moved| &moved.steps);
    let mounts = steps.filter_map(|step| match &step.action {
        PlacementAction::AddMount { path, .. } => Some(path.clone()),
        _ => None,
    });
    mounts.collect()
}

fn aside(plan: &PlacementPlan) -> Option<String> {
    let steps = plan.moves.iter().flat_map(|moved| &moved.steps);
    let mut all = steps.filter_map(|step| match &step.action {
        PlacementAction::SetAside { to, .. } => Some(to.clone()),
        _ => None,
    });
    all.next()
}

#[test]
fn two_directories_of_one_name_get_two_mount_paths() {
    let mut setting = setting();
    let case = Case::with(|case| {
        for (name, path) in [("a", "/srv/a/data"), ("b", "/srv/b/data")] {
            let user = container(name, "example/app", path, "/data");
            case.inventory.containers.push(user);
            let size = felhom_ids::ByteSize::from_bytes(1 << 30);
            setting.sizes.insert(path.into(), size);
        }
        case.policy.rules.push(VolumeRule {
            vmid: None,
            name: None,
            image: None,
            path: Some("/srv/*".into()),
            class: VolumeClass::Bulk,
            cover: None,
        });
    });
    let plan = plan(&case, &setting);
    assert_eq!(
        paths(&plan),
        ["/mnt/felhom/bind-data", "/mnt/felhom/bind-data-2"]
    );
    let keys: BTreeSet<&str> = plan.moves.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys.len(), 2);
}

#[test]
fn a_new_mount_hides_no_mount_point_and_no_data() {
    let with = |path: &str| {
        let case = Case::with(|case| {
            case.films();
            case.mount("mp7", path, "local-lvm:vm-9010-disk-7", true);
        });
        paths(&plan(&case, &setting())).remove(0)
    };
    assert_eq!(with("/mnt/felhom/films"), "/mnt/felhom/films-2");
    assert_eq!(with("/mnt/felhom/films/deep/"), "/mnt/felhom/films-2");
    assert_eq!(with("/mnt/felhom/other"), "/mnt/felhom/films");
    assert_eq!(with("/mnt"), "/srv/felhom/films");
    let case = Case::with(|case| {
        case.films();
        case.inventory
            .volumes
            .push(bound("old", "/mnt/felhom/films/data"));
    });
    assert_eq!(paths(&plan(&case, &setting())), ["/mnt/felhom/films-2"]);
}

#[test]
fn a_volume_that_was_moved_before_is_not_planned_over_itself() {
    let case = Case::with(|case| {
        case.mount("mp0", "/mnt/felhom/pgdata", "local-lvm:vm-1-disk-1", false);
        case.inventory.volumes = vec![bound("pgdata", "/mnt/felhom/pgdata/data")];
    });
    let plan = plan(&case, &setting());
    assert_eq!(paths(&plan), ["/mnt/felhom/pgdata-2"]);
    assert_eq!(plan.moves[0].from, "/mnt/felhom/pgdata/data");
    assert_eq!(plan.moves[0].to, "/mnt/felhom/pgdata-2/data");
}

/// Films in a Docker engine whose data-root is there, with a mount point that is in the backup.
fn docker_on(root: &str, mount: &str, source: &str) -> Case {
    Case::with(|case| {
        case.films();
        case.mount("mp0", mount, source, true);
        case.inventory.data_root = root.into();
        for volume in &mut case.inventory.volumes {
            volume.mountpoint = format!("{root}/volumes/{}/_data", volume.name);
        }
    })
}

#[test]
fn an_old_copy_is_set_aside_by_a_rename_on_the_same_mount() {
    let on = |root: &str, mount: &str| {
        let case = docker_on(root, mount, "local-lvm:vm-9010-disk-1");
        let plan = plan(&case, &setting());
        assert!(plan.refused.is_empty(), "{:?}", plan.refused);
        let kept = &plan.moves[0].old_copy;
        assert!(kept.contains("every backup holds it"), "{kept}");
        aside(&plan).unwrap()
    };
    let docker = "/var/lib/docker";
    assert_eq!(on(docker, "/mnt/x"), "/var/lib/felhom/set-aside/films");
    let beside = "/var/lib/docker/felhom-set-aside/films";
    assert_eq!(on(docker, docker), beside);
    assert_eq!(on(docker, "/var"), "/var/lib/felhom/set-aside/films");
    assert_eq!(
        on("/tank/docker", "/tank"),
        "/tank/docker/felhom-set-aside/films"
    );
}

#[test]
fn where_only_dockers_volumes_are_mounted_there_is_no_place_to_set_aside() {
    let case = docker_on(
        "/var/lib/docker",
        "/var/lib/docker/volumes",
        "local-lvm:vm-9010-disk-1",
    );
    let plan = plan(&case, &setting());
    assert!(plan.moves.is_empty());
    assert!(
        plan.refused[0].what.contains("no directory to set"),
        "{:?}",
        plan.refused
    );
}

#[test]
fn a_volume_that_is_not_where_docker_keeps_volumes_is_not_renamed() {
    let case = Case::with(|case| {
        case.films();
        let mut odd = volume("films", &[]);
        odd.mountpoint = "/home".into();
        case.inventory.volumes[0] = odd;
    });
    let plan = plan(&case, &setting());
    assert!(plan.moves.is_empty());
    assert!(
        plan.refused[0].what.contains("not where Docker keeps"),
        "{:?}",
        plan.refused
    );
}
