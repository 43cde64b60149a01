//! Everything that would survive on the node's disks: the one state that handlers and workers change and that is
//! written to `world.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::{self, Pool};
use crate::api::jobs::Jobs;
use crate::guest::Guests;
use crate::hostd;
use crate::pbs;
use crate::qemu::Qemu;
use crate::storage::Storages;

/// The world behind the API. One mutex guards it; nobody holds that lock across an await.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct World {
    pub(crate) node: NodeState,
    pub(crate) access: access::State,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) bridges: BTreeMap<String, Bridge>,
    /// The bridges as `/etc/network/interfaces.new` has them, until somebody applies or reverts it.
    pub(crate) pending_bridges: Option<BTreeMap<String, Bridge>>,
    pub(crate) guests: Guests,
    pub(crate) storage: Storages,
    pub(crate) qemu: BTreeMap<u32, Qemu>,
    pub(crate) jobs: Jobs,
    /// The backup server beside the node.
    pub(crate) pbs: pbs::State,
    /// What root's own configuration allows.
    pub(crate) rules: hostd::Rules,
    /// How often each kind of mutation took effect: `vzrestore 9100`, `POST /nodes/{node}/vzdump`.
    pub(crate) counts: BTreeMap<String, u64>,
    /// What the node's statistics daemon collected last.
    #[serde(skip)]
    pub(crate) statistics: Option<Statistics>,
    /// Simulated seconds since the epoch when this was last written; the clock never starts before it.
    pub(crate) saved_at: u64,
}

/// The node itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeState {
    pub(crate) name: String,
    pub(crate) address: String,
    /// When it booted, in simulated seconds since the epoch.
    pub(crate) boot: i64,
    pub(crate) boots: u32,
    pub(crate) cpus: u32,
    pub(crate) memory_total: u64,
    /// What the node itself uses, without its guests.
    pub(crate) memory_base: u64,
    pub(crate) swap_total: u64,
    pub(crate) rootfs_total: u64,
    pub(crate) rootfs_used: u64,
    pub(crate) timezone: String,
    /// When the certificate expires, in simulated seconds since the epoch; none: two years after the boot.
    pub(crate) certificate_until: Option<i64>,
    /// Disks that were put in, or in the place of those that are always there.
    pub(crate) disks: BTreeMap<String, Disk>,
    /// The versions that an update would bring, by package.
    pub(crate) updates: BTreeMap<String, String>,
}

/// A physical disk, as it describes itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Disk {
    /// `hdd`, `ssd`, `nvme` or `usb`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) model: String,
    pub(crate) size: u64,
    /// In smartctl's words.
    pub(crate) health: String,
    /// Percent of its life; what is no SSD does not tell.
    pub(crate) left: Option<i64>,
    pub(crate) celsius: i32,
}

impl Default for NodeState {
    fn default() -> Self {
        Self {
            name: "demo-felhom".into(),
            address: "192.0.2.10".into(),
            boot: 0,
            boots: 0,
            cpus: 4,
            memory_total: 8 << 30,
            memory_base: 900 << 20,
            swap_total: 0,
            rootfs_total: 96 << 30,
            rootfs_used: 6 << 30,
            timezone: "UTC".into(),
            certificate_until: None,
            disks: BTreeMap::new(),
            updates: BTreeMap::new(),
        }
    }
}

/// Figures of the node as the statistics daemon collects them now and then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statistics {
    /// Simulated seconds since the epoch.
    pub(crate) at: i64,
    pub(crate) memory: u64,
    pub(crate) rootfs: u64,
}

/// A network bridge of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Bridge {
    /// Physical ports; none makes the bridge an island.
    pub(crate) ports: Vec<String>,
    pub(crate) cidr: Option<String>,
    pub(crate) gateway: Option<String>,
    pub(crate) active: bool,
    pub(crate) comment: Option<String>,
}
