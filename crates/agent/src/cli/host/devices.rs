//! Which block devices there are, and which could become a target. Root decides again when one is adopted.

use felhom_host::{BlockDevice, Operation, Report};
use serde::Serialize;

use super::odd_report;
use crate::exit::Failure;
use crate::fence::{self, Fence};
use crate::journal::KnownTarget;
use crate::output::{size, table};

/// The file systems that a target may have.
const FILE_SYSTEMS: [&str; 6] = ["ext4", "ext3", "xfs", "btrfs", "exfat", "vfat"];

/// A device, and why it cannot be a target.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cli) struct Judged {
    #[serde(flatten)]
    pub(in crate::cli) device: BlockDevice,
    /// The target that it is.
    target: Option<String>,
    /// Why it cannot become one; `None` when it can, or is one.
    pub(in crate::cli) unsuitable: Option<String>,
}

/// Asks root, for what is wanted in the end.
pub(in crate::cli) async fn ask(
    fence: &Fence,
    wanted: &Operation,
) -> Result<Vec<BlockDevice>, Failure> {
    let answer = fence
        .ask_before(Operation::ListBlockDevices {}, fence::LOOK, wanted)
        .await
        .map_err(|error| error.failure())?;
    match answer {
        Report::BlockDevices { devices } => Ok(devices),
        Report::Golden(_)
        | Report::Target(_)
        | Report::Removed { .. }
        | Report::Sensors(_)
        | Report::Stripped { .. }
        | Report::Released { .. } => Err(odd_report()),
    }
}

/// Says of each what stands in its way.
pub(in crate::cli) fn judge(all: &[BlockDevice], targets: &[KnownTarget]) -> Vec<Judged> {
    let of = |device: &BlockDevice| {
        let uuid = device.uuid.as_deref()?;
        targets
            .iter()
            .find(|target| target.uuid.eq_ignore_ascii_case(uuid))
    };
    all.iter()
        .map(|device| {
            let known = of(device);
            Judged {
                target: known.map(|target| target.name.to_string()),
                unsuitable: match known {
                    Some(_) => None,
                    None => unsuitable(device, all),
                },
                device: device.clone(),
            }
        })
        .collect()
}

fn unsuitable(device: &BlockDevice, all: &[BlockDevice]) -> Option<String> {
    let Some(fstype) = device.fstype.as_deref() else {
        return Some("no file system on it".to_owned());
    };
    if !FILE_SYSTEMS.contains(&fstype) {
        return Some(format!(
            "{fstype}: a target is one of {}",
            FILE_SYSTEMS.join(", ")
        ));
    }
    let Some(uuid) = &device.uuid else {
        return Some("its file system has no UUID".to_owned());
    };
    let same = all.iter().filter(|one| one.uuid.as_ref() == Some(uuid));
    if same.count() > 1 {
        return Some("another device has the same UUID: one is a copy of the other".to_owned());
    }
    let mut disk = all.iter().filter(|one| one.disk == device.disk);
    if let Some(mount) = disk.find_map(|one| one.mounts.first()) {
        return Some(format!("`{mount}` is mounted from this disk"));
    }
    if device.in_use {
        return Some("something else is built on it".to_owned());
    }
    if device.read_only {
        return Some("it takes no data".to_owned());
    }
    let whole = all.iter().find(|one| one.name == device.disk);
    let transport = whole
        .and_then(|disk| disk.transport.as_deref())
        .or(device.transport.as_deref());
    match transport {
        Some("usb") => None,
        other => Some(format!(
            "attached by {}: only when `usb.transports` in /etc/felhom/hostd.toml names that",
            other.unwrap_or(&device.kind)
        )),
    }
}

pub(super) fn text(judged: &[Judged]) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = judged
        .iter()
        .map(|one| {
            let device = &one.device;
            let verdict = match (&one.target, &one.unsuitable) {
                (Some(name), _) => format!("is target {name}"),
                (None, Some(why)) => format!("no: {why}"),
                (None, None) => "yes".to_owned(),
            };
            vec![
                device.name.clone(),
                size(device.size),
                or_dash(&device.fstype),
                or_dash(&device.uuid),
                or_dash(&device.label),
                verdict,
            ]
        })
        .collect();
    let mut lines = vec![table(
        &["DEVICE", "SIZE", "TYPE", "UUID", "LABEL", "CAN BE A TARGET"],
        &rows,
    )];
    let free = judged
        .iter()
        .find(|one| one.target.is_none() && one.unsuitable.is_none());
    if let Some(uuid) = free.and_then(|one| one.device.uuid.as_ref()) {
        lines.push(format!(
            "to adopt one: felhom-agent storage adopt UUID={uuid} --name NAME"
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, disk: &str, fstype: Option<&str>) -> BlockDevice {
        BlockDevice {
            name: name.into(),
            disk: disk.into(),
            kind: if name == disk { "disk" } else { "part" }.into(),
            size: 1 << 30,
            fstype: fstype.map(str::to_owned),
            label: None,
            uuid: fstype.map(|_| format!("uuid-of-{name}")),
            serial: None,
            model: None,
            transport: (name == disk).then(|| "usb".to_owned()),
            removable: true,
            read_only: false,
            mounts: Vec::new(),
            in_use: false,
        }
    }

    fn why(all: &[BlockDevice], name: &str) -> Option<String> {
        let judged = judge(all, &[]);
        let one = judged.into_iter().find(|one| one.device.name == name);
        one.unwrap().unsuitable
    }

    #[test]
    fn a_disk_is_suitable_when_nothing_else_has_a_part_in_it() {
        let disk = device("sdb", "sdb", None);
        let part = device("sdb1", "sdb", Some("ext4"));
        let of = |part: BlockDevice| why(&[disk.clone(), part], "sdb1");
        assert_eq!(of(part.clone()), None);
        let cases = [
            (
                BlockDevice {
                    fstype: Some("zfs_member".into()),
                    ..part.clone()
                },
                "zfs_member",
            ),
            (
                BlockDevice {
                    uuid: None,
                    ..part.clone()
                },
                "no UUID",
            ),
            (
                BlockDevice {
                    mounts: vec!["/srv".into()],
                    ..part.clone()
                },
                "`/srv` is mounted",
            ),
            (
                BlockDevice {
                    in_use: true,
                    ..part.clone()
                },
                "built on it",
            ),
            (
                BlockDevice {
                    read_only: true,
                    ..part.clone()
                },
                "no data",
            ),
        ];
        for (odd, expected) in cases {
            let told = of(odd).unwrap();
            assert!(told.contains(expected), "{told}");
        }
        assert!(
            why(std::slice::from_ref(&disk), "sdb")
                .unwrap()
                .contains("no file system")
        );
    }

    #[test]
    fn the_disk_decides_for_its_partitions() {
        let part = device("sda3", "sda", Some("ext4"));
        let sata = BlockDevice {
            transport: Some("sata".into()),
            ..device("sda", "sda", None)
        };
        assert!(
            why(&[sata, part.clone()], "sda3")
                .unwrap()
                .contains("attached by sata")
        );
        let root = BlockDevice {
            mounts: vec!["/".into()],
            ..device("sda1", "sda", Some("vfat"))
        };
        let disk = device("sda", "sda", None);
        assert!(
            why(&[disk, root, part], "sda3")
                .unwrap()
                .contains("`/` is mounted")
        );
    }

    #[test]
    fn a_copy_makes_both_unsuitable() {
        let one = device("sdb1", "sdb", Some("xfs"));
        let other = BlockDevice {
            name: "sdc1".into(),
            disk: "sdc".into(),
            ..one.clone()
        };
        let all = [
            device("sdb", "sdb", None),
            one,
            device("sdc", "sdc", None),
            other,
        ];
        for name in ["sdb1", "sdc1"] {
            assert!(why(&all, name).unwrap().contains("a copy of"), "{name}");
        }
    }
}
