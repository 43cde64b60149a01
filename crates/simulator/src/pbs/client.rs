//! The node as a client of the backup server: what its storages of the type `pbs` reach with the token, the
//! fingerprint and the key of their definition (pve-storage, `PBSPlugin.pm`; proxmox-backup-client).

mod write;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::access::{AUDIT, BACKUP, READ, SEES_NAMESPACE, check_owner, names, space};
use super::crypt::{Key, short};
use super::state::{Group, Snapshot, SnapshotId, Store, rfc3339};
use super::store;
use crate::storage::backups::Backup;
use crate::storage::{Definition, Secret, Space};
use crate::world::World;

const PORT: u16 = 8007;

/// Parts of a drive, each with its place.
type Pieces = Vec<(u64, Vec<u8>)>;

/// A storage that answered.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    storage: String,
    pub(crate) auth: String,
    pub(crate) store: String,
    pub(crate) ns: String,
    /// `felhom@pbs!n100@192.0.2.20:felhom-spike`
    pub(crate) repository: String,
    pub(crate) key: Option<Key>,
    /// The public half of a master key, in PEM.
    pub(crate) master: Option<String>,
}

/// Kind, id and time of `backup/ct/9001/2026-11-22T23:36:02Z`.
pub(crate) fn parse_name(name: &str) -> Option<(String, String, i64)> {
    let mut parts = name.strip_prefix("backup/")?.split('/');
    let (kind, id, time) = (parts.next()?, parts.next()?, parts.next()?);
    let plain = |text: &str| !text.is_empty() && !text.contains(['_', ' ']);
    let sound = parts.next().is_none() && plain(kind) && plain(id) && time.len() == 20;
    let time: jiff::Timestamp = time.parse().ok().filter(|_| sound)?;
    Some((kind.to_owned(), id.to_owned(), time.as_second()))
}

fn option<'a>(definition: &'a Definition, name: &str) -> Option<&'a str> {
    definition.options.get(name).map(String::as_str)
}

/// What stands in front of the datastore in a repository's name.
fn repository(definition: &Definition, auth: &str) -> String {
    let server = option(definition, "server").unwrap_or_default();
    let port = option(definition, "port").filter(|port| *port != "8007");
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let store = option(definition, "datastore").unwrap_or_default();
    format!("{auth}@{server}{port}:{store}")
}

impl World {
    /// Whether anybody answers there, and is who the definition expects; fails with the words of the node's client.
    fn pbs_reach(&self, definition: &Definition) -> Result<(), String> {
        let server = option(definition, "server").unwrap_or_default();
        let port = option(definition, "port")
            .and_then(|port| port.parse().ok())
            .unwrap_or(PORT);
        let refused = || format!("500 Can't connect to {server}:{port} (Connection refused)");
        let address = self
            .pbs
            .address
            .filter(|_| !self.pbs.off)
            .ok_or_else(refused)?;
        let own = server == "localhost" || server == address.ip().to_string();
        let alias = self.pbs.aliases.iter().any(|alias| alias == server);
        if !(own && port == address.port() || alias && (port == PORT || port == address.port())) {
            return Err(refused());
        }
        let actual = self.pbs.fingerprint.to_ascii_uppercase();
        match option(definition, "fingerprint") {
            Some(pinned) if pinned.to_ascii_uppercase() == actual => Ok(()),
            Some(_) => Err(format!("fingerprint '{actual}' not verified, abort!")),
            None => Err(format!(
                "500 Can't connect to {server}:{port} (certificate verify failed)"
            )),
        }
    }

    /// Reaches the server and is let in.
    fn pbs_login(&self, definition: &Definition, secret: &Secret) -> Result<String, String> {
        self.pbs_reach(definition)?;
        let auth = option(definition, "username").unwrap_or("root@pam");
        let password = secret.password.as_deref().unwrap_or_default();
        let access = &self.pbs.access;
        let known = access.accepts_token(auth, password) || access.accepts_password(auth, password);
        if known && access.is_alive(auth, 0) {
            return Ok(auth.to_owned());
        }
        Err("401 Unauthorized".into())
    }

    /// What activating such a storage does: looks for its datastore among those that the token sees.
    pub(crate) fn pbs_activate(
        &self,
        id: &str,
        definition: &Definition,
        secret: &Secret,
    ) -> Result<(), String> {
        let login = self.pbs_login(definition, secret);
        let auth = login.map_err(|text| format!("{id}: error fetching datastores - {text}"))?;
        let store = option(definition, "datastore").unwrap_or_default();
        let path = space(store, "");
        let access = &self.pbs.access;
        let sees = access.has(&auth, &path, AUDIT | BACKUP)
            || access.has_below(&auth, &path, SEES_NAMESPACE);
        if self.pbs.stores.contains_key(store) && sees {
            return Ok(());
        }
        Err(format!(
            "{id}: Cannot find datastore '{store}', check permissions and existence!"
        ))
    }

    /// The storage, ready to be worked with; fails with the text of its activation.
    pub(crate) fn pbs_remote(&self, id: &str) -> Result<Remote, String> {
        let definition = self.storage.definitions.get(id);
        let definition = definition.ok_or_else(|| format!("storage '{id}' does not exist"))?;
        let secret = self.storage.secrets.get(id).cloned().unwrap_or_default();
        self.pbs_activate(id, definition, &secret)?;
        let auth = option(definition, "username")
            .unwrap_or("root@pam")
            .to_owned();
        let key = secret.key.as_deref().map(Key::from_file).transpose()?;
        if let (None, Some(fingerprint)) = (&key, option(definition, "encryption-key")) {
            return Err(format!(
                "encryption configured ('{fingerprint}') but no encryption key file found!"
            ));
        }
        Ok(Remote {
            storage: id.to_owned(),
            repository: repository(definition, &auth),
            store: option(definition, "datastore")
                .unwrap_or_default()
                .to_owned(),
            ns: option(definition, "namespace")
                .unwrap_or_default()
                .to_owned(),
            auth,
            key,
            master: secret.master,
        })
    }

    /// Total, used and free bytes, where the token may know them.
    pub(crate) fn pbs_space(&self, id: &str) -> Option<Space> {
        let remote = self.pbs_remote(id).ok()?;
        let known = self.pbs.stores.get(&remote.store)?;
        known.available(&remote.store, false).ok()?;
        let full = self
            .pbs
            .access
            .has(&remote.auth, &space(&remote.store, ""), AUDIT | BACKUP);
        let (total, used) = if full {
            (known.total, known.used())
        } else {
            (0, 0)
        };
        Some(Space {
            total,
            used,
            avail: total.saturating_sub(used),
        })
    }

    /// The datastore, if the token has one of the rights on the namespace; `true` if only for what it owns.
    fn pbs_store(
        &self,
        remote: &Remote,
        rights: (u32, u32),
        write: bool,
    ) -> Result<(&Store, bool), String> {
        let path = space(&remote.store, &remote.ns);
        let held = self.pbs.access.lookup(&remote.auth, &path).0;
        if held & (rights.0 | rights.1) == 0 {
            let names = names(rights.0 | rights.1).join("|");
            return Err(format!(
                "permission check failed - missing {names} on {path}"
            ));
        }
        let store = self.pbs.stores.get(&remote.store);
        let store = store.ok_or_else(|| format!("no such datastore '{}'", remote.store))?;
        store.available(&remote.store, write)?;
        Ok((store, held & rights.0 == 0))
    }

    /// One group, where the token may work with it.
    fn pbs_group(
        &self,
        remote: &Remote,
        id: &SnapshotId,
        rights: (u32, u32),
        write: bool,
    ) -> Result<&Group, String> {
        let (store, limited) = self.pbs_store(remote, rights, write)?;
        let group = store.group(&id.ns, &id.group());
        let group = group.ok_or("ENOENT: No such file or directory")?;
        if limited {
            check_owner(&group.owner, &remote.auth)?;
        }
        Ok(group)
    }

    /// What the content list of the storage shows, by volume id.
    pub(crate) fn pbs_backups(&self, id: &str) -> Result<Vec<Backup>, String> {
        let fail = |text: String| format!("error listing snapshots - {text}");
        let remote = self.pbs_remote(id).map_err(fail)?;
        let (store, limited) = self
            .pbs_store(&remote, (AUDIT, BACKUP), false)
            .map_err(fail)?;
        let Some(known) = store.spaces.get(&remote.ns) else {
            return Err(fail("400 Bad Request".into()));
        };
        let mut found = Vec::new();
        for (key, group) in &known.groups {
            let (kind, guest) = key.split_once('/').unwrap_or_default();
            let numbered = guest.parse::<u32>().is_ok() && ["ct", "vm"].contains(&kind);
            if !numbered || (limited && check_owner(&group.owner, &remote.auth).is_err()) {
                continue;
            }
            found.extend(
                group
                    .snapshots
                    .iter()
                    .map(|(time, one)| listed(id, kind, guest, *time, one)),
            );
        }
        found.sort_by(|one, other| one.volid.cmp(&other.volid));
        Ok(found)
    }

    /// The key fits, or none is needed; fails as the official client does, whose word goes to the task's log.
    fn pbs_key(remote: &Remote, snapshot: &Snapshot) -> Result<(), String> {
        let Some(made_with) = snapshot.fingerprint() else {
            return Ok(());
        };
        match &remote.key {
            None => Err(format!(
                "missing key - manifest was created with key {}",
                short(made_with)
            )),
            Some(key) if key.fingerprint() == made_with => Ok(()),
            Some(key) => Err(format!(
                "wrong key - manifest's key {} does not match provided key {}",
                short(made_with),
                key.short()
            )),
        }
    }

    /// A file of a snapshot, decrypted. `name` is that of the archive on the server.
    pub(crate) fn pbs_read(
        &self,
        state_dir: &Path,
        remote: &Remote,
        id: &SnapshotId,
        name: &str,
    ) -> Result<Vec<u8>, String> {
        let snapshot = self.pbs_readable(remote, id)?;
        if !snapshot.files.iter().any(|file| file.filename == name) {
            return Err(format!(
                "Unable to open file \"{name}\" - not in the manifest"
            ));
        }
        store::read_content(
            &store::root(state_dir, &id.store),
            id,
            name,
            remote.key.as_ref(),
        )
    }

    /// A snapshot that the token may read and the key fits.
    pub(crate) fn pbs_readable(
        &self,
        remote: &Remote,
        id: &SnapshotId,
    ) -> Result<&Snapshot, String> {
        let refused = |_| format!("no permissions on /datastore/{}", remote.store);
        let group = self.pbs_group(remote, id, (READ, BACKUP), false);
        let missing = format!("snapshot {} does not exist.", id.dir());
        let group = group.map_err(|text| {
            if text.starts_with("ENOENT") {
                missing.clone()
            } else {
                refused(text)
            }
        })?;
        let snapshot = group
            .snapshots
            .get(&id.time)
            .filter(|snapshot| !snapshot.unfinished);
        let snapshot = snapshot.ok_or(missing)?;
        Self::pbs_key(remote, snapshot)?;
        Ok(snapshot)
    }

    /// The pieces of a drive that hold something, with their places.
    pub(crate) fn pbs_pieces(
        &self,
        state_dir: &Path,
        remote: &Remote,
        id: &SnapshotId,
        name: &str,
    ) -> Result<Pieces, String> {
        self.pbs_readable(remote, id)?;
        store::read_pieces(
            &store::root(state_dir, &id.store),
            id,
            name,
            remote.key.as_ref(),
        )
    }
}

impl Remote {
    /// The snapshot that a volume id names.
    pub(crate) fn snapshot(&self, volid: &str) -> Option<SnapshotId> {
        let (_, name) = volid.split_once(':')?;
        let (kind, id, time) = parse_name(name)?;
        Some(self.id(&kind, &id, time))
    }

    pub(crate) fn id(&self, kind: &str, id: &str, time: i64) -> SnapshotId {
        SnapshotId {
            store: self.store.clone(),
            ns: self.ns.clone(),
            kind: kind.to_owned(),
            id: id.to_owned(),
            time,
        }
    }

    /// `felhom-pbs:backup/ct/9001/2026-11-22T23:36:02Z`
    pub(crate) fn volid(&self, id: &SnapshotId) -> String {
        format!("{}:backup/{}", self.storage, id.dir())
    }

    /// A failed call of the official client.
    pub(crate) fn failure(&self, arguments: &str) -> String {
        let crypt = if self.key.is_some() {
            "'--crypt-mode=encrypt' '--keyfd=8'"
        } else {
            "'--crypt-mode=none'"
        };
        let (verb, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let ns = if self.ns.is_empty() {
            String::new()
        } else {
            format!(" --ns {}", self.ns)
        };
        let repository = &self.repository;
        format!(
            "command '/usr/bin/proxmox-backup-client {verb} {crypt} {rest} --repository '{repository}'{ns}' failed: exit code 255"
        )
    }
}

fn listed(storage: &str, kind: &str, guest: &str, time: i64, snapshot: &Snapshot) -> Backup {
    let mut extra = Map::new();
    if let Some(state) = snapshot.unprotected.get("verify_state") {
        extra.insert("verification".into(), state.clone());
    }
    let sealed = |file: &super::state::File| file.crypt_mode == "encrypt";
    match snapshot.fingerprint() {
        Some(fingerprint) => drop(extra.insert("encrypted".into(), json!(fingerprint))),
        None if !snapshot.files.is_empty() && snapshot.files.iter().all(sealed) => {
            extra.insert("encrypted".into(), json!("1"));
        }
        None => {}
    }
    let notes = snapshot.unprotected.get("notes").and_then(Value::as_str);
    Backup {
        volid: format!("{storage}:backup/{kind}/{guest}/{}", rfc3339(time)),
        path: std::path::PathBuf::new(),
        vmid: guest.parse().ok(),
        subtype: if kind == "vm" { "qemu" } else { "lxc" },
        ctime: time,
        size: if snapshot.unfinished {
            1
        } else {
            snapshot.size()
        },
        format: format!("pbs-{kind}"),
        notes: notes.map(str::to_owned),
        protected: snapshot.protected,
        extra,
    }
}
