//! `/nodes/NODE/apt/…`: the packages of the release that this world follows, and what an update would bring.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::version::VERSION;
use crate::call::{Answer, Call, Reply, object};
use crate::route::{Route, Rule};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/nodes/{node}/apt/versions",
        rule: Rule::All("/nodes/{node}", &["Sys.Audit"]),
        params: &[],
        handler: versions,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/apt/update",
        rule: Rule::All("/nodes/{node}", &["Sys.Modify"]),
        params: &[],
        handler: updates,
    },
];

/// Name, version, section, architecture, title.
type Package = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const PROXMOX: &[Package] = &[
    (
        "pve-manager",
        VERSION,
        "admin",
        "all",
        "Proxmox Virtual Environment Management Tools",
    ),
    (
        "libpve-access-control",
        "9.1.1",
        "perl",
        "all",
        "Proxmox VE access control library",
    ),
    (
        "libpve-common-perl",
        "9.2.1",
        "perl",
        "all",
        "Proxmox VE base library",
    ),
    (
        "libpve-guest-common-perl",
        "6.0.2",
        "perl",
        "all",
        "Proxmox VE common guest-related modules",
    ),
    (
        "libpve-http-server-perl",
        "6.0.5",
        "perl",
        "all",
        "Proxmox Asynchrounous HTTP Server Implementation",
    ),
    (
        "libpve-storage-perl",
        "9.1.7",
        "perl",
        "all",
        "Proxmox VE storage management library",
    ),
    (
        "pve-cluster",
        "9.1.6",
        "admin",
        "amd64",
        "\"pmxcfs\" distributed cluster filesystem for Proxmox Virtual Environment.",
    ),
    (
        "pve-container",
        "6.1.10",
        "perl",
        "all",
        "Proxmox VE Container management tool",
    ),
    (
        "qemu-server",
        "9.2.6",
        "admin",
        "amd64",
        "Qemu Server Tools",
    ),
];

const DEBIAN: &[Package] = &[
    (
        "ifupdown2",
        "3.0.0-1.3",
        "admin",
        "all",
        "Network Interface Management tool similar to ifupdown",
    ),
    (
        "lvm2",
        "2.03.31-2",
        "admin",
        "amd64",
        "Linux Logical Volume Manager",
    ),
    (
        "lxcfs",
        "6.0.4-1+deb13u1",
        "admin",
        "amd64",
        "FUSE based filesystem for LXC",
    ),
    (
        "smartmontools",
        "7.4-3",
        "utils",
        "amd64",
        "control and monitor storage systems using S.M.A.R.T.",
    ),
];

/// Known to the package lists, but not there.
const ABSENT: &[Package] = &[
    (
        "ceph-fuse",
        "18.2.7+ds-1+deb13u1",
        "admin",
        "amd64",
        "FUSE-based client for the Ceph distributed file system",
    ),
    (
        "corosync",
        "3.1.9-2+deb13u1",
        "admin",
        "amd64",
        "cluster engine daemon and utilities",
    ),
    (
        "swtpm",
        "0.7.1-1.5",
        "misc",
        "amd64",
        "Libtpms-based TPM emulator",
    ),
];

fn entry(package: &Package, origin: &str, updates: Option<&BTreeMap<String, String>>) -> Value {
    let (name, version, section, arch, title) = package;
    let state = if updates.is_some() {
        "Installed"
    } else {
        "NotInstalled"
    };
    let newer = updates.and_then(|updates| updates.get(*name));
    let candidate = newer.map_or(*version, String::as_str);
    let mut entry = object(json!({
        "Package": name, "Version": candidate, "Section": section, "Arch": arch, "Title": title,
        "Description": title, "Priority": "optional", "Origin": origin, "CurrentState": state,
    }));
    if updates.is_some() {
        entry.insert("OldVersion".into(), json!(version));
    }
    Value::Object(entry)
}

/// The version is that of an update where there is one (pve-manager `API2/APT.pm` `versions`).
fn versions(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let updates = Some(&world.node.updates);
    let of = |all: &'static [Package], origin: &'static str, updates| {
        all.iter().map(move |one| entry(one, origin, updates))
    };
    let known = of(PROXMOX, "Proxmox", updates).chain(of(DEBIAN, "Debian", updates));
    Ok(Answer::Data(
        known.chain(of(ABSENT, "Debian", None)).collect(),
    ))
}

/// Of all packages that there are; here no others than Proxmox VE's own (pve-manager `API2/APT.pm` `list_updates`).
fn updates(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let newer = &world.node.updates;
    let of = |all: &'static [Package], origin: &'static str| {
        let outdated = all.iter().filter(|(name, ..)| newer.contains_key(*name));
        outdated.map(move |one| {
            let mut entry = entry(one, origin, Some(newer));
            if let Some(fields) = entry.as_object_mut() {
                fields.remove("CurrentState");
            }
            entry
        })
    };
    let all = of(PROXMOX, "Proxmox").chain(of(DEBIAN, "Debian"));
    Ok(Answer::Data(all.collect()))
}
