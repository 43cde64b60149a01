//! What the box looks like to each principal, gathered for the engine's judgement of rights and health. Only reads.

pub mod fence;
mod health;
pub(crate) mod pbs;
pub mod probe;
pub mod reach;
mod rights;

use std::collections::BTreeSet;

use felhom_engine::privileges::{self, Holder, Lack, Setting};
use felhom_engine::{Finding, Mark, Principal, health};
use felhom_ids::Vmid;
use felhom_proxmox::{Error, Pve};

use crate::config::Config;
use crate::journal::Journal;
use crate::observe;
use crate::remote::Remotes;
use crate::storages::Observed;

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

/// Looks at rights and health. `ours` are guests that the journal knows, `storages` what was seen of them.
///
/// # Errors
/// When the server cannot be reached, does not know the token, or answers with garbage.
pub async fn examine(
    config: &Config,
    remotes: &Remotes,
    journal: Option<&Journal>,
    ours: BTreeSet<Vmid>,
    storages: &[Observed],
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
    let here = &here("lxc") | &here("qemu");
    let mut guests: BTreeSet<Vmid> = &here | &ours;
    for vmid in rights::guests_with_grants(&rules) {
        // What no list shows may still be there; whether a VMID is taken is told to everybody.
        if !guests.contains(&vmid) && !agent.is_free(vmid).await? {
            guests.insert(vmid);
        }
    }
    guests.retain(|vmid| !scratch.contains(vmid));
    let mut gone = BTreeSet::new();
    for vmid in guests.difference(&here) {
        if agent.is_free(*vmid).await? {
            gone.insert(*vmid);
        }
    }
    let setting = setting(config, guests);
    let holders = rights::holders(config, remotes, &setting).await?;
    let lacks = privileges::assess(&setting, &holders, &rules);
    let mut findings = privileges::findings(&lacks, &gone);
    findings.extend(privileges::excess(&setting, &holders));
    let taken = here.into_iter();
    let taken: Vec<Vmid> = taken.filter(|vmid| scratch.contains(vmid)).collect();
    let foreign = if config.restore_tests {
        foreign(agent, journal, taken).await
    } else {
        Vec::new()
    };
    findings.extend(health(
        &health::look(config, remotes, foreign, storages).await?,
    ));
    findings.extend(storages.iter().flat_map(Observed::findings));
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
        restore_tests: config.restore_tests,
    }
}

/// Guests of the scratch range that do not bear our mark.
async fn foreign(agent: &Pve, journal: Option<&Journal>, taken: Vec<Vmid>) -> Vec<Vmid> {
    let mut foreign = Vec::new();
    for vmid in taken {
        let config = observe::either_config(agent, vmid).await.ok();
        let config = config.and_then(Result::ok);
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
