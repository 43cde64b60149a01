//! Which snapshots are verified next: what was never looked at before what was, and that by age.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use felhom_ids::BackupSnapshot;
use serde::{Deserialize, Serialize};

use super::facts::{Listing, Snapshot, VerifyStanding};
use crate::time::Timestamp;

/// A snapshot whose turn it is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The snapshot.
    pub snapshot: BackupSnapshot,
    /// Why, in a few words.
    pub why: String,
}

/// All that are due at `now` (ours; the server's counts where it is known), in order.
///
/// Never verified comes before anything verified, and of those the newest of each group before any second-newest; then what
/// was verified longest ago. What is in progress or empty is no backup and is left out. A failed one is due again by the
/// same age as a good one: the next backup may have brought a lost chunk back.
pub fn plan_verify(listing: &Listing, outdated_after: Duration, now: Timestamp) -> Vec<Due> {
    let now = listing.now(now);
    let mut backups: Vec<&Snapshot> = listing
        .snapshots
        .iter()
        .filter(|one| one.is_backup())
        .collect();
    backups.sort_by_key(|one| (one.name.group(), Reverse(one.name.time())));
    let mut ranks = BTreeMap::new();
    let mut due: Vec<_> = backups
        .into_iter()
        .filter_map(|one| {
            let rank: &mut usize = ranks.entry(one.name.group()).or_default();
            let place = *rank;
            *rank = rank.saturating_add(1);
            let why = why(one, outdated_after, now)?;
            let turn = match &one.verification {
                None => (None, place, Reverse(one.name.time())),
                Some(last) => (Some(last.at()), 0, Reverse(0)),
            };
            Some((turn, &one.name, why))
        })
        .collect();
    due.sort_by(|one, other| (one.0, one.1).cmp(&(other.0, other.1)));
    due.into_iter()
        .map(|(_, name, why)| Due {
            snapshot: name.clone(),
            why,
        })
        .collect()
}

fn why(one: &Snapshot, outdated_after: Duration, now: Timestamp) -> Option<String> {
    let Some(last) = &one.verification else {
        return Some("never verified".to_owned());
    };
    let days = now.since(last.at()).as_secs() / 86_400;
    match one.standing(now, outdated_after) {
        VerifyStanding::Unknown if days == 0 => Some("verified by a clock that was ahead".into()),
        VerifyStanding::Unknown => Some(format!("last verified {days} days ago")),
        VerifyStanding::Failed if now.since(last.at()) > outdated_after => {
            Some(format!("failed {days} days ago"))
        }
        VerifyStanding::Ok | VerifyStanding::Failed | VerifyStanding::Never => None,
    }
}
