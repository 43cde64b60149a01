//! What the request sets over the archived configuration: interfaces, host name, description, start with the node.

use std::collections::BTreeMap;

use felhom_ids::GuestKind;

use crate::mark::{Mark, is_golden};
use crate::restore_run::plan::RestoredVolume;
use crate::restore_run::records::{Identity, RestoreRunRequest};
use crate::restore_run::subject::{WrittenConfig, net_values};
use crate::restore_run::{drives, machine, property};
use crate::world::MountSource;

/// The longest part of a host name between its dots (RFC 1035).
const LABEL: usize = 63;

/// The keys that the request sets. Every interface is among them, also one that stays as it is: without its bridge PVE would
/// lose it for a token (pve-container LXC.pm `check_bridge_access`), and an interface that is given without an address gets a
/// new one (LXC/Config.pm `parse_lxc_network`, qemu-server Network.pm `add_random_macs`). `unique` is not used for a container: it
/// would put the archived interfaces in their place.
pub(super) fn set(
    request: &RestoreRunRequest,
    archived: &WrittenConfig,
) -> BTreeMap<String, String> {
    let mut set: BTreeMap<String, String> = net_values(&archived.values)
        .map(|(key, net)| (key.clone(), interface(request, net)))
        .collect();
    if let Some(name) = hostname(request, archived) {
        set.insert(name_key(request).to_owned(), name);
    }
    if request.identity == Identity::Fresh {
        set.insert("onboot".to_owned(), "0".to_owned());
    }
    // A protected guest could not be removed again when its restore fails.
    set.insert("protection".to_owned(), "0".to_owned());
    set.insert("description".to_owned(), description(request, archived));
    set
}

/// The key of the guest's name.
pub(super) fn name_key(request: &RestoreRunRequest) -> &'static str {
    match request.kind() {
        GuestKind::Lxc => "hostname",
        GuestKind::Qemu => "name",
    }
}

fn interface(request: &RestoreRunRequest, net: &str) -> String {
    if request.kind() == GuestKind::Qemu {
        return machine_interface(request, net);
    }
    let net = match request.identity {
        Identity::Fresh => property::without(net, &["hwaddr"]),
        Identity::Keep => net.to_owned(),
    };
    if request.link_down {
        property::with(&net, "link_down", "1")
    } else {
        net
    }
}

fn machine_interface(request: &RestoreRunRequest, net: &str) -> String {
    let net = match request.identity {
        Identity::Fresh => machine::without_mac(net),
        Identity::Keep => net.to_owned(),
    };
    if request.link_down {
        machine::with_link_down(&net)
    } else {
        net
    }
}

/// The MAC address of an interface of a guest of this kind.
pub(super) fn mac(kind: GuestKind, net: &str) -> Option<&str> {
    match kind {
        GuestKind::Lxc => property::value(net, "hwaddr"),
        GuestKind::Qemu => machine::mac(net),
    }
}

/// The new host name; `None` when it stays.
fn hostname(request: &RestoreRunRequest, archived: &WrittenConfig) -> Option<String> {
    match (request.identity, &request.hostname) {
        (Identity::Keep, _) => None,
        (Identity::Fresh, Some(name)) => Some(name.clone()),
        (Identity::Fresh, None) => {
            Some(restored_name(archived.config.hostname.as_deref(), request))
        }
    }
}

/// The old name with `-restored` in its first part, which stays short enough.
fn restored_name(old: Option<&str>, request: &RestoreRunRequest) -> String {
    const SUFFIX: &str = "-restored";
    // PVE's own name for a container without one; a machine without one is shown as `VM 100`.
    let prefix = match request.kind() {
        GuestKind::Lxc => "CT",
        GuestKind::Qemu => "VM",
    };
    let source = request.volid.guest().unwrap_or(request.to);
    let old = old.map_or_else(|| format!("{prefix}{source}"), str::to_owned);
    let (first, rest) = old
        .split_once('.')
        .map_or((old.as_str(), None), |(first, rest)| (first, Some(rest)));
    let kept: String = first.chars().take(LABEL - SUFFIX.len()).collect();
    let kept = kept.trim_end_matches('-');
    match rest {
        Some(rest) => format!("{kept}{SUFFIX}.{rest}"),
        None => format!("{kept}{SUFFIX}"),
    }
}

pub(super) fn mark(request: &RestoreRunRequest) -> Mark {
    Mark {
        installation: request.installation.clone(),
        job: request.job.clone(),
        vmid: request.to,
    }
}

/// The archived text, and a line that tells where the guest came from. The mark in it stays: it proves the guest to be ours
/// while its restore is under way, and says nothing to anybody once the journal has the job as ended. Lines with
/// marks of former jobs go, since two different ones prove nothing.
fn description(request: &RestoreRunRequest, archived: &WrittenConfig) -> String {
    let old = archived.config.description.as_deref().unwrap_or_default();
    // What is restored from an image is no image.
    let marked = |line: &&str| {
        is_golden(line)
            || line
                .split_whitespace()
                .any(|word| word.parse::<Mark>().is_ok())
    };
    let kept: Vec<&str> = old.lines().filter(|line| !marked(line)).collect();
    let told = format!(
        "restored from {} by felhom-agent {}",
        request.volid,
        mark(request)
    );
    let kept = kept.join("\n");
    match kept.trim_end() {
        "" => told,
        text => format!("{text}\n\n{told}"),
    }
}

/// The archived MAC addresses, where the guest must not have them.
pub(super) fn former_macs(request: &RestoreRunRequest, archived: &WrittenConfig) -> Vec<String> {
    if request.identity == Identity::Keep {
        return Vec::new();
    }
    net_values(&archived.values)
        .filter_map(|(_, net)| mac(request.kind(), net))
        .map(str::to_ascii_uppercase)
        .collect()
}

/// What becomes different, one line each.
pub(super) fn changes(
    request: &RestoreRunRequest,
    archived: &WrittenConfig,
    set: &BTreeMap<String, String>,
    volumes: &[RestoredVolume],
) -> Vec<String> {
    let (vmid, tool) = (request.to, request.kind().tool());
    let mut lines = Vec::new();
    if request.volid.guest() != Some(vmid) {
        lines.push(format!("the VMID is {vmid}"));
    }
    for (key, net) in net_values(&archived.values) {
        if request.identity == Identity::Fresh {
            let old = mac(request.kind(), net).unwrap_or("none");
            lines.push(format!(
                "{key} gets a new MAC address (archived: {old}); a lease or a rule for the old one does not follow"
            ));
        }
        if request.link_down && !property::is_on(net, "link_down") {
            lines.push(format!(
                "{key} has its link down; to put it up: `{tool} set {vmid} --{key} …` with its line of `{tool} config {vmid}`, \
                 but for link_down=1"
            ));
        }
    }
    if let Some(name) = set.get(name_key(request)) {
        let old = archived.config.hostname.as_deref().unwrap_or("none");
        lines.push(format!(
            "the host name is `{name}` (archived: `{old}`); what knows the guest by name does not find it"
        ));
    }
    if archived.config.onboot && request.identity == Identity::Fresh {
        lines.push(format!(
            "it does not start with the node (archived: onboot=1); when it shall: `{tool} set {vmid} --onboot 1`"
        ));
    }
    if archived.config.protection {
        lines.push(format!(
            "it is not protected from removal (archived: protection=1); when all is well: `{tool} set {vmid} --protection 1`"
        ));
    }
    lines.push("the description gains a line that says what it was restored from".to_owned());
    lines.extend(moved(request, archived, volumes));
    lines
}

/// Volumes that go elsewhere, and what PVE makes anew of a machine.
fn moved(
    request: &RestoreRunRequest,
    archived: &WrittenConfig,
    volumes: &[RestoredVolume],
) -> Vec<String> {
    if request.kind() == GuestKind::Qemu {
        let mut lines = machine::changes(request, archived);
        lines.extend(drives::changes(archived, volumes));
        return lines;
    }
    let mut lines = Vec::new();
    for volume in volumes {
        let was = archived
            .config
            .mounts
            .iter()
            .find(|one| one.key == volume.key);
        if let Some(MountSource::Volume(old)) = was.map(|mount| &mount.source)
            && *old.storage() != volume.storage
        {
            lines.push(format!(
                "{} goes to `{}` (archived: `{}`)",
                volume.key,
                volume.storage,
                old.storage()
            ));
        }
    }
    lines
}
