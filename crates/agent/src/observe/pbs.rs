//! What a backup server answers, in the engine's words and in those of our own documents.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::RemoteError;
use felhom_engine::pbs::{
    AuditSubject, CryptMode, Encryption, Head, Listing, Magic, Manifest, Sight, Snapshot,
    SnapshotFile, Target, Verification, VerifyState,
};
use felhom_ids::{BackupGroup, BackupSnapshot, DatastoreName, KeyFingerprint, StorageId};
use felhom_protocol::pbs as told;
use felhom_proxmox::pbs::Place;
use felhom_proxmox::pbs::access::GetPermissions;
use felhom_proxmox::pbs::download::Download;
use felhom_proxmox::pbs::format;
use felhom_proxmox::pbs::snapshots::{
    CryptMode as PbsCryptMode, FileEntry, ListFiles, ListSnapshots, Snapshot as Listed,
    VerifyState as PbsVerifyState,
};
use felhom_proxmox::pve::storage::StorageConfig;
use felhom_proxmox::{Error, Pbs};

use super::{Trouble, remote_error};
use crate::config::PbsConfig;

/// The manifest, which is read as a whole.
const MANIFEST: &str = "index.json.blob";
/// The longest manifest that is downloaded. One file takes about 200 bytes in it.
const LONGEST_MANIFEST: usize = 4 << 20;
/// How much of a file is downloaded: a container's or an index' head is far shorter, and an escrow copy lies in it whole.
const HEAD: usize = 64 << 10;

/// Where the storage of a section leads.
pub(crate) fn target(storage: &StorageId, section: &PbsConfig) -> Target {
    Target {
        storage: storage.clone(),
        datastore: section.datastore.clone(),
        namespace: section.namespace.clone(),
    }
}

fn place(target: &Target) -> Place {
    Place {
        store: target.datastore.clone(),
        namespace: target.namespace.clone(),
    }
}

/// The snapshots of a namespace or of one group in it, and what the token sees of them.
pub(crate) async fn snapshots(
    pbs: &Pbs,
    target: &Target,
    group: Option<&BackupGroup>,
) -> Result<Listing, Trouble> {
    let place = place(target);
    let path = place.acl_path();
    let ask = GetPermissions {
        user: None,
        path: Some(path.clone()),
    };
    let (held, server_now_s) = pbs.call_dated(&ask).await?;
    let held = held.0.get(&path);
    let held: BTreeSet<String> = held
        .into_iter()
        .flat_map(|all| all.keys().cloned())
        .collect();
    let all = ListSnapshots::all(place);
    let snapshots = match group {
        None => listed(pbs, &all).await?,
        Some(group) => {
            let of_group = ListSnapshots {
                kind: Some(group.kind()),
                id: Some(group.id().to_owned()),
                ..all.clone()
            };
            match listed(pbs, &of_group).await {
                // Of a type of which there is no backup the server says the same as of a namespace that is not there.
                Err(Error::NotFound { .. }) => listed(pbs, &all).await?,
                other => other?,
            }
        }
    };
    let wanted = |one: &Snapshot| group.is_none_or(|group| one.name.group() == group);
    Ok(Listing {
        snapshots: snapshots.into_iter().filter(wanted).collect(),
        sight: Sight::of(&held),
        server_now_s,
    })
}

async fn listed(pbs: &Pbs, list: &ListSnapshots) -> Result<Vec<Snapshot>, Error> {
    let mut snapshots = Vec::new();
    pbs.each_snapshot(list, |one| snapshots.push(snapshot(one)))
        .await?;
    Ok(snapshots)
}

fn snapshot(listed: Listed) -> Snapshot {
    let verification = listed.verification.and_then(|last| {
        let state = match last.state {
            PbsVerifyState::Ok => VerifyState::Ok,
            PbsVerifyState::Failed => VerifyState::Failed,
            // A word that nobody knows is no word that it is good.
            PbsVerifyState::Other(_) => return None,
        };
        let upid = last.upid;
        Some(Verification { state, upid })
    });
    Snapshot {
        name: listed.snapshot,
        size: listed.size,
        owner: listed.owner,
        protected: listed.protected,
        files: listed.files.into_iter().map(file).collect(),
        key: listed.fingerprint,
        verification,
    }
}

fn file(listed: FileEntry) -> SnapshotFile {
    SnapshotFile {
        name: listed.filename,
        size: listed.size,
        crypt_mode: listed.crypt_mode.and_then(|mode| crypt_mode(&mode)),
    }
}

fn crypt_mode(mode: &PbsCryptMode) -> Option<CryptMode> {
    match mode {
        PbsCryptMode::None => Some(CryptMode::None),
        PbsCryptMode::SignOnly => Some(CryptMode::SignOnly),
        PbsCryptMode::Encrypt => Some(CryptMode::Encrypt),
        PbsCryptMode::Other(_) => None,
    }
}

/// The maintenance of a datastore, in the server's words.
pub(crate) async fn maintenance(pbs: &Pbs, store: &DatastoreName) -> Result<Option<String>, Error> {
    let stores = pbs.datastores().await?;
    let entry = stores.into_iter().find(|entry| entry.store == *store);
    Ok(entry.and_then(|entry| entry.maintenance))
}

/// The fingerprint of the key that a storage has; PVE says `1` of a key that carries none.
pub(crate) fn key_of(storage: &StorageConfig) -> Option<KeyFingerprint> {
    storage.encryption_key.as_deref()?.parse().ok()
}

/// The record that documents carry.
pub(crate) fn snapshot_record(target: &Target, one: &Snapshot) -> told::SnapshotRecord {
    let last = one.verification.as_ref();
    let group = one.name.group();
    told::SnapshotRecord {
        namespace: target.namespace.clone(),
        backup_type: group.kind(),
        backup_id: group.id().to_owned(),
        backup_time: one.name.time(),
        size_bytes: one.size,
        owner: one.owner.clone(),
        protected: one.protected,
        data_files: count(one),
        encrypted: match one.encryption() {
            Encryption::Encrypted => told::Encryption::Encrypted,
            Encryption::SignOnly => told::Encryption::SignOnly,
            Encryption::Plain => told::Encryption::Plain,
            Encryption::Mixed => told::Encryption::Mixed,
            Encryption::Unknown => told::Encryption::Unknown,
        },
        key_fingerprint: one.key,
        verify_state: match last.map(|last| last.state) {
            Some(VerifyState::Ok) => told::VerifyState::Ok,
            Some(VerifyState::Failed) => told::VerifyState::Failed,
            None => told::VerifyState::None,
        },
        verified_at: last.map(|last| last.at().secs()),
        verify_upid: last.map(|last| last.upid.clone()),
        in_progress: one.is_in_progress(),
    }
}

fn count(one: &Snapshot) -> u64 {
    let data = one.files.iter().filter(|file| file.is_data()).count();
    u64::try_from(data).unwrap_or(u64::MAX)
}

/// What an audit looks at: the manifest, and the beginning of every file that there is.
///
/// # Errors
/// When the server cannot be asked at all; what it refuses of one file is a part of the subject.
pub(crate) async fn audit_subject(
    pbs: &Pbs,
    target: &Target,
    name: &BackupSnapshot,
) -> Result<AuditSubject, RemoteError> {
    let place = place(target);
    let manifest = manifest(pbs, &place, name).await?;
    let list = ListFiles {
        place: place.clone(),
        snapshot: name.clone(),
    };
    let listed = pbs
        .call(&list)
        .await
        .map_err(|error| remote_error(&error))?;
    let listed: BTreeSet<String> = listed.into_iter().map(|file| file.filename).collect();
    let named = manifest.iter().flat_map(|manifest| &manifest.files);
    let named = named.map(|file| file.name.clone());
    let mut heads = BTreeMap::new();
    for file in listed.iter().cloned().chain(named) {
        if file != MANIFEST && !heads.contains_key(&file) {
            let download = Download::raw(place.clone(), name.clone(), file.clone());
            heads.insert(file, head(pbs, &download).await?);
        }
    }
    Ok(AuditSubject {
        snapshot: name.clone(),
        manifest,
        listed,
        heads,
    })
}

async fn head(pbs: &Pbs, download: &Download) -> Result<Head, RemoteError> {
    match pbs.download_head(download, HEAD).await {
        Ok(head) => Ok(Head::Seen {
            magic: Magic::of(&head.bytes),
            len: u64::try_from(head.bytes.len())
                .ok()
                .filter(|_| head.is_whole),
        }),
        Err(error) => refused(&error).map(Head::NotDownloaded),
    }
}

/// What a refusal says of one file. Whatever else goes wrong says nothing about it.
fn refused(error: &Error) -> Result<String, RemoteError> {
    let told = remote_error(error);
    if told.class.is_lasting() || matches!(error, Error::TooLong { .. }) {
        Ok(told.text)
    } else {
        Err(told)
    }
}

async fn manifest(
    pbs: &Pbs,
    place: &Place,
    name: &BackupSnapshot,
) -> Result<Result<Manifest, String>, RemoteError> {
    let download = Download::raw(place.clone(), name.clone(), MANIFEST);
    let bytes = match pbs.download(&download, LONGEST_MANIFEST).await {
        Ok(bytes) => bytes,
        Err(error) => return refused(&error).map(Err),
    };
    Ok(read_manifest(&bytes, name))
}

fn read_manifest(bytes: &[u8], name: &BackupSnapshot) -> Result<Manifest, String> {
    let manifest = format::Manifest::from_blob(bytes).map_err(|error| error.to_string())?;
    if manifest.snapshot != *name {
        return Err(format!("it is that of {}", manifest.snapshot));
    }
    let file = |file: &format::ManifestFile| SnapshotFile {
        name: file.filename.clone(),
        size: Some(file.size),
        crypt_mode: crypt_mode(&file.crypt_mode),
    };
    Ok(Manifest {
        files: manifest.files.iter().map(file).collect(),
        key: manifest.key_fingerprint,
        signed: manifest.is_signed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(json: &str) -> Snapshot {
        snapshot(serde_json::from_str(json).unwrap())
    }

    const UPID: &str = "UPID:vm:00004F7B:0003D00B:0000001A:6B037E38:verify:x:felhom@pbs!n100:";

    #[test]
    fn words_that_nobody_knows_are_no_good_news() {
        let one = listed(&format!(
            r#"{{"backup-type":"ct","backup-id":"1","backup-time":9,"files":[{{"filename":"index.json.blob"}},
            {{"filename":"root.pxar.didx","crypt-mode":"sealed"}}],"verification":{{"state":"fine","upid":"{UPID}"}}}}"#
        ));
        assert_eq!(one.encryption(), Encryption::Unknown);
        assert_eq!(one.verification, None);
    }

    #[test]
    fn a_record_is_one_that_documents_may_carry() {
        let target = Target {
            storage: "offsite".parse().unwrap(),
            datastore: "store".parse().unwrap(),
            namespace: "site".parse().unwrap(),
        };
        for json in [
            r#"{"backup-type":"ct","backup-id":"1","backup-time":9,"files":[]}"#.to_owned(),
            format!(
                r#"{{"backup-type":"vm","backup-id":"1","backup-time":9,"size":7,"owner":"a@pbs!b","protected":true,
                "files":[{{"filename":"index.json.blob","crypt-mode":"sign-only"}},
                {{"filename":"drive-scsi0.img.fidx","crypt-mode":"encrypt"}},{{"filename":"client.log.blob"}}],
                "verification":{{"state":"ok","upid":"{UPID}"}}}}"#
            ),
        ] {
            let one = listed(&json);
            let record = snapshot_record(&target, &one);
            assert_eq!(record.is_backup(), one.is_backup());
            assert_eq!(record.in_progress, one.is_in_progress());
            let text = felhom_protocol::write(&record);
            let read: told::SnapshotRecord = felhom_protocol::read(text.as_bytes()).unwrap();
            assert_eq!(read, record);
        }
    }
}
