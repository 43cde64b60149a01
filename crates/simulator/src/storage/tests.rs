//! Names and retention.

use std::path::PathBuf;

use super::access::archive_extension;
use super::backups::{Backup, parse_name, stamp};
use super::retention::{Mark, Retention, mark};

#[test]
fn names_are_taken_apart_as_vzdump_makes_them() {
    assert_eq!(stamp(1_795_392_744), "2026_11_23-00_12_24");
    let name = "vzdump-lxc-9001-2026_11_23-00_12_24.tar.zst";
    assert_eq!(parse_name(name), Some(("lxc", 9001, 1_795_392_744)));
    assert_eq!(
        parse_name("vzdump-lxc-9001-2026_13_23-00_12_24.tar.zst"),
        None
    );
    assert_eq!(archive_extension(name), Some("tar.zst"));
    assert_eq!(archive_extension("x.tgz"), Some("tgz"));
    assert_eq!(
        archive_extension("vzdump-qemu-1-2026_11_23-00_12_24.vma.lzo"),
        Some("vma.lzo")
    );
    for other in [
        "x.log",
        "vzdump-lxc-1-2026_11_23-00_12_24.tar.dat",
        "x.tar.zst.notes",
        ".tar",
    ] {
        assert_eq!(archive_extension(other), None, "{other}");
    }
}

fn at(ctime: i64) -> Backup {
    Backup {
        extra: serde_json::Map::new(),
        volid: ctime.to_string(),
        path: PathBuf::new(),
        vmid: Some(1),
        subtype: "lxc",
        ctime,
        size: 0,
        format: "tar".into(),
        notes: None,
        protected: false,
    }
}

fn kept(setting: &str, times: &[i64]) -> Vec<i64> {
    let backups: Vec<Backup> = times.iter().copied().map(at).collect();
    let marks = mark(&Retention::parse(setting).unwrap(), &backups);
    times
        .iter()
        .zip(marks)
        .filter(|(_, mark)| *mark == Mark::Keep)
        .map(|(time, _)| *time)
        .collect()
}

const DAY: i64 = 86_400;

#[test]
fn periods_served_by_an_earlier_rule_do_not_count() {
    let noon = 20_000 * DAY + DAY / 2;
    let times: Vec<i64> = (0..6).map(|day| noon + day * DAY).collect();
    assert_eq!(kept("keep-last=2", &times), times[4..]);
    assert_eq!(kept("keep-last=2,keep-daily=2", &times), times[2..]);
    let twice = [noon, noon + 3600, noon + DAY, noon + DAY + 3600];
    assert_eq!(
        kept("keep-daily=2", &twice),
        [noon + 3600, noon + DAY + 3600]
    );
    assert_eq!(kept("keep-all=1", &twice), twice);
    assert_eq!(
        kept("keep-last=0", &twice),
        twice,
        "no positive number keeps everything"
    );
}

#[test]
fn protected_and_renamed_archives_are_left_alone() {
    let mut backups = vec![at(1), at(2), at(3)];
    backups[1].protected = true;
    backups[2].vmid = None;
    let marks = mark(&Retention::parse("keep-last=1").unwrap(), &backups);
    assert_eq!(marks, [Mark::Keep, Mark::Protected, Mark::Renamed]);
}

#[test]
fn settings_print_sorted() {
    let text = |setting: &str| Retention::parse(setting).unwrap().to_string();
    assert_eq!(
        text("keep-weekly=4,keep-last=3,keep-daily=7"),
        "keep-daily=7,keep-last=3,keep-weekly=4"
    );
    assert_eq!(text("keep-last=0"), "keep-all=1");
    let both = Retention::parse("keep-all=1,keep-last=3").unwrap_err();
    assert_eq!(
        both,
        "keep-all cannot be set together with other options.\n"
    );
}
