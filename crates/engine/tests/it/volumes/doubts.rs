//! What the archive leaves open: neither a contradiction nor a proof.

use felhom_engine::volumes::{JudgedVolumes, PlannedVolume, VolumeClass, prove_volumes};
use felhom_engine::*;

use super::proof::{archived, backup, codes, known};
use super::{Case, container};

const PGDATA: &str = "/var/lib/docker/volumes/pgdata/_data";

fn pgdata(read: &mut ArchiveContent) -> &mut ArchivedVolume {
    let mut volumes = read.docker_volumes.iter_mut();
    volumes.find(|one| one.name == "pgdata").unwrap()
}

fn doubt_of(report: &BackupReport) -> Option<&str> {
    let mut volumes = report.volumes.iter();
    let proof = volumes
        .find(|proof| proof.planned.name == "pgdata")
        .unwrap();
    proof.doubt.as_deref()
}

#[test]
fn a_link_in_a_volume_s_place_is_no_bad_backup_and_no_proof() {
    let report = backup(
        |_| {},
        |read| {
            let one = pgdata(read);
            (one.root_present, one.root_is_other) = (false, true);
            one.tally = MountTally::default();
        },
    );
    assert_eq!(report.verdict, BackupVerdict::Good, "{:?}", report.reasons);
    assert!(codes(&report).contains(&"volume-unproven"), "{report:?}");
    assert!(doubt_of(&report).unwrap().contains("a link"), "{report:?}");
}

#[test]
fn a_volume_that_was_counted_and_is_empty_in_the_archive_is_not_proven() {
    let empty = |read: &mut ArchiveContent| pgdata(read).tally = MountTally::default();
    let report = backup(|_| {}, empty);
    assert!(codes(&report).contains(&"volume-unproven"), "{report:?}");
    assert!(doubt_of(&report).unwrap().contains("counted"), "{report:?}");
    let uncounted = backup(
        |request| {
            let known = request.volumes.as_mut().unwrap();
            for volume in &mut known.inventory.volumes {
                volume.size = None;
            }
        },
        empty,
    );
    assert!(!codes(&uncounted).contains(&"volume-unproven"));
}

/// Whether the proof of a bind mount of which the archive holds nothing is a contradiction, a doubt, or neither.
fn missing(running: bool, class: Option<VolumeClass>) -> (bool, bool) {
    let case = Case::with(|case| {
        let mut one = container("app", "example/app", "/srv/app.sock", "/app.sock");
        one.running = running;
        case.inventory.containers.push(one);
        if let Some(class) = class {
            case.path_rule("/srv/app.sock", class);
        }
    });
    let mut planned = case.judged().planned();
    planned.retain(|one| one.name == "/srv/app.sock");
    let mut proofs = prove_volumes(&planned, None, Some(&ArchiveContent::default()));
    let proof = proofs.pop().unwrap();
    (proof.difference.is_some(), proof.doubt.is_some())
}

#[test]
fn a_bind_mount_that_is_not_there_is_missed_only_when_it_must_be_there() {
    assert_eq!(missing(true, Some(VolumeClass::Hot)), (true, false));
    assert_eq!(missing(false, Some(VolumeClass::Hot)), (false, true));
    assert_eq!(missing(true, None), (false, true), "it may be a socket");
}

#[test]
fn members_of_a_mount_point_below_are_none_of_an_excluded_volume() {
    let mut planned = known_planned("films");
    planned[0].parts_in = vec!["mp5".to_owned()];
    let tally = |members| MountTally { members, bytes: 1 };
    let mut content = ArchiveContent {
        mounts: [("mp5".to_owned(), tally(4))].into(),
        docker_volumes: vec![archived("films", "/mnt/mp2/films", 4)],
        ..ArchiveContent::default()
    };
    let differs = |content: &ArchiveContent| {
        prove_volumes(&planned, None, Some(content))[0]
            .difference
            .clone()
    };
    assert_eq!(differs(&content), None);
    content.docker_volumes = vec![archived("films", "/mnt/mp2/films", 5)];
    assert!(differs(&content).unwrap().contains("1 members"));
}

fn known_planned(name: &str) -> Vec<PlannedVolume> {
    let known = known();
    let config = crate::fake::backup_subject().config;
    let vmid = crate::fake::vmid(9010);
    let judged = JudgedVolumes::judge(vmid, &config, &known.inventory, &known.policy);
    let mut planned = judged.planned();
    planned.retain(|one| one.name == name);
    planned
}

#[test]
fn an_archive_with_a_doubt_is_unproven() {
    let proof = proven(true, Some(archived("pgdata", PGDATA, 0)));
    assert_eq!(
        proof.standing,
        ProofStanding::Unproven,
        "{:?}",
        proof.reasons
    );
    assert!(
        proof.reasons[0].contains("volume pgdata"),
        "{:?}",
        proof.reasons
    );
}

#[test]
fn a_volume_that_only_a_later_report_knows_is_asked_for_and_contradicts_nothing() {
    let standing = |of_then, found| proven(of_then, found).standing;
    let there = || Some(archived("pgdata", PGDATA, 3));
    assert_eq!(standing(true, None), ProofStanding::Failed);
    assert_eq!(standing(false, None), ProofStanding::Unproven);
    assert_eq!(standing(true, there()), ProofStanding::Proven);
    assert_eq!(standing(false, there()), ProofStanding::Proven);
}

fn proven(of_then: bool, found: Option<ArchivedVolume>) -> ArchiveProof {
    let witnesses = Witnesses {
        mounts: Vec::new(),
        volumes: known_planned("pgdata"),
        volumes_of_then: of_then,
        log: Some((
            LogSource::Record,
            VzdumpLog {
                mounts: [("rootfs".to_owned(), (true, None))].into(),
                ..VzdumpLog::default()
            },
        )),
        content: Ok(ArchiveContent {
            complete: true,
            config_first: true,
            docker_volumes: found.into_iter().collect(),
            ..ArchiveContent::default()
        }),
    };
    let volid = "local:backup/vzdump-lxc-9010-2026_01_01-00_00_00.tar.zst";
    prove_archive(&volid.parse().unwrap(), witnesses)
}
