//! Which archive of a guest brings it back.

use felhom_ids::VolumeId;
use felhom_protocol::kit::KitArchive;

use super::facts::{ArchiveFact, Facts, GuestFact};
use super::places::Place;

/// The archives that the kit names of a guest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    /// The one to restore.
    pub(super) main: &'a ArchiveFact,
    /// A newer one off the box that passed no restore test.
    pub(super) newer: Option<&'a ArchiveFact>,
    /// A better one on the box itself, for when its disk survived.
    pub(super) on_box: Option<&'a ArchiveFact>,
}

/// What is there without the box goes before what is better proven, and that before what is newer.
pub(super) fn choose<'a>(facts: &Facts, guest: &'a GuestFact) -> Option<Choice<'a>> {
    let off = |one: &ArchiveFact| facts.place(one.volid.storage().as_str()).is_off_box();
    let worth = |one: &ArchiveFact| (one.proven_s.is_some(), one.made_s);
    let all = || guest.archives.iter();
    let main = all().max_by_key(|one| (off(one), worth(one)))?;
    let newest = all()
        .filter(|one| off(one) == off(main))
        .max_by_key(|one| one.made_s);
    let best = all().max_by_key(|one| worth(one));
    Some(Choice {
        main,
        newer: newest.filter(|one| one.made_s > main.made_s),
        on_box: best.filter(|one| off(main) && !off(one) && worth(one) > worth(main)),
    })
}

/// An archive as the kit tells of it.
pub(super) fn told(facts: &Facts, archive: &ArchiveFact) -> KitArchive {
    let place = facts.place(archive.volid.storage().as_str());
    KitArchive {
        volid: archive.volid.to_string(),
        made_s: archive.made_s,
        size: archive.size,
        place: words(facts, &archive.volid, place),
        off_box: place.is_off_box(),
        proven_s: archive.proven_s,
    }
}

/// Where an archive lies, in words.
fn words(facts: &Facts, volid: &VolumeId, place: Place<'_>) -> String {
    let name = volid.name();
    let file = name.strip_prefix("backup/").unwrap_or(name);
    let Some(storage) = facts.storage(volid.storage().as_str()) else {
        return "on a storage that could not be read".to_owned();
    };
    let get = |key: &str| storage.get(key).unwrap_or_default();
    match (get("type"), place) {
        ("pbs", _) => {
            let namespace = match storage.get("namespace") {
                Some(namespace) => format!("namespace {namespace}"),
                None => "no namespace".to_owned(),
            };
            let (server, store) = (get("server"), get("datastore"));
            format!("backup server {server}, datastore {store}, {namespace}, snapshot {file}")
        }
        ("nfs", _) => format!(
            "NFS server {}, {}/dump/{file}",
            get("server"),
            get("export")
        ),
        ("cifs", _) => format!(
            "SMB server {}, share {}, dump/{file}",
            get("server"),
            get("share")
        ),
        (_, Place::Removable(disk)) => format!(
            "the removable disk with the file system UUID {}, dump/{file}",
            disk.uuid
        ),
        (_, Place::OwnDisk(disk)) => format!(
            "a disk in the box with the file system UUID {}, dump/{file}",
            disk.uuid
        ),
        (_, Place::OffBox | Place::Box) => {
            format!(
                "the box itself, {}/dump/{file}",
                get("path").trim_end_matches('/')
            )
        }
    }
}
