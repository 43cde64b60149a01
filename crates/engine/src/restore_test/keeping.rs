//! Keeping the proof: the archive that passed is set protected, and older ones that earlier tests protected are released.
//!
//! Only what carries our mark is touched, and released is only what the journal says we protected: a protection that
//! somebody else set stays.

use std::time::Duration;

use felhom_ids::{Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::job::Next;
use crate::mark::{InstallationId, Mark};
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::Outcome;
use crate::restore_test::RestoreTestRequest;
use crate::retention::{GuestArchives, protection_limit_reached};
use crate::step::{Observe, Step};
use crate::time::Timestamp;
use crate::world::{ArchiveFacts, GuestFingerprint};

/// How often one archive's protection is asked for.
const MAX_SENDS: usize = 2;
/// How many looks there are in all: one an archive that is released, and some for what goes wrong.
const MAX_ROUNDS: u8 = 32;

/// An archive that an earlier restore test set protected, by the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerProof {
    /// The archive.
    pub volid: VolumeId,
    /// Who the guest was.
    pub fingerprint: GuestFingerprint,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    Look,
    Write(Box<Mutating>),
    /// Whether the archive is protected by us, or why it is not protected.
    Ended(Result<bool, String>),
}

/// The way of the protection from one archive to another; part of a job's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Keeping {
    volid: VolumeId,
    vmid: Vmid,
    installation: InstallationId,
    former: Vec<VolumeId>,
    no_progress: Duration,
    settle: Duration,
    stage: Stage,
    sent: Vec<(VolumeId, bool)>,
    released: Vec<VolumeId>,
    /// What the server said against it last.
    refused: Option<String>,
    rounds: u8,
}

impl Keeping {
    pub(super) fn new(
        request: &RestoreTestRequest,
        vmid: Vmid,
        fingerprint: &GuestFingerprint,
        former: &[FormerProof],
    ) -> Self {
        let same_guest = former
            .iter()
            .filter(|proof| proof.fingerprint.is_of_same_guest(fingerprint))
            .map(|proof| proof.volid.clone())
            .filter(|volid| volid.storage() == request.volid.storage());
        Self {
            volid: request.volid.clone(),
            vmid,
            installation: request.installation.clone(),
            former: same_guest.collect(),
            no_progress: request.policy.no_progress,
            settle: request.policy.settle,
            stage: Stage::Look,
            sent: Vec::new(),
            released: Vec::new(),
            refused: None,
            rounds: 0,
        }
    }

    pub(super) fn ended(&self) -> Option<&Result<bool, String>> {
        match &self.stage {
            Stage::Ended(end) => Some(end),
            Stage::Look | Stage::Write(_) => None,
        }
    }

    /// What was protected by us and no longer is.
    pub(super) fn released(&self) -> &[VolumeId] {
        &self.released
    }

    pub(super) fn resume(&mut self) {
        if let Stage::Write(mutating) = &mut self.stage {
            mutating.resume();
        }
    }

    pub(super) fn next(&self, now: Timestamp) -> Next {
        match &self.stage {
            Stage::Look => self.look(),
            // The verdict is safe in the journal; its protection is not worth a paused job.
            Stage::Write(mutating) => match mutating.next(now) {
                Next::Pause(_) => self.look(),
                _ if mutating.is_from_before() => self.look(),
                next @ (Next::Do(_) | Next::Wait { .. } | Next::Done) => next,
            },
            Stage::Ended(_) => Next::Done,
        }
    }

    fn look(&self) -> Next {
        let all = self.former.iter().chain([&self.volid]);
        Next::Do(Step::Observe(Observe::Archives {
            vmid: self.vmid,
            storage: self.volid.storage().clone(),
            whole: all.cloned().collect(),
        }))
    }

    pub(super) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        match (&mut self.stage, outcome) {
            (Stage::Look | Stage::Write(_), Outcome::Archives(seen)) => {
                self.rounds = self.rounds.saturating_add(1);
                self.looked(&seen);
            }
            (Stage::Write(mutating), outcome @ Outcome::Sent(_)) => {
                mutating.record(now, outcome);
                if let Some(ended) = mutating.ended() {
                    if let Ended::Refused(error) = ended {
                        self.refused = Some(error.text.clone());
                    }
                    self.stage = Stage::Look;
                }
            }
            (Stage::Look | Stage::Write(_), Outcome::Failed(error)) => {
                self.rounds = self.rounds.saturating_add(MAX_ROUNDS / 4);
                if self.rounds >= MAX_ROUNDS || !error.class.is_transient() {
                    self.stage = Stage::Ended(Err(error.text));
                }
            }
            _ => {}
        }
    }

    fn looked(&mut self, seen: &GuestArchives) {
        self.note_released(seen);
        self.stage = match self.step(seen) {
            _ if self.rounds >= MAX_ROUNDS => {
                Stage::Ended(Err("protections were written and do not stay".into()))
            }
            Ok(Some((volid, protected))) => {
                self.sent.push((volid.clone(), protected));
                let mutation = Mutation::SetProtected { volid, protected };
                Stage::Write(Box::new(Mutating::new(
                    mutation,
                    self.no_progress,
                    self.settle,
                )))
            }
            Ok(None) => Stage::Ended(Ok(self.is_held(seen))),
            Err(why) => Stage::Ended(Err(why)),
        };
    }

    /// What is to be written next, if anything.
    fn step(&self, seen: &GuestArchives) -> Result<Option<(VolumeId, bool)>, String> {
        let Some(tested) = seen.archives.iter().find(|one| one.volid == self.volid) else {
            return Err("the archive is gone".into());
        };
        if !self.is_marked(tested) {
            // Somebody else's archive passed: how it is kept is theirs to say.
            return Ok(None);
        }
        let mut former = seen
            .archives
            .iter()
            .filter(|one| one.volid != self.volid && self.former.contains(&one.volid))
            .filter(|one| one.protected && self.is_marked(one));
        if former.clone().any(|one| one.ctime > tested.ctime) {
            // A newer one has passed before, and stays what is kept.
            return Ok(None);
        }
        let release = former.find(|one| self.may_send(&one.volid, false));
        let release = release.map(|one| (one.volid.clone(), false));
        if tested.protected {
            return Ok(release);
        }
        let protected = seen.archives.iter().filter(|one| one.protected).count();
        if let Some(limit) = protection_limit_reached(seen.max_protected, protected) {
            // The one that is released makes room.
            return release.map(Some).ok_or_else(|| {
                format!("the guest has {protected} protected archives, and no more than {limit} are allowed")
            });
        }
        if self.may_send(&self.volid, true) {
            Ok(Some((self.volid.clone(), true)))
        } else {
            let why = self.refused.clone();
            Err(why.unwrap_or_else(|| "the archive was set protected, and is not".into()))
        }
    }

    fn is_marked(&self, facts: &ArchiveFacts) -> bool {
        let mark = facts.notes.as_deref().and_then(Mark::find);
        mark.is_some_and(|mark| mark.installation == self.installation && mark.vmid == self.vmid)
    }

    fn may_send(&self, volid: &VolumeId, protected: bool) -> bool {
        let before = self
            .sent
            .iter()
            .filter(|(sent, what)| sent == volid && *what == protected);
        before.count() < MAX_SENDS
    }

    /// Whether the archive's protection is ours: set by this test or by an earlier one.
    fn is_held(&self, seen: &GuestArchives) -> bool {
        let sent = self.sent.contains(&(self.volid.clone(), true));
        let ours = sent || self.former.contains(&self.volid);
        ours && seen
            .archives
            .iter()
            .any(|one| one.volid == self.volid && one.protected)
    }

    fn note_released(&mut self, seen: &GuestArchives) {
        for (volid, protected) in &self.sent {
            let free = seen
                .archives
                .iter()
                .any(|one| one.volid == *volid && !one.protected);
            if !protected && free && !self.released.contains(volid) {
                self.released.push(volid.clone());
            }
        }
    }
}
