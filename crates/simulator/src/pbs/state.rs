//! What a backup server keeps: datastores, namespaces, groups, snapshots. Lists are answered from here; manifests,
//! blobs, indexes and chunks lie on disk besides, where verification and downloads read them.

mod snapshot;

pub(crate) use snapshot::Listed;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::access::Access;
use super::tasks::Task;

/// The server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    pub(crate) node: String,
    pub(crate) boot: i64,
    /// Other names and addresses under which the node reaches it, on the usual port.
    pub(crate) aliases: Vec<String>,
    /// Where it answers, and the fingerprint it shows.
    #[serde(skip)]
    pub(crate) address: Option<SocketAddr>,
    #[serde(skip)]
    pub(crate) fingerprint: String,
    /// Switched off: nobody listens.
    pub(crate) off: bool,
    pub(crate) access: Access,
    pub(crate) stores: BTreeMap<String, Store>,
    /// Verify jobs and prune jobs, by id, as their configuration has them.
    pub(crate) verify_jobs: BTreeMap<String, Map<String, Value>>,
    pub(crate) prune_jobs: BTreeMap<String, Map<String, Value>>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) next_task: u32,
    /// Seconds that its wall clock is ahead of simulated time.
    pub(crate) clock_offset: i64,
    /// Whether refusals take as long as on a real server: 3 s for a 401, half a second for a 403.
    pub(crate) delays: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            node: "pbs".into(),
            boot: 0,
            aliases: Vec::new(),
            address: None,
            fingerprint: String::new(),
            off: false,
            access: Access::default(),
            stores: BTreeMap::new(),
            verify_jobs: BTreeMap::new(),
            prune_jobs: BTreeMap::new(),
            tasks: Vec::new(),
            next_task: 0,
            clock_offset: 0,
            delays: true,
        }
    }
}

impl State {
    /// A datastore where there was none.
    pub(crate) fn add_store(&mut self, name: &str) -> &mut Store {
        let store = || Store {
            path: format!("/srv/pbs/{name}"),
            ..Store::default()
        };
        self.stores.entry(name.to_owned()).or_insert_with(store)
    }

    /// A user with a token, both with a role on a path.
    pub(crate) fn add_token(&mut self, user: &str, token: &str, path: &str, role: &str) {
        let entry = self.access.users.entry(user.to_owned()).or_default();
        let known = entry.tokens.entry(token.to_owned()).or_default();
        known.secret = crate::access::random_uuid();
        for auth in [user.to_owned(), format!("{user}!{token}")] {
            self.access.grant(path, &auth, role, true, false);
        }
    }
}

/// A datastore.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Store {
    /// What the configuration says; the bytes really lie in the state directory.
    pub(crate) path: String,
    pub(crate) comment: Option<String>,
    /// As the configuration has it: `read-only`, `offline`, `type=offline,message=…`.
    pub(crate) maintenance: Option<String>,
    pub(crate) total: u64,
    /// What others use of the file system.
    pub(crate) foreign: u64,
    pub(crate) spaces: BTreeMap<String, Space>,
    pub(crate) gc: Gc,
    /// When each chunk was last written or marked.
    pub(crate) chunks: BTreeMap<String, Chunk>,
    pub(crate) gc_schedule: Option<String>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: String::new(),
            comment: None,
            maintenance: None,
            total: 252 << 30,
            foreign: 20 << 30,
            spaces: BTreeMap::from([(String::new(), Space::default())]),
            gc: Gc::default(),
            chunks: BTreeMap::new(),
            gc_schedule: None,
        }
    }
}

/// What collecting garbage goes by.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) bytes: u64,
    pub(crate) used: i64,
}

/// The last collection of garbage.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Gc {
    pub(crate) upid: Option<String>,
    pub(crate) index_file_count: u64,
    pub(crate) index_data_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) disk_chunks: u64,
    pub(crate) removed_bytes: u64,
    pub(crate) removed_chunks: u64,
    pub(crate) pending_bytes: u64,
    pub(crate) pending_chunks: u64,
    pub(crate) removed_bad: u64,
    pub(crate) still_bad: u64,
}

/// A namespace; its name is the key, empty for the root.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Space {
    /// By `ct/9001`.
    #[serde(serialize_with = "lasting")]
    pub(crate) groups: BTreeMap<String, Group>,
    /// The directories of types that were ever used: they stay when the last group goes.
    pub(crate) types: BTreeSet<String>,
}

/// Writes down what has files; what was made in bulk goes with the process.
fn lasting<S: Serializer>(groups: &BTreeMap<String, Group>, out: S) -> Result<S::Ok, S::Error> {
    out.collect_map(groups.iter().filter(|(_, group)| !group.light))
}

/// All backups of one guest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Group {
    pub(crate) owner: String,
    pub(crate) notes: Option<String>,
    pub(crate) snapshots: BTreeMap<i64, Snapshot>,
    /// Made in bulk: lives in memory only.
    #[serde(skip)]
    pub(crate) light: bool,
}

/// One backup.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Snapshot {
    /// In the order of the manifest, without that.
    pub(crate) files: Vec<File>,
    /// Files beside those: `client.log.blob`.
    pub(crate) others: Vec<String>,
    pub(crate) signature: Option<String>,
    /// What the server itself writes into the manifest, and the key's fingerprint.
    pub(crate) unprotected: Map<String, Value>,
    /// Bytes of `index.json.blob` as it lies on disk.
    pub(crate) index_size: u64,
    pub(crate) protected: bool,
    /// Still being written: no manifest yet.
    pub(crate) unfinished: bool,
    /// The task that has it locked, exclusively unless it only reads.
    #[serde(skip)]
    pub(crate) held: Option<bool>,
}

/// A file of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct File {
    pub(crate) filename: String,
    /// `none`, `encrypt` or `sign-only`.
    pub(crate) crypt_mode: String,
    pub(crate) size: u64,
    pub(crate) csum: String,
}

/// Names one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SnapshotId {
    pub(crate) store: String,
    pub(crate) ns: String,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) time: i64,
}

impl SnapshotId {
    /// `ct/9001`
    pub(crate) fn group(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }

    /// `ct/9001/2026-11-22T23:36:02Z`
    pub(crate) fn dir(&self) -> String {
        format!("{}/{}", self.group(), rfc3339(self.time))
    }

    /// Below the datastore: `ns/a/ns/b/ct/9001/2026-11-22T23:36:02Z`
    pub(crate) fn relative(&self) -> String {
        format!("{}{}", space_path(&self.ns), self.dir())
    }
}

/// `ns/a/ns/b/`, nothing for the root.
pub(crate) fn space_path(ns: &str) -> String {
    let parts = ns.split('/').filter(|part| !part.is_empty());
    parts.flat_map(|part| ["ns/", part, "/"]).collect()
}

/// `2026-11-22T23:36:02Z`
pub(crate) fn rfc3339(time: i64) -> String {
    jiff::Timestamp::from_second(time)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

impl Store {
    pub(crate) fn group(&self, ns: &str, name: &str) -> Option<&Group> {
        self.spaces.get(ns)?.groups.get(name)
    }

    pub(crate) fn group_mut(&mut self, ns: &str, name: &str) -> Option<&mut Group> {
        self.spaces.get_mut(ns)?.groups.get_mut(name)
    }

    pub(crate) fn snapshot(&self, id: &SnapshotId) -> Option<&Snapshot> {
        self.group(&id.ns, &id.group())?.snapshots.get(&id.time)
    }

    pub(crate) fn snapshot_mut(&mut self, id: &SnapshotId) -> Option<&mut Snapshot> {
        self.group_mut(&id.ns, &id.group())?
            .snapshots
            .get_mut(&id.time)
    }

    /// The namespaces at and below one, not deeper than so many levels, parents first.
    pub(crate) fn below(&self, ns: &str, depth: usize) -> Vec<String> {
        let inside =
            |name: &str| ns.is_empty() || name == ns || name.starts_with(&format!("{ns}/"));
        let levels = |name: &str| name.split('/').filter(|part| !part.is_empty()).count();
        let names = self.spaces.keys();
        names
            .filter(|name| inside(name) && levels(name) - levels(ns) <= depth)
            .cloned()
            .collect()
    }

    pub(crate) fn used(&self) -> u64 {
        self.foreign + self.chunks.values().map(|chunk| chunk.bytes).sum::<u64>()
    }

    /// The kind of maintenance and the message with it.
    fn maintenance(&self) -> Option<(String, String)> {
        let text = self.maintenance.as_deref()?;
        let (mut kind, mut message) = (String::new(), String::new());
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("message", text)) => text.trim_matches('"').clone_into(&mut message),
                Some((_, value)) => value.clone_into(&mut kind),
                None => part.clone_into(&mut kind),
            }
        }
        Some((kind, message))
    }

    /// Whether it may be used now, and for writing; fails with the server's text.
    pub(crate) fn available(&self, name: &str, write: bool) -> Result<(), String> {
        let Some((kind, message)) = self.maintenance() else {
            return Ok(());
        };
        match kind.as_str() {
            "offline" => Err(format!(
                "datastore '{name}' is in offline maintenance mode: {message}"
            )),
            "read-only" if write => Err(format!(
                "datastore '{name}' is in read-only maintenance mode: {message}"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_refuses_what_it_should() {
        let mut store = Store {
            maintenance: Some("type=read-only,message=\"disk swap\"".into()),
            ..Store::default()
        };
        store.available("x", false).unwrap();
        let text = "datastore 'x' is in read-only maintenance mode: disk swap";
        assert_eq!(store.available("x", true).unwrap_err(), text);
        store.maintenance = Some("offline".into());
        assert!(store.available("x", false).is_err());
    }

    #[test]
    fn namespaces_are_listed_to_a_depth() {
        let mut store = Store::default();
        for name in ["a", "a/b", "ab"] {
            store.spaces.insert(name.into(), Space::default());
        }
        assert_eq!(store.below("", 0), [""]);
        assert_eq!(store.below("", 7), ["", "a", "a/b", "ab"]);
        assert_eq!(store.below("a", 7), ["a", "a/b"]);
    }
}
