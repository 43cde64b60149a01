//! The call of ours that makes an exchange, made anew from what was recorded of its request.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;

use felhom_ids::{BackupGroup, BackupSnapshot, Namespace};
use felhom_proxmox::Request;
use felhom_proxmox::pbs::download::Download;
use felhom_proxmox::pbs::prune::{Keep, PruneDatastore, PruneGroup};
use felhom_proxmox::pbs::snapshots::{
    GetNotes, GetProtected, ListFiles, ListGroups, ListSnapshots, SetNotes, SetProtected,
};
use felhom_proxmox::pbs::tasks::{ListTasks, TaskLogOf, TaskStatusOf};
use felhom_proxmox::pbs::verify::{Scope, Verify};
use felhom_proxmox::pbs::{Call, Place, access, datastore, identities, jobs, node, version};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// What our calls always say, since the server's own default may be another.
const ALWAYS: [&str; 5] = [
    "ignore-verified",
    "dry-run",
    "start",
    "limit",
    "include_tokens",
];

/// An exchange as it was recorded.
struct Recorded {
    segments: Vec<String>,
    params: BTreeMap<String, String>,
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

fn as_text(value: &Value) -> String {
    match value {
        Value::Bool(set) => u8::from(*set).to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

impl Recorded {
    fn of(record: &Value) -> Self {
        let path = record["path"].as_str().unwrap();
        let path = path.strip_prefix("/api2/json").unwrap_or(path);
        let params = record["params"].as_object().into_iter().flatten();
        Self {
            segments: path.split('/').skip(1).map(decoded).collect(),
            params: params
                .map(|(name, value)| (name.clone(), as_text(value)))
                .collect(),
        }
    }

    fn maybe<T: FromStr>(&self, name: &str) -> Option<T> {
        self.params.get(name).and_then(|text| text.parse().ok())
    }

    fn is_set(&self, name: &str) -> bool {
        self.params.get(name).is_some_and(|text| text == "1")
    }

    fn text(&self, name: &str) -> String {
        self.params.get(name).cloned().unwrap_or_default()
    }

    fn place(&self) -> Option<Place> {
        Some(Place {
            store: self.segments.get(2)?.parse().ok()?,
            namespace: self.maybe("ns").unwrap_or_default(),
        })
    }

    fn group(&self) -> Option<BackupGroup> {
        let kind = self.maybe("backup-type")?;
        BackupGroup::new(kind, self.params.get("backup-id")?).ok()
    }

    fn snapshot(&self) -> Option<BackupSnapshot> {
        BackupSnapshot::new(self.group()?, self.maybe("backup-time")?).ok()
    }

    fn keep(&self) -> Keep {
        let number = |name| self.maybe::<NonZeroU32>(name);
        Keep {
            last: number("keep-last"),
            hourly: number("keep-hourly"),
            daily: number("keep-daily"),
            weekly: number("keep-weekly"),
            monthly: number("keep-monthly"),
            yearly: number("keep-yearly"),
        }
    }

    fn scope(&self) -> Scope {
        let namespace: Namespace = self.maybe("ns").unwrap_or_default();
        match (self.group(), self.snapshot()) {
            (_, Some(snapshot)) => Scope::Snapshot(namespace, snapshot),
            (Some(group), None) => Scope::Group(namespace, group),
            (None, None) => Scope::Below {
                namespace,
                max_depth: self.maybe("max-depth"),
            },
        }
    }

    /// The request below `/admin/datastore/STORE`.
    fn in_store(&self, method: &str) -> Option<Request> {
        let place = self.place()?;
        let store = place.store.clone();
        let word = self.segments.get(3)?.as_str();
        Some(match (method, word) {
            ("GET", "status") => datastore::GetDatastoreStatus {
                store,
                verbose: self.is_set("verbose"),
            }
            .request(),
            ("GET", "gc") => datastore::GetGcStatus { store }.request(),
            ("GET", "namespace") => datastore::ListNamespaces {
                store,
                parent: Namespace::root(),
                max_depth: self.maybe("max-depth"),
            }
            .request(),
            ("GET", "groups") => ListGroups { place }.request(),
            ("GET", "snapshots") => ListSnapshots {
                place,
                kind: self.maybe("backup-type"),
                id: self.maybe("backup-id"),
            }
            .request(),
            ("GET", "files") => ListFiles {
                place,
                snapshot: self.snapshot()?,
            }
            .request(),
            ("GET", "notes") => GetNotes {
                place,
                snapshot: self.snapshot()?,
            }
            .request(),
            ("PUT", "notes") => SetNotes {
                place,
                snapshot: self.snapshot()?,
                notes: self.text("notes"),
            }
            .request(),
            ("GET", "protected") => GetProtected {
                place,
                snapshot: self.snapshot()?,
            }
            .request(),
            ("PUT", "protected") => SetProtected {
                place,
                snapshot: self.snapshot()?,
                protected: self.is_set("protected"),
            }
            .request(),
            ("GET", "download" | "download-decoded") => Download {
                place,
                snapshot: self.snapshot()?,
                file: self.text("file-name"),
                decoded: word != "download",
            }
            .request(),
            ("POST", _) => return self.started(place, word),
            _ => return None,
        })
    }

    fn started(&self, place: Place, word: &str) -> Option<Request> {
        let store = place.store.clone();
        Some(match word {
            "verify" => Verify {
                store,
                scope: self.scope(),
                ignore_verified: self
                    .params
                    .get("ignore-verified")
                    .is_none_or(|text| text == "1"),
                outdated_after: self.maybe("outdated-after"),
            }
            .request(),
            "prune" => PruneGroup {
                place,
                group: self.group()?,
                keep: self.keep(),
                dry_run: self.is_set("dry-run"),
            }
            .request(),
            "prune-datastore" => PruneDatastore {
                store,
                namespace: place.namespace,
                max_depth: self.maybe("max-depth"),
                keep: self.keep(),
                dry_run: self.is_set("dry-run"),
            }
            .request(),
            _ => return None,
        })
    }

    fn tasks(&self) -> Option<Request> {
        let words: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        Some(match words.as_slice() {
            ["nodes", _, "tasks", upid, "status"] => TaskStatusOf {
                upid: upid.parse().ok()?,
            }
            .request(),
            ["nodes", _, "tasks", upid, "log"] => TaskLogOf {
                upid: upid.parse().ok()?,
                start: self.maybe("start").unwrap_or(0),
                limit: self.maybe("limit").unwrap_or(50),
            }
            .request(),
            ["nodes", _, "tasks"] => ListTasks {
                store: self.maybe("store"),
                kind: self.maybe("typefilter"),
                running: self.is_set("running"),
                errors: self.is_set("errors"),
                limit: self.maybe("limit").unwrap_or(50),
                ..ListTasks::default()
            }
            .request(),
            ["nodes", _, "status"] => node::GetNodeStatus.request(),
            ["nodes", _, "certificates", "info"] => node::ListCertificates.request(),
            _ => return None,
        })
    }

    fn elsewhere(&self, method: &str) -> Option<Request> {
        let words: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        let id = self.text("id");
        Some(match (method, words.as_slice()) {
            ("GET", ["version"]) => version::GetVersion.request(),
            ("GET", ["ping"]) => version::Ping.request(),
            ("GET", ["admin", "datastore"]) => datastore::ListDatastores.request(),
            ("GET", ["status", "datastore-usage"]) => datastore::GetDatastoreUsage.request(),
            ("GET", ["access", "permissions"]) => access::GetPermissions {
                user: self.maybe("auth-id"),
                path: self.maybe("path"),
            }
            .request(),
            ("GET", ["access", "acl"]) => identities::ListAcl {
                path: self.maybe("path"),
            }
            .request(),
            ("GET", ["access", "users"]) => identities::ListUsers.request(),
            ("GET", ["access", "users", user, "token"]) => identities::ListTokens {
                user: user.parse().ok()?,
            }
            .request(),
            ("GET", ["config", "verify"]) => jobs::ListVerifyJobs.request(),
            ("GET", ["config", "prune"]) => jobs::ListPruneJobs.request(),
            ("DELETE", ["config", "verify", id]) => jobs::DeleteVerifyJob {
                id: (*id).to_owned(),
            }
            .request(),
            ("DELETE", ["config", "prune", id]) => jobs::DeletePruneJob {
                id: (*id).to_owned(),
            }
            .request(),
            ("POST", ["config", "verify"]) => jobs::CreateVerifyJob {
                id,
                store: self.maybe("store")?,
                namespace: Namespace::root(),
                max_depth: None,
                schedule: self.maybe("schedule"),
                ignore_verified: true,
                outdated_after: None,
                comment: None,
            }
            .request(),
            ("POST", ["config", "prune"]) => jobs::CreatePruneJob {
                id,
                store: self.maybe("store")?,
                namespace: Namespace::root(),
                max_depth: None,
                schedule: self.text("schedule"),
                keep: self.keep(),
                comment: None,
            }
            .request(),
            _ => return None,
        })
    }
}

/// Whether our call says what was recorded. `Ok(false)`: it cannot be made to say this.
pub(super) fn compare(record: &Value) -> Result<bool, String> {
    let recorded = Recorded::of(record);
    let method = record["method"].as_str().unwrap();
    let request = match recorded.segments.first().map(String::as_str) {
        Some("admin") if recorded.segments.len() == 4 => recorded.in_store(method),
        Some("nodes") => recorded.tasks(),
        _ => recorded.elsewhere(method),
    };
    let Some(request) = request else {
        return Ok(false);
    };
    if request.method().as_str() != method {
        return Err(format!("{request} is no {method}"));
    }
    let mut ours: Vec<String> = request.path().split('/').skip(1).map(decoded).collect();
    let mut theirs = recorded.segments.clone();
    for segments in [&mut ours, &mut theirs] {
        // Any node does, and ours is the one that the task names.
        if segments.first().is_some_and(|first| first == "nodes") {
            segments.remove(1);
        }
    }
    if ours != theirs {
        return Err(format!("{ours:?} is not {theirs:?}"));
    }
    let pairs = request
        .params()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    let ours: BTreeMap<String, String> = pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let mut differ = recorded
        .params
        .iter()
        .filter(|(name, value)| ours.get(*name) != Some(value));
    // An empty namespace is the root, which is left out.
    if differ.any(|(name, value)| !(name == "ns" && value.is_empty())) {
        return Ok(false);
    }
    let more = ours
        .keys()
        .find(|name| !recorded.params.contains_key(*name) && !ALWAYS.contains(&name.as_str()));
    more.map_or(Ok(true), |name| Err(format!("{request} also says {name}")))
}
