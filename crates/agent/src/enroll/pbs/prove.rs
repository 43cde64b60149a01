//! The proof: a small backup, what the server shows of it, and a part of it that only the kit's key opens.

use std::collections::BTreeSet;

use felhom_ids::{BackupGroup, BackupSnapshot, GuestKind, Vmid};
use felhom_proxmox::pbs::download::Download;
use felhom_proxmox::pbs::format::{Blob, Key, Manifest};
use felhom_proxmox::pbs::snapshots::{CryptMode, ListSnapshots, Snapshot};
use felhom_proxmox::pve::backup::Vzdump;
use felhom_proxmox::pve::cluster::ListResources;
use felhom_proxmox::{FollowOptions, Outcome, Pbs, Pve};

use super::super::EnrollError;
use super::{Wanted, kit};

/// The longest configuration of a guest that is read back; a real one has some kilobytes.
const LONGEST: usize = 4 << 20;

/// Backs the guest up to the storage, and reads its configuration back with the kit's key.
///
/// # Errors
/// [`EnrollError::Unproven`] with everything that is not as it should be.
pub async fn round_trip(
    wanted: &Wanted,
    pve: &Pve,
    reader: &Pbs,
    vmid: Vmid,
) -> Result<Vec<String>, EnrollError> {
    let kind = kind_of(pve, vmid).await?;
    let group = BackupGroup::of_guest(kind, vmid);
    let before: BTreeSet<BackupSnapshot> = snapshots(wanted, reader, &group)
        .await?
        .into_iter()
        .map(|one| one.snapshot)
        .collect();
    let task = pve
        .start(&Vzdump::new(vmid, wanted.storage.clone()))
        .await?;
    match pve.finish(task, &FollowOptions::default()).await? {
        Outcome::Succeeded | Outcome::Warnings(_) => {}
        Outcome::Failed(text) | Outcome::Undetermined(text) => {
            return unproven(format!("the backup of guest {vmid} failed: {text}"));
        }
    }
    let made = snapshots(wanted, reader, &group).await?;
    let made = made
        .into_iter()
        .filter(|one| !before.contains(&one.snapshot) && !one.is_in_progress())
        .max_by_key(|one| one.snapshot.time());
    let Some(made) = made else {
        return unproven(format!(
            "the backup of guest {vmid} ended well, and `{}` cannot see it on the server",
            wanted.reader.token
        ));
    };
    let (key, _) = kit::read(&wanted.kit)?;
    let problems = listed_wrongly(wanted, &made, &key);
    if !problems.is_empty() {
        return Err(EnrollError::Unproven(problems));
    }
    let opened = read_back(wanted, reader, &made.snapshot, &key).await?;
    Ok(vec![
        format!(
            "`{}` is encrypted with the kit's key ({}) and belongs to `{}`",
            made.snapshot,
            key.fingerprint().short(),
            wanted.writer.token
        ),
        opened,
    ])
}

fn unproven<T>(text: String) -> Result<T, EnrollError> {
    Err(EnrollError::Unproven(vec![text]))
}

async fn kind_of(pve: &Pve, vmid: Vmid) -> Result<GuestKind, EnrollError> {
    let listed = pve.call(&ListResources { kind: Some("vm") }).await?;
    let guest = listed.iter().find(|one| one.vmid == Some(vmid.get()));
    match guest.map(|guest| guest.kind.parse()) {
        Some(Ok(kind)) => Ok(kind),
        _ => Err(EnrollError::Refused(vec![format!(
            "there is no guest {vmid} to back up: name another with `--prove`"
        )])),
    }
}

async fn snapshots(
    wanted: &Wanted,
    reader: &Pbs,
    group: &BackupGroup,
) -> Result<Vec<Snapshot>, EnrollError> {
    let list = ListSnapshots {
        kind: Some(group.kind()),
        id: Some(group.id().to_owned()),
        ..ListSnapshots::all(wanted.place.clone())
    };
    Ok(reader.snapshots(&list).await?)
}

/// What the server's list says that it should not.
fn listed_wrongly(wanted: &Wanted, made: &Snapshot, key: &Key) -> Vec<String> {
    let mut problems = Vec::new();
    if made.fingerprint != Some(key.fingerprint()) {
        let shown = made
            .fingerprint
            .as_ref()
            .map_or("no key".to_owned(), ToString::to_string);
        problems.push(format!(
            "the server lists {shown} for `{}`, and the kit holds {}",
            made.snapshot,
            key.fingerprint()
        ));
    }
    // The log is sent after the list of files was made, which therefore says nothing of it.
    let listed = |name: &str| !["index.json.blob", "client.log.blob"].contains(&name);
    let plain = made
        .files
        .iter()
        .filter(|file| listed(&file.filename) && file.crypt_mode != Some(CryptMode::Encrypt));
    problems.extend(plain.map(|file| {
        format!(
            "`{}` of `{}` is not encrypted",
            file.filename, made.snapshot
        )
    }));
    let owner = wanted.writer.token.to_string();
    if made.owner.as_deref() != Some(&owner) {
        problems.push(format!(
            "`{}` belongs to {}, not to `{owner}`",
            made.snapshot,
            made.owner.as_deref().unwrap_or("nobody")
        ));
    }
    problems
}

/// The guest's configuration as the server has it, opened with the key and with nothing else.
async fn read_back(
    wanted: &Wanted,
    reader: &Pbs,
    snapshot: &BackupSnapshot,
    key: &Key,
) -> Result<String, EnrollError> {
    let file = match snapshot.group().guest() {
        Some((GuestKind::Qemu, _)) => "qemu-server.conf.blob",
        _ => "pct.conf.blob",
    };
    let raw = |name: &str| Download::raw(wanted.place.clone(), snapshot.clone(), name);
    let manifest = reader.download(&raw("index.json.blob"), LONGEST).await?;
    let stored = reader.download(&raw(file), LONGEST).await?;
    let wrong = |text: String| EnrollError::Unproven(vec![format!("`{snapshot}`: {text}")]);
    let manifest = Manifest::from_blob(&manifest).map_err(|error| wrong(error.to_string()))?;
    manifest.check(key).map_err(|error| {
        wrong(format!(
            "its list of files is not signed with the key: {error}"
        ))
    })?;
    if !manifest
        .file(file)
        .is_some_and(|listed| listed.is_blob(&stored))
    {
        return Err(wrong(format!(
            "`{file}` is not what its list of files says"
        )));
    }
    let blob = Blob::parse(&stored).map_err(|error| wrong(format!("`{file}`: {error}")))?;
    if blob.contents(None, LONGEST).is_ok() {
        return Err(wrong(format!("`{file}` can be read without any key")));
    }
    let opened = blob.contents(Some(key), LONGEST).map_err(|error| {
        wrong(format!(
            "`{file}` does not open with the kit's key: {error}"
        ))
    })?;
    let lines = String::from_utf8(opened)
        .map_err(|_| wrong(format!("`{file}` opens to no text")))?
        .lines()
        .filter(|line| line.contains(": "))
        .count();
    if lines == 0 {
        return Err(wrong(format!("`{file}` opens to no configuration")));
    }
    Ok(format!(
        "`{file}` of it opens with the kit's key to {lines} lines of configuration, and without it to nothing"
    ))
}
