//! What a restore's plan is made from, and what is looked at after it.

use std::collections::{BTreeMap, BTreeSet};

use felhom_ids::{GuestKind, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::outcome::RemoteError;
use crate::restore_run::machine::{self, Reach};
use crate::restore_run::property;
use crate::world::{ArchiveFacts, GuestConfig, NodeFacts, ScratchFacts, StorageFacts};

/// A configuration with every value as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WrittenConfig {
    /// What the decisions look at.
    pub config: GuestConfig,
    /// Every key but `digest` and the raw `lxc.*` ones, which only containers have.
    pub values: BTreeMap<String, String>,
    /// Raw `lxc.*` lines in their order.
    pub raw_lxc: Vec<(String, String)>,
}

/// The guest that has the VMID of the archive now, be it the one of the backup or another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Original {
    /// No guest has it.
    Gone,
    /// A guest has it.
    Guest {
        /// What it is.
        #[serde(default)]
        kind: GuestKind,
        /// Whether it runs.
        running: bool,
        /// Whether it starts with the node.
        onboot: bool,
    },
    /// Some guest has it that could not be looked at.
    Unreadable(String),
}

/// Volumes that bear a VMID, by storage; `None` where a look may have missed some.
pub type VolumesSeen = BTreeMap<StorageId, Option<BTreeSet<VolumeId>>>;

/// All that a restore's preflight looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSubject {
    /// The archive; `None` when the storage does not list it.
    pub archive: Option<ArchiveFacts>,
    /// The configuration inside it.
    pub archived: WrittenConfig,
    /// Why the configuration inside it could not be read; then `archived` is empty.
    pub config_error: Option<RemoteError>,
    /// The node.
    pub node: NodeFacts,
    /// The storages of the node.
    pub storages: Vec<StorageFacts>,
    /// Bridges of the node; `None` when they cannot be seen.
    pub bridges: Option<BTreeSet<String>>,
    /// Who has the VMID of the archive now.
    pub original: Original,
    /// Whether a guest has the VMID that is asked for.
    pub taken: bool,
    /// Volumes that bear the VMID that is asked for, on every storage for disks.
    pub volumes: VolumesSeen,
    /// What the principal that restores holds, by path.
    pub rights: BTreeMap<String, BTreeSet<String>>,
}

/// What is looked at after a restore, and right before anything is done to what it made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredFacts {
    /// The VMID and all that belongs to it.
    pub guest: ScratchFacts,
    /// The configuration as written, where it could be read.
    pub written: Option<WrittenConfig>,
}

/// The ACL paths on which a restore of this configuration can need rights.
pub fn restore_paths(
    volid: &VolumeId,
    to: Vmid,
    archived: &WrittenConfig,
    storages: &[StorageFacts],
) -> BTreeSet<String> {
    let mut paths = BTreeSet::from([format!("/vms/{to}"), storage_path(volid.storage())]);
    paths.extend(volid.guest().map(guest_path));
    paths.extend(storages.iter().map(|storage| storage_path(&storage.id)));
    paths.extend(
        net_values(&archived.values)
            .flat_map(|(_, net)| bridge_paths(net))
            .collect::<Vec<_>>(),
    );
    paths.extend(mapping_paths(archived));
    paths
}

/// Where `Mapping.Use` is asked for.
pub(super) fn mapping_paths(archived: &WrittenConfig) -> impl Iterator<Item = String> {
    machine::reaching(archived).filter_map(|(_, _, reach)| match reach {
        Reach::Mapped(path) => Some(path),
        Reach::Nothing | Reach::RootOnly | Reach::Unchecked => None,
    })
}

pub(super) fn guest_path(vmid: Vmid) -> String {
    format!("/vms/{vmid}")
}

pub(super) fn storage_path(storage: &StorageId) -> String {
    format!("/storage/{storage}")
}

/// Where `SDN.Use` is asked for: on each VLAN of an interface, or on the bridge where it names none (pve-container LXC.pm
/// `check_vnet_access`).
pub(super) fn bridge_paths(net: &str) -> Vec<String> {
    let Some(bridge) = property::value(net, "bridge") else {
        return Vec::new();
    };
    let base = format!("/sdn/zones/localnetwork/{bridge}");
    let trunks = property::value(net, "trunks")
        .unwrap_or_default()
        .split(';');
    let tags: Vec<&str> = property::value(net, "tag")
        .into_iter()
        .chain(trunks)
        .filter(|tag| !tag.is_empty())
        .collect();
    if tags.is_empty() {
        return vec![base];
    }
    tags.iter().map(|tag| format!("{base}/{tag}")).collect()
}

/// The `netN` keys with their values.
pub(super) fn net_values(
    values: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&String, &String)> {
    values.iter().filter(|(key, _)| is_numbered(key, "net"))
}

/// Whether a key is the prefix with a number behind it.
pub(super) fn is_numbered(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix)
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}
