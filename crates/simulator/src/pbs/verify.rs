//! Verification as a server without any key can do it (proxmox-backup, `src/backup/verify.rs`): what encrypted chunks
//! contain is none of its business, only their checksums are.

mod chunks;
mod progress;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::blob;
use super::crypt::sha256;
use super::state::{File, Snapshot, SnapshotId};
use super::store;
use super::tasks::Worker;
use crate::hex;
use progress::Progress;

const DAY: i64 = 86_400;
/// What a snapshot costs beside its bytes.
const FIXED_COST: Duration = Duration::from_millis(20);

/// What is to be verified.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    Snapshot(SnapshotId),
    /// The time says nothing.
    Group(SnapshotId),
    /// A namespace and those below it, to a depth; only the groups of one owner.
    Store {
        store: String,
        ns: String,
        depth: usize,
        owner: Option<String>,
    },
}

/// Which snapshots are left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    pub(crate) ignore_verified: bool,
    pub(crate) outdated_after: Option<i64>,
}

impl Filter {
    fn skips(self, state: Option<&Value>, now: i64) -> bool {
        let upid = state
            .and_then(|state| state.get("upid"))
            .and_then(Value::as_str);
        let Some(upid) = upid.filter(|_| self.ignore_verified) else {
            return false;
        };
        let started = super::tasks::Task::parse(upid).map_or(0, |(_, task)| task.start);
        self.outdated_after
            .is_none_or(|days| (now - started) / DAY <= days)
    }
}

/// Verifies; fails where anything did.
pub(crate) async fn run(worker: &Worker, scope: Scope, filter: Filter) -> Result<(), String> {
    let mut job = Job::new(worker, filter, &scope);
    let failed = match scope {
        Scope::Snapshot(id) => {
            let sound = job.snapshot(&id).await?;
            if sound { Vec::new() } else { vec![named(&id)] }
        }
        Scope::Group(id) => job.group(&id, &mut Progress::new(1)).await?,
        Scope::Store {
            store,
            ns,
            depth,
            owner,
        } => job.store(&store, &ns, depth, owner).await?,
    };
    if failed.is_empty() {
        return Ok(());
    }
    worker.log("Failed to verify the following snapshots/groups:");
    for name in &failed {
        worker.log(format!("	{name}"));
    }
    Err("verification failed - please check the log for details".into())
}

/// A snapshot with its namespace.
fn named(id: &SnapshotId) -> String {
    if id.ns.is_empty() {
        return id.dir();
    }
    id.relative()
}

struct Job<'a> {
    worker: &'a Worker,
    filter: Filter,
    root: PathBuf,
    /// Chunks that were found good, or bad, in this task.
    sound: BTreeSet<[u8; 32]>,
    corrupt: BTreeSet<[u8; 32]>,
}

impl<'a> Job<'a> {
    fn new(worker: &'a Worker, filter: Filter, scope: &Scope) -> Self {
        let name = match scope {
            Scope::Snapshot(id) | Scope::Group(id) => &id.store,
            Scope::Store { store, .. } => store,
        };
        Self {
            worker,
            filter,
            root: store::root(&worker.sim.state_dir, name),
            sound: BTreeSet::new(),
            corrupt: BTreeSet::new(),
        }
    }

    async fn store(
        &mut self,
        store: &str,
        ns: &str,
        depth: usize,
        owner: Option<String>,
    ) -> Result<Vec<String>, String> {
        self.worker.log(format!("verify datastore {store}"));
        if let Some(owner) = &owner {
            self.worker
                .log(format!("limiting to backups owned by {owner}"));
        }
        let found = {
            let world = self.worker.sim.lock();
            let known = world
                .pbs
                .stores
                .get(store)
                .filter(|known| known.spaces.contains_key(ns));
            known.map(|known| {
                super::prune::groups(store, known, ns, depth, |group| {
                    owner
                        .as_deref()
                        .is_none_or(|owner| super::access::check_owner(&group.owner, owner).is_ok())
                })
            })
        };
        let mut failed = Vec::new();
        if found.is_none() && owner.is_none() {
            let text = "ENOENT: No such file or directory";
            self.worker
                .log(format!("error on iterating groups in ns '{ns}' - {text}"));
            failed.push(text.to_owned());
        }
        let groups = found.unwrap_or_default();
        let mut groups: Vec<SnapshotId> = groups
            .into_iter()
            .filter(|id| id.group() != "host/benchmark")
            .collect();
        groups.sort_by_key(|id| {
            (
                id.kind.clone(),
                id.id.parse::<u64>().unwrap_or(u64::MAX),
                id.id.clone(),
            )
        });
        self.worker.log(format!("found {} groups", groups.len()));
        let mut progress = Progress::new(groups.len());
        for (place, group) in groups.iter().enumerate() {
            progress.done_groups = place;
            failed.extend(self.group(group, &mut progress).await?);
        }
        Ok(failed)
    }

    async fn group(
        &mut self,
        group: &SnapshotId,
        progress: &mut Progress,
    ) -> Result<Vec<String>, String> {
        let times: Option<Vec<i64>> = {
            let world = self.worker.sim.lock();
            let store = world.pbs.stores.get(&group.store);
            let known = store.and_then(|store| store.group(&group.ns, &group.group()));
            known.map(|group| group.snapshots.keys().rev().copied().collect())
        };
        let Some(times) = times else {
            let place = if group.ns.is_empty() {
                format!("datastore '{}', root namespace", group.store)
            } else {
                format!("datastore '{}', namespace '{}'", group.store, group.ns)
            };
            let name = group.group();
            let text = "ENOENT: No such file or directory";
            self.worker.log(format!(
                "verify {place}, group {name} - unable to list backups: {text}"
            ));
            return Ok(Vec::new());
        };
        let (store, name) = (&group.store, group.group());
        self.worker.log(format!(
            "verify group {store}:{name} ({} snapshots)",
            times.len()
        ));
        progress.snapshots = times.len();
        let mut failed = Vec::new();
        for (place, time) in times.into_iter().enumerate() {
            let id = SnapshotId {
                time,
                ..group.clone()
            };
            if !self.snapshot(&id).await? {
                failed.push(named(&id));
            }
            progress.done = place + 1;
            self.worker
                .log(format!("percentage done: {}", progress.text()));
        }
        Ok(failed)
    }

    /// Whether a snapshot is sound, as far as a server can tell.
    async fn snapshot(&mut self, id: &SnapshotId) -> Result<bool, String> {
        let name = format!("{}:{}", id.store, id.dir());
        let now = self.worker.sim.pbs_now();
        let Some(found) = self.found(id, &name, now) else {
            return Ok(true);
        };
        self.worker.log(format!("verify {name}"));
        self.worker.sleep(FIXED_COST).await?;
        let mut sound = true;
        for file in &found.files {
            self.worker.point("pbs:verify:file").await?;
            self.worker.log(format!("  check {}", file.filename));
            if let Err(text) = self.file(id, file).await {
                self.worker.check_abort()?;
                self.worker
                    .log(format!("verify {name}/{} failed: {text}", file.filename));
                sound = false;
            }
            self.worker.check_abort()?;
        }
        let state =
            json!({ "state": if sound { "ok" } else { "failed" }, "upid": self.worker.upid });
        let mut world = self.worker.sim.lock();
        store::update_manifest(&self.worker.sim.state_dir, &mut world.pbs, id, |snapshot| {
            snapshot.unprotected.insert("verify_state".into(), state);
        })?;
        Ok(sound)
    }

    /// The snapshot, unless it is left out for a reason that the log tells.
    fn found(&self, id: &SnapshotId, name: &str, now: i64) -> Option<Snapshot> {
        let (found, path) = {
            let world = self.worker.sim.lock();
            let store = world.pbs.stores.get(&id.store)?;
            (
                store.snapshot(id).cloned(),
                format!("{}/{}", store.path, id.relative()),
            )
        };
        let line = match &found {
            None => format!("SKIPPED: verify {name} - snapshot does not exist (anymore)."),
            Some(found) if found.unfinished || found.held == Some(true) => {
                let text =
                    "could not acquire snapshot lock: unable to acquire lock on snapshot directory";
                format!("SKIPPED: verify {name} - {text} \"{path}\" - locked by another operation")
            }
            Some(found)
                if self
                    .filter
                    .skips(found.unprotected.get("verify_state"), now) =>
            {
                format!("SKIPPED: verify {name} (recently verified)")
            }
            Some(_) => return found,
        };
        self.worker.log(line);
        None
    }

    async fn file(&mut self, id: &SnapshotId, file: &File) -> Result<(), String> {
        if store::is(&file.filename, "blob") {
            return self.blob(id, file);
        }
        let index = store::read_index(&self.root, id, &file.filename)?;
        if index.size != file.size {
            return Err(format!("wrong size ({} != {})", file.size, index.size));
        }
        if index.csum != file.csum {
            return Err("wrong index checksum".into());
        }
        self.chunks(&id.store, &index.entries, file.crypt_mode == "encrypt")
            .await
    }

    fn blob(&self, id: &SnapshotId, file: &File) -> Result<(), String> {
        let raw = fs::read(store::dir(&self.root, id).join(&file.filename))
            .map_err(|error| store::os_text(&error));
        let checked = raw.and_then(|raw| blob::check(&raw).map(|()| raw));
        let raw = checked.map_err(|text| {
            let world = self.worker.sim.lock();
            let store = world.pbs.stores.get(&id.store);
            store
                .map(|store| store::unloadable(store, id, &file.filename, &text))
                .unwrap_or_default()
        })?;
        let size = u64::try_from(raw.len()).unwrap_or_default();
        if size != file.size {
            return Err(format!("wrong size ({} != {size})", file.size));
        }
        if hex::lower(&sha256(&[&raw])) != file.csum {
            return Err("wrong index checksum".into());
        }
        Ok(())
    }
}
