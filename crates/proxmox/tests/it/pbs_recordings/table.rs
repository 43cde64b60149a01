//! Which call of ours makes which exchange, and why others are made by none.

use felhom_proxmox::pbs::{datastore, identities, jobs, node, snapshots, version};
use serde_json::Value;

use super::checks::{
    Checked, collected, disk, download, file_list, groups, listed, log, machine, namespaces, notes,
    permissions, protected, pruned, reads, started, status_of_task, task_list, ticket,
};

type Check = fn(&Value) -> Checked;

/// What becomes of an exchange.
#[derive(Clone, Copy)]
pub(super) enum Use {
    /// A call of ours makes it, and reads its answer.
    Call(Check),
    /// None does.
    None(&'static str),
}

const NOT_READ: &str = "the agent has no use for it";
const REMOVES: &str = "the agent removes nothing on the server by name; its tokens may not";
const MAKES: &str = "an admin prepares the server; enrolling makes users, tokens and grants only";
const CONTENTS: &str =
    "contents come by the reader protocol, which also works for what is encrypted";
const ONE: &str = "the list has the same";

/// Method, path with its variable parts as `*`, and what becomes of it.
pub(super) type Row = (&'static str, &'static str, Use);

/// All of them.
pub(super) fn table() -> Vec<Row> {
    let mut all = calls();
    all.extend(others());
    all
}

fn calls() -> Vec<Row> {
    use Use::Call;
    vec![
        ("GET", "/version", Call(reads::<version::GetVersion>)),
        ("GET", "/ping", Call(reads::<version::Ping>)),
        ("GET", "/access/permissions", Call(permissions)),
        ("GET", "/access/acl", Call(reads::<identities::ListAcl>)),
        ("GET", "/access/users", Call(reads::<identities::ListUsers>)),
        (
            "GET",
            "/access/users/*/token",
            Call(reads::<identities::ListTokens>),
        ),
        ("POST", "/access/ticket", Call(ticket)),
        (
            "GET",
            "/admin/datastore",
            Call(reads::<datastore::ListDatastores>),
        ),
        ("GET", "/admin/datastore/*/status", Call(disk)),
        (
            "GET",
            "/status/datastore-usage",
            Call(reads::<datastore::GetDatastoreUsage>),
        ),
        ("GET", "/admin/datastore/*/gc", Call(collected)),
        ("GET", "/admin/datastore/*/namespace", Call(namespaces)),
        ("GET", "/admin/datastore/*/groups", Call(groups)),
        ("GET", "/admin/datastore/*/snapshots", Call(listed)),
        ("GET", "/admin/datastore/*/files", Call(file_list)),
        ("GET", "/admin/datastore/*/notes", Call(notes)),
        (
            "PUT",
            "/admin/datastore/*/notes",
            Call(reads::<snapshots::SetNotes>),
        ),
        ("GET", "/admin/datastore/*/protected", Call(protected)),
        (
            "PUT",
            "/admin/datastore/*/protected",
            Call(reads::<snapshots::SetProtected>),
        ),
        ("POST", "/admin/datastore/*/verify", Call(started)),
        ("POST", "/admin/datastore/*/prune", Call(pruned)),
        ("POST", "/admin/datastore/*/prune-datastore", Call(started)),
        ("GET", "/admin/datastore/*/download", Call(download)),
        ("GET", "/admin/datastore/*/download-decoded", Call(download)),
        ("GET", "/nodes/*/tasks", Call(task_list)),
        ("GET", "/nodes/*/tasks/*/status", Call(status_of_task)),
        ("GET", "/nodes/*/tasks/*/log", Call(log)),
        ("GET", "/nodes/*/status", Call(machine)),
        (
            "GET",
            "/nodes/*/certificates/info",
            Call(reads::<node::ListCertificates>),
        ),
        ("GET", "/config/verify", Call(reads::<jobs::ListVerifyJobs>)),
        (
            "POST",
            "/config/verify",
            Call(reads::<jobs::CreateVerifyJob>),
        ),
        (
            "DELETE",
            "/config/verify/*",
            Call(reads::<jobs::DeleteVerifyJob>),
        ),
        ("GET", "/config/prune", Call(reads::<jobs::ListPruneJobs>)),
        ("POST", "/config/prune", Call(reads::<jobs::CreatePruneJob>)),
        (
            "DELETE",
            "/config/prune/*",
            Call(reads::<jobs::DeletePruneJob>),
        ),
    ]
}

fn others() -> Vec<Row> {
    use Use::None;
    vec![
        ("GET", "/config/verify/*", None(ONE)),
        (
            "PUT",
            "/config/verify/*",
            None("jobs are made and removed, not changed"),
        ),
        ("GET", "/access/users/*", None(ONE)),
        ("GET", "/access/users/*/token/*", None(ONE)),
        (
            "GET",
            "/access/roles",
            None("a backup server has no roles but its own"),
        ),
        ("GET", "/admin/verify", None(ONE)),
        ("GET", "/admin/prune", None(ONE)),
        ("GET", "/admin/gc", None(ONE)),
        (
            "POST",
            "/admin/verify/*/run",
            None("the agent says itself what to verify"),
        ),
        (
            "POST",
            "/admin/datastore/*/gc",
            None("the admin's own schedule collects"),
        ),
        ("GET", "/admin/datastore/*", None(NOT_READ)),
        (
            "GET",
            "/admin/datastore/*/active-operations",
            None(NOT_READ),
        ),
        ("GET", "/admin/datastore/*/rrd", None(NOT_READ)),
        ("GET", "/admin/datastore/*/group-notes", None(NOT_READ)),
        ("PUT", "/admin/datastore/*/group-notes", None(NOT_READ)),
        ("GET", "/admin/datastore/*/catalog", None(CONTENTS)),
        (
            "GET",
            "/admin/datastore/*/pxar-file-download",
            None(CONTENTS),
        ),
        ("POST", "/admin/datastore/*/namespace", None(MAKES)),
        ("DELETE", "/admin/datastore/*/namespace", None(REMOVES)),
        ("DELETE", "/admin/datastore/*/groups", None(REMOVES)),
        ("DELETE", "/admin/datastore/*/snapshots", None(REMOVES)),
        ("GET", "/config/datastore", None(NOT_READ)),
        ("GET", "/config/datastore/*", None(NOT_READ)),
        ("GET", "/nodes", None("refused even to an admin's token")),
        ("GET", "/nodes/*/subscription", None(NOT_READ)),
        (
            "GET",
            "/api2/extjs/version",
            None("the writing for the web interface"),
        ),
    ]
}
