//! The property-string schemas of a container's options, and what is read out of them.

use super::props::{self, Format, Props, Type, optional, required};

fn word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.".contains(c))
}

/// Six hexadecimal pairs of a unicast address: the second digit is even.
fn mac(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    let hex = |pair: &&str| pair.len() == 2 && pair.chars().all(|c| c.is_ascii_hexdigit());
    let second = text.chars().nth(1).and_then(|c| c.to_digit(16));
    pairs.len() == 6 && pairs.iter().all(hex) && second.is_some_and(|digit| digit % 2 == 0)
}

fn masked(text: &str, v6: bool) -> bool {
    let Some((address, mask)) = text.split_once('/') else {
        return false;
    };
    let most = if v6 { 128 } else { 32 };
    let good = if v6 {
        address.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        address.parse::<std::net::Ipv4Addr>().is_ok()
    };
    good && mask
        .parse::<u8>()
        .is_ok_and(|mask| (8..=most).contains(&mask))
}

fn ip4(text: &str) -> bool {
    matches!(text, "dhcp" | "manual") || masked(text, false)
}

fn ip6(text: &str) -> bool {
    matches!(text, "auto" | "dhcp" | "manual") || masked(text, true)
}

fn gw4(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok()
}

fn gw6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

fn inside_path(text: &str) -> bool {
    !text.is_empty()
        && !text.contains("/./")
        && !text.contains("/../")
        && !text.ends_with("/.")
        && !text.ends_with("/..")
}

/// Bytes of a size option.
pub(crate) fn size_of(text: &str) -> Option<u64> {
    props::parse_size(text)
}

fn size(text: &str) -> bool {
    props::parse_size(text).is_some()
}

const WORD: Type = Type::Checked(word, "value does not match the regex pattern");

/// `netN`
pub(crate) static NET: Format = Format {
    default: None,
    keys: &[
        required("name", WORD),
        optional("bridge", WORD),
        optional("firewall", Type::Bool),
        optional(
            "gw",
            Type::Checked(
                gw4,
                "invalid format - value does not look like a valid ipv4 address\n",
            ),
        ),
        optional(
            "gw6",
            Type::Checked(
                gw6,
                "invalid format - value does not look like a valid ipv6 address\n",
            ),
        ),
        optional("host-managed", Type::Bool),
        optional(
            "hwaddr",
            Type::Checked(
                mac,
                "invalid format - value does not look like a valid unicast MAC address\n",
            ),
        ),
        optional(
            "ip",
            Type::Checked(
                ip4,
                "invalid format - value does not look like a valid ipv4 network configuration\n",
            ),
        ),
        optional(
            "ip6",
            Type::Checked(
                ip6,
                "invalid format - value does not look like a valid ipv6 network configuration\n",
            ),
        ),
        optional("link_down", Type::Bool),
        optional("mtu", Type::Int(64, 65_535)),
        optional("rate", Type::Number),
        optional("tag", Type::Int(1, 4094)),
        optional("trunks", Type::Text),
        optional("type", Type::Enum(&["veth"])),
    ],
};

const SIZE: Type = Type::Checked(size, "value does not match the regex pattern");
const PATH: Type = Type::Checked(inside_path, "value does not match the regex pattern");

/// `rootfs`
pub(crate) static ROOTFS: Format = Format {
    default: Some("volume"),
    keys: &[
        required("volume", PATH),
        optional("acl", Type::Bool),
        optional("idmap", Type::Text),
        optional("mountoptions", Type::Text),
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
        optional("idmap", Type::Text),
        optional("keepattrs", Type::Bool),
        optional("mountoptions", Type::Text),
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
        optional("mount", Type::Text),
        optional("nesting", Type::Bool),
    ],
};

/// `devN`
pub(crate) static DEV: Format = Format {
    default: Some("path"),
    keys: &[
        optional("path", PATH),
        optional("deny-write", Type::Bool),
        optional("gid", Type::Int(0, i64::MAX)),
        optional("mode", Type::Text),
        optional("uid", Type::Int(0, i64::MAX)),
    ],
};

/// `startup`
pub(crate) static STARTUP: Format = Format {
    default: Some("order"),
    keys: &[
        optional("order", Type::Int(0, i64::MAX)),
        optional("up", Type::Int(0, i64::MAX)),
        optional("down", Type::Int(0, i64::MAX)),
    ],
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

/// The schema of an option, by its name; options that are plain values have none.
pub(crate) fn of(key: &str) -> Option<&'static Format> {
    if key == "rootfs" {
        return Some(&ROOTFS);
    }
    if key == "features" {
        return Some(&FEATURES);
    }
    if key == "startup" {
        return Some(&STARTUP);
    }
    match index(key)?.0 {
        "net" => Some(&NET),
        "mp" => Some(&MP),
        "dev" => Some(&DEV),
        _ => None,
    }
}

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
