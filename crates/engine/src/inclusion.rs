//! What a backup should contain, what vzdump says it contains, and what is in the archive: three witnesses, compared.

use serde::{Deserialize, Serialize};

use crate::vzdump_log::VzdumpLog;
use crate::world::{ArchiveContent, GuestConfig, Mount, MountSource, MountTally, is_drive};

/// Whether a mount point belongs into a backup, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inclusion {
    /// `rootfs`, `mpN`, or a drive's key.
    pub key: String,
    /// Path inside the guest.
    pub path: String,
    /// Whether vzdump will put it in.
    pub included: bool,
    /// Why, in a few words.
    pub why: String,
}

/// The three witnesses for one mount point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountProof {
    /// What the configuration says.
    pub planned: Inclusion,
    /// What vzdump logged.
    pub logged: Option<bool>,
    /// What of it is in the archive; `None` when the archive was not read.
    pub archived: Option<MountTally>,
    /// Why the witnesses contradict each other; `None` when they agree.
    pub difference: Option<String>,
}

/// What vzdump will do with each mount point (pve-container LXC/Config.pm `mountpoint_backup_enabled`: the rootfs always,
/// volumes with `backup=1`, anything else never; qemu-server QemuConfig.pm `get_backup_volumes`: every drive that is no CD
/// and does not say `backup=0`, also one that is a path or a device of the host).
pub fn planned_inclusion(config: &GuestConfig) -> Vec<Inclusion> {
    config.mounts.iter().map(planned).collect()
}

/// The same of one mount point.
pub(crate) fn planned(mount: &Mount) -> Inclusion {
    let (included, why) = match &mount.source {
        _ if is_drive(&mount.key) && mount.backup => (true, "drive without backup=0"),
        _ if is_drive(&mount.key) => (false, "drive that backups leave out"),
        _ if mount.key == "rootfs" => (true, "the rootfs always is"),
        MountSource::Volume(_) if mount.backup => (true, "volume with backup=1"),
        MountSource::Volume(_) => (false, "volume without backup=1"),
        MountSource::Bind(_) => (false, "bind mounts never are"),
        MountSource::Device(_) => (false, "device mounts never are"),
    };
    Inclusion {
        key: mount.key.clone(),
        path: mount.path.clone(),
        included,
        why: why.to_owned(),
    }
}

/// Holds plan, log and archive against each other, as far as they are there.
pub fn prove_inclusion(
    planned: &[Inclusion],
    log: Option<&VzdumpLog>,
    content: Option<&ArchiveContent>,
) -> Vec<MountProof> {
    planned
        .iter()
        .map(|planned| {
            let mount = log.and_then(|log| log.mounts.get(&planned.key));
            let logged = mount.map(|(included, _)| *included);
            let archived = content.map(|content| {
                content
                    .mounts
                    .get(&planned.key)
                    .copied()
                    .unwrap_or_default()
            });
            let root = content.is_some_and(|content| content.mount_roots.contains(&planned.key));
            let difference = log
                .and_then(|_| log_differs(planned, logged))
                .or_else(|| archive_differs(planned, archived, root));
            MountProof {
                planned: planned.clone(),
                logged,
                archived,
                difference,
            }
        })
        .collect()
}

fn log_differs(planned: &Inclusion, logged: Option<bool>) -> Option<String> {
    match logged {
        None => Some("vzdump's log does not mention it".to_owned()),
        Some(logged) if logged != planned.included => {
            let (plan, log) = (in_or_out(planned.included), in_or_out(logged));
            Some(format!("planned {plan}, but vzdump says {log}"))
        }
        Some(_) => None,
    }
}

fn archive_differs(
    planned: &Inclusion,
    archived: Option<MountTally>,
    root: bool,
) -> Option<String> {
    let tally = archived?;
    if !planned.included && tally.members > 0 {
        return Some(format!(
            "should be out, but {} members below `{path}` are in the archive (they may lie on the file system \
             beneath the mount point: `{path}` of the guest with {key} taken off)",
            tally.members,
            path = planned.path,
            key = planned.key
        ));
    }
    // tar is told to read each mount point that is in, and writes its directory first, also of one that is empty
    // (PVE-FACTS, what vzdump hands to tar); what an `exclude-path` drops altogether has none.
    if planned.included && !is_drive(&planned.key) && planned.key != "rootfs" && !root {
        return Some(format!(
            "should be in, but not even its directory `{}` is in the archive",
            planned.path
        ));
    }
    let must_hold = planned.key == "rootfs" || planned.included && is_drive(&planned.key);
    (must_hold && tally.members == 0)
        .then(|| "should be in, but the archive holds nothing of it".to_owned())
}

fn in_or_out(included: bool) -> &'static str {
    if included { "in" } else { "out" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn plan(key: &str, included: bool) -> Inclusion {
        Inclusion {
            key: key.into(),
            path: format!("/{key}"),
            included,
            why: String::new(),
        }
    }

    fn log(key: &str, included: bool) -> VzdumpLog {
        VzdumpLog {
            mounts: BTreeMap::from([(key.into(), (included, None))]),
            ..VzdumpLog::default()
        }
    }

    fn content(key: &str, members: u64) -> ArchiveContent {
        let tally = MountTally {
            members,
            bytes: members,
        };
        ArchiveContent {
            mounts: BTreeMap::from([(key.into(), tally)]),
            mount_roots: [key.into()].into(),
            ..ArchiveContent::default()
        }
    }

    fn differs(plan: &Inclusion, log: &VzdumpLog, content: Option<&ArchiveContent>) -> bool {
        prove_inclusion(std::slice::from_ref(plan), Some(log), content)[0]
            .difference
            .is_some()
    }

    #[test]
    fn three_agreeing_witnesses_are_a_proof() {
        assert!(!differs(
            &plan("mp1", true),
            &log("mp1", true),
            Some(&content("mp1", 3))
        ));
        assert!(!differs(
            &plan("mp2", false),
            &log("mp2", false),
            Some(&content("mp2", 0))
        ));
        assert!(!differs(&plan("mp1", true), &log("mp1", true), None));
    }

    #[test]
    fn an_empty_included_volume_is_no_difference() {
        assert!(!differs(
            &plan("mp1", true),
            &log("mp1", true),
            Some(&content("mp1", 0))
        ));
    }

    #[test]
    fn an_included_volume_without_even_its_directory_is_missing() {
        let nothing = ArchiveContent::default();
        assert!(differs(
            &plan("mp1", true),
            &log("mp1", true),
            Some(&nothing)
        ));
        assert!(!differs(
            &plan("mp2", false),
            &log("mp2", false),
            Some(&nothing)
        ));
    }

    #[test]
    fn every_contradiction_is_seen() {
        assert!(differs(&plan("mp1", true), &log("mp1", false), None));
        assert!(differs(&plan("mp2", false), &log("mp2", true), None));
        assert!(differs(
            &plan("mp2", false),
            &log("mp2", false),
            Some(&content("mp2", 1))
        ));
        assert!(differs(&plan("mp1", true), &VzdumpLog::default(), None));
        assert!(differs(
            &plan("rootfs", true),
            &log("rootfs", true),
            Some(&content("rootfs", 0))
        ));
    }
}
