//! What is wrong with a storage as such: gone, swapped, or nearly full.

use std::time::Duration;

use felhom_ids::StorageId;

use super::attachment::{Answer, Attachment, Difference, attachment, difference};
use super::durable::{Backing, durable_id};
use super::growth::{Sample, Samples, ThinMetadata};
use crate::finding::{Finding, codes};
use crate::size::size;

/// All that is known of one storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageLook {
    /// Its id.
    pub id: StorageId,
    /// What asking for it came to.
    pub answer: Answer,
    /// What it lies on; `None` when it is not defined, or the definition could not be read.
    pub backing: Option<Backing>,
    /// The durable id that was remembered of it.
    pub remembered: Option<String>,
    /// How full it is, with what was remembered before.
    pub samples: Samples,
    /// Of a thin pool.
    pub metadata: Option<ThinMetadata>,
    /// Whether it may be away: a disk that is carried to another place.
    pub may_be_away: bool,
}

/// A storage that is fuller is nearly full.
const FULL_PERCENT: u64 = 90;
/// Metadata that is fuller is nearly full: it grows in steps, and there is no way back when there is none left.
const METADATA_PERCENT: u64 = 80;
/// A storage that fills sooner is told, while there is time to order a disk.
const SOON: Duration = Duration::from_hours(24 * 14);

/// Where disks are mounted by hand and by the installer of file systems.
const MOUNT_PARENTS: [&str; 3] = ["/mnt/", "/media/", "/run/media/"];

/// What a person should know of it.
pub fn storage_findings(look: &StorageLook) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(missing_or_other(look));
    if let Some(last) = look.samples.all().last() {
        found.extend(fills(look, last));
    }
    found.extend(look.metadata.and_then(|metadata| thin(look, metadata)));
    found
}

/// What is wrong with the definition of a directory storage that does not have to be mounted: somebody mounts a disk where it
/// lies, and without the disk the root file system takes what was meant for it.
pub fn mount_unchecked(id: &StorageId, path: &str, on_target: bool) -> Option<Finding> {
    let by_hand = MOUNT_PARENTS.iter().any(|parent| path.starts_with(parent));
    let what = match (on_target, by_hand) {
        (true, _) => "is the mount point of a target",
        (false, true) => "looks like a mount",
        (false, false) => return None,
    };
    let detail = format!(
        "`{path}` {what}; when it is not mounted, Proxmox fills the root file system instead"
    );
    let hint = format!("pvesm set {id} --is_mountpoint yes");
    Some(Finding::new(codes::MOUNT_UNCHECKED, format!("storage {id}"), detail).hint(hint))
}

fn subject(look: &StorageLook) -> String {
    format!("storage {}", look.id)
}

fn missing_or_other(look: &StorageLook) -> Option<Finding> {
    let (id, remembered) = (&look.id, look.remembered.as_deref());
    match attachment(&look.answer, look.backing.as_ref(), remembered) {
        Attachment::Attached | Attachment::Unknown => None,
        Attachment::Detached if look.may_be_away => None,
        Attachment::Detached => {
            let known = remembered?;
            let detail = if look.answer == Answer::Undefined {
                format!("it was {known}, and is no longer defined")
            } else {
                format!("it was {known}, which is not there now")
            };
            let hint = format!(
                "pvesm status --storage {id}; when it shall not come back: felhom-agent storage eject {id}"
            );
            Some(Finding::new(codes::STORAGE_VANISHED, subject(look), detail).hint(hint))
        }
        Attachment::Wrong => {
            let is = look.backing.as_ref().and_then(durable_id)?;
            let detail = format!("it is {is}, and was {}", remembered?);
            let differs = difference(look.backing.as_ref(), remembered);
            let (code, hint) = if differs == Difference::Certificate {
                let hint = format!(
                    "compare, on the backup server: proxmox-backup-manager cert info; when it is the server's own: \
                     felhom-agent storage adopt {id}; when it is not, somebody stands in between"
                );
                (codes::PBS_CERTIFICATE_CHANGED, hint)
            } else {
                let hint = format!(
                    "attach the former one again; or, when the new one is meant: felhom-agent storage adopt {id}"
                );
                (codes::STORAGE_SWAPPED, hint)
            };
            Some(Finding::new(code, subject(look), detail).hint(hint))
        }
    }
}

fn fills(look: &StorageLook, last: &Sample) -> Option<Finding> {
    let growth = look.samples.growth();
    let soon = growth.and_then(|growth| growth.full_in.filter(|left| *left <= SOON));
    let full = percent(last.used, last.total) >= FULL_PERCENT && last.total > 0;
    if !full && soon.is_none() {
        return None;
    }
    let mut detail = format!("{} of {} are in use", size(last.used), size(last.total));
    if let (Some(left), Some(growth)) = (soon, growth) {
        let days = left.as_secs() / 86_400;
        let a_day = size(growth.bytes_per_day.unsigned_abs());
        detail = format!("{detail}; it grows by {a_day} a day, and is full in {days} days");
    }
    let hint = match look.backing {
        Some(Backing::Pbs { .. }) => {
            "on the backup server: a prune job and a garbage collection that run, or a larger disk"
        }
        Some(Backing::LvmThin { .. }) => "lvextend the pool, or move volumes away",
        Some(_) | None => "felhom-agent backup prune, or a larger disk",
    };
    Some(Finding::new(codes::STORAGE_FILLS, subject(look), detail).hint(hint))
}

fn thin(look: &StorageLook, metadata: ThinMetadata) -> Option<Finding> {
    let full = percent(metadata.used, metadata.total);
    if full < METADATA_PERCENT || metadata.total == 0 {
        return None;
    }
    let detail = format!(
        "{full} % of {} of metadata are in use",
        size(metadata.total)
    );
    let pool = look.backing.as_ref().and_then(durable_id);
    let pool = pool.unwrap_or_else(|| "VG/POOL".to_owned());
    let hint =
        format!("lvextend --poolmetadatasize +256M {pool}; remove snapshots that nobody needs");
    Some(Finding::new(codes::THIN_METADATA_FILLS, subject(look), detail).hint(hint))
}

fn percent(used: u64, total: u64) -> u64 {
    let hundred = u128::from(used).saturating_mul(100);
    let percent = hundred.checked_div(u128::from(total)).unwrap_or(0);
    u64::try_from(percent).unwrap_or(u64::MAX)
}
