//! Snapshots that nobody uploaded.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::pbs::crypt::Key;
use crate::pbs::state::{File, Group, Snapshot, SnapshotId};
use crate::pbs::store::{self, Content, Order, Source};
use crate::pbs::tree;
use crate::sim::Sim;

/// Names a snapshot; the time is now where it is missing.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Which {
    pub(super) store: String,
    #[serde(default)]
    pub(super) ns: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) time: Option<i64>,
}

impl Which {
    /// The snapshot that is named, or the group's newest.
    pub(super) fn find(&self, sim: &Sim) -> Result<SnapshotId, String> {
        let world = sim.lock();
        let group = format!("{}/{}", self.kind, self.id);
        let known = world
            .pbs
            .stores
            .get(&self.store)
            .and_then(|store| store.group(&self.ns, &group));
        let newest = known
            .and_then(|group| group.snapshots.last_key_value())
            .map(|(time, _)| *time);
        let time = self.time.or(newest).ok_or("no such group")?;
        Ok(self.at(time))
    }

    fn at(&self, time: i64) -> SnapshotId {
        SnapshotId {
            store: self.store.clone(),
            ns: self.ns.clone(),
            kind: self.kind.clone(),
            id: self.id.clone(),
            time,
        }
    }
}

/// A whole snapshot.
#[derive(Debug, Deserialize)]
pub(super) struct PutSnapshot {
    #[serde(flatten)]
    which: Which,
    owner: String,
    /// Blobs and indexes by name (`pct.conf.blob`, `drive-scsi0.img.fidx`) with their text.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// The tree in `root.pxar.didx`, with a catalogue beside it.
    #[serde(default)]
    tree: BTreeMap<String, String>,
    /// Bytes of noise in the tree, the same for the same seed.
    #[serde(default)]
    noise: usize,
    #[serde(default)]
    seed: u64,
    /// 64 hexadecimal digits, or the name of a key that is then made from it; encrypts.
    key: Option<String>,
    #[serde(default)]
    sign_only: bool,
    notes: Option<String>,
    log: Option<String>,
    #[serde(default)]
    protected: bool,
    /// `ok` or `failed`, as a verification long ago found.
    verified: Option<String>,
}

/// A key from its digits, or made from any other text.
fn key(text: &str) -> Key {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    Key::new(bytes.unwrap_or_else(|| crate::pbs::crypt::sha256(&[text.as_bytes()])))
}

/// Bytes that do not compress, always the same for a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let blocks = (0_u64..)
        .map(|number| crate::pbs::crypt::sha256(&[&seed.to_le_bytes(), &number.to_le_bytes()]));
    blocks.flatten().take(length).collect()
}

fn contents(order: &PutSnapshot, time: i64) -> Result<Vec<Content>, String> {
    let mut files = Vec::new();
    if !order.tree.is_empty() || order.noise > 0 {
        let tree = order.tree.iter();
        let mut tree: Vec<(String, Vec<u8>)> = tree
            .map(|(path, text)| (path.clone(), text.clone().into_bytes()))
            .collect();
        if order.noise > 0 {
            tree.push(("var/noise".into(), noise(order.seed, order.noise)));
        }
        let names: Vec<&str> = tree.iter().map(|(path, _)| path.as_str()).collect();
        let names = names.join("\n");
        let mtime = u64::try_from(time).unwrap_or_default();
        let data = tree::pack(&tree, mtime)?;
        files.push(Content {
            name: "root.pxar.didx".into(),
            source: Source::Bytes(data),
        });
        files.push(Content {
            name: "catalog.pcat1.didx".into(),
            source: Source::Bytes(catalog(&names)),
        });
    }
    for (name, text) in &order.files {
        let data = text.clone().into_bytes();
        // A container's configuration stands between its tree and the catalogue.
        let place = files.len().min(1);
        files.insert(
            place,
            Content {
                name: name.clone(),
                source: Source::Bytes(data),
            },
        );
    }
    Ok(files)
}

/// A catalogue begins with its magic; what follows is a list of names, where a real one has tables.
pub(crate) fn catalog(names: &str) -> Vec<u8> {
    [
        [0x91, 0xfd, 0x60, 0xf9, 0xc4, 0x67, 0x58, 0xd5].as_slice(),
        names.as_bytes(),
    ]
    .concat()
}

pub(super) fn put_snapshot(sim: &Sim, order: PutSnapshot) -> Result<Value, String> {
    let now = sim.pbs_now();
    let id = order.which.at(order.which.time.unwrap_or(now));
    let files = contents(&order, id.time)?;
    let key = order.key.as_deref().map(key);
    let fingerprint = key.as_ref().map(Key::fingerprint);
    let made = Order {
        id: id.clone(),
        owner: order.owner,
        files,
        key,
        sign_only: order.sign_only,
        log: order.log,
        notes: order.notes,
    };
    let mut world = sim.lock();
    store::write_snapshot(&sim.state_dir, &mut world.pbs, &made, now)?;
    let protected = order.protected;
    let upid = format!(
        "UPID:{}:00000001:00000001:00000000:{now:08X}:verify:{}:root@pam:",
        world.pbs.node,
        crate::pbs::tasks::escaped(&id.store)
    );
    store::update_manifest(&sim.state_dir, &mut world.pbs, &id, |snapshot| {
        snapshot.protected = protected;
        if let Some(state) = order.verified {
            snapshot.unprotected.insert(
                "verify_state".into(),
                json!({ "state": state, "upid": upid }),
            );
        }
    })?;
    Ok(json!({ "time": id.time, "snapshot": id.dir(), "fingerprint": fingerprint }))
}

/// A backup that has begun.
#[derive(Debug, Deserialize)]
pub(super) struct Begin {
    #[serde(flatten)]
    which: Which,
    owner: String,
}

pub(super) fn begin(sim: &Sim, order: &Begin) -> Result<Value, String> {
    let now = sim.pbs_now();
    let id = order.which.at(order.which.time.unwrap_or(now));
    let upid = sim.pbs_note(
        &order.owner,
        "backup",
        &format!("{}:{}", id.store, id.group()),
    );
    let mut world = sim.lock();
    let known = world
        .pbs
        .stores
        .get_mut(&id.store)
        .ok_or("no such datastore")?;
    let group = store::make_group(
        known,
        &store::root(&sim.state_dir, &id.store),
        &id,
        &order.owner,
    )?;
    let snapshot = Snapshot {
        unfinished: true,
        ..Snapshot::default()
    };
    group.snapshots.insert(id.time, snapshot);
    Ok(json!({ "time": id.time, "upid": upid }))
}

/// The client of a backup that has begun dies: the snapshot is gone.
#[derive(Debug, Deserialize)]
pub(super) struct End {
    #[serde(flatten)]
    which: Which,
    upid: Option<String>,
}

pub(super) fn end(sim: &Sim, order: &End) -> Result<Value, String> {
    let id = order.which.find(sim)?;
    store::remove_snapshot(&sim.state_dir, &mut sim.lock().pbs, &id);
    if let Some(upid) = &order.upid {
        let text = "backup ended but finished flag is not set.";
        sim.pbs_conclude(upid, &Err(text.to_owned()));
    }
    Ok(json!({}))
}

/// Many snapshots that are only listed: nothing of them is on disk, and none survives a restart.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bulk {
    store: String,
    #[serde(default)]
    ns: String,
    owner: String,
    count: usize,
    /// Snapshots of each group; they lie a day apart, the newest one now.
    per_group: usize,
    /// The first group's number.
    #[serde(default)]
    from: u32,
    /// Whether they look encrypted, with this fingerprint.
    fingerprint: Option<String>,
}

pub(super) fn bulk(sim: &Sim, order: &Bulk) -> Result<Value, String> {
    let now = sim.pbs_now();
    let mut world = sim.lock();
    let known = world
        .pbs
        .stores
        .get_mut(&order.store)
        .ok_or("no such datastore")?;
    store::make_space(known, &store::root(&sim.state_dir, &order.store), &order.ns);
    let space = known.spaces.entry(order.ns.clone()).or_default();
    space.types.insert("ct".into());
    let per_group = order.per_group.max(1);
    let mode = if order.fingerprint.is_some() {
        "encrypt"
    } else {
        "none"
    };
    let files = [
        ("root.pxar.didx", 31_333_168),
        ("pct.conf.blob", 212),
        ("catalog.pcat1.didx", 4000),
    ];
    let files = files.map(|(name, size)| File {
        filename: name.into(),
        crypt_mode: mode.into(),
        size,
        csum: "00".repeat(32),
    });
    let fingerprint = order.fingerprint.iter();
    let unprotected: Map<String, Value> = fingerprint
        .map(|text| ("key-fingerprint".to_owned(), json!(text)))
        .collect();
    let (mut left, mut number) = (order.count, order.from.max(1));
    while left > 0 {
        let here = left.min(per_group);
        let snapshot = Snapshot {
            files: files.to_vec(),
            signature: order.fingerprint.is_some().then(|| "00".repeat(32)),
            unprotected: unprotected.clone(),
            index_size: 556,
            ..Snapshot::default()
        };
        let times = (0_i64..).take(here).map(|day| now - day * 86_400);
        let group = Group {
            owner: order.owner.clone(),
            snapshots: times.map(|time| (time, snapshot.clone())).collect(),
            light: true,
            ..Group::default()
        };
        space.groups.insert(format!("ct/{number}"), group);
        left -= here;
        number += 1;
    }
    Ok(json!({ "groups": order.count.div_ceil(per_group) }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Namespace {
    store: String,
    ns: String,
}

pub(super) fn namespace(sim: &Sim, order: &Namespace) -> Result<Value, String> {
    let mut world = sim.lock();
    let known = world
        .pbs
        .stores
        .get_mut(&order.store)
        .ok_or("no such datastore")?;
    store::make_space(known, &store::root(&sim.state_dir, &order.store), &order.ns);
    Ok(json!({}))
}
