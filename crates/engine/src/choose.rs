//! Which guest to test next: the one whose backup was proven longest ago.

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
}

/// The candidate whose last verdict is oldest; a guest that never had one goes first, lower VMIDs before higher ones.
pub fn least_recently_proven(candidates: &[Candidate]) -> Option<&Candidate> {
    candidates
        .iter()
        .min_by_key(|candidate| (candidate.last_verdict, candidate.vmid))
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
        }
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
