//! Looking into a backup on a backup server: the directories that matter are listed through PVE, which has the key. Nothing is
//! read, so that what lies deeper is not counted.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::{ArchiveContent, ArchivedVolume, MountTally, WantedContent};
use felhom_ids::VolumeId;
use felhom_proxmox::pve::storage::BackupFile;
use felhom_proxmox::{Error, Pve};
use tokio::time::Instant;

/// Each listing starts a program on the node, which reads the backup's catalogue anew.
const MOST: usize = 200;
/// The archive of a container's file systems, in one stream or in two.
const TREES: [&str; 2] = ["root.pxar.didx", "root.mpxar.didx"];

/// It could not be looked at, which says nothing about it.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The node.
    #[error("the node does not list it: {0}")]
    Node(#[from] Box<Error>),
    /// More directories would have to be listed than are.
    #[error("more than {MOST} directories would have to be listed")]
    TooMany,
}

impl ListingError {
    /// Whether another directory might be listed all the same.
    fn is_of_the_directory(&self) -> bool {
        match self {
            Self::Node(error) => matches!(**error, Error::Api { .. }) && !error.is_transient(),
            Self::TooMany => true,
        }
    }
}

/// Lists what is wanted of a backup.
pub(super) async fn look(
    pve: &Pve,
    volid: &VolumeId,
    wanted: &WantedContent,
) -> Result<ArchiveContent, ListingError> {
    let started = Instant::now();
    let mut tree = Tree {
        pve,
        volid,
        listed: BTreeMap::new(),
        left: MOST,
    };
    let archives = tree.list("/").await?.unwrap_or_default();
    let mut content = ArchiveContent {
        complete: true,
        // PVE answered with the configuration, else nothing would be looked for.
        config_first: true,
        listed_only: true,
        ..ArchiveContent::default()
    };
    let named = |name: &str| archives.iter().any(|one| one.text == name);
    match TREES.into_iter().find(|name| named(name)) {
        Some(root) => container(&mut tree, root, wanted, &mut content).await?,
        None => machine(&archives, wanted, &mut content),
    }
    content.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(content)
}

/// A virtual machine's drives are archives of their own.
fn machine(archives: &[BackupFile], wanted: &WantedContent, content: &mut ArchiveContent) {
    for (key, _) in &wanted.mounts {
        // The state of a TPM is a drive during a backup only, and its name tells so (qemu-server VZDump/QemuServer.pm).
        let names = ["", "-backup"].map(|end| format!("drive-{key}{end}.img.fidx"));
        let Some(drive) = archives.iter().find(|one| names.contains(&one.text)) else {
            continue;
        };
        let tally = MountTally {
            members: 1,
            bytes: drive.size.unwrap_or(0),
        };
        content.mounts.insert(key.clone(), tally);
        content.members += 1;
    }
}

async fn container(
    tree: &mut Tree<'_>,
    root: &str,
    wanted: &WantedContent,
    content: &mut ArchiveContent,
) -> Result<(), ListingError> {
    let inside = |path: &str| format!("/{root}/{}", path.trim_matches('/'));
    for (key, path) in &wanted.mounts {
        let Some(entries) = tree.list(&inside(path)).await? else {
            continue;
        };
        content.mount_roots.insert(key.clone());
        let tally = tally(&entries, path, wanted);
        content.members = content.members.saturating_add(tally.members);
        content.bytes = content.bytes.saturating_add(tally.bytes);
        content.mounts.insert(key.clone(), tally);
    }
    for volume in &wanted.volumes {
        let path = inside(&volume.path);
        let entries = tree.list(&path).await?;
        content.docker_volumes.push(ArchivedVolume {
            name: volume.name.clone(),
            path: volume.path.clone(),
            root_present: entries.is_some(),
            root_is_other: entries.is_none() && tree.is_other(&path),
            tally: entries.map_or_else(MountTally::default, |entries| {
                tally(&entries, &volume.path, wanted)
            }),
            ..ArchivedVolume::default()
        });
    }
    // Volumes that nobody told of, by the names of their directories.
    let docker = format!("{}/volumes", wanted.data_root.trim_end_matches('/'));
    let below = tree.list(&inside(&docker)).await?.unwrap_or_default();
    for entry in below.iter().filter(|entry| entry.kind == "d") {
        let path = format!("{docker}/{}/_data", entry.text);
        let known = content.docker_volumes.iter();
        if known
            .clone()
            .all(|one| one.name != entry.text && one.path != path)
        {
            match tree.list(&inside(&path)).await {
                Ok(Some(entries)) => content.docker_volumes.push(ArchivedVolume {
                    name: entry.text.clone(),
                    tally: tally(&entries, &path, wanted),
                    path,
                    root_present: true,
                    ..ArchivedVolume::default()
                }),
                Ok(None) => {}
                // Nobody asked for it: that it cannot be looked into leaves the proof of the others whole.
                Err(error) if error.is_of_the_directory() => {
                    content.docker_volumes_beyond = content.docker_volumes_beyond.saturating_add(1);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// What lies directly in a directory. Directories that are mount points, or lead to one, are not the directory's own: they are
/// in the backup also where nothing else of it is.
fn tally(entries: &[BackupFile], directory: &str, wanted: &WantedContent) -> MountTally {
    let mounts = wanted.mounts.iter();
    let ways: BTreeSet<&str> = mounts
        .filter_map(|(_, mount)| {
            let mut mount = parts(mount);
            parts(directory)
                .all(|part| mount.next() == Some(part))
                .then(|| mount.next())?
        })
        .collect();
    let is_own = |entry: &&BackupFile| entry.kind != "d" || !ways.contains(entry.text.as_str());
    entries
        .iter()
        .filter(is_own)
        .fold(MountTally::default(), |sum, entry| MountTally {
            members: sum.members.saturating_add(1),
            bytes: sum.bytes.saturating_add(entry.size.unwrap_or(0)),
        })
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// The directories that were listed so far.
struct Tree<'a> {
    pve: &'a Pve,
    volid: &'a VolumeId,
    listed: BTreeMap<String, Vec<BackupFile>>,
    left: usize,
}

impl Tree<'_> {
    /// A directory's entries; `None` where there is no such directory. Each listing takes the node a second or more, so that only
    /// where one fails the directories above are asked for: what an error means, its words alone would tell.
    async fn list(&mut self, path: &str) -> Result<Option<Vec<BackupFile>>, ListingError> {
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        match self.directory(path).await {
            Err(ListingError::Node(error)) if !error.is_transient() && path != "/" => {
                if self.is_absent(path).await? {
                    Ok(None)
                } else {
                    Err(ListingError::Node(error))
                }
            }
            listed => listed.map(Some),
        }
    }

    /// Whether the directories above show that it is not there, or is no directory.
    async fn is_absent(&mut self, path: &str) -> Result<bool, ListingError> {
        let mut at = "/".to_owned();
        for part in parts(path) {
            let entries = self.directory(&at).await?;
            let entry = entries.iter().find(|entry| entry.text == part);
            if !entry.is_some_and(|entry| matches!(entry.kind.as_str(), "d" | "v")) {
                return Ok(true);
            }
            at = format!("{}/{part}", at.trim_end_matches('/'));
        }
        Ok(false)
    }

    /// Whether something that is no directory stands on the way to it.
    fn is_other(&self, path: &str) -> bool {
        let mut at = "/".to_owned();
        for part in parts(path) {
            let Some(entries) = self.listed.get(&at) else {
                return false;
            };
            match entries.iter().find(|entry| entry.text == part) {
                Some(entry) if !matches!(entry.kind.as_str(), "d" | "v") => return true,
                Some(_) => {}
                None => return false,
            }
            at = format!("{}/{part}", at.trim_end_matches('/'));
        }
        false
    }

    async fn directory(&mut self, path: &str) -> Result<Vec<BackupFile>, ListingError> {
        if let Some(entries) = self.listed.get(path) {
            return Ok(entries.clone());
        }
        self.left = self.left.checked_sub(1).ok_or(ListingError::TooMany)?;
        let entries = self
            .pve
            .backup_files(self.volid, path)
            .await
            .map_err(Box::new)?;
        self.listed.insert(path.to_owned(), entries.clone());
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str, kind: &str, size: u64) -> BackupFile {
        BackupFile {
            text: text.into(),
            kind: kind.into(),
            size: Some(size),
            mtime: None,
        }
    }

    fn wanted(mounts: &[(&str, &str)]) -> WantedContent {
        let mounts = mounts.iter();
        WantedContent {
            mounts: mounts
                .map(|(key, path)| ((*key).to_owned(), (*path).to_owned()))
                .collect(),
            ..WantedContent::default()
        }
    }

    #[test]
    fn the_state_of_a_tpm_is_found_under_its_name_of_a_backup() {
        let archives = [
            entry("drive-scsi0.img.fidx", "v", 7),
            entry("drive-tpmstate0-backup.img.fidx", "v", 4),
            entry("drive-scsi10.img.fidx", "v", 1),
        ];
        let wanted = wanted(&[("scsi0", ""), ("scsi1", ""), ("tpmstate0", "")]);
        let mut content = ArchiveContent::default();
        machine(&archives, &wanted, &mut content);
        let found: Vec<_> = content.mounts.iter().collect();
        let one = |bytes| MountTally { members: 1, bytes };
        assert_eq!(
            found,
            [
                (&"scsi0".to_owned(), &one(7)),
                (&"tpmstate0".to_owned(), &one(4))
            ]
        );
    }

    #[test]
    fn the_way_to_a_mount_point_is_nothing_of_the_directory_above() {
        let wanted = wanted(&[
            ("rootfs", "/"),
            ("mp0", "/var/lib/docker"),
            ("mp1", "/var/lib/docker/volumes/"),
        ]);
        let members =
            |directory: &str, entries: &[BackupFile]| tally(entries, directory, &wanted).members;
        let entries = [entry("volumes", "d", 0)];
        assert_eq!(members("/var/lib/docker", &entries), 0);
        assert_eq!(members("/var/lib/docker/", &entries), 0);
        assert_eq!(members("/var/lib/docker/volumes", &entries), 1);
        assert_eq!(members("/srv", &entries), 1);
        // A file of that name is no way.
        let entries = [entry("volumes", "f", 0), entry("overlay2", "d", 0)];
        assert_eq!(members("/var/lib/docker", &entries), 2);
        let entries = [entry("var", "d", 0), entry("etc", "d", 0)];
        assert_eq!(members("/", &entries), 1);
    }

    #[test]
    fn sizes_without_end_are_added_up() {
        let entries = [entry("a", "f", u64::MAX), entry("b", "f", 1)];
        let tally = tally(&entries, "/", &WantedContent::default());
        assert_eq!((tally.members, tally.bytes), (2, u64::MAX));
    }
}
