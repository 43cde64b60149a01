//! What is wrong with the box itself: what `doctor` finds out without changing anything, and what disks and sensors say.

use std::collections::BTreeSet;

use felhom_engine::watch::{DiskLook, disk_findings, heat};
use felhom_engine::{Finding, Severity, codes};
use felhom_protocol::host::{self as told, DiskHealth};

use super::Look;
use crate::doctor::{examine, fence as helper};
use crate::observe;
use crate::observe::host::Host;
use crate::storages::sight::Seen;

/// Clocks further apart than this make ages and windows wrong; `doctor` tells of less.
const CLOCKS_APART_S: u64 = 3600;

impl Look<'_> {
    /// What `doctor` finds out, as far as it changes nothing: rights, bridge, pool, certificate, clock, other people's jobs.
    pub(super) async fn health(&mut self, seen: &Seen) -> Vec<Finding> {
        if !self.reached {
            let detail = "nothing is backed up or proven, and nothing is known of its guests, until it answers";
            let silent = Finding::new(codes::NODE_SILENT, "node", detail);
            let hint = "on the node: systemctl status pveproxy pvedaemon; `felhom-agent trust show` when it shows another certificate";
            self.unseen("rights and health", "the node does not answer");
            return vec![silent.hint(hint)];
        }
        let mut found = Vec::new();
        found.extend(clock_off(self.node_now, self.began));
        let helper = helper::look(self.config).await;
        let needed = (!seen.targets.all.is_empty()).then_some("targets on removable disks");
        found.extend(helper.finding(self.config, needed));
        let ours = match self.journal {
            Some(journal) => journal.guests_of_backups().await.unwrap_or_default(),
            None => BTreeSet::new(),
        };
        let remotes = self.performer.remotes();
        match examine(self.config, remotes, self.journal, ours, &seen.all).await {
            // A right too many is doctor's business: nothing becomes worse with time.
            Ok(examined) => {
                // Where nobody can say which storages there are, none is missed.
                let is_missed = |finding: &Finding| {
                    seen.unlisted && finding.code == codes::STORAGE_UNUSABLE.name
                };
                let is_told = |finding: &Finding| {
                    finding.severity > Severity::Notice
                        && !is_of_doctor(&finding.code)
                        && !is_missed(finding)
                };
                found.extend(examined.findings.into_iter().filter(is_told));
            }
            Err(error) => {
                self.unseen("rights and health", observe::remote_error(&error).text);
            }
        }
        found
    }
}

/// What only `doctor` tells: rights beyond what is needed, and clocks that differ by seconds.
fn is_of_doctor(code: &str) -> bool {
    [
        codes::EXCESS_PRIVILEGES,
        codes::EXCESS_DANGEROUS,
        codes::CLOCK_OFF,
    ]
    .iter()
    .any(|one| one.name == code)
}

/// That the node's clock and ours are so far apart that no age and no window is what it seems.
fn clock_off(node_now: i64, now: i64) -> Option<Finding> {
    let apart = node_now.abs_diff(now);
    (apart > CLOCKS_APART_S).then(|| {
        let detail = format!("the node's clock and ours are {} min apart", apart / 60);
        let hint = "timedatectl status; chronyc tracking";
        Finding::new(codes::CLOCK_OFF, "node", detail).hint(hint)
    })
}

/// What disks and sensors say of themselves.
pub(super) fn host_findings(host: &Host) -> Vec<Finding> {
    let disks = host.disks.iter().flat_map(|disk| {
        disk_findings(&DiskLook {
            device: disk.device.clone(),
            model: disk.model.clone(),
            failing: disk.health == DiskHealth::Failed,
            worn_percent: disk.worn_percent,
        })
    });
    let heated = |one: &told::Temperature| {
        let sensor = format!("{} {}", one.chip, one.label);
        heat(&sensor, one.celsius, one.critical)
    };
    let heats = host.temperatures.iter().filter_map(heated);
    disks.chain(heats).collect()
}
