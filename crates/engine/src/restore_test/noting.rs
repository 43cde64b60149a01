//! Writing the verdict into the archive's notes: read, replace our line, write, read again.

use std::time::Duration;

use felhom_ids::VolumeId;
use serde::{Deserialize, Serialize};

use crate::job::Next;
use crate::judgement::Judgement;
use crate::mutating::Mutating;
use crate::mutation::Mutation;
use crate::outcome::Outcome;
use crate::step::{Observe, Step};
use crate::time::Timestamp;

const PREFIX: &str = "restore-tested ";
const MAX_ROUNDS: u8 = 4;

/// `restore-tested 2026-11-20: passed, booted, 41 s`
pub(super) fn line(now: Timestamp, judgement: &Judgement, rto_ms: Option<u64>) -> String {
    let level = judgement
        .level
        .map(|level| format!(", {level}"))
        .unwrap_or_default();
    let rto = rto_ms
        .map(|millis| format!(", {} s", millis.div_ceil(1000)))
        .unwrap_or_default();
    format!("{PREFIX}{}: {}{level}{rto}", now.date(), judgement.verdict)
}

/// The notes with `line` on top (lists show only the first line) and everything else, our mark too, as it was.
fn merge(notes: &str, line: &str) -> String {
    let rest = notes
        .trim_end()
        .lines()
        .filter(|old| !old.starts_with(PREFIX));
    std::iter::once(line)
        .chain(rest)
        .collect::<Vec<_>>()
        .join("\n")
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    Look,
    Write(Box<Mutating>),
    Ended(Result<(), String>),
}

/// The way of one line into the notes; part of a job's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noting {
    volid: VolumeId,
    line: String,
    no_progress: Duration,
    settle: Duration,
    stage: Stage,
    rounds: u8,
}

impl Noting {
    pub(super) fn new(
        volid: VolumeId,
        line: String,
        no_progress: Duration,
        settle: Duration,
    ) -> Self {
        Self {
            volid,
            line,
            no_progress,
            settle,
            stage: Stage::Look,
            rounds: 0,
        }
    }

    pub(super) fn ended(&self) -> Option<&Result<(), String>> {
        match &self.stage {
            Stage::Ended(end) => Some(end),
            Stage::Look | Stage::Write(_) => None,
        }
    }

    pub(super) fn resume(&mut self) {
        if let Stage::Write(mutating) = &mut self.stage {
            mutating.resume();
        }
    }

    pub(super) fn next(&self, now: Timestamp) -> Next {
        match &self.stage {
            Stage::Look => Next::Do(Step::Observe(Observe::Archive {
                volid: self.volid.clone(),
            })),
            // The verdict is safe in the journal; notes are not worth a paused job.
            Stage::Write(mutating) => match mutating.next(now) {
                Next::Pause(_) => Next::Do(Step::Observe(Observe::Archive {
                    volid: self.volid.clone(),
                })),
                next @ (Next::Do(_) | Next::Wait { .. } | Next::Done) => next,
            },
            Stage::Ended(_) => Next::Done,
        }
    }

    pub(super) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        match (&mut self.stage, outcome) {
            (Stage::Look | Stage::Write(_), Outcome::Archive(archive)) => {
                self.rounds = self.rounds.saturating_add(1);
                let Some(archive) = archive else {
                    self.stage = Stage::Ended(Err("the archive is gone".into()));
                    return;
                };
                let old = archive.notes.unwrap_or_default();
                let new = merge(&old, &self.line);
                self.stage = if new == old.trim_end() {
                    Stage::Ended(Ok(()))
                } else if self.rounds >= MAX_ROUNDS {
                    Stage::Ended(Err("the notes were written and do not stay".into()))
                } else {
                    let mutation = Mutation::SetNotes {
                        volid: self.volid.clone(),
                        notes: new,
                    };
                    Stage::Write(Box::new(Mutating::new(
                        mutation,
                        self.no_progress,
                        self.settle,
                    )))
                };
            }
            (Stage::Write(mutating), outcome @ Outcome::Sent(_)) => {
                mutating.record(now, outcome);
                if mutating.ended().is_some() {
                    self.stage = Stage::Look;
                }
            }
            (Stage::Look | Stage::Write(_), Outcome::Failed(error)) => {
                self.rounds = self.rounds.saturating_add(1);
                if self.rounds >= MAX_ROUNDS || !error.class.is_transient() {
                    self.stage = Stage::Ended(Err(error.text));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_line_comes_first_and_replaces_the_one_before() {
        let once = merge(
            "demo-ctl (9001)\nfelhom-mark:v1:x\n",
            "restore-tested 2026-11-20: passed",
        );
        assert_eq!(
            once,
            "restore-tested 2026-11-20: passed\ndemo-ctl (9001)\nfelhom-mark:v1:x"
        );
        let twice = merge(&once, "restore-tested 2026-11-27: failed");
        assert_eq!(
            twice,
            "restore-tested 2026-11-27: failed\ndemo-ctl (9001)\nfelhom-mark:v1:x"
        );
    }
}
