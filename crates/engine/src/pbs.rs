//! Backups on a Proxmox Backup Server: what its list really says, verifying that tells the truth, and proof that the server
//! cannot read them.
//!
//! A task that ended `OK` says nothing here: a server skips what it verified before, what is locked and what is not there,
//! and ends `OK` over it. Only the state in the list counts, and only when it names our task.

mod aftermath;
mod audit;
mod due;
mod facts;
mod findings;
mod off_box;
mod request;
mod verdict;
mod verify;
mod verify_log;

pub use audit::{
    Audit, AuditPolicy, AuditSubject, AuditVerdict, Head, Magic, Manifest, audit, audit_findings,
};
pub use due::{Due, plan_verify};
pub use facts::{
    CryptMode, Encryption, Listing, Sight, Snapshot, SnapshotFile, Target, Verification,
    VerifyStanding, VerifyState,
};
pub use findings::{Expected, Kit, Seen, findings};
pub use off_box::{OffBox, OffBoxLook, off_box};
pub use request::{VerifyReport, VerifyRequest, Wanted, Window};
pub use verdict::{Restorable, SnapshotVerdict, VerifyVerdict};
pub use verify::VerifyJob;
pub use verify_log::{FailedFile, VerifyLog};
