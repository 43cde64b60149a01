//! Calls that must be refused, so that "too much" is shown and not inferred. None of them can be carried out
//! ([`felhom_proxmox::pve::probe`]).

use std::collections::BTreeSet;

use felhom_engine::privileges::Setting;
use felhom_engine::{Finding, Principal, codes};
use felhom_ids::Vmid;
use felhom_proxmox::Error;
use felhom_proxmox::pve::probe::{Probe, Probed};
use serde::Serialize;

use crate::config::Config;
use crate::remote::Remotes;

/// What one principal was asked, and what the server said.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Who asked.
    pub principal: Principal,
    /// What it asked for, in words.
    pub deed: String,
    /// `refused`, `allowed` or `unclear`.
    pub answer: &'static str,
    /// What was said instead of a clear answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Asks for everything that each principal must not do.
///
/// # Errors
/// When the server cannot be reached or does not know a token.
pub async fn ask(
    config: &Config,
    remotes: &Remotes,
    setting: &Setting,
) -> Result<Vec<Asked>, Error> {
    let mut all = Vec::new();
    for (principal, _) in config.identities() {
        let pve = remotes.of(principal);
        for (probe, deed) in probes(principal, setting) {
            let (answer, text) = match pve.probe(&probe).await? {
                Probed::Refused => ("refused", None),
                Probed::Allowed => ("allowed", None),
                Probed::Unclear(text) => ("unclear", Some(text)),
            };
            all.push(Asked {
                principal,
                deed,
                answer,
                text,
            });
        }
    }
    Ok(all)
}

fn probes(principal: Principal, setting: &Setting) -> Vec<(Probe, String)> {
    let mut probes = Vec::new();
    for vmid in &setting.guests {
        let mut guest = |probe: fn(Vmid) -> Probe, verb: &str| {
            probes.push((probe(*vmid), format!("{verb} guest {vmid}")));
        };
        guest(Probe::Destroy, "destroy");
        guest(Probe::Stop, "stop");
        guest(Probe::Configure, "configure");
        guest(Probe::Console, "open a console of");
        // The everyday principal may snapshot guests where that was chosen.
        if principal == Principal::RestoreTest {
            guest(Probe::Snapshot, "snapshot");
        }
    }
    let mut storages = BTreeSet::from([&setting.backup_storage]);
    if setting.restore_tests {
        storages.insert(&setting.target_storage);
    }
    for storage in storages {
        let deed = format!("change the definition of storage {storage}");
        probes.push((Probe::ChangeStorage(storage.clone()), deed));
    }
    for (probe, deed) in [
        (Probe::MakeJob, "define a backup job"),
        (Probe::SwitchOff, "reboot the node or shut it down"),
        (Probe::ChangeNetwork, "change the node's network"),
        (Probe::MakeRole, "make a role"),
        (Probe::Grant, "grant rights on /"),
    ] {
        probes.push((probe, deed.to_owned()));
    }
    probes
}

/// What was allowed and should not be; one finding a principal.
pub fn findings(asked: &[Asked]) -> Vec<Finding> {
    let mut found = Vec::new();
    for principal in [Principal::Agent, Principal::RestoreTest] {
        let allowed = asked
            .iter()
            .filter(|one| one.principal == principal && one.answer == "allowed");
        let deeds: Vec<&str> = allowed.map(|one| one.deed.as_str()).collect();
        if !deeds.is_empty() {
            let detail = format!("the server would let it: {}", deeds.join("; "));
            let hint = "take the privilege out of the role (`pveum role modify ROLE --privs …`), or let `felhom-agent enroll \
                        pve` make pared roles";
            let subject = format!("principal {principal}");
            found.push(Finding::new(codes::TOO_MUCH_SHOWN, subject, detail).hint(hint));
        }
    }
    found
}
