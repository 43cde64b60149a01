//! Volume ids, from the API, the command line and mount points.

use std::path::{Component, Path};

use felhom_agent::archive::locate;
use felhom_agent::config::ArchiveDirectory;
use felhom_ids::VolumeId;
use felhom_proxmox::Endpoint;
use felhom_proxmox::pve::storage::GetVolume;

use crate::claims::{keeps_its_text, text};

/// A volume id is its own text, never leaves its storage, and says of a backup only what its name says.
pub fn volume_id(data: &[u8]) {
    let text = text(data);
    let Some(volume) = keeps_its_text::<VolumeId>(&text) else {
        return;
    };
    assert_eq!(format!("{}:{}", volume.storage(), volume.name()), text);
    assert!(!volume.name().split('/').any(|part| part == ".."));
    assert!(!volume.name().contains(char::is_control));
    if let Some(backup) = volume.backup() {
        let names = [
            format!(
                "backup/vzdump-{}-{}-{}.{}",
                backup.kind, backup.vmid, backup.time, backup.format
            ),
            format!(
                "backup/{}/{}/{}",
                backup.kind.pbs_type(),
                backup.vmid,
                backup.time
            ),
        ];
        assert!(names.iter().any(|name| name == volume.name()), "{backup:?}");
        assert_eq!(volume.guest(), Some(backup.vmid));
    }
    if let Some(guest) = volume.guest() {
        assert!(volume.name().contains(&guest.to_string()), "{guest}");
    }
    stays_in_its_directory(&volume);
    // However odd the name is, it is one segment of the path.
    let get = GetVolume {
        volume: volume.clone(),
    };
    let request = get.request(&"pve".parse().unwrap());
    assert_eq!(request.path().matches('/').count(), 6, "{request}");
    assert!(request.path().is_ascii());
}

/// What is opened lies in the directory of its own storage, whatever the name is.
fn stays_in_its_directory(volume: &VolumeId) {
    let own = |path: &str| ArchiveDirectory {
        storage: volume.storage().clone(),
        path: path.into(),
    };
    if let Ok(path) = locate(volume, &[own("/srv/dump")]) {
        assert_eq!(path.parent(), Some(Path::new("/srv/dump")));
        let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        assert!(path.components().all(plain), "{}", path.display());
    }
    let elsewhere = ArchiveDirectory {
        storage: "elsewhere-1".parse().unwrap(),
        ..own("/srv/other")
    };
    if volume.storage() != &elsewhere.storage {
        assert!(locate(volume, &[elsewhere]).is_err());
    }
}
