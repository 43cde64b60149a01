//! The drives of a virtual machine: property strings with the volume in front (qemu-server, `Drive.pm`).

use std::collections::BTreeMap;

use crate::guest::config::Section;
use crate::guest::props;

/// Interfaces in PVE's order, with how many of each there are.
const INTERFACES: [(&str, u32); 6] = [
    ("ide", 4),
    ("scsi", 31),
    ("virtio", 16),
    ("sata", 6),
    ("efidisk", 1),
    ("tpmstate", 1),
];

/// One drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drive {
    pub(crate) key: String,
    /// A volume, a path, `none`, `cdrom`, or an order for a new volume.
    pub(crate) file: String,
    pub(crate) options: BTreeMap<String, String>,
}

/// Whether an option is a drive's.
pub(crate) fn is_drive(key: &str) -> bool {
    place(key).is_some()
}

/// Splits `scsi12` into `("scsi", 12)`.
pub(crate) fn index(key: &str) -> Option<(&str, u32)> {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = key.get(stem.len()..)?.parse().ok()?;
    Some((stem, number))
}

fn place(key: &str) -> Option<usize> {
    let (stem, number) = index(key)?;
    let interface = INTERFACES.iter().position(|(name, _)| *name == stem)?;
    let (_, count) = INTERFACES.get(interface)?;
    (number < *count).then(|| interface * 100 + usize::try_from(number).unwrap_or_default())
}

impl Drive {
    pub(crate) fn parse(key: &str, text: &str) -> Option<Self> {
        let mut parts = text.split(',').filter(|part| !part.trim().is_empty());
        let first = parts.next()?;
        let file = first.strip_prefix("file=").unwrap_or(first);
        let option = |part: &str| {
            let (key, value) = part.split_once('=')?;
            Some((key.trim().to_owned(), value.to_owned()))
        };
        Some(Self {
            key: key.to_owned(),
            file: file.to_owned(),
            options: parts.map(option).collect::<Option<_>>()?,
        })
    }

    pub(crate) fn print(&self) -> String {
        let options = self.options.iter();
        let options = options.map(|(key, value)| format!("{key}={value}"));
        let parts: Vec<String> = std::iter::once(self.file.clone()).chain(options).collect();
        parts.join(",")
    }

    /// A CD drive, cloud-init's included.
    pub(crate) fn is_cdrom(&self) -> bool {
        self.options
            .get("media")
            .is_some_and(|media| media == "cdrom")
    }

    pub(crate) fn is_cloudinit(&self) -> bool {
        self.is_cdrom() && self.file.contains("cloudinit")
    }

    /// A volume of a storage that is no CD.
    pub(crate) fn is_disk(&self) -> bool {
        !self.is_cdrom() && self.volume().is_some()
    }

    /// The volume id, where it is one.
    pub(crate) fn volume(&self) -> Option<&str> {
        let volume = self.file.contains(':') && !self.file.starts_with('/');
        volume.then_some(self.file.as_str())
    }

    /// As `backup=` says; none where nothing says so.
    pub(crate) fn backup(&self) -> Option<bool> {
        props::boolean(self.options.get("backup")?)
    }

    pub(crate) fn size(&self) -> Option<u64> {
        props::parse_size(self.options.get("size")?)
    }
}

/// The drives of a section in PVE's order.
pub(crate) fn of(section: &Section) -> Vec<Drive> {
    let mut found: Vec<(usize, Drive)> = section
        .values
        .iter()
        .filter_map(|(key, text)| Some((place(key)?, Drive::parse(key, text)?)))
        .collect();
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, drive)| drive).collect()
}

/// Volumes of a section that belong to the machine: disks, and unused ones last.
pub(crate) fn volumes(section: &Section) -> Vec<String> {
    let drives = of(section);
    let disks = drives
        .iter()
        .filter(|drive| !drive.is_cdrom() || drive.is_cloudinit())
        .filter_map(Drive::volume);
    let unused = section
        .values
        .iter()
        .filter(|(key, _)| matches!(index(key), Some(("unused", _))))
        .map(|(_, value)| value.as_str());
    disks.chain(unused).map(ToOwned::to_owned).collect()
}

/// What vzdump does with a drive: its line in the log, and whether it is in (`QemuConfig.pm` `get_backup_volumes`).
pub(crate) fn judge(section: &Section) -> Vec<(Drive, Result<(), &'static str>)> {
    let ovmf = section.get("bios") == Some("ovmf");
    of(section)
        .into_iter()
        .filter(|drive| !drive.is_cdrom())
        .map(|drive| {
            let judged = if drive.key.starts_with("efidisk") && !ovmf {
                Err("efidisk but no OVMF BIOS")
            } else if drive.backup() == Some(false) {
                Err("backup=no")
            } else {
                Ok(())
            };
            (drive, judged)
        })
        .collect()
}
