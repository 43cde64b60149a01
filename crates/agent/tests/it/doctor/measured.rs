//! What the contract measured: the table of privileges, and which of its operations each step of ours consists of.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::{Mutation, Step};

/// The contract's questions about privileges.
const QUESTIONS: &str = include_str!("../../../../contract/questions/privileges.toml");

/// Written from the contract's run, and compared with it by a test of the contract's.
const TABLE: &str = include_str!("../../../../../docs/reference/privileges.md");

/// The steps of each principal, and the contract's operations that they are made of (`observe/`, `perform/`).
const STEPS: &[(&str, &str, &[&str])] = &[
    (
        "agent",
        "observe-backup-subject",
        &[
            "guest-config",
            "guest-status",
            "machine-config",
            "machine-status",
            "snapshots",
            "nodes",
            "node-status",
            "node-time",
            "tasks-of-others",
            "storages",
            "storage-definitions",
            "permissions",
            "archives",
        ],
    ),
    ("agent", "backup", &["backup", "machine-backup"]),
    (
        "agent",
        "observe-backup-result",
        &[
            "archives",
            "archived-config",
            "machine-archived-config",
            "guest-status",
            "machine-status",
            "snapshots",
        ],
    ),
    (
        "agent",
        "observe-archive",
        &["archives", "archive-attributes"],
    ),
    ("agent", "set-notes", &["set-notes"]),
    ("agent", "set-protected", &["set-protected"]),
    (
        "agent",
        "list-archives",
        &["archives", "archive-attributes", "node-time"],
    ),
    ("agent", "delete-backup", &["delete-archive"]),
    (
        "agent",
        "observe-test-subject",
        &[
            "archives",
            "archive-attributes",
            "nodes",
            "node-status",
            "node-time",
            "tasks-of-others",
            "storages",
            "storage-definitions",
            "networks",
            "copy-volumes",
            "free-vmid",
        ],
    ),
    (
        "agent",
        "observe-scratch",
        &[
            "copy-volumes",
            "tasks-of-others",
            "free-vmid",
            "copy-status",
            "copy-config",
            "machine-copy-status",
            "machine-copy-config",
        ],
    ),
    (
        "agent",
        "follow-task",
        &[
            "own-task",
            "own-task-log",
            "node-status",
            "storages",
            "thin-pools",
        ],
    ),
    ("agent", "list-tasks", &["own-tasks"]),
    // What it looks at besides may fail: then it cannot say whether there was an effect.
    ("agent", "find-task", &["own-tasks"]),
    ("agent", "stop-task", &["stop-task"]),
    ("agent", "gather-evidence", &["node-status"]),
    ("agent", "list-snapshots", &["snapshots"]),
    ("agent", "snapshot", &["snapshot"]),
    ("agent", "delete-snapshot", &["delete-snapshot"]),
    (
        "agent",
        "observe-guard-subject",
        &[
            "guest-config",
            "guest-status",
            "snapshots",
            "snapshot-feature",
            "storages",
            "storage-definitions",
            "thin-pools",
            "permissions",
            "nodes",
            "node-status",
            "node-time",
            "tasks-of-others",
        ],
    ),
    ("agent", "rollback", &["rollback"]),
    (
        "restore-test",
        "observe-test-subject",
        &[
            "archived-config",
            "machine-archived-config",
            "pool",
            "permissions",
        ],
    ),
    ("restore-test", "follow-task", &["own-task", "own-task-log"]),
    ("restore-test", "list-tasks", &["own-tasks"]),
    ("restore-test", "find-task", &["own-tasks"]),
    ("restore-test", "stop-task", &["stop-task"]),
    ("restore-test", "restore", &["restore", "machine-restore"]),
    ("restore-test", "start", &["start", "machine-start"]),
    (
        "restore-test",
        "gather-evidence",
        &[
            "copy-status",
            "interfaces",
            "machine-copy-status",
            "machine-agent",
        ],
    ),
    ("restore-test", "stop", &["stop", "machine-stop"]),
    ("restore-test", "destroy", &["destroy", "machine-destroy"]),
    (
        "restore-test",
        "destroy-stub",
        &["destroy", "machine-destroy"],
    ),
];

/// The steps of `restore`, whose rights are given for the occasion: neither doctor nor enrolling asks for them, and the plan
/// itself tells what is lacking. The operations are measured for the agent's own token, which serves where none is named.
const OCCASIONAL: &[(&str, &[&str])] = &[
    (
        "observe-restore-subject",
        &[
            "archives",
            "archive-attributes",
            "archived-config",
            "nodes",
            "node-status",
            "node-time",
            "tasks-of-others",
            "storages",
            "storage-definitions",
            "thin-pools",
            "networks",
            "guest-config",
            "guest-status",
            "copy-volumes",
            "free-vmid",
            "permissions",
        ],
    ),
    ("restore-guest", &["restore"]),
    (
        "observe-restored",
        &[
            "copy-volumes",
            "tasks-of-others",
            "free-vmid",
            "copy-status",
            "copy-config",
        ],
    ),
    ("start-restored", &["start"]),
    ("destroy-restored", &["destroy"]),
];

/// Steps that ask the node for nothing: they read a file, or speak to a backup server or to the root helper.
const LOCAL: [&str; 5] = [
    "read-archive",
    "list-pbs-snapshots",
    "verify",
    "release-unfinished",
    "create-golden",
];

/// Operations that no step is made of, and who performs them.
const BESIDE_STEPS: [(&str, &str); 6] = [
    ("version", "`selftest`, outside of any job"),
    ("guests", "`guests` and `status`, outside of any job"),
    ("machines", "the same, for virtual machines"),
    ("disks", "the host report, outside of any job"),
    ("disk-health", "the host report, for temperatures"),
    ("packages", "the host report, for pending updates"),
];

/// Principal, privilege and step that is told to be hindered though every operation of it succeeds.
const OTHERWISE: &[(&str, &str, &str)] = &[
    // PVE 9.2 asks for it and ignores the answer; a version that does not would hide the pool.
    ("restore-test", "Pool.Audit", "observe-test-subject"),
];

/// One removal of the table: role, path in the table's words, privilege, side.
type Removal = (String, String, String, String);

/// The operations that fail or are shortened, by removal.
pub(super) fn table() -> BTreeMap<Removal, BTreeSet<String>> {
    let mut table = BTreeMap::new();
    let mut role = String::new();
    for line in TABLE.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            name.trim_matches('`').clone_into(&mut role);
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [path, privilege, side @ ("user" | "token"), fails] = cells.as_slice() else {
            continue;
        };
        let word = |text: &str| text.trim_matches('`').to_owned();
        let none = fails.starts_with("not needed");
        let fails = fails.split(',').filter(|_| !none);
        let fails = fails.filter_map(|one| one.split_whitespace().next());
        let removal = (role.clone(), word(path), word(privilege), word(side));
        table.insert(removal, fails.map(str::to_owned).collect());
    }
    table
}

/// The steps that the contract's run shows to be hindered by a removal.
pub(super) fn hindered(
    principal: &str,
    path: &str,
    privilege: &str,
    side: &str,
) -> BTreeSet<String> {
    let place = match path {
        "/pool/felhom-scratch" => "/pool/POOL",
        "/storage/local" => "/storage/BACKUPS",
        "/storage/local-lvm" => "/storage/VOLUMES",
        "/sdn/zones/localnetwork/vmbr9" => "/sdn/zones/localnetwork/ISOLATED",
        guest if guest.starts_with("/vms/") => "/vms/KEYCTL",
        other => other,
    };
    let removal = [principal, place, privilege, side].map(str::to_owned);
    let removal: Removal = removal.into();
    let fails = table()
        .remove(&removal)
        .unwrap_or_else(|| panic!("the contract never removed {removal:?}"));
    let own = STEPS.iter().filter(|(who, _, _)| *who == principal);
    let mut steps: BTreeSet<String> = own
        .filter(|(_, _, made_of)| made_of.iter().any(|one| fails.contains(*one)))
        .map(|(_, step, _)| (*step).to_owned())
        .collect();
    let told = OTHERWISE
        .iter()
        .filter(|(who, lacking, _)| (*who, *lacking) == (principal, privilege));
    steps.extend(told.map(|(_, _, step)| (*step).to_owned()));
    steps
}

/// Name and role of every operation that the contract performs.
fn operations() -> BTreeSet<(String, String)> {
    let questions: toml::Table = QUESTIONS.parse().unwrap();
    let operations = questions["operation"].as_array().unwrap().iter();
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let with_roles = operations.flat_map(|operation| {
        let roles = operation["roles"].as_array().unwrap().iter();
        roles.map(move |role| (text(&operation["name"]), text(role)))
    });
    with_roles.collect()
}

#[test]
fn every_step_is_made_of_operations_or_asks_for_nothing() {
    let made: BTreeSet<&str> = STEPS.iter().map(|(_, step, _)| *step).collect();
    let occasional = OCCASIONAL.iter().map(|(step, _)| step);
    let told: BTreeSet<&str> = made
        .iter()
        .chain(occasional)
        .chain(&LOCAL)
        .copied()
        .collect();
    let all: BTreeSet<&str> = [Step::NAMES.as_slice(), &Mutation::NAMES]
        .concat()
        .into_iter()
        .collect();
    assert_eq!(told, all, "here, and in the engine");
    for step in LOCAL {
        assert!(!made.contains(step), "`{step}` is told twice");
    }
}

#[test]
fn every_operation_of_a_step_is_measured_and_every_measured_one_is_performed() {
    let measured = operations();
    let mut performed: BTreeSet<&str> = BESIDE_STEPS.iter().map(|(name, _)| *name).collect();
    for (principal, step, made_of) in STEPS {
        for operation in *made_of {
            let asked = ((*operation).to_owned(), (*principal).to_owned());
            assert!(
                measured.contains(&asked),
                "`{operation}` of `{step}` is not measured for `{principal}`"
            );
            let besides = BESIDE_STEPS.iter().any(|(name, _)| name == operation);
            assert!(!besides, "`{operation}` is performed by `{step}`");
            performed.insert(operation);
        }
    }
    for (step, made_of) in OCCASIONAL {
        for operation in *made_of {
            let asked = ((*operation).to_owned(), "agent".to_owned());
            assert!(
                measured.contains(&asked),
                "`{operation}` of `{step}` is not measured"
            );
        }
    }
    let measured: BTreeSet<&str> = measured.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(measured, performed, "measured, and performed");
}
