//! The kit, made of what was read.

use std::collections::BTreeSet;

use felhom_engine::Finding;
use felhom_protocol::kit::{Kit, KitFile, KitNode, KitPart, KitServer, KitStep};
use felhom_proxmox::pve::written::Written;

use super::facts::Facts;
use super::order::{Item, order, storages};
use super::shell::command;
use super::{guest, judge, network, storage};

/// The kit, and what it cannot do as findings.
pub fn compose(facts: &Facts) -> (Kit, Vec<Finding>) {
    let findings = judge::findings(facts);
    let order = order(facts);
    let mut steps = vec![install(facts), network::step(facts)];
    steps.extend(pools(facts));
    let mut guests = Vec::new();
    for item in &order.items {
        match item {
            Item::Storage(id) => {
                steps.extend(facts.storage(id).map(|one| storage::step(facts, one)));
            }
            Item::Guest(_, vmid) => {
                let found = facts.all_guests().iter().find(|one| one.vmid == *vmid);
                if let Some(one) = found {
                    guests.push(guest::listed(facts, one));
                    let circle = order.circle.contains(item)
                        || storages(facts, one)
                            .into_iter()
                            .any(|id| order.circle.contains(&Item::Storage(id)));
                    steps.push(guest::step(facts, one, circle));
                }
            }
        }
    }
    steps.extend(unread(facts));
    steps.push(look());
    let kit = Kit {
        installation: facts.installation.clone(),
        made_s: facts.made.secs(),
        agent_version: facts.agent_version.clone(),
        node: KitNode {
            name: facts.node.clone(),
            pve_version: facts.pve_version.clone().ok(),
            fingerprint: facts.fingerprint.clone().ok(),
        },
        servers: facts
            .all_storages()
            .iter()
            .filter(|one| one.get("type") == Some("pbs"))
            .map(|one| server(facts, one))
            .collect(),
        guests,
        gaps: findings
            .iter()
            .map(|one| format!("{}: {}", one.subject, one.detail))
            .collect(),
        steps,
        stale_when: stale().map(str::to_owned).to_vec(),
        files: files(facts),
    };
    (kit, findings)
}

fn install(facts: &Facts) -> KitStep {
    let version = match &facts.pve_version {
        Ok(version) => format!("Proxmox VE {version} or a newer 9"),
        Err(why) => format!("Proxmox VE (which version the old box had could not be read: {why})"),
    };
    let mut parts = vec![KitPart::Say(format!(
        "Install {version} from its ISO image. The installer asks for the host name: its first part has to be {}, or \
             write the other name in place of it below.",
        facts.node
    ))];
    match network::first(facts) {
        Some(first) => {
            let get = |key: &str| first.get(key).unwrap_or("none");
            parts.push(KitPart::Say(format!(
                "It asks for the address, too: {}, gateway {}, on the port that your cable is in.",
                get("cidr"),
                get("gateway")
            )));
        }
        None => parts.push(KitPart::Warn(
            "Which address the old box had could not be read: give it one of your network."
                .to_owned(),
        )),
    }
    parts.push(KitPart::Say(
        "Then log in as root, at the console or by ssh, and go on here.".to_owned(),
    ));
    KitStep {
        title: "Install Proxmox VE".to_owned(),
        parts,
    }
}

/// The pools that guests are in, with those above them.
fn pools(facts: &Facts) -> Option<KitStep> {
    let named = facts
        .all_guests()
        .iter()
        .filter_map(|one| one.pool.as_deref());
    let mut all = BTreeSet::new();
    for pool in named {
        let mut path = String::new();
        for part in pool.split('/') {
            path.push_str(part);
            all.insert(path.clone());
            path.push('/');
        }
    }
    let parts: Vec<KitPart> = all
        .iter()
        .map(|pool| KitPart::Type(command(["pveum", "pool", "add", pool])))
        .collect();
    (!parts.is_empty()).then(|| KitStep {
        title: "Pools".to_owned(),
        parts,
    })
}

/// What is missing from the list of steps, said where it would stand.
fn unread(facts: &Facts) -> Option<KitStep> {
    let lists = [
        ("storages", facts.storages.as_ref().err()),
        ("mounted disks", facts.disks.as_ref().err()),
        ("guests", facts.guests.as_ref().err()),
    ];
    let lists = lists.into_iter().filter_map(|(what, why)| {
        let why = why?;
        Some(format!(
            "The {what} could not be read, and lack here: {why}."
        ))
    });
    let parts: Vec<KitPart> = lists
        .chain(facts.unread.iter().map(|one| format!("{one}.")))
        .map(KitPart::Warn)
        .collect();
    (!parts.is_empty()).then(|| KitStep {
        title: "What could not be read".to_owned(),
        parts,
    })
}

fn look() -> KitStep {
    KitStep {
        title: "Look at all of it".to_owned(),
        parts: vec![
            KitPart::Type("pct list".to_owned()),
            KitPart::Type("qm list".to_owned()),
            KitPart::Type("pvesm status".to_owned()),
            KitPart::Say(
                "Not on this page: users and their rights, firewall rules, backup jobs, and files of the host itself. Backups \
                 begin again with the first job that is set up."
                    .to_owned(),
            ),
        ],
    }
}

fn stale() -> [&'static str; 5] {
    [
        "a guest is added, removed, or gets another disk or network",
        "a storage, a bridge or a backup disk is added, changed or removed",
        "an archive that is named here is pruned (new ones are made every day)",
        "the key or the certificate of a backup server changes",
        "Proxmox VE gets a new major version",
    ]
}

fn server(facts: &Facts, storage: &Written) -> KitServer {
    let get = |key: &str| storage.get(key).unwrap_or_default().to_owned();
    let maybe = |key: &str| storage.get(key).map(str::to_owned);
    KitServer {
        storage: get("storage"),
        server: get("server"),
        datastore: get("datastore"),
        namespace: get("namespace"),
        fingerprint: maybe("fingerprint"),
        key: maybe("encryption-key"),
        key_stored: facts.keys.get(&get("storage")).cloned(),
    }
}

fn files(facts: &Facts) -> Vec<KitFile> {
    let joined = |all: Vec<String>| all.join("\n");
    let storages = facts.all_storages().iter().map(storage::stanza).collect();
    let interfaces = network::made(facts).map(network::stanza).collect();
    let all = [
        ("/etc/pve/storage.cfg", joined(storages)),
        ("/etc/network/interfaces", joined(interfaces)),
    ];
    let said = all.into_iter().filter(|(_, text)| !text.is_empty());
    said.map(|(path, text)| KitFile {
        path: path.to_owned(),
        text,
    })
    .collect()
}
