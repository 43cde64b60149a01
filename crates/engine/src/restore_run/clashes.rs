//! What stays the same though it may clash with the original or with others, and what reaches the host.

use std::collections::BTreeMap;

use felhom_ids::GuestKind;

use crate::restore_run::image;
use crate::restore_run::machine::{self, Reach};
use crate::restore_run::property;
use crate::restore_run::records::{Identity, RestoreRunRequest};
use crate::restore_run::subject::{Original, RestoreSubject, net_values};

/// One line each.
pub(super) fn clashes(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    set: &BTreeMap<String, String>,
) -> Vec<String> {
    let vmid = request.to;
    let mut lines = Vec::new();
    for (key, address) in machine::cloud_addresses(&subject.archived) {
        lines.push(clash_of_address(request, subject, &key, &address));
    }
    for (key, net) in net_values(set) {
        lines
            .extend(addresses(net).map(|address| clash_of_address(request, subject, key, address)));
        if let (Some(bridge), Some(seen)) = (property::value(net, "bridge"), &subject.bridges)
            && !seen.contains(bridge)
        {
            lines.push(format!(
                "{key} is on `{bridge}`, which this node does not have: the guest does not start until {key} is changed"
            ));
        }
    }
    if request.identity == Identity::Keep && subject.original != Original::Gone {
        lines.push(
            "MAC addresses and host name are those of the original: never start both".to_owned(),
        );
    }
    lines.push(image::shared(request).to_owned());
    if request.kind() == GuestKind::Qemu {
        lines.push(
            "addresses that are set inside the guest are on its drives and stay, where nobody but the guest sees them: \
             `--link-down` keeps it off the network until it was looked at"
                .to_owned(),
        );
    }
    lines.push(
        "what the guest does by itself (cron jobs, mail queues, synchronisation) goes on with the first start"
            .to_owned(),
    );
    lines.push(format!(
        "firewall rules that the archive holds become /etc/pve/firewall/{vmid}.fw as they are, the addresses in them too"
    ));
    lines.extend(of_the_host(request, subject));
    lines
}

/// What comes back and reaches the host.
fn of_the_host(request: &RestoreRunRequest, subject: &RestoreSubject) -> Vec<String> {
    let (config, vmid) = (&subject.archived.config, request.to);
    let tool = request.kind().tool();
    let mut lines = Vec::new();
    if let Some(script) = &config.hookscript {
        lines.push(format!(
            "`hookscript: {script}` comes back and runs as root on the node with every start; to take it off first: \
             `{tool} set {vmid} --delete hookscript`"
        ));
    }
    for (key, what, reach) in machine::reaching(&subject.archived) {
        let kind = match &reach {
            Reach::Nothing | Reach::RootOnly => continue,
            Reach::Mapped(path) => format!("the mapping `{path}` of the node"),
            Reach::Unchecked if key == "args" => {
                "arguments for QEMU, which nobody checks".to_owned()
            }
            Reach::Unchecked => "a device of the node".to_owned(),
        };
        lines.push(format!(
            "`{key}: {what}` comes back: {kind}, also the original's; to take it off first: `{tool} set {vmid} --delete {key}`"
        ));
    }
    let devices = config
        .devices
        .iter()
        .filter(|_| request.kind() == GuestKind::Lxc);
    for device in devices {
        let what = subject.archived.values.get(device);
        let what = what.map(String::as_str).unwrap_or_default();
        lines.push(format!(
            "`{device}: {what}` comes back: a device of the node, also the original's; to take it off first: \
             `{tool} set {vmid} --delete {device}`"
        ));
    }
    lines
}

/// Addresses that are written into the guest.
fn addresses(net: &str) -> impl Iterator<Item = &str> {
    let fixed = |key: &str| {
        property::value(net, key).filter(|value| !matches!(*value, "dhcp" | "manual" | "auto"))
    };
    [fixed("ip"), fixed("ip6")].into_iter().flatten()
}

/// Whether an interface that is up would take an address that the running original has.
pub(super) fn takes_an_address_in_use(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    set: &BTreeMap<String, String>,
) -> bool {
    let runs = matches!(subject.original, Original::Guest { running: true, .. });
    let by_cloud_init = machine::cloud_addresses(&subject.archived);
    let fixed = |key: &String, net: &str| {
        addresses(net).next().is_some() || by_cloud_init.iter().any(|(nic, _)| nic == key)
    };
    runs && !request.link_down
        && net_values(set).any(|(key, net)| !property::is_on(net, "link_down") && fixed(key, net))
}

fn clash_of_address(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    key: &str,
    address: &str,
) -> String {
    let when = match &subject.original {
        Original::Guest { running: true, .. } if request.link_down => {
            "the original runs with it, so its link stays down until that is settled"
        }
        Original::Guest { running: true, .. } => {
            "it clashes while the original runs; `--link-down` keeps it off the network"
        }
        Original::Guest { running: false, .. } => "it clashes when the original is started",
        Original::Unreadable(_) => "it clashes while the original runs",
        Original::Gone => "the original is gone",
    };
    format!("{key} has the fixed address {address}: {when}")
}
