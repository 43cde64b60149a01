//! Looking into a backup on a backup server: the directories that matter are listed through PVE, which has the key. Nothing is
//! read, so that what lies deeper is not counted.

use std::collections::BTreeMap;

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
        let name = format!("drive-{key}.img.fidx");
        let Some(drive) = archives.iter().find(|one| one.text == name) else {
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
        let tally = tally(&entries);
        content.members += tally.members;
        content.bytes += tally.bytes;
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
            tally: entries.as_deref().map(tally).unwrap_or_default(),
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
            let entries = tree.list(&inside(&path)).await?;
            if let Some(entries) = entries {
                content.docker_volumes.push(ArchivedVolume {
                    name: entry.text.clone(),
                    path,
                    root_present: true,
                    tally: tally(&entries),
                    ..ArchivedVolume::default()
                });
            }
        }
    }
    Ok(())
}

fn tally(entries: &[BackupFile]) -> MountTally {
    MountTally {
        members: u64::try_from(entries.len()).unwrap_or(u64::MAX),
        bytes: entries.iter().filter_map(|entry| entry.size).sum(),
    }
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
        for part in path.split('/').filter(|part| !part.is_empty()) {
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
        for part in path.split('/').filter(|part| !part.is_empty()) {
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
