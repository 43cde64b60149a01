//! What is held beyond what anything here needs: each such right is what a stolen secret could use.

use std::collections::{BTreeMap, BTreeSet};

use super::{Holder, Setting, names};
use crate::finding::{Code, Finding, codes};
use crate::principal::Principal;

/// What each of these could do that no operation of ours does.
pub(super) const DANGEROUS: &[(&str, &str)] = &[
    (
        "Datastore.Allocate",
        "delete any volume of the storage, guests' disks included",
    ),
    (
        "Permissions.Modify",
        "grant itself and others whatever its role holds",
    ),
    ("Realm.Allocate", "change how users are authenticated"),
    ("Realm.AllocateUser", "make users"),
    ("Sys.Console", "open a console on the host"),
    ("Sys.Modify", "change the host's network, storages and jobs"),
    ("Sys.PowerMgmt", "switch the host off"),
    ("User.Modify", "change users and issue tokens for them"),
    ("VM.Console", "open consoles of guests"),
    (
        "VM.GuestAgent.FileWrite",
        "write files inside virtual machines",
    ),
    (
        "VM.GuestAgent.Unrestricted",
        "run commands inside virtual machines",
    ),
];

/// Rights that nothing needs, tokens that are not cut down, and what the restore test's principal may do to guests that are
/// not its own.
pub fn excess(setting: &Setting, holders: &[Holder]) -> Vec<Finding> {
    let mut found = Vec::new();
    for holder in holders {
        let subject = format!("principal {}", holder.principal);
        if holder.is_roots() {
            let detail = format!("`{}` belongs to root@pam", holder.token);
            let hint = "enrol a user of its own: `felhom-agent enroll pve`";
            found.push(Finding::new(codes::ROOT_TOKEN, &subject, detail).hint(hint));
        }
        if holder.separated == Some(false) {
            let (user, name) = holder.token.split_once('!').unwrap_or_default();
            let detail = format!(
                "`{}` may do all that `{}` may do",
                holder.token, holder.user
            );
            let hint = format!(
                "grant to the token what `felhom-agent doctor` lists, then: pveum user token modify {user} {name} --privsep 1"
            );
            found.push(Finding::new(codes::TOKEN_NOT_SEPARATED, &subject, detail).hint(hint));
        }
        found.extend(needless(setting, holder, &subject));
        found.extend(over_production(setting, holder, &subject));
    }
    found
}

/// Where each privilege is held.
fn held(holder: &Holder) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut held: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, privileges) in &holder.effective {
        for privilege in privileges.keys() {
            held.entry(privilege).or_default().insert(path);
        }
    }
    held
}

fn needless(setting: &Setting, holder: &Holder, subject: &str) -> Vec<Finding> {
    let needed: BTreeSet<&str> = setting
        .needs()
        .filter(|need| holder.serves(need.principal))
        .flat_map(|need| need.privileges.iter().copied())
        .collect();
    let mut found = Vec::new();
    let mut rest = Vec::new();
    for (privilege, paths) in held(holder) {
        // Looking is harmless, and what was not asked for today is tomorrow's diagnosis.
        if needed.contains(privilege) || privilege.ends_with(".Audit") {
            continue;
        }
        match DANGEROUS.iter().find(|(name, _)| *name == privilege) {
            Some((_, power)) => {
                let detail = format!(
                    "{privilege} on {} is not needed, and whoever has the token's secret can {power}",
                    list(topmost(&paths))
                );
                found.push(finding(codes::EXCESS_DANGEROUS, subject, detail));
            }
            None => rest.push(privilege),
        }
    }
    if !rest.is_empty() {
        let detail = format!(
            "held, and needed by nothing that is configured: {}",
            list(rest)
        );
        found.push(finding(codes::EXCESS_PRIVILEGES, subject, detail));
    }
    found
}

/// The paths that have none of the others above them.
pub(super) fn topmost<'a>(paths: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let is_below = |path: &str, other: &str| {
        let rest = path.strip_prefix(other.trim_end_matches('/'));
        path != other && rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let top = |path: &&&str| !paths.iter().any(|other| is_below(path, other));
    paths.iter().filter(top).copied().collect()
}

fn finding(code: Code, subject: &str, detail: String) -> Finding {
    let hint = "take it out of the role (`pveum role modify ROLE --privs …`), or let `felhom-agent enroll pve` make pared roles";
    Finding::new(code, subject, detail).hint(hint)
}

/// A restore-test principal of its own is worth its name only while it cannot touch production.
fn over_production(setting: &Setting, holder: &Holder, subject: &str) -> Option<Finding> {
    if holder.both || holder.principal != Principal::RestoreTest {
        return None;
    }
    let harmless = |privilege: &String| privilege == "VM.Backup" || !privilege.starts_with("VM.");
    let mut reach: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for vmid in &setting.guests {
        for privilege in names(&holder.effective, &format!("/vms/{vmid}")) {
            if !harmless(&privilege) && !privilege.ends_with(".Audit") {
                reach.entry(privilege).or_default().push(vmid.to_string());
            }
        }
    }
    if reach.is_empty() {
        return None;
    }
    let each = reach
        .into_iter()
        .map(|(privilege, guests)| format!("{privilege} on {}", guests.join(", ")));
    let detail = format!(
        "may do to production guests: {}",
        each.collect::<Vec<_>>().join("; ")
    );
    let hint = "grant these on the scratch pool only, and take production guests out of that pool";
    Some(Finding::new(codes::TESTER_REACHES_PRODUCTION, subject, detail).hint(hint))
}

fn list<'a>(all: impl IntoIterator<Item = &'a str>) -> String {
    all.into_iter().collect::<Vec<_>>().join(", ")
}
