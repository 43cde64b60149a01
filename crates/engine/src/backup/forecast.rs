//! The last good backup as a forecast: what is in the new archive, held against what was in that one.

use serde::{Deserialize, Serialize};

use super::{BackupReport, BackupRequest, BackupVerdict, Prepared};
use crate::finding::{Finding, codes};
use crate::inclusion::Inclusion;
use crate::size::off_forecast;
use crate::volumes::{NOTABLE, content_findings};
use crate::world::{ArchiveContent, ArchivedVolume, GuestFingerprint, MountTally};

/// What the last good backup under a VMID came to: what the next one is expected to be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerBackup {
    /// Whom it is of: another guest that was given the same VMID inherits nothing.
    pub of: GuestFingerprint,
    /// Bytes of the archive on its storage.
    pub size: Option<u64>,
    /// What was in the last one that could be read.
    pub content: Option<ArchiveContent>,
}

impl FormerBackup {
    /// The newest good backup of these, with the content of the newest of the same guest that was read: with one that nobody
    /// could look into there is nothing to compare. The newest come first.
    pub fn among(records: impl IntoIterator<Item = BackupReport>) -> Option<Self> {
        let mut good = records
            .into_iter()
            .filter(|report| report.verdict == BackupVerdict::Good);
        let newest = good.next()?;
        let (of, size) = (newest.fingerprint, newest.size);
        let content = newest.content.or_else(|| {
            let mut same = good.filter(|report| report.fingerprint.is_of_same_guest(&of));
            same.find_map(|report| report.content)
        });
        Some(Self { of, size, content })
    }
}

impl BackupRequest {
    /// The last good backup of this very guest.
    pub(super) fn former(&self, of: &GuestFingerprint) -> Option<&FormerBackup> {
        self.former
            .as_deref()
            .filter(|former| former.of.is_of_same_guest(of))
    }
}

/// What changed in a way that a person should look at. Nothing when the last good backup was not read, or is of another guest.
pub(super) fn findings(
    request: &BackupRequest,
    prepared: &Prepared,
    content: &ArchiveContent,
) -> Vec<Finding> {
    let former = request.former(&prepared.fingerprint);
    let Some(former) = former.and_then(|former| former.content.as_ref()) else {
        return Vec::new();
    };
    if former.listed_only || content.listed_only {
        return Vec::new();
    }
    let subject = format!("guest {}", request.vmid);
    let mut found: Vec<Finding> = prepared
        .plan
        .iter()
        .filter_map(|mount| of_mount(&subject, mount, former, content))
        .collect();
    // What one mount point explains is told of it alone.
    if found.is_empty() && is_off(former.bytes, content.bytes) {
        found.push(off(&subject, former.bytes, content.bytes));
    }
    // Of a volume that is planned out nothing should be there, wherever it was before.
    let is_out = |volume: &ArchivedVolume| {
        let mut planned = prepared.volumes.iter().flatten();
        planned.any(|one| one.name == volume.name && !one.included)
    };
    let now = content.docker_volumes.iter();
    let now: Vec<ArchivedVolume> = now.filter(|volume| !is_out(volume)).cloned().collect();
    found.extend(content_findings(&subject, &former.docker_volumes, &now));
    found
}

fn of_mount(
    subject: &str,
    mount: &Inclusion,
    former: &ArchiveContent,
    content: &ArchiveContent,
) -> Option<Finding> {
    let tally = |content: &ArchiveContent| content.mounts.get(&mount.key).copied();
    let was = tally(former).filter(|_| mount.included)?;
    let is = tally(content).unwrap_or_default();
    let subject = format!("{subject} {}", mount.key);
    if was.members > 0 && is.members == 0 {
        return Some(emptied(&subject, mount, was));
    }
    is_off(was.bytes, is.bytes).then(|| off(&subject, was.bytes, is.bytes))
}

/// Somebody may have cleared it; or it was not mounted when the backup read it.
fn emptied(subject: &str, mount: &Inclusion, was: MountTally) -> Finding {
    let path = &mount.path;
    let detail = format!(
        "nothing below `{path}` is in it, after {} members in the last good backup",
        was.members
    );
    Finding::new(codes::SIZE_OFF_FORECAST, subject, detail).hint(format!(
        "look into `{path}` of the guest: if it is not empty, the backup did not read it"
    ))
}

/// Halves and doubles, of what is worth a look at all.
fn is_off(was: u64, is: u64) -> bool {
    was > 0 && was.max(is) >= NOTABLE && (is < was / 2 || is / 2 > was)
}

fn off(subject: &str, was: u64, is: u64) -> Finding {
    Finding::new(codes::SIZE_OFF_FORECAST, subject, off_forecast(is, was))
}
