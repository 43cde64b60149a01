//! Which storage stands under a name, and for how long it lasts.

#![expect(clippy::too_many_lines, reason = "tables are long")]

use std::time::Duration;

use felhom_engine::storages::*;
use felhom_engine::*;
use felhom_ids::Namespace;
use proptest::prelude::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// 2026-11-23T00:00:00Z.
const NOW_S: i64 = 1_795_392_000;

const PIN: &str = "3B:95:5A:FA:9E:0E:4A:54:F3:64:08:E5:A2:A2:6C:66:E9:86:44:64:40:8E:C2:F7:6E:41:D2:C2:1E:86:48:C4";

fn pbs() -> Backing {
    Backing::Pbs {
        server: "192.168.0.180".to_owned(),
        port: None,
        datastore: "felhom-spike".parse().unwrap(),
        namespace: Namespace::root(),
        fingerprint: Some(PIN.parse().unwrap()),
    }
}

fn dir(filesystem: Option<&str>) -> Backing {
    Backing::Dir {
        path: "/mnt/backup".to_owned(),
        filesystem: filesystem.map(str::to_owned),
    }
}

fn nfs(server: &str) -> Backing {
    Backing::Nfs {
        server: server.to_owned(),
        export: "/export/backup".to_owned(),
    }
}

#[test]
fn a_durable_id_is_the_place_and_not_the_name() {
    let in_namespace = |server: &str, port, fingerprint| Backing::Pbs {
        server: server.to_owned(),
        port,
        datastore: "store".parse().unwrap(),
        namespace: "customers/n100".parse().unwrap(),
        fingerprint,
    };
    let cifs = Backing::Cifs {
        server: "nas".to_owned(),
        share: "backup".to_owned(),
    };
    let thin = Backing::LvmThin {
        vg: "pve".to_owned(),
        pool: "data".to_owned(),
    };
    let zfs = Backing::Other {
        kind: "zfspool".to_owned(),
    };
    let long = format!("192.168.0.180:felhom-spike#{}", PIN.to_lowercase());
    for (backing, wanted) in [
        (pbs(), Some(long.as_str())),
        (
            in_namespace("box", Some(8007), None),
            Some("box:store/customers/n100"),
        ),
        (
            in_namespace("fd00::1", Some(8008), None),
            Some("[fd00::1]:8008:store/customers/n100"),
        ),
        (nfs("nas"), Some("nas:/export/backup")),
        (cifs, Some("//nas/backup")),
        (dir(Some("1234-ABCD")), Some("UUID=1234-ABCD")),
        (dir(None), Some("path:/mnt/backup")),
        (thin, Some("pve/data")),
        (zfs, None),
    ] {
        assert_eq!(durable_id(&backing).as_deref(), wanted);
    }
}

#[test]
fn the_same_name_over_another_storage_is_wrong() {
    let silent = || Answer::None("no answer in 5 s".to_owned());
    let spike = durable_id(&pbs()).unwrap();
    let other_pin = spike.replace("#3b", "#3c");
    let table = [
        (
            Answer::Active(true),
            Some(pbs()),
            Some(spike.as_str()),
            Attachment::Attached,
        ),
        (
            Answer::Active(true),
            Some(pbs()),
            None,
            Attachment::Attached,
        ),
        (
            Answer::Active(false),
            Some(pbs()),
            Some(spike.as_str()),
            Attachment::Detached,
        ),
        (
            silent(),
            Some(pbs()),
            Some(spike.as_str()),
            Attachment::Unknown,
        ),
        (
            Answer::Undefined,
            None,
            Some(spike.as_str()),
            Attachment::Detached,
        ),
        (
            Answer::Active(true),
            Some(pbs()),
            Some(other_pin.as_str()),
            Attachment::Wrong,
        ),
        // Wrong is read in the definition, whether or not the storage answers.
        (
            silent(),
            Some(nfs("b")),
            Some("a:/export/backup"),
            Attachment::Wrong,
        ),
        (
            Answer::Active(false),
            Some(nfs("b")),
            Some("a:/export/backup"),
            Attachment::Wrong,
        ),
        (
            Answer::Active(true),
            Some(nfs("a")),
            Some("a:/export/backup"),
            Attachment::Attached,
        ),
        (
            Answer::Active(true),
            Some(dir(Some("2"))),
            Some("UUID=1"),
            Attachment::Wrong,
        ),
        (
            Answer::Active(true),
            Some(dir(Some("1"))),
            Some("UUID=1"),
            Attachment::Attached,
        ),
        // Its UUID could not be read, so it may be the same.
        (
            Answer::Active(true),
            Some(dir(None)),
            Some("UUID=1"),
            Attachment::Unknown,
        ),
        (
            Answer::Active(true),
            Some(dir(Some("1"))),
            Some("path:/mnt/backup"),
            Attachment::Unknown,
        ),
        (
            Answer::Active(true),
            Some(dir(None)),
            Some("path:/mnt/other"),
            Attachment::Wrong,
        ),
        (
            Answer::Active(true),
            Some(nfs("a")),
            Some("path:/mnt/x"),
            Attachment::Wrong,
        ),
    ];
    for (answer, backing, remembered, wanted) in table {
        let is = attachment(&answer, backing.as_ref(), remembered);
        assert_eq!(is, wanted, "{answer:?} {backing:?} {remembered:?}");
    }
}

fn samples(points: &[(i64, u64)]) -> Samples {
    let mut samples = Samples::default();
    for (hours, used) in points {
        samples.remember(Sample {
            at: Timestamp::from_secs(NOW_S + hours * HOUR),
            used: *used << 30,
            total: 100 << 30,
        });
    }
    samples
}

#[test]
fn growth_is_a_line_and_no_guess_from_too_little() {
    let a_day = |samples: &Samples| samples.growth().map(|growth| growth.bytes_per_day >> 30);
    for (points, wanted) in [
        (&[][..], None),
        (&[(0, 1), (48, 2)], None),
        (&[(0, 1), (1, 2), (2, 3), (3, 4)], None),
        (&[(0, 10), (24, 12), (48, 14)], Some(2)),
        (&[(0, 14), (24, 12), (48, 10)], Some(-2)),
        (&[(0, 10), (24, 10), (48, 10)], Some(0)),
        // One that is not later than the last is no sample.
        (&[(0, 10), (24, 12), (12, 99), (48, 14)], Some(2)),
    ] {
        assert_eq!(a_day(&samples(points)), wanted, "{points:?}");
    }
    let growing = samples(&[(0, 10), (24, 12), (48, 14)]).growth().unwrap();
    assert_eq!(growing.full_in, Some(Duration::from_hours(43 * 24)));
    let falling = samples(&[(0, 14), (24, 12), (48, 10)]).growth().unwrap();
    assert_eq!(falling.full_in, None);
}

#[test]
fn samples_are_few_and_span_what_they_spanned() {
    let mut samples = Samples::default();
    for hour in 0..2000 {
        samples.remember(Sample {
            at: Timestamp::from_secs(NOW_S + hour * HOUR),
            used: u64::try_from(hour).unwrap() << 30,
            total: 1 << 50,
        });
        assert!(samples.all().len() <= 64);
    }
    let first = samples.all()[0].at;
    assert_eq!(
        first,
        Timestamp::from_secs(NOW_S),
        "the line keeps its length"
    );
    let growth = samples.growth().unwrap();
    assert_eq!(growth.bytes_per_day, 24 << 30);
    // A clock that was years ahead does not keep all that comes after it out.
    samples.remember(Sample {
        at: Timestamp::from_secs(NOW_S + 9000 * DAY),
        used: 1,
        total: 2,
    });
    samples.remember(Sample {
        at: Timestamp::from_secs(NOW_S + 2001 * HOUR),
        used: 1,
        total: 2,
    });
    assert_eq!(samples.all().len(), 1);
}

proptest! {
    #[test]
    fn any_samples_can_be_taken(points in prop::collection::vec((any::<i64>(), any::<u64>(), any::<u64>()), 0..200)) {
        let mut samples = Samples::default();
        for (at, used, total) in points {
            samples.remember(Sample { at: Timestamp::from_millis(at), used, total });
        }
        let _ = samples.growth();
    }
}

fn look(change: impl FnOnce(&mut StorageLook)) -> Vec<Finding> {
    let mut look = StorageLook {
        id: "felhom-pbs".parse().unwrap(),
        answer: Answer::Active(true),
        backing: Some(pbs()),
        remembered: durable_id(&pbs()),
        samples: samples(&[(0, 10), (24, 11), (48, 12)]),
        metadata: Some(ThinMetadata {
            used: 10,
            total: 100,
        }),
        may_be_away: false,
    };
    change(&mut look);
    storage_findings(&look)
}

#[test]
fn a_storage_where_all_is_well_says_nothing() {
    assert_eq!(look(|_| {}), []);
    assert_eq!(look(|look| look.remembered = None), []);
    assert_eq!(
        look(|look| look.answer = Answer::None("timeout".to_owned())),
        []
    );
    assert_eq!(look(|look| look.samples = Samples::default()), []);
    assert_eq!(
        look(|look| look.metadata = Some(ThinMetadata { used: 0, total: 0 })),
        []
    );
    let away = look(|look| {
        look.answer = Answer::Active(false);
        look.may_be_away = true;
    });
    assert_eq!(away, []);
}

#[test]
fn vanished_swapped_and_full_storages_are_told_with_a_mend() {
    type Change = fn(&mut StorageLook);
    let table: [(Code, &str, &str, Change); 7] = [
        (
            codes::STORAGE_VANISHED,
            "no longer defined",
            "storage eject",
            |look| {
                look.answer = Answer::Undefined;
                look.backing = None;
            },
        ),
        (
            codes::STORAGE_VANISHED,
            "not there now",
            "pvesm status",
            |look| {
                look.answer = Answer::Active(false);
            },
        ),
        (
            codes::STORAGE_SWAPPED,
            "it is nas:/export/backup",
            "storage adopt felhom-pbs",
            |look| {
                look.backing = Some(nfs("nas"));
            },
        ),
        (
            codes::PBS_CERTIFICATE_CHANGED,
            "3b:95",
            "cert info",
            |look| {
                look.remembered = look.remembered.take().map(|id| id.replace("#3b", "#3c"));
            },
        ),
        (
            codes::STORAGE_FILLS,
            "95.0 GiB of 100.0 GiB",
            "garbage collection",
            |look| {
                look.samples = samples(&[(0, 95)]);
            },
        ),
        (
            codes::STORAGE_FILLS,
            "is full in 5 days",
            "garbage collection",
            |look| {
                look.samples = samples(&[(0, 30), (24, 40), (48, 50)]);
            },
        ),
        (
            codes::THIN_METADATA_FILLS,
            "85 %",
            "--poolmetadatasize",
            |look| {
                look.metadata = Some(ThinMetadata {
                    used: 85,
                    total: 100,
                });
            },
        ),
    ];
    for (code, detail, hint, change) in table {
        let found = look(change);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].code, code.name);
        assert!(found[0].detail.contains(detail), "{found:?}");
        assert!(found[0].hint.as_ref().unwrap().contains(hint), "{found:?}");
    }
}

#[test]
fn a_directory_that_is_a_mount_has_to_be_checked_for_one() {
    let id = "usb".parse().unwrap();
    for (path, on_target, told) in [
        ("/mnt/usb", false, true),
        ("/media/disk/backups", false, true),
        ("/run/media/eva/disk", false, true),
        ("/mnt", false, false),
        ("/mntx/usb", false, false),
        ("/var/lib/vz", false, false),
        ("/srv/targets/usb1", true, true),
    ] {
        let found = mount_unchecked(&id, path, on_target);
        assert_eq!(found.is_some(), told, "{path}");
        if let Some(found) = found {
            assert_eq!(found.code, "mount-unchecked");
            assert_eq!(
                found.hint.as_deref(),
                Some("pvesm set usb --is_mountpoint yes")
            );
        }
    }
}
