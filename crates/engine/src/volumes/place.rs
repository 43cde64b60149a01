//! Where the bytes of a path inside a guest live, and whether vzdump takes them up.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::inventory::{DockerVolume, Inventory};
use crate::world::{GuestConfig, Mount, MountSource};

/// Where bytes live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Place {
    /// On the rootfs or a volume mount point of the guest.
    Volume {
        /// `rootfs` or `mpN`.
        key: String,
        /// Absolute path inside the guest.
        path: String,
        /// Whether vzdump takes the mount point up.
        backup: bool,
        /// The pattern by which vzdump leaves this path out all the same.
        dropped_by: Option<String>,
    },
    /// Below a directory of the host.
    Bind {
        /// `mpN`.
        key: String,
        /// Absolute path inside the guest.
        path: String,
        /// The host's directory.
        source: String,
    },
    /// On a device of the host.
    Device {
        /// `mpN`, where it is a mount point of the guest.
        key: Option<String>,
        /// Absolute path inside the guest, or of the device.
        path: String,
    },
    /// In memory: gone at the next stop.
    Memory {
        /// Absolute path inside the guest.
        path: String,
    },
    /// Not in this guest at all: a network file system, a plug-in's own place.
    Outside {
        /// What keeps it.
        keeper: String,
    },
    /// The engine named it and did not describe it: it may be anywhere.
    Unknown,
}

/// What vzdump leaves out of every container (pve-manager VZDump.pm `stdexcludes`; pve-container VZDump/LXC.pm hands them to
/// tar anchored at the guest's root, and `lost+found` anywhere).
const STANDARD_EXCLUDES: [Exclude; 3] = [
    Exclude {
        below: "/tmp",
        ending: "",
        pattern: "/tmp/?*",
    },
    Exclude {
        below: "/var/tmp",
        ending: "",
        pattern: "/var/tmp/?*",
    },
    Exclude {
        below: "/var/run",
        ending: ".pid",
        pattern: "/var/run/?*.pid",
    },
];

struct Exclude {
    below: &'static str,
    ending: &'static str,
    pattern: &'static str,
}

/// Directories of a guest that a running kernel fills: file systems of their own, never in a backup.
const KERNEL: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// How many times a path may lead through another volume's mount before it counts as circular.
const DEEPEST: usize = 8;

impl Place {
    /// Where a path of the guest lies. A path below a Docker volume that is mounted from elsewhere is followed there.
    pub fn of_path(config: &GuestConfig, inventory: &Inventory, path: &str) -> Self {
        follow(config, inventory, &clean(path), 0)
    }

    /// Where a Docker volume's bytes lie.
    pub fn of_volume(config: &GuestConfig, inventory: &Inventory, volume: &DockerVolume) -> Self {
        follow_volume(config, inventory, volume, "", 0)
    }

    /// Whether the next backup holds it.
    pub fn is_backed_up(&self) -> bool {
        matches!(
            self,
            Self::Volume {
                backup: true,
                dropped_by: None,
                ..
            }
        )
    }

    /// The guest's mount points that lie strictly below the directory: what is written there goes to them.
    pub fn mounts_below<'a>(&'a self, config: &'a GuestConfig) -> impl Iterator<Item = &'a Mount> {
        let path = self.path();
        config.mounts.iter().filter(move |mount| {
            let inner = clean(&mount.path);
            path.and_then(|path| below(&inner, path))
                .is_some_and(|rest| !rest.is_empty())
        })
    }

    /// The mount key of the guest, where it has one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Volume { key, .. } | Self::Bind { key, .. } => Some(key),
            Self::Device { key, .. } => key.as_deref(),
            Self::Memory { .. } | Self::Outside { .. } | Self::Unknown => None,
        }
    }

    /// The path inside the guest, where the bytes have one there.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Volume { path, .. }
            | Self::Bind { path, .. }
            | Self::Device { path, .. }
            | Self::Memory { path } => Some(path),
            Self::Outside { .. } | Self::Unknown => None,
        }
    }

    /// Why the next backup holds it, or does not.
    pub fn why(&self) -> String {
        match self {
            Self::Volume {
                dropped_by: Some(pattern),
                ..
            } => format!("vzdump always leaves `{pattern}` out"),
            Self::Volume { key, .. } if key == "rootfs" => "the rootfs is always in".to_owned(),
            Self::Volume {
                key, backup: true, ..
            } => format!("{key} has backup=1"),
            Self::Volume { key, .. } => format!("{key} has no backup=1"),
            Self::Bind { key, source, .. } => {
                format!("{key} is `{source}` of the host, and bind mounts are never in")
            }
            Self::Device { key: Some(key), .. } => {
                format!("{key} is a device of the host, and those are never in")
            }
            Self::Device { path, .. } => format!("it is on the device `{path}`"),
            Self::Memory { path } => format!("`{path}` is in memory"),
            Self::Outside { keeper } => format!("{keeper} keeps it, outside of the guest"),
            Self::Unknown => "nobody described it, so it may be anywhere".to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume { key, .. } => f.write_str(key),
            Self::Bind { key, .. } => write!(f, "{key} (bind)"),
            Self::Device { key: Some(key), .. } => write!(f, "{key} (device)"),
            Self::Device { path, .. } => write!(f, "device {path}"),
            Self::Memory { .. } => f.write_str("memory"),
            Self::Outside { keeper } => f.write_str(keeper),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

fn follow(config: &GuestConfig, inventory: &Inventory, path: &str, depth: usize) -> Place {
    let redirecting = inventory
        .volumes
        .iter()
        .filter(|volume| !is_plain(volume) && !volume.mountpoint.is_empty())
        .filter_map(|volume| below(path, &clean(&volume.mountpoint)).map(|rest| (volume, rest)))
        .max_by_key(|(volume, _)| volume.mountpoint.len());
    if let Some((volume, rest)) = redirecting.filter(|_| depth < DEEPEST) {
        return follow_volume(config, inventory, volume, rest, depth);
    }
    let mount = config
        .mounts
        .iter()
        .filter(|mount| below(path, &clean(&mount.path)).is_some())
        .max_by_key(|mount| clean(&mount.path).len());
    let own_mount = mount.is_some_and(|mount| mount.key != "rootfs");
    if !own_mount && KERNEL.iter().any(|kernel| below(path, kernel).is_some()) {
        return Place::Memory {
            path: path.to_owned(),
        };
    }
    match mount {
        Some(mount) => on(mount, path),
        None => Place::Outside {
            keeper: "nothing of the configuration".to_owned(),
        },
    }
}

fn on(mount: &Mount, path: &str) -> Place {
    let (key, path) = (mount.key.clone(), path.to_owned());
    match &mount.source {
        MountSource::Volume(_) => Place::Volume {
            backup: key == "rootfs" || mount.backup,
            dropped_by: dropped_by(&path).map(str::to_owned),
            key,
            path,
        },
        MountSource::Bind(source) => Place::Bind {
            key,
            path,
            source: source.clone(),
        },
        MountSource::Device(_) => Place::Device {
            key: Some(key),
            path,
        },
    }
}

/// Whether Docker keeps the volume's bytes in its own directory. What the `local` driver is given as `type`, `o` and
/// `device` are mount options (moby, `volume/local/local_unix.go`): with them the directory is a mount of something else.
fn is_plain(volume: &DockerVolume) -> bool {
    !volume.described || volume.driver == "local" && !volume.options.contains_key("device")
}

fn follow_volume(
    config: &GuestConfig,
    inventory: &Inventory,
    volume: &DockerVolume,
    rest: &str,
    depth: usize,
) -> Place {
    if !volume.described {
        return Place::Unknown;
    }
    let option = |key: &str| volume.options.get(key).map_or("", String::as_str);
    if volume.driver != "local" {
        return Place::Outside {
            keeper: format!("plug-in `{}`", volume.driver),
        };
    }
    let device = option("device");
    if device.is_empty() && volume.mountpoint.is_empty() {
        return Place::Unknown;
    }
    if device.is_empty() {
        return follow(
            config,
            inventory,
            &join(&volume.mountpoint, rest),
            depth + 1,
        );
    }
    let kind = option("type");
    let binds = option("o")
        .split(',')
        .any(|word| matches!(word.trim(), "bind" | "rbind"));
    match kind {
        _ if binds => follow(config, inventory, &join(device, rest), depth + 1),
        "tmpfs" => Place::Memory {
            path: join(&volume.mountpoint, rest),
        },
        "nfs" | "nfs4" | "cifs" | "smb3" => Place::Outside {
            keeper: format!("{kind} `{device}`"),
        },
        _ if device.starts_with("/dev/") => Place::Device {
            key: None,
            path: device.to_owned(),
        },
        _ => Place::Outside {
            keeper: format!("`{device}` ({kind})"),
        },
    }
}

/// The pattern by which vzdump leaves a path out, with everything below it.
fn dropped_by(path: &str) -> Option<&'static str> {
    if path.split('/').any(|part| part == "lost+found") {
        return Some("lost+found");
    }
    let dropped = |exclude: &&Exclude| {
        below(path, exclude.below)
            .is_some_and(|rest| !rest.is_empty() && rest.ends_with(exclude.ending))
    };
    STANDARD_EXCLUDES
        .iter()
        .find(dropped)
        .map(|exclude| exclude.pattern)
}

/// Where plans mount what they make: the first below which nothing else is in the way.
pub(super) const MOUNTED_BELOW: [&str; 3] = ["/mnt/felhom", "/srv/felhom", "/felhom"];

/// Whether a plan made this mount point, for one volume and nothing else.
pub(super) fn is_of_a_plan(path: &str) -> bool {
    let mut bases = MOUNTED_BELOW.iter();
    bases.any(|base| below(path, base).is_some_and(|name| !name.is_empty()))
}

/// The part of `path` below `base`, without a slash at its beginning; both are clean.
pub(super) fn below<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    if base == "/" {
        return path.strip_prefix('/');
    }
    let rest = path.strip_prefix(base)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

fn join(base: &str, rest: &str) -> String {
    clean(&format!("{base}/{rest}"))
}

/// An absolute path without empty parts, `.` and `..`. Links are not known here: paths are taken as they are written.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::time::Timestamp;
    use crate::volumes::Coverage;

    fn config() -> GuestConfig {
        let mount = |key: &str, path: &str, source: MountSource, backup| Mount {
            key: key.into(),
            path: path.into(),
            source,
            backup,
            size: None,
        };
        let volume = |name: &str| MountSource::Volume(format!("local-lvm:{name}").parse().unwrap());
        GuestConfig {
            mounts: vec![
                mount("rootfs", "/", volume("vm-1-disk-0"), false),
                mount("mp0", "/mnt/in", volume("vm-1-disk-1"), true),
                mount("mp1", "/mnt/in/out/", volume("vm-1-disk-2"), false),
                mount(
                    "mp2",
                    "/mnt/host",
                    MountSource::Bind("/srv/x".into()),
                    false,
                ),
            ],
            ..GuestConfig::default()
        }
    }

    fn volume(name: &str, options: &[(&str, &str)]) -> DockerVolume {
        DockerVolume {
            name: name.into(),
            driver: "local".into(),
            options: options
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
            labels: BTreeMap::new(),
            mountpoint: format!("/var/lib/docker/volumes/{name}/_data"),
            anonymous: false,
            size: None,
            described: true,
        }
    }

    fn inventory(volumes: Vec<DockerVolume>) -> Inventory {
        Inventory {
            taken: Timestamp::default(),
            data_root: "/var/lib/docker".into(),
            storage_driver: None,
            volumes,
            containers: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    fn key_of(path: &str) -> String {
        Place::of_path(&config(), &inventory(vec![]), path).to_string()
    }

    #[test]
    fn a_path_belongs_to_the_innermost_mount_point() {
        assert_eq!(key_of("/srv/x"), "rootfs");
        assert_eq!(key_of("/mnt/inside"), "rootfs");
        assert_eq!(key_of("/mnt/in/a"), "mp0");
        assert_eq!(key_of("/mnt/in/../in/./out"), "mp1");
        assert_eq!(key_of("/mnt/host/a"), "mp2 (bind)");
        assert_eq!(key_of("/run/docker.sock"), "memory");
    }

    #[test]
    fn what_vzdump_always_leaves_out_is_not_backed_up() {
        let backed =
            |path: &str| Place::of_path(&config(), &inventory(vec![]), path).is_backed_up();
        assert!(backed("/srv/x") && backed("/tmp") && backed("/mnt/in/tmp/x"));
        assert!(!backed("/tmp/x") && !backed("/var/tmp/a/b") && !backed("/var/run/x.pid"));
        assert!(!backed("/srv/lost+found/x") && !backed("/mnt/in/out/x") && !backed("/mnt/host"));
    }

    #[test]
    fn a_volume_that_is_mounted_from_elsewhere_lives_there() {
        let bind = volume(
            "a",
            &[
                ("type", "none"),
                ("o", "rw,bind"),
                ("device", "/mnt/in/out/a"),
            ],
        );
        let through = volume(
            "b",
            &[
                ("type", "none"),
                ("o", "bind"),
                ("device", "/var/lib/docker/volumes/a/_data/deep"),
            ],
        );
        let all = inventory(vec![bind.clone(), through.clone()]);
        let place = Place::of_volume(&config(), &all, &bind);
        assert_eq!((place.key(), place.is_backed_up()), (Some("mp1"), false));
        let place = Place::of_volume(&config(), &all, &through);
        assert_eq!(place.path(), Some("/mnt/in/out/a/deep"));
    }

    #[test]
    fn volumes_that_lead_to_each_other_come_to_an_end() {
        let to = |name: &str, other: &str| {
            let device = format!("/var/lib/docker/volumes/{other}/_data");
            volume(
                name,
                &[("type", "none"), ("o", "bind"), ("device", &device)],
            )
        };
        let (a, b) = (to("a", "b"), to("b", "a"));
        let place = Place::of_volume(&config(), &inventory(vec![a.clone(), b]), &a);
        assert_eq!(place.key(), Some("rootfs"));
    }

    #[test]
    fn memory_network_devices_and_plug_ins_are_not_the_guest() {
        let all = inventory(vec![]);
        let place = |volume: &DockerVolume| Place::of_volume(&config(), &all, volume).to_string();
        assert_eq!(
            place(&volume("t", &[("type", "tmpfs"), ("device", "tmpfs")])),
            "memory"
        );
        assert_eq!(
            place(&volume(
                "n",
                &[("type", "nfs"), ("o", "addr=192.0.2.1"), ("device", ":/x")]
            )),
            "nfs `:/x`"
        );
        assert_eq!(
            place(&volume("d", &[("type", "ext4"), ("device", "/dev/sdb1")])),
            "device /dev/sdb1"
        );
        let mut plugin = volume("p", &[]);
        plugin.driver = "rclone".into();
        assert_eq!(place(&plugin), "plug-in `rclone`");
    }
}
