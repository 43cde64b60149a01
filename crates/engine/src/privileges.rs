//! What each thing that the agent does needs from Proxmox, on which path, of whom: one table, and what follows from it.
//!
//! The table is data so that a report, a check and a test read the same. What is held is compared with it in
//! [`assess`]; what is held beyond it is told by [`excess()`].

mod assess;
mod excess;
mod reach;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use felhom_ids::{BridgeName, NodeName, PoolId, StorageId, Vmid};
use serde::Serialize;

use crate::principal::Principal;

pub use assess::{Lack, Side, assess, findings};
pub use excess::excess;
pub use reach::{ArchiveSeen, Damage, Inventory, reach};
pub use rules::{AclGrant, Rules, SubjectKind};

/// Where on the box the operations take place, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The node.
    pub node: NodeName,
    /// The guests that are backed up and tested.
    pub guests: BTreeSet<Vmid>,
    /// Where backups go.
    pub backup_storage: StorageId,
    /// Where copies go.
    pub target_storage: StorageId,
    /// The scratch pool.
    pub pool: PoolId,
    /// The isolated bridge.
    pub bridge: BridgeName,
    /// The lowest scratch VMID.
    pub first_scratch: Vmid,
    /// Whether restore tests are set up at all.
    pub restore_tests: bool,
}

impl Setting {
    /// The lines of the table that what is set up asks for.
    pub fn needs(&self) -> impl Iterator<Item = &'static Need> {
        let tests = self.restore_tests;
        let asked = move |need: &&Need| tests || need.purpose != Purpose::RestoreTest;
        NEEDS.iter().filter(asked)
    }
}

/// Where a privilege is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The whole of the datacenter.
    Root,
    /// The node.
    Node,
    /// Each guest.
    Guests,
    /// A scratch VMID that need not exist.
    Scratch,
    /// The storage of backups.
    BackupStorage,
    /// The storage of copies.
    TargetStorage,
    /// The scratch pool.
    Pool,
    /// The isolated bridge.
    Bridge,
}

impl Place {
    /// The ACL paths that it stands for: where the privilege is needed, and where it is to be granted.
    pub fn paths(self, setting: &Setting) -> Vec<(String, String)> {
        let one = match self {
            Self::Root => "/".to_owned(),
            Self::Node => format!("/nodes/{}", setting.node),
            Self::BackupStorage => format!("/storage/{}", setting.backup_storage),
            Self::TargetStorage => format!("/storage/{}", setting.target_storage),
            Self::Pool => format!("/pool/{}", setting.pool),
            Self::Bridge => format!("/sdn/zones/localnetwork/{}", setting.bridge),
            // Destroying a container takes the grants on its own path along (pve-container `destroy_vm`), so a grant for
            // scratch guests can only stand above.
            Self::Scratch => {
                return vec![(format!("/vms/{}", setting.first_scratch), "/vms".to_owned())];
            }
            // No guest is visible: then all are out of sight.
            Self::Guests if setting.guests.is_empty() => "/vms".to_owned(),
            Self::Guests => {
                let paths = setting.guests.iter().map(|vmid| format!("/vms/{vmid}"));
                return paths.map(|path| (path.clone(), path)).collect();
            }
        };
        vec![(one.clone(), one)]
    }
}

/// The command that an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Purpose {
    /// Backing guests up.
    #[serde(rename = "backup run")]
    Backup,
    /// Removing what is superseded; also the end of every good backup.
    #[serde(rename = "backup prune")]
    Prune,
    /// Proving that backups come back.
    #[serde(rename = "restore-test run")]
    RestoreTest,
    /// Snapshotting a guest before a change, and rolling it back.
    #[serde(rename = "snapshot guard")]
    Guard,
    /// Snapshotting a guest as an exercise.
    #[serde(rename = "selftest task")]
    Exercise,
}

impl Purpose {
    /// The command as it is typed.
    pub fn command(self) -> &'static str {
        match self {
            Self::Backup => "backup run",
            Self::Prune => "backup prune",
            Self::RestoreTest => "restore-test run",
            Self::Guard => "snapshot guard",
            Self::Exercise => "selftest task",
        }
    }
}

/// What happens without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The operation fails, and so does its command.
    Fails,
    /// The operation succeeds, but something stays out of sight that would have been judged.
    Blind,
    /// The operation fails, and is asked for by a person only.
    Optional,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The step, by its name in the journal.
    pub operation: &'static str,
    /// The command that it is a part of.
    pub purpose: Purpose,
    /// Who performs it.
    pub principal: Principal,
    /// Where.
    pub place: Place,
    /// The privileges.
    pub privileges: &'static [&'static str],
    /// One of them is enough.
    pub any: bool,
    /// What happens without.
    pub effect: Effect,
    /// It is an access to an archive, for which `Datastore.Allocate` on the storage would do as well.
    pub archive: bool,
}

const fn need(
    operation: &'static str,
    purpose: Purpose,
    principal: Principal,
    place: Place,
    privileges: &'static [&'static str],
) -> Need {
    Need {
        operation,
        purpose,
        principal,
        place,
        privileges,
        any: false,
        effect: Effect::Fails,
        archive: false,
    }
}

const fn any(need: Need) -> Need {
    Need { any: true, ..need }
}

const fn archive(need: Need) -> Need {
    Need {
        archive: true,
        ..need
    }
}

const fn but(effect: Effect, need: Need) -> Need {
    Need { effect, ..need }
}

const SEE_STORAGE: &[&str] = &["Datastore.AllocateSpace", "Datastore.Audit"];
const SPACE: &[&str] = &["Datastore.AllocateSpace"];
const VM_BACKUP: &[&str] = &["VM.Backup"];
const VM_SNAPSHOT: &[&str] = &["VM.Snapshot"];
const VM_ROLLBACK: &[&str] = &["VM.Snapshot", "VM.Snapshot.Rollback"];
const VM_AUDIT: &[&str] = &["VM.Audit"];
const SYS_AUDIT: &[&str] = &["Sys.Audit"];

/// Every privilege of every step. An archive is listed, read and annotated with `VM.Backup` on its guest and
/// `Datastore.AllocateSpace` on its storage together (pve-storage `check_volume_access`); without, lists are silently shorter.
/// `Datastore.Allocate` on the storage opens every archive, and everything else on it.
pub const NEEDS: &[Need] = {
    use Effect::{Blind, Optional};
    use Place::{BackupStorage, Bridge, Guests, Node, Pool, Root, Scratch, TargetStorage};
    use Principal::{Agent, RestoreTest as Tester};
    use Purpose::{Backup, Exercise, Guard, Prune, RestoreTest as Test};
    &[
        need("observe-backup-subject", Backup, Agent, Guests, VM_AUDIT),
        need("observe-backup-subject", Backup, Agent, Node, SYS_AUDIT),
        any(need(
            "observe-backup-subject",
            Backup,
            Agent,
            BackupStorage,
            SEE_STORAGE,
        )),
        need("backup", Backup, Agent, Guests, VM_BACKUP),
        need("backup", Backup, Agent, BackupStorage, SPACE),
        need("observe-backup-result", Backup, Agent, Guests, VM_AUDIT),
        archive(need(
            "observe-backup-result",
            Backup,
            Agent,
            Guests,
            VM_BACKUP,
        )),
        archive(need(
            "observe-backup-result",
            Backup,
            Agent,
            BackupStorage,
            SPACE,
        )),
        // The configuration inside the archive is read with `VM.Backup` whatever else is held (pve-manager VZDump.pm
        // `extractconfig`); without it, it is not compared.
        but(
            Blind,
            need("observe-backup-result", Backup, Agent, Guests, VM_BACKUP),
        ),
        archive(need("list-archives", Prune, Agent, Guests, VM_BACKUP)),
        archive(need("list-archives", Prune, Agent, BackupStorage, SPACE)),
        // Without the node's clock and the storage's limits nothing is pruned by age, and no quota is respected.
        but(Blind, need("list-archives", Prune, Agent, Node, SYS_AUDIT)),
        any(but(
            Blind,
            need("list-archives", Prune, Agent, BackupStorage, SEE_STORAGE),
        )),
        // Deleting asks for both, whatever else is held (pve-storage Content.pm `delete`).
        need("delete-backup", Prune, Agent, Guests, VM_BACKUP),
        need("delete-backup", Prune, Agent, BackupStorage, SPACE),
        archive(need("set-notes", Test, Agent, Guests, VM_BACKUP)),
        archive(need("set-notes", Test, Agent, BackupStorage, SPACE)),
        archive(need("set-protected", Test, Agent, Guests, VM_BACKUP)),
        archive(need("set-protected", Test, Agent, BackupStorage, SPACE)),
        archive(need("observe-archive", Test, Agent, Guests, VM_BACKUP)),
        archive(need("observe-archive", Test, Agent, BackupStorage, SPACE)),
        need("observe-test-subject", Test, Agent, Node, SYS_AUDIT),
        any(need(
            "observe-test-subject",
            Test,
            Agent,
            TargetStorage,
            SEE_STORAGE,
        )),
        any(need(
            "observe-test-subject",
            Test,
            Agent,
            Bridge,
            &["SDN.Audit", "SDN.Use"],
        )),
        need("observe-scratch", Test, Agent, Scratch, VM_AUDIT),
        // The tasks of the other principal, without which a stub that was cut off looks like somebody else's guest.
        but(Blind, need("observe-scratch", Test, Agent, Node, SYS_AUDIT)),
        // Volumes of a VMID without a guest would be listed with `VM.Config.Disk` on all of `/vms`, which also changes the disks
        // of production guests: what that would open is worse than what it would show, and a destruction that ended well
        // vouches for them.
        // The list of thin pools, and with it how full their metadata is.
        but(Blind, need("follow-task", Test, Agent, Root, SYS_AUDIT)),
        need("observe-test-subject", Test, Tester, Guests, VM_BACKUP),
        need("observe-test-subject", Test, Tester, BackupStorage, SPACE),
        // PVE 9.2 asks for it and ignores the answer (pve-manager `PVE/API2/Pool.pm`, `index`), so its lack is told, not
        // said to fail: a version that enforces it would hide the pool.
        but(
            Blind,
            need("observe-test-subject", Test, Tester, Pool, &["Pool.Audit"]),
        ),
        need("restore", Test, Tester, Guests, VM_BACKUP),
        need("restore", Test, Tester, BackupStorage, SPACE),
        need("restore", Test, Tester, TargetStorage, SPACE),
        need("restore", Test, Tester, Bridge, &["SDN.Use"]),
        need(
            "restore",
            Test,
            Tester,
            Pool,
            &[
                "VM.Allocate",
                "VM.Config.CPU",
                "VM.Config.Disk",
                "VM.Config.Memory",
                "VM.Config.Network",
                "VM.Config.Options",
            ],
        ),
        need("start", Test, Tester, Pool, &["VM.PowerMgmt"]),
        need("gather-evidence", Test, Tester, Pool, VM_AUDIT),
        // The sign of life of a virtual machine (qemu-server API2/Qemu/Agent.pm). `VM.GuestAgent.Unrestricted` would do as well,
        // and opens the whole guest.
        but(
            Blind,
            need(
                "gather-evidence",
                Test,
                Tester,
                Pool,
                &["VM.GuestAgent.Audit"],
            ),
        ),
        // Whether the node was restarted meanwhile.
        need("gather-evidence", Test, Agent, Node, SYS_AUDIT),
        need("stop", Test, Tester, Pool, &["VM.PowerMgmt"]),
        need("destroy", Test, Tester, Pool, &["VM.Allocate"]),
        // The root helper puts the stub into the pool; `destroy-unreferenced-disks` asks for no more.
        need("destroy-stub", Test, Tester, Pool, &["VM.Allocate"]),
        but(
            Optional,
            need("list-snapshots", Exercise, Agent, Guests, VM_AUDIT),
        ),
        but(
            Optional,
            need("snapshot", Exercise, Agent, Guests, VM_SNAPSHOT),
        ),
        but(
            Optional,
            need("delete-snapshot", Exercise, Agent, Guests, VM_SNAPSHOT),
        ),
        but(
            Optional,
            need("observe-guard-subject", Guard, Agent, Guests, VM_AUDIT),
        ),
        // The node's clocks, without which nothing is rolled back by itself; who else rolled back; how full the metadata of
        // a thin pool is.
        but(
            Blind,
            need("observe-guard-subject", Guard, Agent, Node, SYS_AUDIT),
        ),
        but(
            Blind,
            need("observe-guard-subject", Guard, Agent, Root, SYS_AUDIT),
        ),
        // Rolling back needs either (pve-container API2/LXC/Snapshot.pm); the snapshot before and its removal need the first.
        any(but(
            Optional,
            need("rollback", Guard, Agent, Guests, VM_ROLLBACK),
        )),
    ]
};

/// Every ACL path that must be asked about to compare what is held with [`NEEDS`].
pub fn paths_that_matter(setting: &Setting) -> BTreeSet<String> {
    let needed = setting.needs().flat_map(|need| need.place.paths(setting));
    let mut paths: BTreeSet<String> = needed.flat_map(|(at, grant)| [at, grant]).collect();
    paths.extend(["/", "/access"].map(str::to_owned));
    paths
}

/// Privileges by path, each with whether it also holds below.
pub type HeldAt = BTreeMap<String, BTreeMap<String, bool>>;

/// What one principal holds, as far as it could be seen.
#[derive(Debug, Clone)]
pub struct Holder {
    /// Who; the first when one token serves both.
    pub principal: Principal,
    /// Whether it serves as the other principal as well.
    pub both: bool,
    /// `name@realm`.
    pub user: String,
    /// `name@realm!token`.
    pub token: String,
    /// Whether the token is privilege-separated; `None` when that could not be seen.
    pub separated: Option<bool>,
    /// What the token may in effect: what user and token both hold.
    pub effective: HeldAt,
    /// What the user holds; `None` when that could not be seen.
    pub by_user: Option<HeldAt>,
}

impl Holder {
    /// Whether this identity performs what the principal performs.
    pub fn serves(&self, principal: Principal) -> bool {
        self.both || self.principal == principal
    }

    /// A root token's own grants are not cut down to those of its user (pve-access-control `RPCEnvironment`).
    fn is_roots(&self) -> bool {
        self.user == "root@pam"
    }
}

fn has(held: &HeldAt, path: &str, privilege: &str) -> bool {
    held.get(path).is_some_and(|at| at.contains_key(privilege))
}

fn names(held: &HeldAt, path: &str) -> BTreeSet<String> {
    let at = held.get(path);
    at.map(|at| at.keys().cloned().collect())
        .unwrap_or_default()
}
