//! What a job tells while it runs, to whoever listens: a terminal, a log, nobody.

use felhom_engine::{Outcome, Step};

/// One thing that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A line of the planning report.
    Planned(&'a str),
    /// The intent of a step is durable; it is about to be performed.
    Intended {
        /// Its number within the job.
        seq: i64,
        /// The step.
        step: &'a Step,
    },
    /// A task's log went on.
    LogLine(&'a str),
    /// Bytes of an archive that were read.
    Bytes {
        /// So far.
        done: u64,
    },
    /// A step was performed; its outcome is not written yet.
    Performed {
        /// Its number within the job.
        seq: i64,
        /// The step.
        step: &'a Step,
        /// What became of it.
        outcome: &'a Outcome,
    },
    /// The outcome of a step is durable.
    Concluded {
        /// Its number within the job.
        seq: i64,
    },
    /// Nothing happens until something changes.
    Waiting(&'a str),
}

/// Whoever listens.
pub trait Progress: Send + Sync {
    /// Takes one event. Must return soon: the job waits for it.
    fn event(&self, event: &Event<'_>);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: &Event<'_>) {}
}
