//! Everything that the engine can ask the agent to do.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_ids::{BackupGroup, StorageId, Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::evidence::EvidenceLevel;
use crate::mutation::Mutation;
use crate::pbs::Target;
use crate::policy::RestoreTestPolicy;
use crate::principal::{Principal, Remote};
use crate::world::WantedContent;

/// Something to read. Reading can be repeated at will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observe {
    /// All that a backup's preflight looks at.
    BackupSubject {
        /// The guest.
        vmid: Vmid,
        /// Where the backup shall go.
        storage: StorageId,
    },
    /// What a backup left in the world.
    BackupResult {
        /// The guest.
        vmid: Vmid,
        /// Where the backup went.
        storage: StorageId,
        /// The guest's backups before the request.
        known: BTreeSet<VolumeId>,
        /// The file that the task said it writes: of several new archives, that one counts.
        #[serde(default)]
        file: Option<String>,
        /// The task, which is nobody else's backup.
        #[serde(default)]
        task: Option<Upid>,
    },
    /// The archive itself, member by member.
    ArchiveContent {
        /// The archive.
        volid: VolumeId,
        /// What is looked for in it.
        wanted: Box<WantedContent>,
    },
    /// All that a restore test's preflight looks at.
    TestSubject {
        /// The archive.
        volid: VolumeId,
        /// Where copies go.
        policy: Box<RestoreTestPolicy>,
    },
    /// A scratch VMID and all that belongs to it.
    Scratch {
        /// The VMID.
        vmid: Vmid,
        /// Where its volumes would be.
        storage: StorageId,
    },
    /// A booted copy.
    Evidence {
        /// The copy.
        vmid: Vmid,
        /// Our addresses by interface name.
        nonces: Vec<(String, String)>,
        /// What must be reached; looking ends early when it is.
        wanted: EvidenceLevel,
        /// How long the copy must stay up.
        stable_for: Duration,
        /// When to stop looking.
        timeout: Duration,
    },
    /// All that a restore's preflight looks at.
    RestoreSubject {
        /// The archive.
        volid: VolumeId,
        /// The VMID that the guest shall get.
        to: Vmid,
    },
    /// A guest that a restore made, and all that belongs to it.
    Restored {
        /// Its VMID.
        vmid: Vmid,
        /// Where its volumes are.
        storages: Vec<StorageId>,
    },
    /// One archive with its whole notes.
    Archive {
        /// The archive.
        volid: VolumeId,
    },
    /// A guest's archives on one storage.
    Archives {
        /// The guest.
        vmid: Vmid,
        /// The storage.
        storage: StorageId,
        /// Those whose whole notes are wanted.
        whole: BTreeSet<VolumeId>,
    },
    /// The snapshots of a guest, the pseudo entry `current` left out.
    Snapshots {
        /// The guest.
        vmid: Vmid,
    },
    /// All that is looked at around a guard.
    GuardSubject {
        /// The guest.
        vmid: Vmid,
    },
    /// The snapshots of one namespace on a Proxmox Backup Server, and what the token sees of them.
    PbsSnapshots {
        /// Which server, datastore and namespace.
        target: Box<Target>,
        /// This group alone; `None` for all.
        group: Option<BackupGroup>,
    },
    /// The UPIDs of a kind and id that the server lists now.
    Tasks {
        /// Who will send the mutation.
        principal: Principal,
        /// Task type.
        kind: String,
        /// Task id, as `Upid::subject` gives it.
        id: String,
        /// Whose list.
        #[serde(default, skip_serializing_if = "Remote::is_node")]
        remote: Remote,
    },
}

/// What must stay free while a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The storage that the task fills.
    pub storage: StorageId,
    /// Free bytes below which the task is stopped.
    pub min_avail: u64,
    /// Volume group, pool, and the bytes of metadata above which the task is stopped.
    pub max_metadata: Option<(String, String, u64)>,
    /// Free bytes of the root file system below which the task is stopped.
    pub min_root_avail: u64,
    /// Further storages that the task fills, watched in the same way.
    #[serde(default)]
    pub others: Vec<Self>,
}

/// One thing to do. The agent performs nothing that is not a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Read something.
    Observe(Observe),
    /// Change something, with one request that is never repeated blindly.
    Mutate(Mutation),
    /// After a lost answer: look for the task, and for the effect, until the settle time is over.
    FindTask {
        /// The mutation whose answer was lost.
        mutation: Mutation,
        /// The UPIDs that were listed before the request.
        known: BTreeSet<Upid>,
        /// How long "not there" must hold.
        settle: Duration,
    },
    /// Follow a task to its end.
    Follow {
        /// Whose task it is.
        principal: Principal,
        /// The task.
        upid: Upid,
        /// What must stay free meanwhile.
        guard: Option<Box<Guard>>,
        /// The storage that the task writes to: while that fills, the task gets on, however silent its log.
        fills: Option<StorageId>,
        /// How long it may show neither a new log line nor an end.
        no_progress: Duration,
        /// Where it runs.
        #[serde(default, skip_serializing_if = "Remote::is_node")]
        remote: Remote,
    },
}

impl Step {
    /// The names of all steps that change nothing, for tests that must not leave one out; the others are called as their
    /// mutation ([`Mutation::NAMES`]).
    pub const NAMES: [&str; 16] = [
        "observe-backup-subject",
        "observe-backup-result",
        "read-archive",
        "observe-test-subject",
        "observe-scratch",
        "gather-evidence",
        "observe-restore-subject",
        "observe-restored",
        "observe-archive",
        "list-archives",
        "list-snapshots",
        "observe-guard-subject",
        "list-pbs-snapshots",
        "list-tasks",
        "find-task",
        "follow-task",
    ];

    /// Who performs it.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Mutate(mutation) | Self::FindTask { mutation, .. } => mutation.principal(),
            Self::Follow { principal, .. } | Self::Observe(Observe::Tasks { principal, .. }) => {
                *principal
            }
            Self::Observe(Observe::Evidence { .. }) => Principal::RestoreTest,
            Self::Observe(Observe::RestoreSubject { .. } | Observe::Restored { .. }) => {
                Principal::Restore
            }
            Self::Observe(
                Observe::BackupSubject { .. }
                | Observe::BackupResult { .. }
                | Observe::ArchiveContent { .. }
                | Observe::TestSubject { .. }
                | Observe::Scratch { .. }
                | Observe::Archive { .. }
                | Observe::Archives { .. }
                | Observe::Snapshots { .. }
                | Observe::GuardSubject { .. }
                | Observe::PbsSnapshots { .. },
            ) => Principal::Agent,
        }
    }

    /// The server that it speaks to.
    pub fn remote(&self) -> Remote {
        match self {
            Self::Mutate(mutation) | Self::FindTask { mutation, .. } => mutation.remote(),
            Self::Follow { remote, .. } | Self::Observe(Observe::Tasks { remote, .. }) => {
                remote.clone()
            }
            Self::Observe(Observe::PbsSnapshots { target, .. }) => target.remote(),
            Self::Observe(_) => Remote::Node,
        }
    }

    /// Whether it changes the world.
    pub fn is_mutation(&self) -> bool {
        matches!(self, Self::Mutate(_))
    }

    /// A short stable name for logs and the journal.
    pub fn name(&self) -> &'static str {
        // Taken out of the list, so that the list cannot lack one.
        let [
            backup_subject,
            backup_result,
            archive_content,
            test_subject,
            scratch,
            evidence,
            restore_subject,
            restored,
            archive,
            archives,
            snapshots,
            guard_subject,
            pbs_snapshots,
            tasks,
            find_task,
            follow,
        ] = Self::NAMES;
        match self {
            Self::Observe(observe) => match observe {
                Observe::BackupSubject { .. } => backup_subject,
                Observe::BackupResult { .. } => backup_result,
                Observe::ArchiveContent { .. } => archive_content,
                Observe::TestSubject { .. } => test_subject,
                Observe::Scratch { .. } => scratch,
                Observe::Evidence { .. } => evidence,
                Observe::RestoreSubject { .. } => restore_subject,
                Observe::Restored { .. } => restored,
                Observe::Archive { .. } => archive,
                Observe::Archives { .. } => archives,
                Observe::Snapshots { .. } => snapshots,
                Observe::GuardSubject { .. } => guard_subject,
                Observe::PbsSnapshots { .. } => pbs_snapshots,
                Observe::Tasks { .. } => tasks,
            },
            Self::Mutate(mutation) => mutation.name(),
            Self::FindTask { .. } => find_task,
            Self::Follow { .. } => follow,
        }
    }
}
