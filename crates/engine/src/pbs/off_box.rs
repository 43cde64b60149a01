//! What one group on a backup server comes to, for the posture of its guest.

use std::time::Duration;

use felhom_ids::{BackupGroup, BackupSnapshot};

use super::facts::{Listing, VerifyStanding};
use crate::time::Timestamp;

/// The copies of one guest on a Proxmox Backup Server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffBox {
    /// How many count as backups.
    pub backups: usize,
    /// The newest of them, and what may be believed of its verify state.
    pub newest: Option<(BackupSnapshot, VerifyStanding)>,
    /// The newest that was verified within the time that it is believed.
    pub restorable: Option<BackupSnapshot>,
    /// Whether one is older than that time, so that a good server would have verified it by now.
    pub overdue: bool,
    /// Whether the list may leave some out.
    pub may_be_shortened: bool,
}

/// What a look at the copies of one guest came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OffBoxLook {
    /// No backup server is to hold any, and none does.
    #[default]
    NotMeant,
    /// The server that holds them, or may, could not be looked at.
    Unseen,
    /// They were looked at.
    Seen(OffBox),
}

/// What a look says of one group.
pub fn off_box(listing: &Listing, group: &BackupGroup, now: Timestamp, ttl: Duration) -> OffBox {
    let now = listing.now(now);
    let mut backups = listing.group(group);
    backups.retain(|one| one.is_backup());
    let newest = backups.first();
    let good = backups
        .iter()
        .find(|one| one.standing(now, ttl) == VerifyStanding::Ok);
    OffBox {
        backups: backups.len(),
        newest: newest.map(|one| (one.name.clone(), one.standing(now, ttl))),
        restorable: good.map(|one| one.name.clone()),
        overdue: backups.last().is_some_and(|one| one.age(now) > ttl),
        may_be_shortened: listing.sight.shortened().is_some(),
    }
}
