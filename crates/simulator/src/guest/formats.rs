//! The property-string schemas of a container's options, and what is read out of them.

use super::props::{self, Format, Props, Type, optional, required};
use crate::words;

/// Bytes of a size option.
pub(crate) fn size_of(text: &str) -> Option<u64> {
    props::parse_size(text)
}

const SIZE: Type = Type::Format(words::disk_size);
const PATH: Type = Type::Format(words::mount_path);
const MOUNT_OPTIONS: Type = Type::Pattern(words::inner_options);
const ID_MAP: Type = Type::Pattern(words::id_map);

/// `netN`
pub(crate) static NET: Format = Format {
    default: None,
    keys: &[
        required("name", Type::Pattern(words::word)),
        optional("bridge", Type::Pattern(words::word)),
        optional("firewall", Type::Bool),
        optional("gw", Type::Format(words::ipv4)),
        optional("gw6", Type::Format(words::ipv6)),
        optional("host-managed", Type::Bool),
        optional("hwaddr", Type::Format(words::mac)),
        optional("ip", Type::Format(words::ipv4_config)),
        optional("ip6", Type::Format(words::ipv6_config)),
        optional("link_down", Type::Bool),
        optional("mtu", Type::Int(64, 65_535)),
        optional("rate", Type::Number),
        optional("tag", Type::Int(1, 4094)),
        optional("trunks", Type::Pattern(words::trunks)),
        optional("type", Type::Enum(&["veth"])),
    ],
};

/// `rootfs`
pub(crate) static ROOTFS: Format = Format {
    default: Some("volume"),
    keys: &[
        required("volume", PATH),
        optional("acl", Type::Bool),
        optional("idmap", ID_MAP),
        optional("mountoptions", MOUNT_OPTIONS),
        optional("quota", Type::Bool),
        optional("replicate", Type::Bool),
        optional("ro", Type::Bool),
        optional("shared", Type::Bool),
        optional("size", SIZE),
    ],
};

/// `mpN`
pub(crate) static MP: Format = Format {
    default: Some("volume"),
    keys: &[
        required("volume", PATH),
        required("mp", PATH),
        optional("acl", Type::Bool),
        optional("backup", Type::Bool),
        optional("idmap", ID_MAP),
        optional("keepattrs", Type::Bool),
        optional("mountoptions", MOUNT_OPTIONS),
        optional("quota", Type::Bool),
        optional("replicate", Type::Bool),
        optional("ro", Type::Bool),
        optional("shared", Type::Bool),
        optional("size", SIZE),
    ],
};

/// `features`
pub(crate) static FEATURES: Format = Format {
    default: None,
    keys: &[
        optional("force_rw_sys", Type::Bool),
        optional("fuse", Type::Bool),
        optional("keyctl", Type::Bool),
        optional("mknod", Type::Bool),
        optional("mount", Type::Pattern(words::file_systems)),
        optional("nesting", Type::Bool),
    ],
};

/// `devN`
pub(crate) static DEV: Format = Format {
    default: Some("path"),
    keys: &[
        optional("path", Type::Format(words::device_path)),
        optional("deny-write", Type::Bool),
        optional("gid", Type::Int(0, i64::MAX)),
        optional("mode", Type::Pattern(words::octal_mode)),
        optional("uid", Type::Int(0, i64::MAX)),
    ],
};

/// `unusedN`
pub(crate) static UNUSED: Format = Format {
    default: Some("volume"),
    keys: &[required("volume", Type::Format(words::volume_id))],
};

/// `prune-backups`
pub(crate) static PRUNE: Format = Format {
    default: None,
    keys: &[
        optional("keep-all", Type::Bool),
        optional("keep-daily", Type::Int(0, i64::MAX)),
        optional("keep-hourly", Type::Int(0, i64::MAX)),
        optional("keep-last", Type::Int(0, i64::MAX)),
        optional("keep-monthly", Type::Int(0, i64::MAX)),
        optional("keep-weekly", Type::Int(0, i64::MAX)),
        optional("keep-yearly", Type::Int(0, i64::MAX)),
    ],
};

/// `performance` of a backup job.
pub(crate) static PERFORMANCE: Format = Format {
    default: None,
    keys: &[
        optional("max-workers", Type::Int(1, 256)),
        optional("pbs-entries-max", Type::Int(1, i64::MAX)),
    ],
};

/// `fleecing` of a backup job.
pub(crate) static FLEECING: Format = Format {
    default: Some("enabled"),
    keys: &[
        optional("enabled", Type::Bool),
        optional("storage", Type::Format(words::storage_id)),
    ],
};

/// `bwlimit` of a storage.
pub(crate) static LIMITS: Format = Format {
    default: None,
    keys: &[
        optional("clone", Type::Number),
        optional("default", Type::Number),
        optional("migration", Type::Number),
        optional("move", Type::Number),
        optional("restore", Type::Number),
    ],
};

/// Splits `net12` into `("net", 12)`.
pub(crate) fn index(key: &str) -> Option<(&str, u32)> {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = key.get(stem.len()..)?.parse().ok()?;
    matches!(stem, "net" | "mp" | "dev" | "unused").then_some((stem, number))
}

/// What stands behind a mount point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Volume,
    Bind,
    Device,
}

impl Source {
    /// The word of PVE's messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Bind => "bind",
            Self::Device => "device",
        }
    }
}

/// Tells a volume from a bind mount from a device by the look of its first part.
pub(crate) fn source(volume: &str) -> Source {
    if volume.starts_with("/dev/") {
        Source::Device
    } else if volume.starts_with('/') {
        Source::Bind
    } else {
        Source::Volume
    }
}

/// `STORE:GiB`, the order to make a new volume.
pub(crate) fn new_volume(volume: &str) -> Option<(&str, u64)> {
    let (store, number) = volume.split_once(':')?;
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    if store.is_empty() || !plain {
        return None;
    }
    // create_disks works in MiB: a decimal fraction of a GiB is rounded down to it.
    let bytes = props::scaled(number, 30)?;
    Some((store, bytes >> 20 << 20))
}

/// A mount point of a config: its key, where it stands inside, and its parsed options.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    pub(crate) key: String,
    pub(crate) props: Props,
}

impl Mount {
    pub(crate) fn volume(&self) -> &str {
        self.props.get("volume").map_or("", String::as_str)
    }

    /// Path inside the container; `/` for the root file system.
    pub(crate) fn path(&self) -> &str {
        if self.key == "rootfs" {
            "/"
        } else {
            self.props.get("mp").map_or("", String::as_str)
        }
    }

    pub(crate) fn source(&self) -> Source {
        source(self.volume())
    }

    pub(crate) fn size(&self) -> Option<u64> {
        props::parse_size(self.props.get("size")?)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.props.get(key).is_some_and(|value| value == "1")
    }

    /// The option's text with these properties.
    pub(crate) fn print(&self) -> String {
        let format = if self.key == "rootfs" { &ROOTFS } else { &MP };
        props::print(format, &self.props)
    }
}
