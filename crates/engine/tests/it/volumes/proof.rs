//! Plan, log and archive of every volume, and one archive against the next.

use felhom_engine::volumes::*;
use felhom_engine::*;

use super::{Case, bound, container};
use crate::fake::{self, World};

/// The guest of the tests with a hot volume on the rootfs and a bulk one on mp2, which is in no backup.
pub(super) fn known() -> KnownVolumes {
    let case = Case::with(|case| {
        case.config = fake::backup_subject().config;
        case.inventory
            .volumes
            .insert(0, bound("films", "/mnt/mp2/films"));
        let player = container("player", "example/player", "films", "/films");
        case.inventory.containers.push(player);
        case.rule("films", VolumeClass::Bulk, Some(super::elsewhere()));
        case.path_rule("/mnt/mp2*", VolumeClass::Bulk);
    });
    KnownVolumes {
        of: case.config.fingerprint(),
        inventory: case.inventory,
        policy: case.policy,
    }
}

pub(super) fn archived(name: &str, path: &str, members: u64) -> ArchivedVolume {
    ArchivedVolume {
        name: name.into(),
        path: path.into(),
        root_present: true,
        tally: MountTally {
            members,
            bytes: members * 100,
        },
        ..ArchivedVolume::default()
    }
}

const PGDATA: &str = "/var/lib/docker/volumes/pgdata/_data";
const FILMS: &str = "/var/lib/docker/volumes/films/_data";

/// What lies in a good archive of that guest.
fn good() -> Vec<ArchivedVolume> {
    vec![archived("films", FILMS, 0), archived("pgdata", PGDATA, 7)]
}

pub(super) fn backup(
    change: impl FnOnce(&mut BackupRequest),
    content: impl Fn(&mut ArchiveContent),
) -> BackupReport {
    let mut job = fake::backup_job_of(|request| {
        request.volumes = Some(Box::new(known()));
        change(request);
    });
    let mut world = World::default();
    let mut now = Timestamp::from_secs(1);
    while let Next::Do(step) = job.next(now) {
        let mut outcome = world.perform(&step, fake::Trouble::None);
        if let (
            Step::Observe(Observe::ArchiveContent { wanted, .. }),
            Outcome::ArchiveContent(read),
        ) = (&step, &mut outcome)
        {
            let roots: Vec<&str> = wanted
                .volumes
                .iter()
                .map(|root| root.path.as_str())
                .collect();
            assert_eq!(
                roots,
                ["/mnt/mp2/films", FILMS, PGDATA],
                "all that is known is looked for"
            );
            read.docker_volumes = good();
            content(read);
        }
        job.record(now, outcome);
        now = now.plus(std::time::Duration::from_secs(1));
    }
    let JobKind::Backup(backup) = job.kind else {
        unreachable!()
    };
    backup.report().unwrap().clone()
}

pub(super) fn codes(report: &BackupReport) -> Vec<&str> {
    report
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect()
}

#[test]
fn volumes_that_are_where_they_should_be_are_proven() {
    let report = backup(|_| {}, |_| {});
    assert_eq!(report.verdict, BackupVerdict::Good, "{:?}", report.reasons);
    let told: Vec<_> = report
        .volumes
        .iter()
        .map(|proof| {
            (
                proof.planned.name.as_str(),
                proof.planned.included,
                proof.logged,
                proof.difference.is_none(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("films", false, Some(false), true),
            ("pgdata", true, Some(true), true)
        ]
    );
    // A mount point that holds nothing but bulk is meant to be out.
    assert_eq!(codes(&report), ["bind-not-in-backup"]);
}

#[test]
fn a_volume_that_is_not_in_the_archive_is_a_failed_backup() {
    let report = backup(
        |_| {},
        |read| read.docker_volumes.retain(|one| one.name != "pgdata"),
    );
    assert_eq!(report.verdict, BackupVerdict::Failed);
    assert!(
        report.reasons[0].contains("volume pgdata"),
        "{:?}",
        report.reasons
    );
    assert!(codes(&report).contains(&"inclusion-differs"));
}

#[test]
fn an_empty_volume_is_there_by_its_directory() {
    let report = backup(
        |_| {},
        |read| read.docker_volumes[1].tally = MountTally::default(),
    );
    assert_eq!(report.verdict, BackupVerdict::Good, "{:?}", report.reasons);
}

#[test]
fn bulk_that_was_smuggled_in_is_a_failed_backup() {
    let on_its_mount = |read: &mut ArchiveContent| {
        read.docker_volumes
            .push(archived("films", "/mnt/mp2/films", 3));
    };
    // Docker's own directory, when a container wrote to it because the mount was missing.
    let beside = |read: &mut ArchiveContent| read.docker_volumes[0].tally.members = 3;
    for report in [backup(|_| {}, on_its_mount), backup(|_| {}, beside)] {
        assert_eq!(report.verdict, BackupVerdict::Failed);
        assert!(
            report.reasons[0].contains("volume films"),
            "{:?}",
            report.reasons
        );
    }
}

#[test]
fn an_archive_that_cannot_be_read_is_unproven_and_not_failed() {
    let mut job = fake::backup_job_of(|request| request.volumes = Some(Box::new(known())));
    let mut world = World::default();
    let mut now = Timestamp::from_secs(1);
    while let Next::Do(step) = job.next(now) {
        let outcome = if matches!(step, Step::Observe(Observe::ArchiveContent { .. })) {
            Outcome::Failed(RemoteError {
                class: ErrorClass::Local,
                text: "no directory is configured".into(),
            })
        } else {
            world.perform(&step, fake::Trouble::None)
        };
        job.record(now, outcome);
        now = now.plus(std::time::Duration::from_secs(1));
    }
    let JobKind::Backup(backup) = job.kind else {
        unreachable!()
    };
    let report = backup.report().unwrap();
    assert_eq!(report.verdict, BackupVerdict::Good);
    assert_eq!(
        report.unproven.as_deref(),
        Some("no directory is configured")
    );
    assert!(report.volumes.iter().all(|proof| proof.archived.is_none()));
}

#[test]
fn a_report_of_another_guest_counts_for_nothing() {
    let report = backup_without_looking(|request| {
        if let Some(known) = &mut request.volumes {
            known.of.macs = vec!["BC:24:11:00:00:99".into()];
        }
    });
    assert!(report.volumes.is_empty());
    assert!(codes(&report).contains(&"volume-report-old"));
}

#[test]
fn a_report_that_is_older_than_a_week_is_told() {
    let told = |days: i64| {
        let report = backup(
            |request| {
                if let Some(known) = &mut request.volumes {
                    known.inventory.taken = Timestamp::from_secs(1 - days * 86_400);
                }
            },
            |_| {},
        );
        codes(&report).contains(&"volume-report-old")
    };
    assert!(told(8) && !told(6));
}

fn backup_without_looking(change: impl FnOnce(&mut BackupRequest)) -> BackupReport {
    let job = fake::backup_job_of(|request| {
        request.volumes = Some(Box::new(known()));
        change(request);
    });
    let (job, _) = fake::drive(job, &mut World::default(), |_, _| fake::Trouble::None);
    let JobKind::Backup(backup) = job.kind else {
        unreachable!()
    };
    backup.report().unwrap().clone()
}

#[test]
fn a_volume_that_no_report_knows_is_told() {
    let report = backup(
        |_| {},
        |read| read.docker_volumes.push(archived("new", "/x", 1)),
    );
    assert_eq!(report.verdict, BackupVerdict::Good);
    assert_eq!(codes(&report), ["bind-not-in-backup", "volume-unreported"]);
}

fn sample(path: &str, rank: u64, sha256: &str) -> SampledFile {
    SampledFile {
        path: path.into(),
        rank,
        size: 5,
        mtime_s: 100,
        sha256: sha256.into(),
    }
}

fn sampled(files: u64, samples: Vec<SampledFile>) -> Vec<ArchivedVolume> {
    vec![ArchivedVolume {
        files,
        samples,
        ..archived("v", "/v", files)
    }]
}

fn changed(before: &[ArchivedVolume], after: &[ArchivedVolume]) -> Vec<String> {
    let found = content_findings("guest 9010", before, after);
    found.into_iter().map(|finding| finding.code).collect()
}

#[test]
fn a_sampled_file_that_is_gone_is_told_and_one_that_was_outranked_is_not() {
    let before = sampled(9, vec![sample("a", 1, "x"), sample("b", 5, "x")]);
    let same = sampled(9, before[0].samples.clone());
    assert!(changed(&before, &same).is_empty());
    let outranked = sampled(9, vec![sample("a", 1, "x"), sample("new", 3, "x")]);
    assert!(
        changed(&before, &outranked).is_empty(),
        "b may be there still"
    );
    let gone = sampled(9, vec![sample("a", 1, "x"), sample("c", 7, "x")]);
    assert_eq!(changed(&before, &gone), ["sampled-file-absent"]);
    let all_sampled = sampled(1, vec![sample("a", 1, "x")]);
    assert_eq!(changed(&before, &all_sampled), ["sampled-file-absent"]);
}

#[test]
fn content_that_changed_under_the_same_size_and_date_is_told() {
    let before = sampled(1, vec![sample("a", 1, "x")]);
    assert_eq!(
        changed(&before, &sampled(1, vec![sample("a", 1, "y")])),
        ["content-changed-silently"]
    );
    let mut touched = sample("a", 1, "y");
    touched.mtime_s += 1;
    assert!(changed(&before, &sampled(1, vec![touched])).is_empty());
}

#[test]
fn a_volume_that_lost_half_of_its_bytes_is_told_and_a_small_one_is_not() {
    let sized = |bytes| {
        let mut all = sampled(0, vec![]);
        all[0].tally.bytes = bytes;
        all
    };
    assert_eq!(
        changed(&sized(100 << 20), &sized(40 << 20)),
        ["size-off-forecast"]
    );
    assert_eq!(
        changed(&sized(100 << 20), &sized(300 << 20)),
        ["size-off-forecast"]
    );
    assert!(changed(&sized(100 << 20), &sized(60 << 20)).is_empty());
    assert!(changed(&sized(1000), &sized(10)).is_empty());
}

fn witnesses(content: Result<ArchiveContent, String>, log_known: bool) -> Witnesses {
    let config = fake::backup_subject().config;
    let lines = fake::backup_log();
    let log = VzdumpLog::parse(lines.iter().map(String::as_str));
    Witnesses {
        volumes_of_then: true,
        mounts: planned_inclusion(&config),
        volumes: Vec::new(),
        log: log_known.then_some((LogSource::LogFile, log)),
        content,
    }
}

#[test]
fn an_archive_is_proven_only_by_three_witnesses() {
    let volid = "local:backup/vzdump-lxc-9010-2026_11_20-01_00_00.tar.zst"
        .parse()
        .unwrap();
    let standing = |content, log| prove_archive(&volid, witnesses(content, log)).standing;
    let unread = || Err("no directory is configured".to_owned());
    assert_eq!(standing(Ok(fake::content()), true), ProofStanding::Proven);
    assert_eq!(
        standing(Ok(fake::content()), false),
        ProofStanding::Unproven
    );
    assert_eq!(standing(unread(), true), ProofStanding::Unproven);
    let cut = ArchiveContent {
        complete: false,
        ..fake::content()
    };
    assert_eq!(standing(Ok(cut), true), ProofStanding::Failed);
    let mut smuggled = fake::content();
    smuggled.mounts.insert(
        "mp2".into(),
        MountTally {
            members: 1,
            bytes: 1,
        },
    );
    assert_eq!(standing(Ok(smuggled), false), ProofStanding::Failed);
    let headless = ArchiveContent {
        config_first: false,
        ..fake::content()
    };
    assert_eq!(standing(Ok(headless), true), ProofStanding::Failed);
}
