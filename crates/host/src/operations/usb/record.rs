//! What root remembers of a target, in `/etc/felhom/targets/NAME.toml`: which disk it is, and what the canary on it says.

use std::fs::File;
use std::io::{self, Read};

use felhom_ids::{FilesystemUuid, TargetName};
use serde::{Deserialize, Serialize};

use super::super::Root;
use super::filesystem::FileSystem;
use super::place::{self, failed};
use crate::config::{ConfigError, read_trusted};
use crate::refusal::{Code, Refusal};
use crate::report::BlockDevice;

const DIRECTORY: &str = "/etc/felhom/targets";
const HEAD: &str =
    "# Written by felhom-hostd. Which disk a target is on; `remove-usb-mount` takes it away.\n";

/// A target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) name: TargetName,
    pub(super) uuid: FilesystemUuid,
    pub(super) fstype: FileSystem,
    pub(super) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// The target's own id, which the canary repeats.
    pub(super) id: String,
    /// What the canary says; `None` until one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    /// What it says when the writing of it was cut off after the disk had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// Whether the canary's file is at its place on the disk, and not only in the file system's journal.
    #[serde(default)]
    pub(super) settled: bool,
}

impl Record {
    /// A new target on a disk.
    pub(super) fn new(
        name: &TargetName,
        device: &BlockDevice,
        uuid: FilesystemUuid,
        fstype: FileSystem,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            name: name.clone(),
            uuid,
            fstype,
            size: device.size,
            serial: device.serial.clone(),
            model: device.model.clone(),
            id: random_hex()?,
            current: None,
            next: None,
            settled: false,
        })
    }

    /// Whether a device that carries its UUID is its disk; if not, why not.
    pub(super) fn is_on(&self, device: &BlockDevice) -> Result<(), String> {
        let shown = |serial: &Option<String>| serial.clone().unwrap_or_else(|| "none".to_owned());
        let name = &device.name;
        if device.serial != self.serial {
            return Err(format!(
                "/dev/{name} has its UUID and the serial number {}, not {}: it is a copy, or in another enclosure",
                shown(&device.serial),
                shown(&self.serial)
            ));
        }
        if device.size != self.size {
            return Err(format!(
                "/dev/{name} has its UUID and {} bytes, not {}",
                device.size, self.size
            ));
        }
        if device.fstype.as_deref() != Some(self.fstype.name()) {
            let found = device.fstype.as_deref().unwrap_or("nothing known");
            return Err(format!(
                "/dev/{name} has its UUID and holds {found}, not {}",
                self.fstype
            ));
        }
        Ok(())
    }

    /// Reads the record of a target.
    pub(super) fn load(root: Root<'_>, name: &TargetName) -> Result<Option<Self>, Refusal> {
        let path = root.layout.targets().join(format!("{name}.toml"));
        let text = match read_trusted(root.layout, &path) {
            Ok(text) => text,
            Err(ConfigError::Missing(_)) => return Ok(None),
            Err(error) => return Err(Refusal::new(Code::NotConfigured, error.to_string())),
        };
        let unusable = |error: &dyn std::fmt::Display| {
            let text = format!(
                "{} cannot be used: {error}; put back the one of a backup, or remove it and take the disk anew",
                path.display()
            );
            Refusal::new(Code::NotConfigured, text)
        };
        let record: Self = toml::from_str(&text).map_err(|error| unusable(&error))?;
        if record.name != *name {
            return Err(unusable(&"it is of another target"));
        }
        Ok(Some(record))
    }

    /// The same, of a target that has to be there.
    pub(super) fn of(root: Root<'_>, name: &TargetName) -> Result<Self, Refusal> {
        Self::load(root, name)?.ok_or_else(|| {
            let text = format!("there is no target {name}; take a disk for it first");
            Refusal::new(Code::NotFound, text)
        })
    }

    /// The names of all targets there are.
    pub(super) fn names(root: Root<'_>) -> Result<Vec<TargetName>, Refusal> {
        let entries = match std::fs::read_dir(root.layout.targets()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(DIRECTORY, error)),
        };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".toml")?.parse().ok()
        });
        Ok(names.collect())
    }

    /// Writes the record, for good when this returns.
    pub(super) fn save(&self, root: Root<'_>) -> Result<(), Refusal> {
        let text = toml::to_string(self).map_err(|error| failed(DIRECTORY, error))?;
        let dir = place::make(root.layout, DIRECTORY)?;
        place::write(
            &dir,
            &file_name(&self.name),
            &format!("{HEAD}{text}"),
            0o600,
        )
        .map_err(|error| failed(DIRECTORY, error))
    }

    /// Remembers that the canary was found without the journal.
    pub(super) fn settle(&mut self, root: Root<'_>, is_settled: bool) -> Result<(), Refusal> {
        if self.settled == is_settled {
            return Ok(());
        }
        self.settled = is_settled;
        self.save(root)
    }

    /// Forgets a target.
    pub(super) fn remove(root: Root<'_>, name: &TargetName) -> Result<(), Refusal> {
        let Some(dir) = place::open(root.layout, DIRECTORY)? else {
            return Ok(());
        };
        place::unlink(&dir, &file_name(name))
            .and_then(|()| Ok(rustix::fs::fsync(&dir)?))
            .map_err(|error| failed(DIRECTORY, error))
    }
}

fn file_name(name: &TargetName) -> String {
    format!("{name}.toml")
}

/// 128 bits that nobody guesses.
pub(super) fn random_hex() -> Result<String, Refusal> {
    let bytes: [u8; 16] = random()?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| failed("/dev/urandom", error))?;
    Ok(bytes)
}
