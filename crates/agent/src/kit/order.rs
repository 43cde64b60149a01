//! In which order storages and guests come back.

use std::collections::BTreeSet;

use super::archives::choose;
use super::facts::{Config, Facts, GuestFact};
use super::places::is_below;

/// Something that comes back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// A storage, by its id.
    Storage(String),
    /// A guest, by its place in the startup order and its VMID.
    Guest(u64, u32),
}

/// What comes back, what each waits for before it.
#[derive(Debug)]
pub(super) struct Order {
    /// The items.
    pub(super) items: Vec<Item>,
    /// Those that wait for each other in a circle.
    pub(super) circle: BTreeSet<Item>,
}

/// Storages as soon as what serves them runs; guests by startup order, then VMID, each when all is there that it needs.
pub(super) fn order(facts: &Facts) -> Order {
    let mut open: BTreeSet<Item> = facts
        .all_storages()
        .iter()
        .filter_map(|one| one.get("storage"))
        .map(|id| Item::Storage(id.to_owned()))
        .chain(facts.all_guests().iter().map(item))
        .collect();
    let (mut items, mut circle) = (Vec::new(), BTreeSet::new());
    while !open.is_empty() {
        let ready = open
            .iter()
            .find(|one| needs(facts, one).is_disjoint(&open))
            .cloned();
        let waits = ready.is_none();
        let Some(next) = ready.or_else(|| open.first().cloned()) else {
            break;
        };
        if waits {
            circle.insert(next.clone());
        }
        open.remove(&next);
        items.push(next);
    }
    Order { items, circle }
}

fn item(guest: &GuestFact) -> Item {
    Item::Guest(startup(guest), guest.vmid)
}

/// PVE starts guests by `order=`, those without one last (pve-manager `API2/Nodes.pm`).
fn startup(guest: &GuestFact) -> u64 {
    let text = guest
        .config
        .as_ref()
        .ok()
        .and_then(|one| one.get("startup"));
    let first = text.unwrap_or_default().split(',').find_map(|part| {
        let number = part.strip_prefix("order=").unwrap_or(part);
        number.parse().ok()
    });
    first.unwrap_or(u64::MAX)
}

/// What has to be there before an item.
fn needs(facts: &Facts, item: &Item) -> BTreeSet<Item> {
    match item {
        Item::Storage(id) => {
            let server = facts.storage(id).and_then(|one| facts.server_guest(one));
            let guests = facts.all_guests().iter();
            guests
                .filter(|one| Some(one.vmid) == server)
                .map(self::item)
                .collect()
        }
        Item::Guest(_, vmid) => {
            let guest = facts.all_guests().iter().find(|one| one.vmid == *vmid);
            let named = guest
                .map(|guest| storages(facts, guest))
                .unwrap_or_default();
            named.into_iter().map(Item::Storage).collect()
        }
    }
}

/// The storages that a guest cannot come back without.
pub(super) fn storages(facts: &Facts, guest: &GuestFact) -> BTreeSet<String> {
    let mut named: BTreeSet<String> = choose(facts, guest)
        .map(|choice| choice.main.volid.storage().to_string())
        .into_iter()
        .collect();
    for config in [guest.config.as_ref().ok(), archived(guest)]
        .into_iter()
        .flatten()
    {
        for source in sources(config) {
            if source.starts_with('/') {
                named.extend(holding(facts, &source));
            } else if let Some((storage, _)) = source.split_once(':') {
                named.insert(storage.to_owned());
            }
        }
    }
    named
}

fn archived(guest: &GuestFact) -> Option<&Config> {
    guest.archived.as_ref()?.as_ref().ok()
}

/// What is mounted: volumes, and directories of the host. CD drives left out, which come back empty.
fn sources(config: &Config) -> Vec<String> {
    match config {
        Config::Lxc(lxc) => {
            let mounts = lxc.mounts().unwrap_or_default().into_values();
            let root = lxc.rootfs().ok().flatten().map(|root| root.source);
            let all = mounts.map(|mount| mount.source).chain(root);
            all.map(|source| source.to_string()).collect()
        }
        Config::Qemu(qemu) => {
            let drives = qemu.drives().unwrap_or_default().into_iter();
            drives
                .filter(|(_, drive)| !drive.is_cdrom())
                .map(|(_, drive)| drive.file.to_string())
                .collect()
        }
    }
}

/// The storages that a directory of the host lies on, where PVE or a unit mounts them.
pub(super) fn holding(facts: &Facts, path: &str) -> Vec<String> {
    let mounted = |id: &str, at: &str| {
        is_below(path, at)
            && (facts.disk(at).is_some()
                || at.starts_with("/mnt/pve/")
                || facts.place(id).is_off_box())
    };
    let all = facts.all_storages().iter();
    all.filter_map(|one| Some((one.get("storage")?, one.get("path")?)))
        .filter(|(id, at)| mounted(id, at))
        .map(|(id, _)| id.to_owned())
        .collect()
}
