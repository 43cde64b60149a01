//! The host by the API and by its sensors, in the words of the host report. Each part is asked by itself and has a deadline of its own,
//! so that one that keeps silent hides no other.

use std::future::Future;
use std::time::Duration;

use felhom_host::{Operation, Report};
use felhom_ids::NodeName;
use felhom_protocol::host::{
    Disk, DiskHealth, HostReport, Node, Temperature, ThinPool, Unknown, Updates, Usage,
};
use felhom_proxmox::pve::disks::{Health, PhysicalDisk};
use felhom_proxmox::pve::nodes::{Memory, NodeStatus};
use felhom_proxmox::{Error, Pve};
use tokio::time::timeout;

use super::remote_error;
use crate::clock;
use crate::fence::Fence;

/// The node asks each disk in turn, and gives each ten seconds.
const DISKS: Duration = Duration::from_secs(45);
/// The details of a single disk.
const DISK: Duration = Duration::from_secs(15);
/// The node reads its package lists anew.
const PACKAGES: Duration = Duration::from_secs(30);
/// Everything else: files that the node has in memory.
const SOON: Duration = Duration::from_secs(15);
/// What was asked for longer ago is asked for anew, in seconds.
const YOUNG_S: i64 = 6 * 3600;
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

/// What an earlier look found that is not asked for again each time: the question wakes a disk that sleeps, and has the node
/// read all its package lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    disks: Option<Vec<Disk>>,
    updates: Option<Updates>,
}

impl Kept {
    /// What is young enough of this report; what was not whole is asked for anew.
    pub fn of(report: HostReport, now_s: i64) -> Self {
        let is_young = |read_s: Option<i64>| {
            // A clock that went backwards says nothing about how long ago that was.
            read_s.is_some_and(|read_s| (read_s..read_s.saturating_add(YOUNG_S)).contains(&now_s))
        };
        let mut unknown = report.unknown.iter().map(|one| one.what.as_str());
        let whole = !unknown.any(|what| what == "disks" || what.starts_with("disk "));
        let young = !report.disks.is_empty() && report.disks.iter().all(|one| is_young(one.read_s));
        let updates = report.node.updates;
        Self {
            disks: (whole && young).then_some(report.disks),
            updates: updates.filter(|one| is_young(one.read_s)),
        }
    }
}

/// Looks at all parts, none of which waits for another; what is kept is not asked for.
pub async fn look(pve: &Pve, name: &NodeName, fence: &Fence, kept: Kept) -> Host {
    let updates = async {
        match kept.updates {
            Some(updates) => Ok(updates),
            None => updates(pve).await,
        }
    };
    let disks = async {
        match kept.disks {
            Some(disks) => Ok((disks, Vec::new())),
            None => disks(pve).await,
        }
    };
    let (node, updates, disks, pools, warmth) = tokio::join!(
        Box::pin(node(pve, name)),
        Box::pin(updates),
        Box::pin(disks),
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
        read_s: Some(clock::now().secs()),
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
    let now_s = clock::now().secs();
    listed.sort_by(|one, other| one.devpath.cmp(&other.devpath));
    let (mut disks, mut mute) = (Vec::new(), Vec::new());
    let mut left = MOST_DISKS;
    for one in &listed {
        let mut disk = disk_of(one, now_s);
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

fn disk_of(disk: &PhysicalDisk, now_s: i64) -> Disk {
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
        read_s: Some(now_s),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_795_000_000;

    /// What is kept of a report that was made so many seconds ago, with this under `unknown`.
    fn kept(ago: i64, unknown: &[&str]) -> (bool, bool) {
        let read_s = NOW - ago;
        let unknown = unknown.iter().map(|what| unknown_of(what));
        let report = json!({
            "installation": "test", "sequence": 1, "taken_s": NOW, "agent_version": "0.1.0",
            "node": { "name": "pve", "updates": { "packages": 3, "read_s": read_s } },
            "disks": [
                { "device": "/dev/sda", "size": 1, "health": "failed", "read_s": read_s },
                { "device": "/dev/sdb", "size": 1, "health": "unknown", "read_s": read_s },
            ],
            "unknown": unknown.collect::<Vec<_>>(),
        });
        let kept = Kept::of(serde_json::from_value(report).unwrap(), NOW);
        (kept.disks.is_some(), kept.updates.is_some())
    }

    fn unknown_of(what: &str) -> Unknown {
        unknown(what, "it does not answer")
    }

    #[test]
    fn what_was_asked_for_lately_is_kept_and_nothing_of_the_future() {
        assert_eq!(kept(0, &[]), (true, true));
        assert_eq!(kept(YOUNG_S - 1, &["temperatures"]), (true, true));
        assert_eq!(kept(YOUNG_S, &[]), (false, false));
        assert_eq!(kept(-1, &[]), (false, false), "the clock went backwards");
    }

    #[test]
    fn disks_that_were_not_all_read_are_asked_again() {
        assert_eq!(kept(60, &["disks"]), (false, true));
        assert_eq!(kept(60, &["disk /dev/sda"]), (false, true));
    }

    #[test]
    fn what_does_not_say_when_it_was_asked_is_not_kept() {
        let report = json!({
            "installation": "test", "sequence": 1, "taken_s": NOW, "agent_version": "0.1.0",
            "node": { "name": "pve", "updates": { "packages": 3 } },
            "disks": [{ "device": "/dev/sda", "size": 1, "health": "passed" }],
        });
        let report = serde_json::from_value(report).unwrap();
        assert_eq!(Kept::of(report, NOW), Kept::default());
    }
}
