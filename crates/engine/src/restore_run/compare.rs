//! The restored guest's configuration against the plan, key by key.

use std::collections::BTreeMap;

use felhom_ids::GuestKind;

use crate::restore_run::plan::{RestoreRunPlan, RestoredVolume};
use crate::restore_run::property::{self, meaning, plain};
use crate::restore_run::records::Identity;
use crate::restore_run::settings::mac;
use crate::restore_run::subject::{WrittenConfig, is_numbered};
use crate::restore_run::{drives, machine};
use crate::world::{GuestConfig, MountSource, is_drive};

/// Keys that PVE writes into every container where the archive holds none (pve-container API2/LXC.pm `create_vm`).
const BY_DEFAULT: [&str; 6] = [
    "arch",
    "hostname",
    "memory",
    "ostype",
    "swap",
    "unprivileged",
];

/// What is not as planned; empty when all is.
pub(super) fn differences(plan: &RestoreRunPlan, found: &WrittenConfig) -> Vec<String> {
    let mut all = Vec::new();
    for (key, wanted) in plan.set.iter().chain(&plan.carried) {
        let is = found.values.get(key);
        if !same(plan, key, wanted, is.map(String::as_str)) {
            all.push(match is {
                Some(is) if is_told(key) => format!("`{key}` is `{is}`, planned was `{wanted}`"),
                Some(_) => format!("`{key}` is not what was planned"),
                None => format!("`{key}` is missing"),
            });
        }
    }
    for (key, archived) in &plan.renewed {
        let is = found.values.get(key).map(String::as_str);
        all.extend(machine::not_renewed(key, archived, is));
    }
    for key in found.values.keys() {
        let planned = plan.set.contains_key(key)
            || plan.carried.contains_key(key)
            || plan.renewed.contains_key(key);
        if !planned && !is_judged_apart(plan.kind, key) {
            all.push(format!("`{key}` was not planned"));
        }
    }
    for (key, _) in &found.raw_lxc {
        all.push(format!("`{key}` was not planned"));
    }
    all.extend(macs(plan, &found.values));
    all.extend(match plan.kind {
        GuestKind::Lxc => volumes(plan, found),
        GuestKind::Qemu => drives::differences(plan, found),
    });
    all
}

/// Volumes are compared with what was planned of them, and what PVE writes by itself with nothing.
fn is_judged_apart(kind: GuestKind, key: &str) -> bool {
    key == "digest"
        || match kind {
            GuestKind::Lxc => {
                key == "rootfs" || is_numbered(key, "mp") || BY_DEFAULT.contains(&key)
            }
            GuestKind::Qemu => is_drive(key),
        }
}

/// Keys whose values may be told. Others, and those of a later PVE, may hold what a guest keeps to itself.
fn is_told(key: &str) -> bool {
    const TOLD: [&str; 24] = [
        "agent",
        "arch",
        "bios",
        "boot",
        "cmode",
        "console",
        "cores",
        "cpulimit",
        "cpuunits",
        "features",
        "hostname",
        "machine",
        "memory",
        "name",
        "nameserver",
        "onboot",
        "ostype",
        "protection",
        "scsihw",
        "searchdomain",
        "startup",
        "swap",
        "tags",
        "unprivileged",
    ];
    TOLD.contains(&key) || is_numbered(key, "net")
}

fn same(plan: &RestoreRunPlan, key: &str, wanted: &str, is: Option<&str>) -> bool {
    let Some(is) = is else {
        // A switch that is off may be left out.
        return matches!(key, "onboot" | "protection") && plain(wanted) == "0";
    };
    if is_numbered(key, "net") {
        let fresh = plan.identity == Identity::Fresh;
        let read = |text: &str| {
            let mut net = match plan.kind {
                GuestKind::Lxc => meaning(text),
                GuestKind::Qemu => machine::net_meaning(text),
            };
            if plan.kind == GuestKind::Lxc {
                net.entry("type".to_owned())
                    .or_insert_with(|| "veth".to_owned());
            }
            if fresh {
                net.remove("hwaddr");
                net.remove("macaddr");
            }
            net
        };
        return read(wanted) == read(is);
    }
    if plan.kind == GuestKind::Qemu && is_drive(key) {
        return meaning(wanted) == meaning(is);
    }
    if key == "description" {
        return wanted.trim_end() == is.trim_end();
    }
    let numbers = || wanted.parse::<f64>().ok().zip(is.parse::<f64>().ok());
    wanted == is
        || plain(wanted) == plain(is)
        || numbers().is_some_and(|(a, b)| (a - b).abs() < f64::EPSILON)
}

/// With a fresh identity every interface has an address of its own that the archive does not know.
fn macs(plan: &RestoreRunPlan, found: &BTreeMap<String, String>) -> Vec<String> {
    if plan.identity == Identity::Keep {
        return Vec::new();
    }
    let nets = found.iter().filter(|(key, _)| is_numbered(key, "net"));
    nets.filter_map(|(key, net)| {
        let mac = mac(plan.kind, net).map(str::to_ascii_uppercase);
        match mac {
            Some(mac) if plan.former_macs.contains(&mac) => {
                Some(format!("{key} still has the archived MAC address {mac}"))
            }
            Some(_) => None,
            None => Some(format!("{key} has no MAC address")),
        }
    })
    .collect()
}

fn volumes(plan: &RestoreRunPlan, found: &WrittenConfig) -> Vec<String> {
    let mut all: Vec<String> = plan
        .volumes
        .iter()
        .filter_map(|planned| volume(plan, planned, found))
        .collect();
    for mount in &found.config.mounts {
        if !plan.volumes.iter().any(|planned| planned.key == mount.key) {
            all.push(format!("{} was not planned", mount.key));
        }
    }
    all
}

fn volume(
    plan: &RestoreRunPlan,
    planned: &RestoredVolume,
    found: &WrittenConfig,
) -> Option<String> {
    let key = &planned.key;
    let Some(mount) = mount(&found.config, key) else {
        return Some(format!("{key} is missing"));
    };
    let MountSource::Volume(volume) = &mount.source else {
        return Some(format!("{key} is no volume"));
    };
    if volume.guest() != Some(plan.vmid) || *volume.storage() != planned.storage {
        return Some(format!(
            "{key} is `{volume}`, which was not made for this guest"
        ));
    }
    // PVE makes whole MiB.
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let size = mount.size.unwrap_or_default();
    if mebibytes(size.bytes()) != mebibytes(planned.size.bytes()) {
        return Some(format!("{key} has {size}, planned was {}", planned.size));
    }
    let text = found
        .values
        .get(key)
        .map(String::as_str)
        .unwrap_or_default();
    let is = property::without(text, &["volume", "size"]);
    (meaning(&is) != meaning(&planned.options))
        .then(|| format!("{key} has `{is}`, planned was `{}`", planned.options))
}

fn mount<'a>(config: &'a GuestConfig, key: &str) -> Option<&'a crate::world::Mount> {
    config.mounts.iter().find(|mount| mount.key == key)
}
