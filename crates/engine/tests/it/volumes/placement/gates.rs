//! What a command of the plan stops at, and what is refused so that nothing is orphaned.

use felhom_engine::volumes::*;
use felhom_ids::ByteSize;

use super::shell::{Sides, typed};
use super::{plan, setting};
use crate::volumes::{Case, container, volume};

/// A name as Docker chooses it.
const CHOSEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn refused(case: &Case, setting: &PlacementSetting) -> String {
    let plan = plan(case, setting);
    assert!(plan.moves.is_empty(), "{plan:?}");
    assert!(plan.refused.iter().all(|one| one.hint.is_some()));
    plan.refused.first().unwrap().what.clone()
}

fn nameless(name: &str, told: bool) -> DockerVolume {
    DockerVolume {
        anonymous: told,
        ..volume(name, &[])
    }
}

#[test]
fn an_anonymous_volume_is_not_moved() {
    for (name, told) in [(CHOSEN, true), (CHOSEN, false), ("odd", true)] {
        let case = Case::with(|case| {
            case.inventory.volumes.push(nameless(name, told));
            let user = container("app", "example/app", name, "/data");
            case.inventory.containers.push(user);
            case.rule(name, VolumeClass::Bulk, None);
        });
        let what = refused(&case, &setting());
        assert!(what.contains("Docker chose its name"), "{what}");
    }
}

#[test]
fn a_container_with_an_anonymous_volume_beside_is_not_removed() {
    for told in [true, false] {
        let case = Case::with(|case| {
            case.films();
            case.inventory.volumes.push(nameless(CHOSEN, told));
            let player = case.inventory.containers.last_mut().unwrap();
            player.mounts.push(ContainerMount {
                source: Mounted::Volume(CHOSEN.into()),
                destination: "/config".into(),
                read_only: false,
            });
        });
        let what = refused(&case, &setting());
        assert!(
            what.contains("container player would be made anew, and has a volume at `/config`"),
            "{what}"
        );
    }
    // Another container's are no reason.
    let case = Case::with(|case| {
        case.films();
        case.inventory.volumes.push(nameless(CHOSEN, true));
        let other = container("other", "example/other", CHOSEN, "/config");
        case.inventory.containers.push(other);
    });
    assert_eq!(plan(&case, &setting()).moves.len(), 1);
}

#[test]
fn a_bind_mounts_container_is_refused_only_where_no_compose_project_hands_its_anonymous_volumes_on()
{
    let with = |project: Option<&str>| {
        Case::with(|case| {
            let mut user = container("app", "example/app", "/srv/media", "/media");
            user.project = project.map(Into::into);
            user.mounts.push(ContainerMount {
                source: Mounted::Volume(CHOSEN.into()),
                destination: "/config".into(),
                read_only: false,
            });
            case.inventory.volumes.push(nameless(CHOSEN, true));
            case.inventory.containers.push(user);
            case.path_rule("/srv/media", VolumeClass::Bulk);
        })
    };
    let mut setting = setting();
    let size = ByteSize::from_bytes(1 << 30);
    setting.sizes.insert("/srv/media".into(), size);
    assert!(refused(&with(None), &setting).contains("would be made anew"));
    assert_eq!(plan(&with(Some("stack")), &setting).moves.len(), 1);
}

#[test]
fn a_size_that_cannot_hold_the_volume_is_refused() {
    let mut setting = setting();
    let case = Case::with(Case::films);
    for bytes in [0, 1, (5 << 30) - 1] {
        let size = ByteSize::from_bytes(bytes);
        setting.sizes.insert("films".into(), size);
        let what = refused(&case, &setting);
        assert!(what.contains("it holds 5368709120 bytes"), "{what}");
    }
    setting
        .sizes
        .insert("films".into(), ByteSize::from_bytes(5 << 30));
    assert_eq!(plan(&case, &setting).moves.len(), 1);
    let uncounted = Case::with(|case| {
        case.films();
        case.inventory.volumes[0].size = None;
    });
    setting
        .sizes
        .insert("films".into(), ByteSize::from_bytes(0));
    assert!(refused(&uncounted, &setting).contains("--size says 0"));
}

#[test]
fn what_did_not_run_before_is_named_where_the_rest_is_started() {
    let case = Case::with(|case| {
        case.films();
        for (name, project, running) in [
            ("importer", Some("stack"), false),
            ("elsewhere", Some("other"), false),
            ("running", Some("stack"), true),
        ] {
            let mut one = container(name, "example/x", "nothing", "/x");
            one.project = project.map(Into::into);
            one.running = running;
            case.inventory.containers.push(one);
        }
        let mut alone = container("alone", "example/x", "films", "/x");
        (alone.project, alone.service, alone.running) = (None, None, false);
        case.inventory.containers.push(alone);
    });
    let start = |case: &Case| {
        let plan = plan(case, &setting());
        let mut steps = plan.moves[0].steps.iter();
        let start =
            steps.find(|step| matches!(step.action, PlacementAction::StartContainers { .. }));
        start.unwrap().action.what()
    };
    let told = start(&case);
    assert!(
        told.contains("; alone, importer of stack did not run before"),
        "{told}"
    );
    assert!(!start(&Case::with(Case::films)).contains("did not run"));
}

#[test]
fn what_is_not_mounted_gets_no_copy() {
    let sides = Sides::new();
    sides.write("from dir's", b"film", "content");
    let prepare = PlacementAction::PrepareMount {
        path: sides.path("mnt"),
        data: sides.path("mnt/data"),
    };
    sides.program("mountpoint", "exit 1");
    assert!(!typed(sides.base.path(), &prepare) && !sides.copied());
    assert!(!sides.base.path().join("mnt").exists());
    assert!(!sides.base.path().join("to/film").exists());
    sides.program("mountpoint", "exit 0");
    // A second time as well.
    for _ in 0..2 {
        assert!(typed(sides.base.path(), &prepare) && sides.copied());
    }
}

#[test]
fn a_comparison_in_which_any_program_fails_finds_nothing_the_same() {
    let sides = Sides::new();
    sides.write("from dir's", b"film", "content");
    assert!(sides.copied() && sides.same());
    let set_aside = PlacementAction::SetAside {
        from: sides.path("from dir's"),
        to: sides.path("kept/films"),
    };
    let printf = "for one; do test \"$one\" != -printf || { echo unrecognized: -printf >&2; exit 1; }; done\nPATH=${PATH#*:} exec find \"$@\"";
    for (name, text) in [
        ("find", "exit 1"),
        ("find", printf),
        ("sha256sum", "exit 1"),
        ("sort", "exit 1"),
        ("cmp", "exit 1"),
    ] {
        sides.program(name, text);
        assert!(!sides.same(), "{name}: {text}");
        let real = sides.base.path().join("bin").join(name);
        std::fs::remove_file(real).unwrap();
        if name != "cmp" {
            assert!(!typed(sides.base.path(), &set_aside), "{name}: {text}");
        }
        assert!(sides.same());
    }
    assert!(typed(sides.base.path(), &set_aside));
}

#[test]
fn an_engine_removes_a_volume_only_when_its_directory_is_empty() {
    let sides = Sides::new();
    let own = sides.path("from dir's");
    let made = sides.path("made");
    sides.program(
        "docker",
        &format!(
            "case \"$1 $2\" in\n'volume inspect') test -e \"{own}\" && echo \"{own}\";;\n'volume rm') rm -r \"{own}\";;\n\
             'volume create') : >'{made}';;\nesac"
        ),
    );
    let recreate = PlacementAction::RecreateVolume {
        name: "films".into(),
        device: "/mnt/felhom/films/data".into(),
        labels: std::collections::BTreeMap::new(),
        untold: Vec::new(),
    };
    let is_made = || std::path::Path::new(&made).exists();
    sides.write("from dir's", b"film", "content");
    assert!(sides.copied() && sides.same());
    assert!(!typed(sides.base.path(), &recreate) && !is_made());
    assert!(std::path::Path::new(&own).join("film").exists());
    let set_aside = PlacementAction::SetAside {
        from: own.clone(),
        to: sides.path("kept/films"),
    };
    assert!(typed(sides.base.path(), &set_aside));
    assert!(typed(sides.base.path(), &recreate) && is_made());
    assert!(sides.base.path().join("kept/films/film").exists());
}

#[test]
fn a_container_goes_only_when_its_description_is_kept() {
    let sides = Sides::new();
    let remove = PlacementAction::RemoveContainers {
        names: vec!["player".into()],
    };
    let gone = sides.path("gone");
    for (inspect, goes) in [("exit 1", false), (":", false), ("echo described", true)] {
        let text = format!("case \"$1\" in\ncontainer) {inspect};;\nrm) : >'{gone}';;\nesac");
        sides.program("docker", &text);
        assert_eq!(typed(sides.base.path(), &remove), goes, "{inspect}");
        assert_eq!(std::path::Path::new(&gone).exists(), goes, "{inspect}");
    }
    let kept = sides.path("felhom-container-player.json");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "described\n");
}

#[test]
fn a_mount_point_that_is_there_by_now_is_not_replaced() {
    let sides = Sides::new();
    let add = PlacementAction::AddMount {
        key: "mp1".into(),
        storage: "local-lvm".parse().unwrap(),
        gib: 8,
        path: "/mnt/felhom/films".into(),
        backup: false,
    };
    let set = sides.path("set");
    for (pending, sets) in [
        ("exit 1", false),
        ("echo 'cur mp1: local-lvm:vm-9010-disk-1,mp=/x'", false),
        ("echo 'new mp1: local-lvm:vm-9010-disk-1,mp=/x'", false),
        ("echo 'del mp1: local-lvm:vm-9010-disk-1,mp=/x'", false),
        ("echo 'cur mp10: local-lvm:vm-9010-disk-1,mp=/x'", true),
    ] {
        let text = format!("case \"$1\" in\npending) {pending};;\nset) : >'{set}';;\nesac");
        sides.program("pct", &text);
        assert_eq!(typed(sides.base.path(), &add), sets, "{pending}");
        assert_eq!(std::path::Path::new(&set).exists(), sets, "{pending}");
    }
}
