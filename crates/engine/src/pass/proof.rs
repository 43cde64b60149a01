//! Which archives are restore-tested now: of the guest whose last test is longest ago, of either kind.

use super::{Chore, Desk, Now, PassGuest, Work, ago, would_be_late};
use crate::judgement::Verdict;
use crate::time::Timestamp;

/// What there is to say of one guest.
enum Proof {
    Due(String),
    Left(String, Option<Timestamp>, bool),
}

impl Desk<'_> {
    pub(super) fn proofs(&mut self, guests: &[&PassGuest]) {
        if !self.facts.tests {
            let reason = "there is neither `[principals.restore-test]` nor `[restore-test]`, so no backup is proven";
            self.unasked(Chore::Proofs, reason);
            return;
        }
        if self.schedule.proof.opens.is_empty() {
            self.unasked(Chore::Proofs, "`[schedule] proof` names no time");
            return;
        }
        let window = self.window(&self.schedule.proof);
        let first = !guests.iter().any(|guest| self.last_proof(guest).is_some());
        let mut order: Vec<&PassGuest> = guests.to_vec();
        order.sort_by_cached_key(|guest| {
            let proofs = guest.proofs.iter().map(|(at, ..)| at);
            let last = self.believed(proofs.chain(&guest.errors)).max();
            (last, guest.vmid)
        });
        let begun = |work: &&Work| matches!(work, Work::Proof { .. });
        let mut room = self
            .schedule
            .proofs_per_pass
            .saturating_sub(self.facts.begun.iter().filter(begun).count());
        // The first proof of a box waits for no window, but one is enough for that.
        let mut first = first && self.schedule.first_at_once && !window.may;
        for guest in order {
            let work = Work::Proof {
                vmid: guest.vmid,
                volid: guest.archive.clone(),
            };
            let said = self.proof(guest, window, first);
            match said {
                Proof::Due(_) if self.backup_comes_first(guest) => {
                    self.left(work, "its backup comes first", None, false);
                }
                Proof::Due(_) if room == 0 => {
                    let most = self.schedule.proofs_per_pass;
                    let reason = format!("this pass has its {most} restore tests");
                    self.left(work, reason, None, true);
                }
                Proof::Due(reason) => {
                    if self.withheld(&work).is_none() {
                        room -= 1;
                        first = false;
                    }
                    self.due(work, reason);
                }
                Proof::Left(reason, next, overdue) => self.left(work, reason, next, overdue),
            }
        }
    }

    /// No test while a backup of the same guest is due.
    fn backup_comes_first(&self, guest: &PassGuest) -> bool {
        let backup = Work::Backup { vmid: guest.vmid };
        self.plan.due.iter().any(|due| due.work == backup)
    }

    fn last_proof(&self, guest: &PassGuest) -> Option<Timestamp> {
        let times = guest.proofs.iter().map(|(at, ..)| at);
        self.believed(times).max()
    }

    fn proof(&self, guest: &PassGuest, window: Now, first: bool) -> Proof {
        let now = self.facts.now;
        let last = self.last_proof(guest);
        let late = last.is_none_or(|last| last.plus(self.schedule.proof_every) <= now);
        let Some(archive) = &guest.archive else {
            return Proof::Left("there is no backup of it to test".to_owned(), None, late);
        };
        // Once more would show the same.
        if guest.strangers.contains(archive) {
            let reason = format!("`{archive}` was tested, and is a backup of another guest");
            return Proof::Left(reason, None, late);
        }
        let wanted = match last {
            None if window.may => Some("it was never restore-tested".to_owned()),
            None if first => Some(
                "nothing on this box was ever restore-tested, and the first test waits for no window"
                    .to_owned(),
            ),
            Some(last) if window.may => self.again(guest, last, window),
            None | Some(_) => None,
        };
        let Some(reason) = wanted else {
            let said = last.map_or_else(
                || "never restore-tested".to_owned(),
                |last| format!("restore-tested {} ago", ago(now, last)),
            );
            let closed = if window.may {
                ""
            } else {
                "; the window is closed"
            };
            return Proof::Left(format!("{said}{closed}"), window.next, late);
        };
        match self.resting(&guest.errors, last, window) {
            None => Proof::Due(reason),
            Some((reason, next)) => Proof::Left(reason, next, late),
        }
    }

    /// Why a guest that was tested before is tested again.
    fn again(&self, guest: &PassGuest, last: Timestamp, window: Now) -> Option<String> {
        let now = self.facts.now;
        let every = self.schedule.proof_every;
        let newest = guest.proofs.iter().find(|(at, ..)| *at == last);
        if let Some((_, Verdict::Failed, tested)) = newest
            && guest.archive.as_ref() != Some(tested)
        {
            return Some("its last restore test failed, and there is another backup".to_owned());
        }
        let due = match window.open {
            Some(open) => last < open.since && would_be_late(last, every, window.next),
            None => last.plus(every) <= now,
        };
        due.then(|| format!("its last restore test was {} ago", ago(now, last)))
    }
}
