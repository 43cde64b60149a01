//! Privileges and the roles that bundle them: a server has no others.

/// All privileges there are; a privilege is one bit, in this order.
pub(crate) const PRIVILEGES: [&str; 20] = [
    "Sys.Audit",
    "Sys.Modify",
    "Sys.PowerManagement",
    "Datastore.Audit",
    "Datastore.Allocate",
    "Datastore.Modify",
    "Datastore.Read",
    "Datastore.Verify",
    "Datastore.Backup",
    "Datastore.Prune",
    "Permissions.Modify",
    "Remote.Audit",
    "Remote.Modify",
    "Remote.Read",
    "Sys.Console",
    "Tape.Audit",
    "Tape.Modify",
    "Tape.Write",
    "Tape.Read",
    "Realm.Allocate",
];
pub(crate) const SYS_AUDIT: u32 = 1;
pub(crate) const SYS_MODIFY: u32 = 1 << 1;
pub(crate) const AUDIT: u32 = 1 << 3;
pub(crate) const ALLOCATE: u32 = 1 << 4;
pub(crate) const MODIFY: u32 = 1 << 5;
pub(crate) const READ: u32 = 1 << 6;
pub(crate) const VERIFY: u32 = 1 << 7;
pub(crate) const BACKUP: u32 = 1 << 8;
pub(crate) const PRUNE: u32 = 1 << 9;
pub(crate) const PERMISSIONS: u32 = 1 << 10;
/// Any of these on a namespace lets its name be seen.
pub(crate) const SEES_NAMESPACE: u32 = MODIFY | READ | BACKUP | AUDIT;
pub(super) const ALL: u32 = (1 << 20) - 1;

/// Roles: name, comment (spelt as the server spells it), privileges.
pub(crate) const ROLES: [(&str, &str, &[&str]); 15] = [
    ("Admin", "Administrator", &PRIVILEGES),
    ("Audit", "Auditor", &["Sys.Audit", "Datastore.Audit"]),
    ("NoAccess", "Disable Access", &[]),
    (
        "DatastoreAdmin",
        "Datastore Administrator",
        &[
            "Datastore.Audit",
            "Datastore.Modify",
            "Datastore.Read",
            "Datastore.Verify",
            "Datastore.Backup",
            "Datastore.Prune",
        ],
    ),
    (
        "DatastoreReader",
        "Datastore Reader (inspect datastore content and do restores)",
        &["Datastore.Audit", "Datastore.Read", "Datastore.Verify"],
    ),
    (
        "DatastoreBackup",
        "Datastore Backup (backup and restore owned backups)",
        &["Datastore.Backup"],
    ),
    (
        "DatastorePowerUser",
        "Datastore PowerUser (backup, restore and prune owned backup)",
        &["Datastore.Backup", "Datastore.Prune"],
    ),
    ("DatastoreAudit", "Datastore Auditor", &["Datastore.Audit"]),
    ("RemoteAudit", "Remote Auditor", &["Remote.Audit"]),
    (
        "RemoteAdmin",
        "Remote Administrator",
        &["Remote.Audit", "Remote.Modify", "Remote.Read"],
    ),
    (
        "RemoteSyncOperator",
        "Syncronisation Opertator",
        &["Remote.Audit", "Remote.Read"],
    ),
    ("TapeAudit", "Tape Auditor", &["Tape.Audit"]),
    (
        "TapeAdmin",
        "Tape Administrator",
        &["Tape.Audit", "Tape.Modify", "Tape.Write", "Tape.Read"],
    ),
    (
        "TapeOperator",
        "Tape Operator",
        &["Tape.Audit", "Tape.Write", "Tape.Read"],
    ),
    ("TapeReader", "Tape Reader", &["Tape.Audit", "Tape.Read"]),
];

/// Bits of named privileges.
pub(super) fn bits(names: &[&str]) -> u32 {
    let known = PRIVILEGES.iter().enumerate();
    known
        .filter(|(_, name)| names.contains(name))
        .fold(0, |bits, (place, _)| bits | 1 << place)
}

/// Names of the privileges in a set, in the server's order.
pub(crate) fn names(bits: u32) -> Vec<&'static str> {
    let known = PRIVILEGES.iter().enumerate();
    known
        .filter(|(place, _)| bits & 1 << place != 0)
        .map(|(_, name)| *name)
        .collect()
}
