//! `rootfs` and `mpN` of a container.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use felhom_ids::{ByteSize, StorageId, Vmid, VolumeId};

use super::fields::{Fields, Printer, serde_as_property};
use super::{InvalidProperty, PropertyValue};

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A volume of a storage.
    Volume(VolumeId),
    /// A volume yet to be made, `storage:GiB`; only in requests.
    New {
        /// Where.
        storage: StorageId,
        /// How large; PVE cuts it to whole MiB.
        size: ByteSize,
    },
    /// A block device of the host.
    Device(PropertyValue),
    /// A directory of the host.
    Bind(PropertyValue),
}

/// What `rootfs` and `mpN` have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// The size, for information: PVE writes it, and takes no orders by it.
    pub size: Option<ByteSize>,
    /// ACL support, on or off.
    pub acl: Option<bool>,
    /// Whether user quotas are enabled.
    pub quota: Option<bool>,
    /// Whether it is mounted read-only.
    pub ro: Option<bool>,
    /// Whether it is the same on all nodes.
    pub shared: Option<bool>,
    /// Whether it takes part in replication; it does unless told otherwise.
    pub replicate: Option<bool>,
    /// Extra options of mount, separated by `;`.
    pub mountoptions: Option<PropertyValue>,
    /// How user ids are mapped.
    pub idmap: Option<PropertyValue>,
    /// Keys that we do not know.
    pub other: BTreeMap<String, PropertyValue>,
}

/// A container's root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFs {
    /// Its volume.
    pub source: MountSource,
    /// Everything else.
    pub options: MountOptions,
}

/// A container's mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// What is mounted.
    pub source: MountSource,
    /// Where, inside the container.
    pub mp: PropertyValue,
    /// Whether a volume is part of backups. *Not written means no.* Binds and devices never are.
    pub backup: Option<bool>,
    /// Whether attributes are kept when a bind mount is made.
    pub keepattrs: Option<bool>,
    /// Everything else.
    pub options: MountOptions,
}

impl MountSource {
    /// The volume, when it is one.
    pub fn volume(&self) -> Option<&VolumeId> {
        match self {
            Self::Volume(volume) => Some(volume),
            Self::New { .. } | Self::Device(_) | Self::Bind(_) => None,
        }
    }

    /// The guest that owns the volume.
    pub fn owner(&self) -> Option<Vmid> {
        self.volume().and_then(VolumeId::guest)
    }
}

impl RootFs {
    /// A new root file system of this size.
    pub fn new(storage: StorageId, size: ByteSize) -> Self {
        Self {
            source: MountSource::New { storage, size },
            options: MountOptions::default(),
        }
    }

    /// Whether both mean the same, written out or not.
    pub fn same(&self, other: &Self) -> bool {
        self.source == other.source && self.options.normalised() == other.options.normalised()
    }
}

impl MountPoint {
    /// A new mount point of this size.
    pub fn new(storage: StorageId, size: ByteSize, mp: PropertyValue) -> Self {
        Self {
            source: MountSource::New { storage, size },
            mp,
            backup: None,
            keepattrs: None,
            options: MountOptions::default(),
        }
    }

    /// Whether vzdump includes it.
    pub fn is_backed_up(&self) -> bool {
        self.backup == Some(true) && matches!(self.source, MountSource::Volume(_))
    }

    /// Whether both mean the same, written out or not.
    pub fn same(&self, other: &Self) -> bool {
        let on = |flag: Option<bool>| flag == Some(true);
        self.source == other.source
            && self.mp == other.mp
            && on(self.backup) == on(other.backup)
            && on(self.keepattrs) == on(other.keepattrs)
            && self.options.normalised() == other.options.normalised()
    }
}

impl MountOptions {
    fn take(fields: &mut Fields) -> Result<Self, InvalidProperty> {
        Ok(Self {
            size: fields.maybe("size")?,
            acl: fields.flag("acl")?,
            quota: fields.flag("quota")?,
            ro: fields.flag("ro")?,
            shared: fields.flag("shared")?,
            replicate: fields.flag("replicate")?,
            mountoptions: fields.maybe("mountoptions")?,
            idmap: fields.maybe("idmap")?,
            other: BTreeMap::new(),
        })
    }

    fn print(&self, printer: Printer) -> Printer {
        printer
            .maybe("size", self.size.as_ref())
            .flag("acl", self.acl)
            .flag("quota", self.quota)
            .flag("ro", self.ro)
            .flag("shared", self.shared)
            .flag("replicate", self.replicate)
            .maybe("mountoptions", self.mountoptions.as_ref())
            .maybe("idmap", self.idmap.as_ref())
            .rest(&self.other)
    }

    /// `acl` has no default: unset, on and off are three things. The size says nothing.
    fn normalised(&self) -> Self {
        let on = |flag: Option<bool>| flag.filter(|&set| set);
        Self {
            size: None,
            quota: on(self.quota),
            ro: on(self.ro),
            shared: on(self.shared),
            replicate: self.replicate.filter(|&set| !set),
            ..self.clone()
        }
    }
}

impl FromStr for MountSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = || {
            text.parse()
                .map_err(|error: InvalidProperty| error.to_string())
        };
        if text.starts_with("/dev/") {
            return Ok(Self::Device(value()?));
        }
        if text.starts_with('/') {
            return Ok(Self::Bind(value()?));
        }
        if let Some((storage, number)) = text.split_once(':')
            && let Ok(storage) = storage.parse()
            && let Some(size) = gibibytes(number)
        {
            return Ok(Self::New { storage, size });
        }
        text.parse()
            .map(Self::Volume)
            .map_err(|error: felhom_ids::InvalidName| error.to_string())
    }
}

/// As PVE reads it: a decimal number of GiB, cut to whole MiB.
fn gibibytes(number: &str) -> Option<ByteSize> {
    let decimal = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let size: ByteSize = if decimal {
        format!("{number}G").parse().ok()?
    } else {
        return None;
    };
    Some(ByteSize::from_bytes(size.bytes() >> 20 << 20))
}

impl fmt::Display for MountSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(volume) => volume.fmt(f),
            Self::Device(path) | Self::Bind(path) => path.fmt(f),
            Self::New { storage, size } => {
                // In whole MiB, rounded up, so that nothing asked for is cut off. A 1024th has at
                // most ten decimal places, so the number is exact.
                let mebibytes = size.bytes().div_ceil(1 << 20);
                let fraction = (mebibytes % 1024) * 9_765_625;
                let text = format!("{}.{fraction:010}", mebibytes / 1024);
                write!(
                    f,
                    "{storage}:{}",
                    text.trim_end_matches('0').trim_end_matches('.')
                )
            }
        }
    }
}

impl FromStr for RootFs {
    type Err = InvalidProperty;

    fn from_str(text: &str) -> Result<Self, InvalidProperty> {
        let mut fields = Fields::parse("root file system", Some("volume"), text)?;
        let source = fields.required("volume")?;
        let options = MountOptions::take(&mut fields)?;
        Ok(Self {
            source,
            options: MountOptions {
                other: fields.rest(),
                ..options
            },
        })
    }
}

impl fmt::Display for RootFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options
            .print(Printer::default().default_key(&self.source))
            .write(f)
    }
}

serde_as_property!(RootFs);

impl FromStr for MountPoint {
    type Err = InvalidProperty;

    fn from_str(text: &str) -> Result<Self, InvalidProperty> {
        let mut fields = Fields::parse("mount point", Some("volume"), text)?;
        let source = fields.required("volume")?;
        let mp = fields.required("mp")?;
        let backup = fields.flag("backup")?;
        let keepattrs = fields.flag("keepattrs")?;
        let options = MountOptions::take(&mut fields)?;
        let options = MountOptions {
            other: fields.rest(),
            ..options
        };
        Ok(Self {
            source,
            mp,
            backup,
            keepattrs,
            options,
        })
    }
}

impl fmt::Display for MountPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = Printer::default()
            .default_key(&self.source)
            .required("mp", &self.mp)
            .flag("backup", self.backup)
            .flag("keepattrs", self.keepattrs);
        self.options.print(printer).write(f)
    }
}

serde_as_property!(MountPoint);

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> MountPoint {
        text.parse().unwrap()
    }

    #[test]
    fn prints_as_pve_does() {
        for text in [
            "local-lvm:vm-101-disk-1,mp=/data,backup=1,size=16G",
            "/srv/media,mp=/media,ro=1",
            "/dev/sdb1,mp=/x",
            "local-lvm:vm-9010-disk-2,mp=/srv/cache,backup=0,size=1G",
            "nas:101/vm-101-disk-0.raw,mp=/a b,mountoptions=noatime;nodev,replicate=0,size=1280M",
        ] {
            assert_eq!(mount(text).to_string(), text);
        }
        let root = "local-lvm:vm-101-disk-0,size=8G";
        assert_eq!(root.parse::<RootFs>().unwrap().to_string(), root);
        let named = "volume=local-lvm:vm-101-disk-0,size=8589934592";
        assert_eq!(named.parse::<RootFs>().unwrap().to_string(), root);
    }

    #[test]
    fn a_volume_is_not_backed_up_unless_it_says_so() {
        assert!(!mount("l1:vm-101-disk-1,mp=/data").is_backed_up());
        assert!(mount("l1:vm-101-disk-1,mp=/data,backup=1").is_backed_up());
        assert!(!mount("/srv/media,mp=/media,backup=1").is_backed_up());
    }

    #[test]
    fn new_volumes_are_printed_in_exact_gibibytes() {
        for (mebibytes, printed) in [
            (1024, "1"),
            (1280, "1.25"),
            (1, "0.0009765625"),
            (3 * 1024 + 512, "3.5"),
        ] {
            let storage = "local-lvm".parse().unwrap();
            let root = RootFs::new(storage, ByteSize::from_bytes(mebibytes << 20));
            assert_eq!(root.to_string(), format!("local-lvm:{printed}"));
            assert!(root.to_string().parse::<RootFs>().unwrap().same(&root));
        }
        let odd = RootFs::new(
            "local-lvm".parse().unwrap(),
            ByteSize::from_bytes((1 << 30) + 1),
        );
        assert_eq!(odd.to_string(), "local-lvm:1.0009765625");
    }

    #[test]
    fn meaning_is_compared_not_writing() {
        let short = mount("l1:vm-1-disk-1,mp=/data,size=1G");
        assert!(short.same(&mount(
            "l1:vm-1-disk-1,mp=/data,backup=0,replicate=1,ro=no,size=2G"
        )));
        assert!(!short.same(&mount("l1:vm-1-disk-1,mp=/data,backup=1")));
        assert!(!short.same(&mount("l1:vm-1-disk-1,mp=/data,acl=0")));
    }

    #[test]
    fn a_path_may_hold_an_equals_sign() {
        let bind = mount("/srv/a=b,mp=/media");
        assert_eq!(bind.source, MountSource::Bind("/srv/a=b".parse().unwrap()));
    }

    #[test]
    fn nonsense_is_refused() {
        for odd in [
            "",
            "mp=/x",
            "l1:vm-1-disk-1",
            "x,mp=/y",
            "/a,/b,mp=/c",
            "l1:vm-1-disk-1,mp=/x,size=big",
        ] {
            assert!(odd.parse::<MountPoint>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn owners_are_read_from_volumes() {
        assert_eq!(
            mount("l1:vm-9010-disk-1,mp=/x")
                .source
                .owner()
                .map(Vmid::get),
            Some(9010)
        );
        assert_eq!(mount("/srv,mp=/x").source.owner(), None);
    }
}
