//! The plan of what lies wrong: complete, in an order in which nothing is lost, and refused where it cannot be made.

mod gates;
mod neighbours;
mod room;
mod shell;

use std::collections::BTreeMap;

use felhom_engine::BackupMode;
use felhom_engine::volumes::*;

use super::{Case, bound, container, volume};
use crate::fake::vmid;

const ARCHIVE: &str = "local:backup/vzdump-lxc-9010-2026_11_20-01_00_00.tar.zst";

fn setting() -> PlacementSetting {
    PlacementSetting {
        node: "pve".parse().unwrap(),
        storage: "local-lvm".parse().unwrap(),
        avail: Some(100 << 30),
        sizes: BTreeMap::new(),
        labels: BTreeMap::new(),
        last_archives: BTreeMap::from([("films".to_owned(), ARCHIVE.parse().unwrap())]),
        backups: "local".parse().unwrap(),
        mode: BackupMode::Snapshot,
        last_size: Some(7 << 30),
        only: Vec::new(),
    }
}

fn plan(case: &Case, setting: &PlacementSetting) -> PlacementPlan {
    let mut inventory = case.inventory.clone();
    inventory.coverage = Coverage {
        volumes: Extent::All,
        containers: Extent::All,
    };
    plan_placement(&case.judged(), &case.config, &inventory, setting)
}

fn commands(moved: &VolumeMove) -> Vec<String> {
    moved
        .steps
        .iter()
        .flat_map(|step| step.action.commands(vmid(9010)))
        .collect()
}

#[test]
fn a_guest_without_anything_out_of_place_has_an_empty_plan() {
    let plan = plan(&Case::good(), &setting());
    assert!(plan.moves.is_empty() && plan.refused.is_empty());
}

#[test]
fn the_trap_is_planned_away_step_by_step() {
    let case = Case::with(Case::films);
    let mut setting = setting();
    let label = ("com.docker.compose.project".to_owned(), "stack".to_owned());
    setting
        .labels
        .insert("films".into(), BTreeMap::from([label]));
    let plan = plan(&case, &setting);
    let [moved] = plan.moves.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!((moved.key.as_str(), moved.size.bytes()), ("mp0", 8 << 30));
    assert_eq!(moved.stops, ["player"]);
    assert!(moved.downtime_s.unwrap() > 100);
    assert_eq!(
        commands(moved),
        [
            "pvesh set /nodes/pve/storage/local/content/local:backup/vzdump-lxc-9010-2026_11_20-01_00_00.tar.zst --protected 1",
            "now=$(pct pending 9010) && ! printf '%s\\n' \"$now\" | grep '^... mp0:' && \
             pct set 9010 --mp0 local-lvm:8,mp=/mnt/felhom/films,backup=0",
            "mountpoint /mnt/felhom/films && mkdir -p /mnt/felhom/films/data",
            "docker stop player",
            "mountpoint /mnt/felhom/films && \
             cp --archive --sparse=always /var/lib/docker/volumes/films/_data/. /mnt/felhom/films/data/ && sync",
            "(cd /var/lib/docker/volumes/films/_data && find . -xdev -type f -exec sha256sum -z {} + && \
             find . -xdev -printf '%y %m %U:%G %l %p\\0') >/root/felhom-old && \
             LC_ALL=C sort -z -o /root/felhom-old /root/felhom-old",
            "(cd /mnt/felhom/films/data && find . -xdev -type f -exec sha256sum -z {} + && \
             find . -xdev -printf '%y %m %U:%G %l %p\\0') >/root/felhom-new && \
             LC_ALL=C sort -z -o /root/felhom-new /root/felhom-new && \
             test -s /root/felhom-old && cmp /root/felhom-old /root/felhom-new",
            "docker container inspect player >/root/felhom-container-player.json.new && \
             test -s /root/felhom-container-player.json.new && \
             mv /root/felhom-container-player.json.new /root/felhom-container-player.json && docker rm player",
            "test -s /root/felhom-old && cmp /root/felhom-old /root/felhom-new && mkdir -p -m 0700 /var/lib/felhom/set-aside && \
             test \"$(stat -c %d /var/lib/docker/volumes/films/_data)\" = \"$(stat -c %d /var/lib/felhom/set-aside)\" && \
             mv -T /var/lib/docker/volumes/films/_data /var/lib/felhom/set-aside/films && \
             mkdir /var/lib/docker/volumes/films/_data",
            "test -s /root/felhom-old && cmp /root/felhom-old /root/felhom-new && \
             own=$(docker volume inspect -f '{{.Mountpoint}}' films) && mkdir -p \"$own\" && rmdir \"$own\" && mkdir \"$own\" && \
             docker volume rm films",
            "! docker volume inspect films 2>/dev/null && \
             docker volume create --driver local -o type=none -o o=bind -o device=/mnt/felhom/films/data \
             --label com.docker.compose.project=stack --label felhom.class=bulk films",
            "docker compose -p stack up -d",
            "felhom-agent volumes import 9010 FILE…",
            "felhom-agent backup run 9010",
            "rm -rf --one-file-system /var/lib/felhom/set-aside/films",
        ]
    );
}

#[test]
fn the_archive_is_protected_before_any_backup_can_prune_and_the_old_copy_goes_last() {
    let plan = plan(&Case::with(Case::films), &setting());
    let names: Vec<&PlacementAction> = plan.moves[0]
        .steps
        .iter()
        .map(|step| &step.action)
        .collect();
    let at =
        |wanted: fn(&PlacementAction) -> bool| names.iter().position(|one| wanted(one)).unwrap();
    let compared = at(|one| matches!(one, PlacementAction::CompareTrees { .. }));
    let aside = at(|one| matches!(one, PlacementAction::SetAside { .. }));
    let protected = at(|one| matches!(one, PlacementAction::ProtectArchive { .. }));
    let dropped = at(|one| matches!(one, PlacementAction::DropOld { .. }));
    let proven = at(|one| matches!(one, PlacementAction::Prove { .. }));
    assert_eq!(protected, 0);
    assert!(compared < aside && aside < proven && proven < dropped);
    assert_eq!(dropped, names.len() - 1);
    assert!(
        plan.moves[0]
            .steps
            .iter()
            .all(|step| !step.if_stopped.is_empty())
    );
}

#[test]
fn a_hot_volume_goes_onto_a_mount_point_that_is_in_the_backup() {
    let case = Case::with(|case| {
        case.mount("mp0", "/mnt/db", "local-lvm:vm-9010-disk-1", false);
        case.inventory.volumes = vec![bound("pgdata", "/mnt/db")];
    });
    let plan = plan(&case, &setting());
    assert_eq!(plan.moves[0].key, "mp1");
    let commands = commands(&plan.moves[0]);
    let made = "&& pct set 9010 --mp1 local-lvm:8,mp=/mnt/felhom/pgdata,backup=1";
    assert!(commands[0].ends_with(made), "{commands:?}");
    assert!(
        !commands.iter().any(|command| command.starts_with("pvesh")),
        "{commands:?}"
    );
    // What Docker does not own stays where it is until the very end.
    assert!(
        !commands.iter().any(|command| command.contains("mv -T")),
        "{commands:?}"
    );
    assert_eq!(
        commands.last().unwrap(),
        "find /mnt/db -xdev -mindepth 1 -delete"
    );
}

#[test]
fn a_bind_mount_is_pointed_elsewhere_by_a_person() {
    let case = Case::with(|case| {
        let app = container("files", "example/files", "/srv/my films", "/films");
        case.inventory.containers.push(app);
        case.policy.rules.push(VolumeRule {
            vmid: None,
            name: None,
            image: None,
            path: Some("/srv/*".into()),
            class: VolumeClass::Bulk,
            cover: None,
        });
    });
    let mut setting = setting();
    let unknown = plan(&case, &setting);
    assert!(
        unknown.refused[0].what.contains("nobody counted"),
        "{:?}",
        unknown.refused
    );
    setting.sizes.insert(
        "/srv/my films".into(),
        felhom_ids::ByteSize::from_bytes(3 << 30),
    );
    let plan = plan(&case, &setting);
    let moved = &plan.moves[0];
    assert!(
        commands(moved).contains(
            &"mountpoint /mnt/felhom/bind-my_films && cp --archive --sparse=always '/srv/my films'/. /mnt/felhom/bind-my_films/data/ && \
              sync"
                .to_owned()
        )
    );
    let by_hand = moved
        .steps
        .iter()
        .find(|step| step.side == Side::Person)
        .unwrap();
    assert!(
        by_hand.action.what().contains("compose file of stack"),
        "{}",
        by_hand.action.what()
    );
}

#[test]
fn what_cannot_be_planned_is_refused_with_the_reason() {
    let network = Case::with(|case| {
        let options = [("type", "nfs"), ("o", "addr=192.0.2.1"), ("device", ":/db")];
        case.inventory.volumes = vec![volume("pgdata", &options)];
    });
    let refused = plan(&network, &setting());
    assert!(refused.moves.is_empty());
    assert!(
        refused.refused[0].what.contains("nfs"),
        "{:?}",
        refused.refused
    );
    let mut full = setting();
    full.avail = Some(1 << 30);
    let refused = plan(&Case::with(Case::films), &full);
    assert!(
        refused.refused[0].what.contains("1024 MiB free"),
        "{:?}",
        refused.refused
    );
    let comma = Case::with(|case| {
        case.mount("mp0", "/mnt/db", "local-lvm:vm-9010-disk-1", false);
        case.inventory.volumes = vec![bound("pgdata", "/mnt/db/a,b")];
    });
    assert!(
        plan(&comma, &setting()).refused[0]
            .what
            .contains("mount point")
    );
}

#[test]
fn only_the_volumes_asked_for_are_planned() {
    let mut setting = setting();
    setting.only = vec!["other".into()];
    assert!(plan(&Case::with(Case::films), &setting).moves.is_empty());
}

#[test]
fn a_name_that_docker_would_not_give_never_becomes_a_command() {
    for odd in ["--all", "a b", "a;b", "$(x)", "a\nb", ""] {
        let case = Case::with(|case| {
            case.films();
            let player = case.inventory.containers.last_mut().unwrap();
            player.name = odd.into();
        });
        let refused = plan(&case, &setting());
        assert!(refused.moves.is_empty(), "{odd:?}");
        assert!(
            refused.refused[0].what.contains("no name"),
            "{:?}",
            refused.refused
        );
        assert!(!refused.refused[0].what.contains('\n'));
        let project = Case::with(|case| {
            case.films();
            case.inventory.containers.last_mut().unwrap().project = Some(odd.into());
        });
        assert!(plan(&project, &setting()).moves.is_empty(), "{odd:?}");
    }
}

#[test]
fn a_label_that_no_report_tells_is_left_to_a_person() {
    let mut setting = setting();
    let labels = [("token", "[redacted]"), ("keep", "me")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    setting.labels.insert("films".into(), labels.into());
    let plan = plan(&Case::with(Case::films), &setting);
    let steps = plan.moves[0].steps.iter();
    let mut made =
        steps.filter(|step| matches!(step.action, PlacementAction::RecreateVolume { .. }));
    let action = &made.next().unwrap().action;
    assert!(
        action.what().contains("add its label(s) token"),
        "{}",
        action.what()
    );
    let commands = action.commands(vmid(9010)).concat();
    assert!(
        commands.contains("keep=me") && !commands.contains("redacted"),
        "{commands}"
    );
}

#[test]
fn without_a_known_archive_one_is_made_first_and_the_old_copy_stays() {
    let mut setting = setting();
    setting.last_archives.clear();
    let plan = plan(&Case::with(Case::films), &setting);
    let moved = &plan.moves[0];
    let first = moved.steps[0].action.commands(vmid(9010));
    assert_eq!(first, ["felhom-agent backup run 9010"]);
    let gone = |step: &PlacementStep| matches!(step.action, PlacementAction::DropOld { .. });
    assert!(!moved.steps.iter().any(gone));
    assert!(
        moved.old_copy.contains("no archive is known") && !moved.old_copy.contains("protected"),
        "{}",
        moved.old_copy
    );
    // Whoever carries a step out is told how; only where a person decides are there no commands.
    let silent = |step: &&PlacementStep| step.action.commands(vmid(9010)).is_empty();
    assert!(
        moved
            .steps
            .iter()
            .filter(silent)
            .all(|step| step.side == Side::Person)
    );
}

#[test]
fn each_step_says_which_rights_which_room_and_which_downtime_it_takes() {
    let plan = plan(&Case::with(Case::films), &setting());
    let told = |step: &PlacementStep| {
        let rights: Vec<String> = step
            .needs
            .privileges
            .iter()
            .map(|(path, privilege)| format!("{privilege} on {path}"))
            .collect();
        let space: Vec<String> = step
            .needs
            .space
            .iter()
            .map(|one| format!("{} of {:?}", one.place, one.bytes.map(|bytes| bytes >> 30)))
            .collect();
        let down = step.needs.downtime_s;
        format!(
            "{:?} [{}] [{}] {down:?}",
            step.side,
            rights.join(", "),
            space.join(", ")
        )
    };
    let told: Vec<String> = plan.moves[0].steps.iter().map(told).collect();
    assert_eq!(
        told,
        [
            "Node [VM.Backup on /vms/9010, Datastore.AllocateSpace on /storage/local] [] Some(0)",
            "Node [VM.Config.Disk on /vms/9010, Datastore.AllocateSpace on /storage/local-lvm] [local-lvm of Some(8)] Some(0)",
            "Guest [] [] Some(0)",
            "Guest [] [] Some(10)",
            "Guest [] [/mnt/felhom/films/data of Some(5)] Some(52)",
            "Guest [] [] Some(104)",
            "Guest [] [] Some(1)",
            "Guest [] [] Some(1)",
            "Guest [] [] Some(1)",
            "Guest [] [] Some(1)",
            "Node [VM.Backup on /vms/9010, Datastore.AllocateSpace on /storage/local] [local of Some(7)] Some(0)",
            "Guest [] [] Some(0)",
        ]
    );
    assert_eq!(plan.moves[0].downtime_s, Some(170));
    assert_eq!(plan.moves[0].privileges.len(), 4);
}

#[test]
fn what_a_later_move_counts_on_is_protected_before_the_first_move_backs_up() {
    let case = Case::with(|case| {
        case.mount("mp0", "/mnt/db", "local-lvm:vm-9010-disk-1", false);
        case.inventory.volumes = vec![bound("archive", "/mnt/db/a"), volume("films", &[])];
        case.rule("archive", VolumeClass::Hot, None);
        case.rule("films", VolumeClass::Bulk, None);
    });
    let plan = plan(&case, &setting());
    let [first, second] = plan.moves.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!(
        (first.class, second.class),
        (VolumeClass::Hot, VolumeClass::Bulk)
    );
    for moved in [first, second] {
        let protect = &moved.steps[0].action;
        assert!(
            matches!(protect, PlacementAction::ProtectArchive { volid, .. } if volid.to_string() == ARCHIVE),
            "{protect:?}"
        );
    }
}

#[test]
fn a_backup_that_stops_the_guest_is_not_said_to_take_no_time() {
    let mut setting = setting();
    setting.mode = BackupMode::Stop;
    let plan = plan(&Case::with(Case::films), &setting);
    let mut steps = plan.moves[0].steps.iter();
    let prove = steps.find(|step| matches!(step.action, PlacementAction::Prove { .. }));
    assert_eq!(prove.unwrap().needs.downtime_s, None);
    assert_eq!(plan.moves[0].downtime_s, Some(170));
}
