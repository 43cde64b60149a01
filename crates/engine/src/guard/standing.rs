//! How an open guard stands now: what is due, and what a person should know of it.

use std::time::Duration;

use super::age::{Age, Past, Reading};
use super::open::{GuardEnd, GuardPhase, GuardPolicy, OnExpiry, OnMaxAge, OpenGuard};
use crate::finding::{Finding, codes};

/// What is to be done about a guard without anybody asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardDue {
    /// Nothing, or nothing that may be done without a person.
    Nothing,
    /// Its deadline is over, and it was begun with that condition.
    Rollback,
    /// It has ended, or is too old by policy: only the snapshot is to be removed.
    Remove(GuardEnd),
}

/// How an open guard stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardStanding {
    /// What is due.
    pub due: GuardDue,
    /// Whether its deadline is over.
    pub expired: Past,
    /// Its age, by the clock that saw most time pass.
    pub age: Duration,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

/// Judges an open guard by all clocks.
pub fn guard_standing(guard: &OpenGuard, policy: &GuardPolicy, now: &Reading) -> GuardStanding {
    let age = Age::between(&guard.begun, now);
    let expired = age.is_past(guard.confirm_within);
    let too_old = age.is_past(policy.max_age);
    let due = match guard.phase {
        GuardPhase::Removing(end) => GuardDue::Remove(end),
        GuardPhase::Open if expired == Past::Yes && guard.on_expiry == OnExpiry::Rollback => {
            GuardDue::Rollback
        }
        GuardPhase::Open if too_old == Past::Yes && policy.on_max_age == OnMaxAge::Delete => {
            GuardDue::Remove(GuardEnd::Outlived)
        }
        GuardPhase::Open | GuardPhase::Doubtful => GuardDue::Nothing,
    };
    let findings = match guard.phase {
        GuardPhase::Removing(_) => vec![left(
            guard,
            "the guard has ended, and its snapshot is still there",
        )],
        GuardPhase::Doubtful => vec![undetermined(
            guard,
            "nobody can say whether it was rolled back, or how far a rollback came",
        )],
        GuardPhase::Open => open_findings(guard, expired, too_old, &age),
    };
    GuardStanding {
        due,
        expired,
        age: age.at_most(),
        findings,
    }
}

fn open_findings(guard: &OpenGuard, expired: Past, too_old: Past, age: &Age) -> Vec<Finding> {
    let mut findings = Vec::new();
    let minutes = age.at_most().as_secs() / 60;
    if too_old != Past::No {
        let detail = format!(
            "snapshot `{}` is {minutes} min old and grows with every change of the guest",
            guard.snapshot
        );
        findings.push(Finding::new(codes::GUARD_TOO_OLD, subject(guard), detail).hint(both(guard)));
    } else if expired != Past::No {
        let within = guard.confirm_within.as_secs();
        let doubt = match (expired, guard.on_expiry) {
            (Past::Unsure, OnExpiry::Rollback) => {
                "; the clocks do not agree on it (or the node was restarted), so nothing is rolled back by itself"
            }
            _ => "",
        };
        let detail = format!(
            "begun {minutes} min ago and not confirmed within {within} s{doubt}; snapshot `{}` is kept",
            guard.snapshot
        );
        findings.push(Finding::new(codes::GUARD_EXPIRED, subject(guard), detail).hint(both(guard)));
    }
    findings
}

/// What a guard's findings are about.
pub(super) fn subject(guard: &OpenGuard) -> String {
    format!("guest {}", guard.vmid())
}

/// The two ways out.
pub(super) fn both(guard: &OpenGuard) -> String {
    let vmid = guard.vmid();
    format!(
        "`felhom-agent snapshot guard {vmid} confirm` keeps what the guest is now, `felhom-agent snapshot guard {vmid} abort` \
         takes it back"
    )
}

pub(super) fn left(guard: &OpenGuard, why: &str) -> Finding {
    let (vmid, name) = (guard.vmid(), &guard.snapshot);
    Finding::new(codes::GUARD_SNAPSHOT_LEFT, subject(guard), format!("`{name}`: {why}")).hint(format!(
        "`felhom-agent snapshot settle` tries again; by hand, as root on the node: pct delsnapshot {vmid} {name}"
    ))
}

pub(super) fn undetermined(guard: &OpenGuard, why: &str) -> Finding {
    let (vmid, name) = (guard.vmid(), &guard.snapshot);
    Finding::new(codes::GUARD_UNDETERMINED, subject(guard), why).hint(format!(
        "look at the guest; if it is as it should be: `felhom-agent snapshot guard {vmid} confirm`; to roll back (again): \
         `felhom-agent snapshot guard {vmid} abort`; if it is locked (rollback), as root on the node: pct unlock {vmid} && \
         pct rollback {vmid} {name}"
    ))
}
