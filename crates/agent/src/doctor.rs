//! What the box looks like to each principal, gathered for the engine's judgement of rights and health. Only reads.

mod rights;

use std::collections::BTreeSet;

use felhom_engine::privileges::{self, Holder, Lack, Setting};
use felhom_engine::{
    BridgeHealth, Finding, Health, Mark, Principal, StorageHealth, StorageSeen, health,
};
use felhom_ids::{StorageId, Vmid};
use felhom_proxmox::{Error, Pve};

use crate::clock;
use crate::config::{Config, TrustConfig};
use crate::journal::Journal;
use crate::observe;
use crate::remote::Remotes;

/// What was found.
#[derive(Debug)]
pub struct Examined {
    /// The guests and places that were looked at.
    pub setting: Setting,
    /// What each identity holds.
    pub holders: Vec<Holder>,
    /// What is lacking, what follows, and what mends it.
    pub lacks: Vec<Lack>,
    /// Whether the roles and grants could be read whole, so that each side is known.
    pub sees_grants: bool,
    /// Everything that a person should know.
    pub findings: Vec<Finding>,
}

/// Looks at rights and health. `ours` are guests that the journal knows.
///
/// # Errors
/// When the server cannot be reached, does not know the token, or answers with garbage.
pub async fn examine(
    config: &Config,
    remotes: &Remotes,
    journal: Option<&Journal>,
    ours: BTreeSet<Vmid>,
) -> Result<Examined, Error> {
    let agent = remotes.of(Principal::Agent);
    let resources = agent.resources().await?;
    let rules = rights::rules(agent).await?;
    let scratch = config.restore_test_policy.range();
    let here = |kind: &str| -> BTreeSet<Vmid> {
        resources
            .iter()
            .filter(|resource| resource.kind == kind)
            .filter_map(|resource| resource.vmid.and_then(|number| Vmid::new(number).ok()))
            .collect()
    };
    let (containers, machines) = (here("lxc"), here("qemu"));
    let mut guests: BTreeSet<Vmid> = &containers | &ours;
    for vmid in rights::guests_with_grants(&rules) {
        // What no list shows may still be there; whether a VMID is taken is told to everybody.
        if !guests.contains(&vmid) && !agent.is_free(vmid).await? {
            guests.insert(vmid);
        }
    }
    guests.retain(|vmid| !scratch.contains(vmid) && !machines.contains(vmid));
    let setting = setting(config, guests);
    let holders = rights::holders(config, remotes, &setting).await?;
    let lacks = privileges::assess(&setting, &holders, &rules);
    let mut findings = privileges::findings(&lacks);
    findings.extend(privileges::excess(&setting, &holders));
    let taken = containers.union(&machines).copied();
    let taken: Vec<Vmid> = taken.filter(|vmid| scratch.contains(vmid)).collect();
    let foreign = foreign(agent, journal, taken).await;
    findings.extend(health(&look(config, remotes, foreign).await?));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(Examined {
        setting,
        holders,
        lacks,
        sees_grants: rules.acl.is_some(),
        findings,
    })
}

fn setting(config: &Config, guests: BTreeSet<Vmid>) -> Setting {
    let policy = &config.restore_test_policy;
    Setting {
        node: config.node.clone(),
        guests,
        backup_storage: config.backup.storage.clone(),
        target_storage: policy.target.clone(),
        pool: policy.pool.clone(),
        bridge: policy.bridge.clone(),
        first_scratch: policy.first_vmid,
    }
}

/// Guests of the scratch range that do not bear our mark.
async fn foreign(agent: &Pve, journal: Option<&Journal>, taken: Vec<Vmid>) -> Vec<Vmid> {
    let mut foreign = Vec::new();
    for vmid in taken {
        let config = agent.lxc_config(vmid).await.ok();
        let config = config.and_then(|config| observe::guest_config(&config).ok());
        let mark = config
            .and_then(|config| config.description)
            .and_then(|text| Mark::find(&text));
        let ours = mark.zip(journal).is_some_and(|(mark, journal)| {
            mark.vmid == vmid && mark.installation == *journal.installation()
        });
        if !ours {
            foreign.push(vmid);
        }
    }
    foreign
}

async fn look(config: &Config, remotes: &Remotes, foreign: Vec<Vmid>) -> Result<Health, Error> {
    let agent = remotes.of(Principal::Agent);
    let tester = remotes.of(Principal::RestoreTest);
    let policy = &config.restore_test_policy;
    let interfaces = agent.host_interfaces().await?;
    let bridge = interfaces
        .iter()
        .find(|one| one.kind == "bridge" && one.iface == policy.bridge.to_string());
    let bridge = match bridge {
        None => BridgeHealth::Missing,
        Some(bridge) if bridge.is_isolated_bridge() => BridgeHealth::Isolated,
        Some(_) => BridgeHealth::Connected,
    };
    let pool = match tester.pool(&policy.pool).await {
        Ok(pool) => Some(pool.is_some()),
        Err(Error::Forbidden { .. }) => None,
        Err(error) => return Err(error),
    };
    let before = clock::now().secs();
    let clock_ahead_s = match agent.node_time().await {
        // The answer was made between question and arrival.
        Ok(time) if time.time < before => Some(time.time.saturating_sub(before)),
        Ok(time) => Some(time.time.saturating_sub(clock::now().secs()).max(0)),
        Err(_) => None,
    };
    Ok(Health {
        nodes: agent.nodes().await?.len(),
        insecure: matches!(config.trust, TrustConfig::Insecure),
        storages: storages(config, agent).await?,
        bridge: (policy.bridge.clone(), bridge),
        pool: (policy.pool.clone(), pool),
        foreign_scratch: foreign,
        clock_ahead_s,
    })
}

async fn storages(config: &Config, agent: &Pve) -> Result<Vec<StorageHealth>, Error> {
    let configured = agent.storage_configs().await?;
    let listed = agent.storages().await?;
    let look = |id: &StorageId, purpose: &'static str, content: &'static str| {
        let status = listed
            .iter()
            .find(|status| status.storage.as_ref() == Some(id));
        let settings = configured.iter().find(|one| one.storage == *id);
        StorageHealth {
            id: id.clone(),
            purpose,
            content,
            seen: status.map(|status| StorageSeen {
                active: status.active,
                fits: status.content.iter().any(|one| one == content),
                retention: observe::storage_facts(id, status, settings, None).retention,
                path: settings.and_then(|settings| settings.path.clone()),
                is_mountpoint: settings
                    .and_then(|settings| settings.is_mountpoint.as_deref())
                    .is_some_and(|text| !matches!(text, "0" | "no" | "off" | "false")),
            }),
        }
    };
    Ok(vec![
        look(&config.backup.storage, "backups", "backup"),
        look(&config.restore_test_policy.target, "copies", "rootdir"),
    ])
}
