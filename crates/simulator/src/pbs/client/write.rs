//! What the node changes on the backup server: backups, marks, removal.

use serde_json::json;

use super::Remote;
use crate::pbs::access::{BACKUP, MODIFY, PRUNE};
use crate::pbs::blob;
use crate::pbs::state::{Snapshot, SnapshotId};
use crate::pbs::store::{self, Order};
use crate::world::World;

impl World {
    /// Removes a snapshot (`forget`).
    pub(crate) fn pbs_forget(&mut self, remote: &Remote, id: &SnapshotId) -> Result<(), String> {
        let group = self.pbs_group(remote, id, (MODIFY, PRUNE), true)?;
        let snapshot = group
            .snapshots
            .get(&id.time)
            .ok_or("ENOENT: No such file or directory")?;
        if snapshot.unfinished || snapshot.held.is_some() {
            return Err(
                "unable to acquire lock on snapshot directory - possibly running or in use".into(),
            );
        }
        if snapshot.protected {
            return Err("cannot remove protected snapshot".into());
        }
        let state_dir = self.storage.state.clone();
        store::remove_snapshot(&state_dir, &mut self.pbs, id);
        Ok(())
    }

    /// Notes and protection, both with the storage's own token.
    pub(crate) fn pbs_mark(
        &mut self,
        remote: &Remote,
        id: &SnapshotId,
        notes: Option<&str>,
        protected: Option<bool>,
    ) -> Result<(), String> {
        self.pbs_group(remote, id, (MODIFY, BACKUP), true)?;
        let state_dir = self.storage.state.clone();
        store::update_manifest(&state_dir, &mut self.pbs, id, |snapshot| {
            if let Some(notes) = notes {
                snapshot.unprotected.insert("notes".into(), json!(notes));
            }
            snapshot.protected = protected.unwrap_or(snapshot.protected);
        })
    }

    /// Whether the token may prune a group.
    pub(crate) fn pbs_may_prune(&self, remote: &Remote, id: &SnapshotId) -> Result<(), String> {
        self.pbs_group(remote, id, (MODIFY, PRUNE), true).map(drop)
    }

    /// Opens a snapshot for writing.
    pub(crate) fn pbs_begin(&mut self, remote: &Remote, id: &SnapshotId) -> Result<(), String> {
        self.pbs_may_upload(remote, id)?;
        let root = store::root(&self.storage.state, &id.store);
        let known = self
            .pbs
            .stores
            .get_mut(&id.store)
            .ok_or("no such datastore")?;
        let group = store::make_group(known, &root, id, &remote.auth)?;
        if group.snapshots.contains_key(&id.time) {
            return Err("backup directory already exists.".into());
        }
        let snapshot = Snapshot {
            unfinished: true,
            ..Snapshot::default()
        };
        group.snapshots.insert(id.time, snapshot);
        Ok(())
    }

    /// Takes an unfinished snapshot away.
    pub(crate) fn pbs_abandon(&mut self, id: &SnapshotId) {
        let state_dir = self.storage.state.clone();
        store::remove_snapshot(&state_dir, &mut self.pbs, id);
    }

    /// Writes a snapshot; with a master key also the encrypted key beside it. Answers its bytes, and the new ones.
    pub(crate) fn pbs_write(&mut self, order: &Order, now: i64) -> Result<(u64, u64), String> {
        let state_dir = self.storage.state.clone();
        store::write_snapshot(&state_dir, &mut self.pbs, order, now)?;
        let known = self
            .pbs
            .stores
            .get(&order.id.store)
            .and_then(|store| store.snapshot(&order.id));
        let stats = known.and_then(|snapshot| snapshot.unprotected.get("chunk_upload_stats"));
        let number = |name: &str| {
            stats
                .and_then(|stats| stats.get(name)?.as_u64())
                .unwrap_or_default()
        };
        Ok((number("size"), number("compressed_size")))
    }

    /// Adds `client.log.blob`.
    pub(crate) fn pbs_log(
        &mut self,
        remote: &Remote,
        id: &SnapshotId,
        text: &str,
    ) -> Result<(), String> {
        self.pbs_group(remote, id, (0, BACKUP), true)?;
        let root = store::root(&self.storage.state, &id.store);
        let raw = blob::encode(text.as_bytes(), remote.key.as_ref())?;
        let store = self.pbs.stores.get_mut(&id.store);
        let snapshot = store
            .and_then(|store| store.snapshot_mut(id))
            .ok_or("snapshot does not exist")?;
        store::put_file(&store::dir(&root, id).join("client.log.blob"), &raw)?;
        snapshot.others.push("client.log.blob".into());
        Ok(())
    }

    /// Whether the token may put a backup there.
    pub(crate) fn pbs_may_upload(&self, remote: &Remote, id: &SnapshotId) -> Result<(), String> {
        let (store, _) = self.pbs_store(remote, (0, BACKUP), true)?;
        if !store.spaces.contains_key(&remote.ns) {
            return Err("namespace not found".into());
        }
        match store.group(&id.ns, &id.group()) {
            Some(group) if group.owner != remote.auth => Err(format!(
                "backup owner check failed ({} != {})",
                remote.auth, group.owner
            )),
            _ => Ok(()),
        }
    }
}
