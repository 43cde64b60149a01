//! Which guests there are in the whole cluster, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use felhom_ids::{GuestKind, NodeName, Vmid};
use serde::Deserialize;

use super::files;
use crate::layout::Layout;
use crate::refusal::{Code, Refusal};

/// A list of some hundred thousand guests.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Where a guest is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) node: NodeName,
    pub(crate) kind: GuestKind,
}

/// PVE's directory of the configurations of a kind.
pub(crate) fn directory(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Lxc => "lxc",
        GuestKind::Qemu => "qemu-server",
    }
}

fn unproven(text: String) -> Refusal {
    Refusal::new(Code::NotProven, text)
}

/// The name of this host as PVE's cluster has it: where the link `/etc/pve/local` points, `nodes/NAME`.
pub(crate) fn this_node(layout: &Layout) -> Result<NodeName, Refusal> {
    let path = "/etc/pve/local";
    let odd = |why: String| {
        let text = format!(
            "{path} does not tell this node's name: {why}; look at `systemctl status pve-cluster`"
        );
        unproven(text)
    };
    let target = fs::read_link(layout.path(path)).map_err(|error| odd(error.to_string()))?;
    let name = target
        .strip_prefix("nodes")
        .ok()
        .and_then(|name| name.to_str());
    let name = name.ok_or_else(|| odd(format!("it points to {}", target.display())))?;
    name.parse().map_err(|error| odd(format!("{error}")))
}

/// Where a guest with this number is: every configuration on every node, and what PVE's list of all guests says.
pub(crate) fn places(layout: &Layout, vmid: Vmid) -> Result<BTreeSet<Place>, Refusal> {
    let mut found = listed(layout, vmid)?;
    let nodes = "/etc/pve/nodes";
    let odd = |error: io::Error| unproven(format!("{nodes} cannot be read: {error}"));
    for entry in fs::read_dir(layout.path(nodes)).map_err(odd)? {
        let name = entry.map_err(odd)?.file_name();
        let node = name.to_str().and_then(|name| name.parse::<NodeName>().ok());
        let node = node.ok_or_else(|| {
            unproven(format!(
                "{nodes} holds {}, which is no node",
                name.display()
            ))
        })?;
        for kind in [GuestKind::Lxc, GuestKind::Qemu] {
            let path = format!("{nodes}/{node}/{}/{vmid}.conf", directory(kind));
            match fs::symlink_metadata(layout.path(&path)) {
                Ok(_) => {
                    let node = node.clone();
                    found.insert(Place { node, kind });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unproven(format!("{path} cannot be looked at: {error}"))),
            }
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct VmList {
    ids: BTreeMap<String, VmListEntry>,
}

#[derive(Deserialize)]
struct VmListEntry {
    node: NodeName,
    #[serde(rename = "type")]
    kind: String,
}

/// What `/etc/pve/.vmlist` says, which pmxcfs makes of the configurations of all nodes.
fn listed(layout: &Layout, vmid: Vmid) -> Result<BTreeSet<Place>, Refusal> {
    let path = "/etc/pve/.vmlist";
    let text = files::trusted(layout, path, &[], LONGEST)?.ok_or_else(|| {
        unproven(format!(
            "{path} is not there; look at `systemctl status pve-cluster`"
        ))
    })?;
    let list: VmList = serde_json::from_str(&text)
        .map_err(|error| unproven(format!("{path} is not understood: {error}")))?;
    let Some(entry) = list.ids.get(&vmid.to_string()) else {
        return Ok(BTreeSet::new());
    };
    let kind = match entry.kind.as_str() {
        "lxc" => GuestKind::Lxc,
        "qemu" => GuestKind::Qemu,
        other => {
            return Err(unproven(format!(
                "{path} calls {vmid} a guest of the kind `{other}`"
            )));
        }
    };
    let node = entry.node.clone();
    Ok(BTreeSet::from([Place { node, kind }]))
}
