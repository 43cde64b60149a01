//! Which guest to test next: the one whose backup was proven longest ago. A test that could not be run takes the guest's turn
//! all the same: else a guest that cannot be tested, such as a virtual machine that holds a device of the host, would keep all
//! others from being tested.

use felhom_ids::{Vmid, VolumeId};

use crate::time::Timestamp;

/// A guest that could be tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The guest.
    pub vmid: Vmid,
    /// Its newest archive.
    pub newest: VolumeId,
    /// When that guest, of this fingerprint, last passed or failed a test; `None` when never.
    pub last_verdict: Option<Timestamp>,
    /// When a test of it last ended without a verdict.
    pub last_error: Option<Timestamp>,
}

/// The candidate whose last test is longest ago; a guest that never had one goes first, lower VMIDs before higher ones.
pub fn least_recently_proven(candidates: &[Candidate]) -> Option<&Candidate> {
    candidates.iter().min_by_key(|candidate| {
        (
            candidate.last_verdict.max(candidate.last_error),
            candidate.vmid,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(vmid: u32, at: Option<i64>) -> Candidate {
        let newest = format!("local:backup/vzdump-lxc-{vmid}-2026_11_23-00_19_47.tar.zst");
        Candidate {
            vmid: Vmid::new(vmid).unwrap(),
            newest: newest.parse().unwrap(),
            last_verdict: at.map(Timestamp::from_secs),
            last_error: None,
        }
    }

    #[test]
    fn a_guest_that_cannot_be_tested_keeps_nobody_waiting() {
        let mut all = [candidate(101, None), candidate(102, Some(50))];
        assert_eq!(least_recently_proven(&all).unwrap().vmid.get(), 101);
        all[0].last_error = Some(Timestamp::from_secs(60));
        assert_eq!(least_recently_proven(&all).unwrap().vmid.get(), 102);
        all[1].last_verdict = Some(Timestamp::from_secs(70));
        assert_eq!(least_recently_proven(&all).unwrap().vmid.get(), 101);
    }

    #[test]
    fn the_never_tested_goes_first_then_the_oldest() {
        let all = [
            candidate(101, Some(50)),
            candidate(103, None),
            candidate(102, Some(10)),
        ];
        assert_eq!(least_recently_proven(&all).unwrap().vmid.get(), 103);
        assert_eq!(least_recently_proven(&all[..1]).unwrap().vmid.get(), 101);
        assert_eq!(
            least_recently_proven(&[all[0].clone(), all[2].clone()])
                .unwrap()
                .vmid
                .get(),
            102
        );
        assert_eq!(least_recently_proven(&[]), None);
    }
}
