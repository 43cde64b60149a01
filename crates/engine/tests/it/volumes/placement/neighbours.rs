//! A move takes nobody else's data along: what shares a directory tree with the volume is a reason to refuse.

use felhom_engine::volumes::*;

use super::{plan, setting};
use crate::volumes::{Case, bound, container, volume};

/// `/srv/media` is bulk by a rule, and of a known size.
fn media(case: &mut Case) -> PlacementSetting {
    bind(case, "a", "/srv/media");
    case.policy.rules.push(VolumeRule {
        vmid: None,
        name: None,
        image: None,
        path: Some("/srv/media".into()),
        class: VolumeClass::Bulk,
        cover: None,
    });
    let mut setting = setting();
    let size = felhom_ids::ByteSize::from_bytes(3 << 30);
    setting.sizes.insert("/srv/media".into(), size);
    setting
        .last_archives
        .insert("/srv/media".into(), super::ARCHIVE.parse().unwrap());
    setting
}

fn bind(case: &mut Case, name: &str, path: &str) {
    let user = container(name, "example/app", path, "/data");
    case.inventory.containers.push(user);
}

/// What the plan refuses because of the change; without the change it moves the volume.
fn refused(change: impl FnOnce(&mut Case)) -> String {
    let mut case = Case::good();
    let setting = media(&mut case);
    let before = plan(&case, &setting);
    assert!(
        before.moves.len() == 1 && before.refused.is_empty(),
        "{before:?}"
    );
    change(&mut case);
    told(&plan(&case, &setting))
}

fn told(plan: &PlacementPlan) -> String {
    assert!(plan.moves.is_empty(), "{:?}", plan.moves);
    assert!(plan.refused.iter().all(|one| one.hint.is_some()));
    let refused = plan.refused.iter();
    refused
        .map(|one| one.what.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn what_another_container_has_inside_is_not_removed_with_the_old_copy() {
    let inside = refused(|case| bind(case, "b", "/srv/media/db"));
    assert!(
        inside.contains("`/srv/media/db`, which container b mounts, lies inside"),
        "{inside}"
    );
    let inside = refused(|case| {
        let volume = bound("inner", "/srv/media/db");
        case.inventory.volumes.push(volume);
    });
    assert!(inside.contains("volume inner lies inside"), "{inside}");
}

#[test]
fn what_another_container_has_around_or_at_the_directory_is_not_hidden_from_it() {
    let around = refused(|case| bind(case, "b", "/srv"));
    assert!(
        around.contains("`/srv/media` lies inside of `/srv`, which container b"),
        "{around}"
    );
    let around = refused(|case| case.inventory.volumes.push(bound("outer", "/srv/")));
    assert!(around.contains("lies inside of volume outer"), "{around}");
    let equal = refused(|case| {
        case.inventory
            .volumes
            .push(bound("same", "/srv/x/../media"));
    });
    assert!(
        equal.contains("volume same has the same directory"),
        "{equal}"
    );
    let all = refused(|case| bind(case, "b", "/"));
    assert!(
        all.contains("`/`, which container b mounts,") && all.contains("lies inside"),
        "{all}"
    );
}

#[test]
fn a_mount_point_inside_is_not_taken_along() {
    let inside = refused(|case| case.mount("mp3", "/srv/media/x/", "local-lvm:vm-1-disk-9", true));
    assert!(
        inside.contains("mp3 is mounted at `/srv/media/x/`"),
        "{inside}"
    );
    for at in [
        "/var/lib/docker/volumes/films/_data",
        "/var/lib/docker/volumes/films",
    ] {
        let case = Case::with(|case| {
            case.films();
            case.mount("mp3", at, "local-lvm:vm-1-disk-9", true);
        });
        let own = told(&plan(&case, &setting()));
        assert!(own.contains("mp3 is mounted at"), "{own}");
    }
}

#[test]
fn a_docker_volumes_directory_that_somebody_else_reaches_into_stays() {
    for path in [
        "/var/lib/docker/volumes/films/_data/inner",
        "/var/lib/docker/volumes/films/_data",
        "/var/lib/docker/volumes",
        "/var/lib",
    ] {
        let case = Case::with(|case| {
            case.films();
            bind(case, "backup", path);
            case.inventory.containers.last_mut().unwrap().mounts[0].read_only = true;
        });
        let told = told(&plan(&case, &setting()));
        assert!(told.contains("which container backup mounts"), "{told}");
    }
    let case = Case::with(|case| {
        case.films();
        let inner = bound("inner", "/var/lib/docker/volumes/films/_data/inner");
        case.inventory.volumes.push(inner);
    });
    assert!(told(&plan(&case, &setting())).contains("volume inner lies inside"));
}

#[test]
fn siblings_users_of_the_same_volume_and_a_look_at_the_machine_are_no_reason() {
    let case = Case::with(|case| {
        case.films();
        case.inventory.volumes.push(volume("films2", &[]));
        case.inventory.volumes.push(volume("film", &[]));
        let other = container("other", "example/other", "films", "/x");
        case.inventory.containers.push(other);
        bind(case, "metrics", "/");
        case.inventory.containers.last_mut().unwrap().mounts[0].read_only = true;
    });
    let plan = plan(&case, &setting());
    assert!(plan.refused.is_empty(), "{:?}", plan.refused);
    assert_eq!(plan.moves[0].stops, ["other", "player"]);
}

#[test]
fn dockers_and_the_systems_own_directories_stay() {
    let at = |path: &str| {
        Case::with(|case| {
            case.films();
            case.inventory.volumes[0] = bound("films", path);
        })
    };
    for path in ["/etc/app", "/usr", "/var/lib", "/root/films", "/"] {
        let told = told(&plan(&at(path), &setting()));
        assert!(told.contains("the guest's own system"), "{told}");
    }
    let mut case = at("/srv/docker-box");
    case.inventory.data_root = "/srv/docker-box/docker".into();
    let told = told(&plan(&case, &setting()));
    assert!(told.contains("Docker keeps its own things"), "{told}");
}

#[test]
fn a_report_that_leaves_something_out_is_no_ground_for_a_move() {
    let case = Case::with(Case::films);
    for (volumes, containers) in [
        (Extent::All, Extent::Unknown),
        (Extent::All, Extent::Some),
        (Extent::Some, Extent::All),
    ] {
        let mut inventory = case.inventory.clone();
        inventory.coverage = Coverage {
            volumes,
            containers,
        };
        let plan = plan_placement(&case.judged(), &case.config, &inventory, &setting());
        assert!(told(&plan).contains("not known to name all"));
    }
}

#[test]
fn nothing_on_a_directory_of_the_host_is_emptied() {
    let case = Case::with(|case| {
        case.mount("mp0", "/mnt/db", "/tank/shared", false);
        case.inventory.volumes = vec![bound("pgdata", "/mnt/db/pg")];
    });
    let plan = plan(&case, &setting());
    let moved = &plan.moves[0];
    let gone = |step: &PlacementStep| {
        matches!(
            step.action,
            PlacementAction::DropOld { .. } | PlacementAction::SetAside { .. }
        )
    };
    assert!(!moved.steps.iter().any(gone), "{:?}", moved.steps);
    assert!(
        moved.old_copy.contains("`/tank/shared` of the host")
            && moved.old_copy.contains("whoever looks after the host"),
        "{}",
        moved.old_copy
    );
}

#[test]
fn only_a_plan_that_protects_an_archive_speaks_of_one() {
    let foreign = Case::with(|case| {
        case.mount("mp0", "/mnt/db", "/tank/shared", false);
        case.inventory.volumes = vec![bound("pgdata", "/mnt/db/pg")];
    });
    let left_out = Case::with(|case| {
        case.mount("mp0", "/mnt/db", "local-lvm:vm-9010-disk-1", false);
        case.inventory.volumes = vec![bound("pgdata", "/mnt/db")];
    });
    for case in [foreign, left_out, Case::with(Case::films)] {
        let plan = plan(&case, &setting());
        let moved = &plan.moves[0];
        let protects =
            |step: &PlacementStep| matches!(step.action, PlacementAction::ProtectArchive { .. });
        let protects = moved.steps.iter().any(protects);
        let said = moved.steps.iter();
        let said = said.flat_map(|step| [step.action.what(), step.if_stopped.clone()]);
        let words: Vec<String> = said.chain([moved.old_copy.clone()]).collect();
        let words = words.join("\n");
        assert_eq!(words.contains("protect"), protects, "{words}");
    }
}
