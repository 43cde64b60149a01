//! The host by the API and by its sensors, in the words of the host report. Each part is asked by itself and has a deadline of its own,
//! so that one that keeps silent hides no other.

use std::future::Future;
use std::time::Duration;

use felhom_host::{Operation, Report};
use felhom_ids::NodeName;
use felhom_protocol::host::{
    Disk, DiskHealth, Node, Temperature, ThinPool, Unknown, Updates, Usage,
};
use felhom_proxmox::pve::disks::{Health, PhysicalDisk};
use felhom_proxmox::pve::nodes::{Memory, NodeStatus};
use felhom_proxmox::{Error, Pve};
use tokio::time::timeout;

use super::remote_error;
use crate::fence::Fence;

/// The node asks each disk in turn, and gives each ten seconds.
const DISKS: Duration = Duration::from_secs(45);
/// The details of a single disk.
const DISK: Duration = Duration::from_secs(15);
/// The node reads its package lists anew.
const PACKAGES: Duration = Duration::from_secs(30);
/// Everything else: files that the node has in memory.
const SOON: Duration = Duration::from_secs(15);
/// So many disks are asked for their temperature; each is a request.
const MOST_DISKS: usize = 24;
/// The package that the version of Proxmox VE is that of.
const MANAGER: &str = "pve-manager";

/// The host.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// The node; with nothing but its name where it did not answer.
    pub node: Node,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Its thin pools.
    pub thin_pools: Vec<ThinPool>,
    /// What its sensors show.
    pub temperatures: Vec<Temperature>,
    /// What could not be looked at, and why.
    pub unknown: Vec<Unknown>,
}

/// Looks at all parts, none of which waits for another.
pub async fn look(pve: &Pve, name: &NodeName, fence: &Fence) -> Host {
    let (node, updates, disks, pools, warmth) = tokio::join!(
        Box::pin(node(pve, name)),
        Box::pin(updates(pve)),
        Box::pin(disks(pve)),
        Box::pin(thin_pools(pve)),
        Box::pin(temperatures(fence)),
    );
    let mut unknown = Vec::new();
    let mut node = node.unwrap_or_else(|why| {
        unknown.push(why);
        nothing_but(name)
    });
    node.updates = part(updates, &mut unknown);
    let (disks, mute) = part(disks, &mut unknown).unwrap_or_default();
    unknown.extend(mute);
    let thin_pools = part(pools, &mut unknown).unwrap_or_default();
    let (temperatures, mute) = part(warmth, &mut unknown).unwrap_or_default();
    unknown.extend(mute);
    Host {
        node,
        disks,
        thin_pools,
        temperatures,
        unknown,
    }
}

fn part<T>(looked: Result<T, Unknown>, unknown: &mut Vec<Unknown>) -> Option<T> {
    looked.map_err(|why| unknown.push(why)).ok()
}

fn unknown(what: &str, why: impl Into<String>) -> Unknown {
    Unknown {
        what: what.to_owned(),
        why: why.into(),
    }
}

/// Asks, for so long at most.
async fn asked<T>(
    what: &str,
    patience: Duration,
    asking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Unknown> {
    match timeout(patience, asking).await {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(error)) => Err(unknown(what, remote_error(&error).text)),
        Err(_) => {
            let why = format!("no answer within {} s", patience.as_secs());
            Err(unknown(what, why))
        }
    }
}

/// How the node is, without its updates.
pub async fn node(pve: &Pve, name: &NodeName) -> Result<Node, Unknown> {
    let status = asked("node", SOON, pve.node_status()).await?;
    Ok(node_of(name, &status))
}

/// A node of which only the name is known.
pub fn nothing_but(name: &NodeName) -> Node {
    Node {
        name: name.to_string(),
        pve_version: None,
        kernel: None,
        uptime_s: None,
        load: Vec::new(),
        cpus: None,
        memory: None,
        swap: None,
        root: None,
        updates: None,
    }
}

fn node_of(name: &NodeName, status: &NodeStatus) -> Node {
    let memory = |memory: &Memory| Usage {
        total: memory.total,
        used: memory.used,
    };
    let kernel = status.kernel.as_ref();
    let version = status.pveversion.as_deref();
    Node {
        // `pve-manager/9.2.11/14a22df35955d97d`
        pve_version: version
            .and_then(|text| text.split('/').nth(1))
            .map(str::to_owned),
        kernel: kernel.and_then(|kernel| kernel.release.clone()),
        uptime_s: Some(status.uptime),
        load: status.loadavg.iter().take(3).map(|one| one.0).collect(),
        cpus: status.cpuinfo.as_ref().map(|cpus| cpus.cpus),
        memory: Some(memory(&status.memory)),
        swap: status.swap.as_ref().map(memory),
        root: Some(Usage {
            total: status.rootfs.total,
            used: status.rootfs.used,
        }),
        ..nothing_but(name)
    }
}

/// The packages of Proxmox VE that an update would renew. The list of all updates wants `Sys.Modify` on the node, with which its
/// whole configuration could be changed; that is not asked for, so what else Debian would renew is not counted.
pub async fn updates(pve: &Pve) -> Result<Updates, Unknown> {
    let all = asked("updates", PACKAGES, pve.packages()).await?;
    let outdated: Vec<_> = all.iter().filter(|one| one.is_outdated()).collect();
    let manager = outdated.iter().find(|one| one.name == MANAGER);
    Ok(Updates {
        packages: u64::try_from(outdated.len()).unwrap_or(u64::MAX),
        pve_manager: manager.map(|one| one.candidate.clone()),
    })
}

/// LVM thin pools.
pub async fn thin_pools(pve: &Pve) -> Result<Vec<ThinPool>, Unknown> {
    let pools = asked("thin pools", SOON, pve.thin_pools()).await?;
    let pools = pools.iter().map(|pool| ThinPool {
        name: format!("{}/{}", pool.vg, pool.lv),
        data: Usage {
            total: pool.lv_size,
            used: pool.used,
        },
        metadata: Usage {
            total: pool.metadata_size,
            used: pool.metadata_used,
        },
    });
    Ok(pools.collect())
}

/// The disks with their health, wear and temperature, and those whose temperature could not be asked for.
pub async fn disks(pve: &Pve) -> Result<(Vec<Disk>, Vec<Unknown>), Unknown> {
    let mut listed = asked("disks", DISKS, pve.disks()).await?;
    listed.sort_by(|one, other| one.devpath.cmp(&other.devpath));
    let (mut disks, mut mute) = (Vec::new(), Vec::new());
    let mut left = MOST_DISKS;
    for one in &listed {
        let mut disk = disk_of(one);
        // What did not answer a moment ago, or has nothing to tell, is not asked again.
        if one
            .health
            .as_deref()
            .is_some_and(|words| words != "UNKNOWN")
            && left > 0
        {
            left -= 1;
            let what = format!("disk {}", one.devpath);
            match asked(&what, DISK, pve.smart(&one.devpath)).await {
                Ok(smart) => {
                    disk.celsius = smart.celsius();
                    disk.worn_percent = disk.worn_percent.or(smart.worn_percent());
                }
                Err(why) => mute.push(why),
            }
        }
        disks.push(disk);
    }
    Ok((disks, mute))
}

fn disk_of(disk: &PhysicalDisk) -> Disk {
    Disk {
        device: disk.devpath.clone(),
        model: disk.model.clone(),
        kind: disk.kind.clone(),
        size: disk.size,
        health: match disk.health() {
            Health::Passed => DiskHealth::Passed,
            Health::Failed => DiskHealth::Failed,
            Health::Unknown => DiskHealth::Unknown,
        },
        worn_percent: disk.worn_percent(),
        celsius: None,
    }
}

/// What the sensors show, as root reads them; and those that could not be read.
pub async fn temperatures(fence: &Fence) -> Result<(Vec<Temperature>, Vec<Unknown>), Unknown> {
    let answer = match fence.ask(Operation::ReadSensors {}, SOON).await {
        Ok(answer) => answer,
        Err(error) => return Err(unknown("temperatures", error.to_string())),
    };
    let Report::Sensors(sensors) = answer else {
        let odd = "the root helper answered something else than it was asked for";
        return Err(unknown("temperatures", odd));
    };
    let shown = sensors.temperatures.into_iter().map(|one| Temperature {
        chip: one.chip,
        label: one.label,
        celsius: one.celsius,
        high: one.high,
        critical: one.critical,
    });
    let unread = sensors.unread.into_iter();
    let unread = unread.map(|(sensor, why)| unknown(&format!("sensor {sensor}"), why));
    Ok((shown.collect(), unread.collect()))
}
