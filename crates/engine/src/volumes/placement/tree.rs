//! What else lies in, at or around the directory of a volume that is to move. A move takes a whole directory tree along and, in
//! the end, removes it: whatever belongs to somebody else in there would be neither stopped, nor pointed elsewhere, nor kept.

use super::parent;
use crate::volumes::inventory::{Extent, Inventory, Mounted};
use crate::volumes::judge::{JudgedVolume, VolumeKind};
use crate::volumes::place::{Place, below, clean};
use crate::world::GuestConfig;

/// Why a directory must stay where it is, and what to do about it.
pub(super) struct InTheWay {
    pub(super) what: String,
    pub(super) hint: &'static str,
}

const OWN_PLACE: &str = "class and move the inner one first, or give one of them a place of its own outside of the other; then take a new \
                         report";
const UNMOUNT: &str = "give the mount point a place of its own first; a volume that has one may only need its `backup=`";
const NAME_IT: &str = "give that volume a name first, in the compose file or with `-v NAME:PATH`, and copy what it holds to it; then take \
                       a new report";
const WHOLE_REPORT: &str = "import a report with all of the documented commands: what it leaves out may use the same directory";

/// Directories that the guest itself lives from; with everything below them.
const SYSTEM: [&str; 12] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/root", "/sbin", "/sys",
    "/usr",
];
/// The same, only as they are: what programs keep below them may be moved.
const SHARED: [&str; 11] = [
    "/",
    "/home",
    "/mnt",
    "/opt",
    "/run",
    "/tmp",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];

/// A path that somebody else of the guest counts on.
struct Other {
    what: String,
    path: String,
}

/// Why moving the volume's directory would take, hide or destroy something that is not the volume.
pub(super) fn in_the_way(
    volume: &JudgedVolume,
    from: &str,
    config: &GuestConfig,
    inventory: &Inventory,
) -> Option<InTheWay> {
    gap(inventory)
        .or_else(|| anonymous(volume, inventory))
        .or_else(|| system(from))
        .or_else(|| mounted(volume, from, config))
        .or_else(|| docker(from, inventory))
        .or_else(|| neighbour(volume, from, config, inventory))
}

/// A container that no report names is not stopped, and where an undescribed volume lies nobody knows.
fn gap(inventory: &Inventory) -> Option<InTheWay> {
    let coverage = inventory.coverage;
    if (coverage.volumes, coverage.containers) == (Extent::All, Extent::All) {
        return None;
    }
    Some(InTheWay {
        what: "the report is not known to name all volumes and all containers".to_owned(),
        hint: WHOLE_REPORT,
    })
}

/// A container that is made anew gets a new, empty volume for each that has no name of its own, and the old ones belong to nobody.
fn anonymous(volume: &JudgedVolume, inventory: &Inventory) -> Option<InTheWay> {
    let chosen = |name: &str| name.len() == 64 && name.bytes().all(|sign| sign.is_ascii_hexdigit());
    if volume.kind == VolumeKind::Anonymous || chosen(&volume.name) {
        return Some(InTheWay {
            what: "Docker chose its name, so a container that is made anew would get another, empty one in its place"
                .to_owned(),
            hint: NAME_IT,
        });
    }
    let nameless = |name: &String| {
        let mut volumes = inventory.volumes.iter();
        chosen(name) || volumes.any(|other| other.anonymous && other.name == *name)
    };
    let uses = volume.uses.iter();
    // Compose hands them on when a person has changed its file, and nothing is removed before.
    let mut gone = uses.filter(|one| volume.kind != VolumeKind::Bind || one.project.is_none());
    gone.find_map(|one| {
        let mut containers = inventory.containers.iter();
        let container = containers.find(|container| container.name == one.container)?;
        let mut mounts = container.mounts.iter();
        let mount = mounts
            .find(|mount| matches!(&mount.source, Mounted::Volume(name) if nameless(name)))?;
        Some(InTheWay {
            what: format!(
                "container {} would be made anew, and has a volume at `{}` whose name Docker chose: it would get another, empty one \
                 in its place",
                container.name, mount.destination
            ),
            hint: NAME_IT,
        })
    })
}

fn system(from: &str) -> Option<InTheWay> {
    let inside = SYSTEM.iter().any(|one| below(from, one).is_some());
    (inside || SHARED.contains(&from)).then(|| InTheWay {
        what: format!("`{from}` is a directory of the guest's own system"),
        hint: "mount a directory that holds nothing but the data",
    })
}

fn mounted(volume: &JudgedVolume, from: &str, config: &GuestConfig) -> Option<InTheWay> {
    let own = is_dockers_own(volume);
    // Docker removes its directory of the volume together with what is in it.
    let tree = if own { parent(from) } else { from };
    let points = config.mounts.iter().filter(|mount| mount.key != "rootfs");
    let inside = |path: &str| match below(path, tree) {
        Some("") => own || path != from,
        Some(_) => true,
        None => false,
    };
    let found = points
        .clone()
        .find(|mount| inside(&clean(&mount.path)))
        .or_else(|| {
            points.into_iter().find(|mount| {
                clean(&mount.path) == from && volume.place.key() != Some(mount.key.as_str())
            })
        })?;
    Some(InTheWay {
        what: format!(
            "{} is mounted at `{}`, inside of what would be moved and removed",
            found.key, found.path
        ),
        hint: UNMOUNT,
    })
}

fn docker(from: &str, inventory: &Inventory) -> Option<InTheWay> {
    below(&clean(&inventory.data_root), from).map(|_| InTheWay {
        what: format!("Docker keeps its own things inside of `{from}`"),
        hint: OWN_PLACE,
    })
}

fn neighbour(
    volume: &JudgedVolume,
    from: &str,
    config: &GuestConfig,
    inventory: &Inventory,
) -> Option<InTheWay> {
    let others = others(volume, config, inventory);
    let what = |other: &Other| {
        if other.path == from {
            return Some(format!(
                "{} has the same directory, and would be neither stopped nor pointed to the new place",
                other.what
            ));
        }
        if below(&other.path, from).is_some() {
            return Some(format!(
                "{} lies inside of `{from}`, and would be removed with the old copy",
                other.what
            ));
        }
        below(from, &other.path).map(|_| {
            format!(
                "`{from}` lies inside of {}, which would not find it any more",
                other.what
            )
        })
    };
    others.iter().find_map(what).map(|what| InTheWay {
        what,
        hint: OWN_PLACE,
    })
}

fn others(volume: &JudgedVolume, config: &GuestConfig, inventory: &Inventory) -> Vec<Other> {
    let volumes = inventory
        .volumes
        .iter()
        .filter(|other| volume.kind == VolumeKind::Bind || other.name != volume.name);
    let volumes = volumes.flat_map(|other| {
        let bytes = Place::of_volume(config, inventory, other);
        let own = Some(clean(&other.mountpoint)).filter(|_| !other.mountpoint.is_empty());
        both(&format!("volume {}", other.name), own, &bytes)
    });
    let mounts = inventory.containers.iter().flat_map(|container| {
        let mounts = container.mounts.iter();
        mounts.map(move |mount| (container, mount))
    });
    let binds = mounts.filter_map(|(container, mount)| {
        let Mounted::Bind(path) = &mount.source else {
            return None;
        };
        let path = clean(path);
        let itself = volume.kind == VolumeKind::Bind && path == volume.name;
        // A look at the whole machine finds the data at its new place as well, and changes none of it.
        let looks_on = path == "/" && mount.read_only;
        (!itself && !looks_on).then(|| {
            let place = Place::of_path(config, inventory, &path);
            let what = format!("`{path}`, which container {} mounts,", container.name);
            both(&what, Some(path), &place)
        })
    });
    volumes.chain(binds.flatten()).collect()
}

/// The path as it is written, and where it leads to.
fn both(what: &str, written: Option<String>, place: &Place) -> Vec<Other> {
    let led = place.path().map(str::to_owned);
    let paths = written.into_iter().chain(led);
    let other = |path| Other {
        what: what.to_owned(),
        path,
    };
    paths.map(other).collect()
}

/// Whether Docker keeps the bytes in its own directory, and removes it with the volume.
pub(super) fn is_dockers_own(volume: &JudgedVolume) -> bool {
    volume.kind != VolumeKind::Bind && volume.mountpoint.is_none()
}

/// Every path that a volume or a container of the guest has.
pub(super) fn known_paths(config: &GuestConfig, inventory: &Inventory) -> Vec<String> {
    let volumes = inventory.volumes.iter().flat_map(|volume| {
        let place = Place::of_volume(config, inventory, volume);
        let own = Some(clean(&volume.mountpoint)).filter(|_| !volume.mountpoint.is_empty());
        both("", own, &place)
    });
    let mounts = inventory
        .containers
        .iter()
        .flat_map(|container| container.mounts.iter());
    let binds = mounts.filter_map(|mount| match &mount.source {
        Mounted::Bind(path) => {
            let path = clean(path);
            let place = Place::of_path(config, inventory, &path);
            Some(both("", Some(path), &place))
        }
        Mounted::Volume(_) | Mounted::Tmpfs | Mounted::Other(_) => None,
    });
    let paths = volumes.chain(binds.flatten()).map(|other| other.path);
    paths.filter(|path| path != "/").collect()
}
