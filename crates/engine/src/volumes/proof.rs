//! What a backup should hold of each volume, what vzdump says, and what is in the archive: three witnesses, compared; and the
//! content of an archive held against that of the one before.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::class::VolumeClass;
use super::judge::{JudgedVolume, JudgedVolumes, VolumeKind};
use crate::finding::{Finding, codes};
use crate::size::off_forecast;
use crate::vzdump_log::VzdumpLog;
use crate::world::{ArchiveContent, ArchivedVolume, MountTally, VolumeRoot};

/// What a backup should do with one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedVolume {
    /// Its name; the path for a bind mount.
    pub name: String,
    /// What it should be, where somebody said so.
    pub class: Option<VolumeClass>,
    /// The guest's mount point that it lies on.
    pub key: Option<String>,
    /// Where its bytes lie inside the guest.
    pub path: Option<String>,
    /// Docker's own directory of it, where that is not where the bytes lie.
    pub beside: Option<String>,
    /// Whether it should be in.
    pub included: bool,
    /// Why.
    pub why: String,
    /// Bytes of it, where the report counted them.
    #[serde(default)]
    pub size: Option<u64>,
    /// Whether its directory has to be there: Docker makes that of a volume with a name, and a running container's bind
    /// mount has one. Of others somebody may have removed it, or it is a socket, which no archive holds.
    #[serde(default)]
    pub sure: bool,
    /// Keys of the mount points below it that are in the backup though it is not.
    #[serde(default)]
    pub parts_in: Vec<String>,
}

impl PlannedVolume {
    fn of(volume: &JudgedVolume) -> Self {
        Self {
            name: volume.name.clone(),
            class: volume.class(),
            key: volume.place.key().map(str::to_owned),
            path: volume.place.path().map(str::to_owned),
            beside: volume.mountpoint.clone(),
            included: volume.included,
            why: volume.why.clone(),
            size: volume.size,
            sure: is_sure(volume),
            parts_in: volume
                .parts
                .iter()
                .filter(|part| part.included && !volume.included)
                .map(|part| part.key.clone())
                .collect(),
        }
    }

    /// The directories whose content is wanted apart when an archive is read.
    pub fn roots(&self) -> impl Iterator<Item = VolumeRoot> {
        let paths = self.path.iter().chain(&self.beside);
        paths.map(|path| VolumeRoot {
            name: self.name.clone(),
            path: path.clone(),
        })
    }
}

fn is_sure(volume: &JudgedVolume) -> bool {
    match volume.kind {
        VolumeKind::Named => true,
        VolumeKind::Anonymous => false,
        VolumeKind::Bind => {
            let runs = volume.uses.iter().any(|one| one.running);
            runs && volume.class() == Some(VolumeClass::Hot)
        }
    }
}

impl JudgedVolumes {
    /// What the next backup should do with each volume that holds data and can be found.
    pub fn planned(&self) -> Vec<PlannedVolume> {
        let volumes = self.volumes.iter();
        volumes
            .filter(|volume| volume.is_placed())
            .map(PlannedVolume::of)
            .collect()
    }
}

/// The three witnesses for one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeProof {
    /// What should be.
    pub planned: PlannedVolume,
    /// What vzdump logged of its mount point.
    pub logged: Option<bool>,
    /// What of it is in the archive; `None` when that was not read, or holds nothing of it.
    pub archived: Option<MountTally>,
    /// Why the witnesses contradict each other; `None` when they agree.
    pub difference: Option<String>,
    /// What of the archive's word leaves open whether the volume is in it; `None` when nothing does.
    #[serde(default)]
    pub doubt: Option<String>,
}

impl VolumeProof {
    /// By a plan of another time nothing is contradicted: a volume may be younger than the archive.
    pub(crate) fn soften(&mut self) {
        if let Some(difference) = self.difference.take() {
            self.doubt = Some(format!(
                "by what was told of the guest at another time, {difference}"
            ));
        }
    }
}

/// Holds plan, log and archive against each other, volume by volume, as far as they are there.
pub fn prove_volumes(
    planned: &[PlannedVolume],
    log: Option<&VzdumpLog>,
    content: Option<&ArchiveContent>,
) -> Vec<VolumeProof> {
    let volumes = content.iter().flat_map(|content| &content.docker_volumes);
    let found: HashMap<(&str, &str), &ArchivedVolume> = volumes
        .map(|one| ((one.name.as_str(), one.path.as_str()), one))
        .collect();
    planned
        .iter()
        .map(|planned| prove(planned, log, content, &found))
        .collect()
}

fn prove(
    planned: &PlannedVolume,
    log: Option<&VzdumpLog>,
    content: Option<&ArchiveContent>,
    found: &HashMap<(&str, &str), &ArchivedVolume>,
) -> VolumeProof {
    let mount = log.zip(planned.key.as_ref());
    let mount = mount.and_then(|(log, key)| log.mounts.get(key));
    let logged = mount.map(|(included, _)| *included);
    let found =
        |path: Option<&String>| found.get(&(planned.name.as_str(), path?.as_str())).copied();
    let archived = found(planned.path.as_ref());
    let beside = found(planned.beside.as_ref());
    let difference = log
        .and_then(|_| log_differs(planned, logged))
        .or_else(|| archive_differs(planned, content?, archived, beside));
    let doubt = content.and_then(|_| doubt(planned, archived));
    VolumeProof {
        planned: planned.clone(),
        logged,
        archived: archived.map(|archived| archived.tally),
        doubt: doubt.filter(|_| difference.is_none()),
        difference,
    }
}

/// Only a mount point is in vzdump's log; within one that is in, a path may still be left out.
fn log_differs(volume: &PlannedVolume, logged: Option<bool>) -> Option<String> {
    match (volume.included, logged) {
        (true, Some(false)) => Some("planned in, but vzdump says out".to_owned()),
        (true, None) => Some("vzdump's log does not mention its mount point".to_owned()),
        _ => None,
    }
}

fn archive_differs(
    volume: &PlannedVolume,
    content: &ArchiveContent,
    archived: Option<&ArchivedVolume>,
    beside: Option<&ArchivedVolume>,
) -> Option<String> {
    let members = |found: Option<&ArchivedVolume>| found.map_or(0, |found| found.tally.members);
    if volume.included && volume.sure && !is_there(archived) && !is_other(archived) {
        return Some(
            "should be in, but its directory is not in the archive (import a new report if it was removed)"
                .to_owned(),
        );
    }
    let below = volume.parts_in.iter();
    let below = below.filter_map(|key| content.mounts.get(key));
    let below = below.fold(0_u64, |sum, tally| sum.saturating_add(tally.members));
    // Who only lists a directory does not count the mount points in it.
    let below = if content.listed_only { 0 } else { below };
    let own = members(archived).saturating_sub(below);
    if !volume.included && own > 0 {
        return Some(format!(
            "should be out, but {own} members of it are in the archive"
        ));
    }
    if !volume.included && members(beside) > 0 {
        return Some(format!(
            "should be out, but {} members lie in Docker's own directory, as if it had not been mounted",
            members(beside)
        ));
    }
    None
}

fn is_there(archived: Option<&ArchivedVolume>) -> bool {
    archived.is_some_and(|found| found.root_present || found.tally.members > 0)
}

fn is_other(archived: Option<&ArchivedVolume>) -> bool {
    !is_there(archived) && archived.is_some_and(|found| found.root_is_other)
}

/// What is no contradiction, and no proof either.
fn doubt(volume: &PlannedVolume, archived: Option<&ArchivedVolume>) -> Option<String> {
    if !volume.included {
        return None;
    }
    if is_other(archived) {
        return Some(
            "a link or a device stands in its place or on the way to it, so what it leads to has to be looked for there".to_owned(),
        );
    }
    if !is_there(archived) {
        return Some(
            "nothing of it is in the archive: it was removed since the report, or is a socket"
                .to_owned(),
        );
    }
    let empty = archived.is_some_and(|found| found.tally.members == 0);
    let counted = volume.size.filter(|bytes| *bytes > 0 && empty)?;
    Some(format!(
        "its directory is in the archive and empty, though the report counted {counted} bytes"
    ))
}

/// What changed from one archive of a guest to the next in a way that a person should look at. Growth and new files are no
/// news; halves, disappearances and content that changed under the same date are.
pub fn content_findings(
    subject: &str,
    before: &[ArchivedVolume],
    after: &[ArchivedVolume],
) -> Vec<Finding> {
    let mut found = Vec::new();
    for old in before {
        let same = |new: &&ArchivedVolume| new.name == old.name && new.path == old.path;
        // One that is gone altogether is a matter of the plan, not of the content.
        if let Some(new) = after.iter().find(same) {
            compare(
                &mut found,
                &format!("{subject} volume {}", old.name),
                old,
                new,
            );
        }
    }
    found
}

/// Below this a volume's size says nothing.
pub(crate) const NOTABLE: u64 = 1 << 20;

fn compare(found: &mut Vec<Finding>, subject: &str, old: &ArchivedVolume, new: &ArchivedVolume) {
    let (was, is) = (old.tally.bytes, new.tally.bytes);
    if was.max(is) >= NOTABLE && (is < was / 2 || is / 2 > was) {
        found.push(Finding::new(
            codes::SIZE_OFF_FORECAST,
            subject,
            off_forecast(is, was),
        ));
    }
    let gone = absent_samples(old, new);
    if let Some(first) = gone.first() {
        found.push(Finding::new(
            codes::SAMPLED_FILE_ABSENT,
            subject,
            format!(
                "{} of {} sampled files of the last good backup are gone, `{first}` among them",
                gone.len(),
                old.samples.len()
            ),
        ));
    }
    let rotten: Vec<&str> = old
        .samples
        .iter()
        .filter(|sample| {
            new.samples.iter().any(|now| {
                now.path == sample.path
                    && (now.size, now.mtime_s) == (sample.size, sample.mtime_s)
                    && now.sha256 != sample.sha256
            })
        })
        .map(|sample| sample.path.as_str())
        .collect();
    if let Some(first) = rotten.first() {
        found.push(Finding::new(
            codes::CONTENT_CHANGED_SILENTLY,
            subject,
            format!(
                "{} sampled file(s) changed under the same size and date, `{first}` among them",
                rotten.len()
            ),
        ));
    }
}

/// Sampled are the files that rank lowest. One of before that would still rank among those of now, and is not there, is gone.
fn absent_samples<'a>(old: &'a ArchivedVolume, new: &ArchivedVolume) -> Vec<&'a str> {
    let holds_all = u64::try_from(new.samples.len()).unwrap_or(u64::MAX) >= new.files;
    let last = new.samples.iter().map(|sample| sample.rank).max();
    old.samples
        .iter()
        .filter(|sample| holds_all || last.is_some_and(|last| sample.rank < last))
        .filter(|sample| !new.samples.iter().any(|now| now.path == sample.path))
        .map(|sample| sample.path.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(members: u64) -> MountTally {
        MountTally { members, bytes: 0 }
    }

    /// A volume that is out, but for a mount point in it.
    fn difference(own: u64, listed_only: bool) -> Option<String> {
        let volume = PlannedVolume {
            name: "db".into(),
            class: None,
            key: Some("mp0".into()),
            path: Some("/srv/db".into()),
            beside: None,
            included: false,
            why: String::new(),
            size: None,
            sure: false,
            parts_in: vec!["mp1".into(), "mp2".into()],
        };
        let archived = ArchivedVolume {
            tally: tally(own),
            root_present: true,
            ..ArchivedVolume::default()
        };
        let content = ArchiveContent {
            listed_only,
            mounts: [("mp1".to_owned(), tally(5)), ("mp2".to_owned(), tally(1))].into(),
            ..ArchiveContent::default()
        };
        archive_differs(&volume, &content, Some(&archived), None)
    }

    #[test]
    fn mount_points_in_a_volume_are_no_content_of_it() {
        // Whoever reads an archive counts all below the volume.
        assert_eq!(difference(6, false), None);
        assert!(difference(7, false).unwrap().contains("1 members"));
        // Whoever lists it counts only what is the volume's own.
        assert_eq!(difference(0, true), None);
        assert!(difference(3, true).unwrap().contains("3 members"));
    }
}
