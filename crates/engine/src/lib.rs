//! The decisions of felhom-agent: what we believe is there, what was asked for and what time it is go in;
//! findings and the next step come out.
//!
//! This crate never reads a clock, never draws a random number and never does I/O. A [`Job`] is a value that can be
//! written down between any two steps, and continues from there in another process.

mod backup;
mod calendar;
mod choose;
mod evidence;
mod exercise;
mod finding;
mod golden;
mod guard;
mod headroom;
mod health;
pub mod incident;
mod inclusion;
mod isolation;
mod job;
mod judgement;
mod mark;
mod mutating;
mod mutation;
mod outcome;
mod pass;
mod patience;
pub mod pbs;
mod policy;
mod posture;
mod principal;
pub mod privileges;
mod proof;
mod prune;
mod reap;
mod refusal;
mod restore_run;
mod restore_test;
mod retention;
mod scratch;
mod selection;
mod size;
mod step;
pub mod storages;
pub mod targets;
mod time;
pub mod volumes;
mod vzdump_log;
pub mod watch;
mod world;

pub use backup::{
    BackupJob, BackupReport, BackupRequest, BackupVerdict, Consistency, FormerBackup, KnownVolumes,
};
pub use calendar::{CalendarEvent, Open, ParseEventError, TimeWindow};
pub use choose::{Candidate, least_recently_proven};
pub use evidence::{Evidence, EvidenceLevel};
pub use exercise::{ExerciseJob, ExerciseReport};
pub use finding::{Code, Finding, Severity, codes};
pub use golden::{GoldenJob, GoldenReport, GoldenRequest};
pub use guard::{
    Age, GuardDue, GuardEnd, GuardJob, GuardPhase, GuardPolicy, GuardPurpose, GuardReport,
    GuardStanding, OnExpiry, OnMaxAge, OpenGuard, ParsePolicyError, Past, Reading, guard_standing,
};
pub use headroom::{Floors, Headroom, Shortage, headroom};
pub use health::{BridgeHealth, Health, JobOverScratch, StorageHealth, StorageSeen, health};
pub use inclusion::{Inclusion, MountProof, planned_inclusion, prove_inclusion};
pub use isolation::{Violation, isolation_violations};
pub use job::{Job, JobId, JobKind, Next, ParseJobIdError};
pub use judgement::{Judgement, Verdict};
pub use mark::{InstallationId, Mark, ParseMarkError};
pub use mutating::{Ended, Mutating};
pub use mutation::Mutation;
pub use outcome::{EffectSeen, ErrorClass, Followed, Outcome, RemoteError, Sent, TaskVerdict};
pub use pass::{
    Chore, Due, Left, LeftOut, MOST_TRIES, PassFacts, PassGuest, PassPlan, PassServer, RefusedWork,
    Schedule, Unasked, Work, plan_pass,
};
pub use policy::{BackupMode, BackupPolicy, RestoreTestPolicy};
pub use posture::{GuestRecord, Posture, PostureLimits, posture, posture_within};
pub use principal::{Principal, Remote};
pub use proof::{ArchiveProof, LogSource, ProofStanding, Witnesses, prove_archive};
pub use prune::{PruneJob, PruneReport, PruneRequest};
pub use reap::{Leftover, ReapJob, ReapReport};
pub use refusal::Refusal;
pub use restore_run::{
    Beyond, Feature, Identity, Lacking, Missing, Original, RestoreEnd, RestoreRunJob,
    RestoreRunPlan, RestoreRunPolicy, RestoreRunReport, RestoreRunRequest, RestoreSubject,
    RestoredFacts, RestoredVolume, Space, VolumesSeen, WrittenConfig, plan_restore_run,
    restore_paths,
};
pub use restore_test::plan::{Lost, PlannedMount, PlannedNic, RestorePlan, plan_restore};
pub use restore_test::{FormerProof, RestoreTestJob, RestoreTestReport, RestoreTestRequest};
pub use retention::{ArchiveRecord, Decision, GuestArchives, KeepPolicy, plan_retention};
pub use scratch::{CleanUp, CleanUpEnd, Earlier, Lease, Standing, Tenure, scratch_standing};
pub use selection::{ParseSelectionError, Selectable, Selection};
pub use size::size;
pub use step::{Guard, Observe, Step};
pub use time::Timestamp;
pub use vzdump_log::{Freeze, VzdumpLog};
pub use world::{
    ArchiveContent, ArchiveFacts, ArchivedVolume, BackupResult, BackupSubject, BridgeFacts,
    DEFAULT_DATA_ROOT, Existence, GuardSubject, GuestConfig, GuestFingerprint, GuestState, Mount,
    MountSource, MountTally, Nic, NodeFacts, OddNames, Retention, SampledFile, ScratchFacts,
    SnapshotFacts, StorageFacts, TaskFacts, TestSubject, ThinPool, VolumeRoot, WantedContent,
    is_drive,
};
