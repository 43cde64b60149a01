//! Findings: expected trouble with a stable code, so that people can look it up, script it and suppress it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Should be mended; nothing is lost yet.
    Warning,
    /// Data or the box is at risk, or a promise is broken.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// One entry of the catalogue: a stable name, its severity and one sentence that explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Stable, never reused.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

/// Something a person should know, about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A code of the catalogue.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: `guest 9001`, `storage local`, `scratch 9100`.
    pub subject: String,
    /// What was seen.
    pub detail: String,
    /// What to do about it, a command where there is one.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding of a catalogued code. What guests name is told as one line, whatever is in it.
    pub fn new(code: Code, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code: code.name.to_owned(),
            severity: code.severity,
            subject: one_line(&subject.into()),
            detail: one_line(&detail.into()),
            hint: None,
        }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The text without what moves a cursor or begins another line.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// The catalogue of finding codes.
pub mod codes {
    use super::{Code, Severity};

    macro_rules! catalogue {
        ($($ident:ident = $name:literal, $severity:ident, $meaning:literal;)*) => {
            $(
                #[doc = $meaning]
                pub const $ident: Code = Code { name: $name, severity: Severity::$severity, meaning: $meaning };
            )*
            /// Every code there is, in the order of this file.
            pub const ALL: &[Code] = &[$($ident),*];
        };
    }

    catalogue! {
        INCLUSION_DIFFERS = "inclusion-differs", Critical,
            "What the backup contains is not what the guest's configuration says it should contain.";
        MODE_DEGRADED = "mode-degraded", Warning,
            "The backup ran in another mode than the one asked for.";
        GUEST_CHANGED_BY_BACKUP = "guest-changed-by-backup", Critical,
            "After the backup the guest is not as it was before: stopped, locked, or with a snapshot left over.";
        SIZE_OFF_FORECAST = "size-off-forecast", Warning,
            "The backup's size is far from that of the guest's last good backup.";
        BIND_NOT_IN_BACKUP = "bind-not-in-backup", Warning,
            "A bind or device mount is never part of a backup; a restore on another host will miss its data.";
        VOLUME_NOT_IN_BACKUP = "volume-not-in-backup", Notice,
            "A volume mount point without `backup=1` is not part of the backup.";
        VOLUME_BULK_IN_BACKUP = "volume-bulk-in-backup", Warning,
            "A bulk volume lies where every backup takes it up, so that backups swell with what need not be in them.";
        VOLUME_HOT_NOT_IN_BACKUP = "volume-hot-not-in-backup", Critical,
            "A hot volume lies where no backup takes it up: a restore comes back without it.";
        VOLUME_UNCLASSIFIED = "volume-unclassified", Warning,
            "Nobody says whether a Docker volume belongs in the backup or not.";
        VOLUME_BULK_UNCOVERED = "volume-bulk-uncovered", Warning,
            "A bulk volume is in no backup of its guest, and nobody says what protects it or that it may be lost.";
        VOLUME_IN_EXCLUDED_PATH = "volume-in-excluded-path", Critical,
            "A volume lies on a path that vzdump leaves out of every backup.";
        VOLUME_IDLE = "volume-idle", Notice,
            "No running container uses a volume, so nobody would notice what is wrong with it.";
        VOLUME_UNPROVEN = "volume-unproven", Warning,
            "Nothing in the archive shows that a volume which should be in it is.";
        VOLUME_UNREPORTED = "volume-unreported", Notice,
            "The archive holds a Docker volume that the last report of the guest's Docker engine does not know.";
        VOLUME_REPORT_OLD = "volume-report-old", Notice,
            "The last report of a guest's Docker engine is old, or of another guest of that number.";
        SAMPLED_FILE_ABSENT = "sampled-file-absent", Notice,
            "A file that was sampled from the last good backup is not in this one.";
        CONTENT_CHANGED_SILENTLY = "content-changed-silently", Warning,
            "A file changed from one backup to the next under the same size and date: decay, or somebody who hides.";
        DATA_ROOT_ON_MOUNT = "data-root-on-mount", Warning,
            "Docker keeps everything on a mount point, so that mount point's backup flag decides about all volumes.";
        CONTAINER_WITHOUT_RESTART = "container-without-restart", Warning,
            "A running container has no restart policy, so it stays down after a restore.";
        SNAPSHOT_IMPOSSIBLE = "snapshot-impossible", Notice,
            "A mount point keeps Proxmox from snapshotting the guest.";
        ROLLBACK_TAKES_BACK = "rollback-takes-back", Notice,
            "A mount point that no backup holds is part of every snapshot, so a rollback takes its data back too.";
        EXCLUDED_BY_VZDUMP_CONF = "excluded-by-vzdump-conf", Warning,
            "The node's own backup configuration leaves out what the guest's configuration puts into every backup.";
        OTHER_BACKUP_AT_WORK = "other-backup-at-work", Notice,
            "Somebody else's backup worked on the guest when ours had ended, so how ours left the guest cannot be told.";
        TASK_WARNINGS = "task-warnings", Warning,
            "A Proxmox task succeeded with warnings.";
        ARCHIVE_UNREAD = "archive-unread", Warning,
            "The archive could not be read by the agent, so its content is proven by vzdump's log only.";
        ARCHIVE_ODD_NAMES = "archive-odd-names", Warning,
            "The archive holds names that no honest guest has: absolute ones, with `..`, or endlessly long.";
        SCRATCH_FOREIGN = "scratch-foreign", Critical,
            "A guest stands in the scratch range that we cannot prove to be ours; it is left alone.";
        UNFINISHED_RESTORE = "unfinished-restore", Critical,
            "A restore was cut off by the host and left a stub, which no API token can remove, and the root helper did not release it.";
        ORPHAN_VOLUMES = "orphan-volumes", Warning,
            "Volumes that a restore test or a restore of ours made are left without a guest.";
        FLOOR_REACHED = "floor-reached", Critical,
            "A storage came close to its floor while a restore ran; the restore was stopped.";
        CLEAN_UP_INCOMPLETE = "clean-up-incomplete", Critical,
            "A scratch guest could not be removed.";
        RESTORE_DIFFERS = "restore-differs", Critical,
            "A restored guest is there, but its configuration is not what the plan said; it was not started.";
        RESTORE_LEFTOVER = "restore-leftover", Critical,
            "What a failed restore may have made is still there: it is not proven to be ours, or could not be removed.";
        RESTORED_NOT_STARTED = "restored-not-started", Warning,
            "A restored guest is there as planned, but did not start.";
        NOTES_NOT_WRITTEN = "notes-not-written", Notice,
            "The verdict could not be written into the archive's notes.";
        PROOF_NOT_PROTECTED = "proof-not-protected", Notice,
            "The archive that passed its restore test could not be set protected.";
        ARCHIVE_FROM_FUTURE = "archive-from-future", Warning,
            "A backup is dated far in the future, so a clock was wrong; nothing is pruned by age while it is there.";
        PRUNE_INCOMPLETE = "prune-incomplete", Warning,
            "A superseded archive of ours should be gone and is still there.";
        TASK_LEFT_RUNNING = "task-left-running", Warning,
            "A Proxmox task that we started was still running when we stopped waiting for it.";
        LIST_MAY_BE_SHORTENED = "list-may-be-shortened", Warning,
            "A list may leave out what the token has no right to see, so an empty list proves nothing.";
        CLUSTER_UNSUPPORTED = "cluster-unsupported", Critical,
            "The cluster has more than one node; mutations are refused.";
        INSECURE_TLS = "insecure-tls", Critical,
            "TLS verification is switched off in the configuration.";
        NOT_CONFIGURED = "not-configured", Critical,
            "There is no configuration yet, so nothing is backed up.";
        PRIVILEGE_MISSING = "privilege-missing", Critical,
            "User and token do not both hold a privilege without which a configured operation fails.";
        GONE_GUEST_UNSEEN = "gone-guest-unseen", Notice,
            "A guest is gone, and with it the grants without which the backups that are left of it cannot be seen, tested or pruned.";
        SIGHT_LIMITED = "sight-limited", Warning,
            "A privilege is missing without which the agent does not see all that it should judge.";
        EXCESS_PRIVILEGES = "excess-privileges", Notice,
            "A token holds privileges that nothing configured needs.";
        EXCESS_DANGEROUS = "excess-dangerous", Warning,
            "A token holds a privilege that nothing configured needs and that destroys or takes over what is not ours.";
        TOKEN_NOT_SEPARATED = "token-not-separated", Warning,
            "A token is not privilege-separated: it may do all that its user may do.";
        ROOT_TOKEN = "root-token", Critical,
            "A token belongs to root@pam.";
        TESTER_REACHES_PRODUCTION = "tester-reaches-production", Warning,
            "The principal of the restore test may change guests that are not scratch guests.";
        BRIDGE_MISSING = "bridge-missing", Critical,
            "The isolated bridge for scratch guests is not there.";
        BRIDGE_NOT_ISOLATED = "bridge-not-isolated", Critical,
            "The bridge for scratch guests has ports or addresses.";
        POOL_MISSING = "pool-missing", Critical,
            "The pool of scratch guests is not there.";
        STORAGE_UNUSABLE = "storage-unusable", Critical,
            "A configured storage is not there, out of reach, or does not take what it is configured for.";
        RETENTION_PRUNES = "retention-prunes", Warning,
            "A backup storage's own retention deletes archives, ours among them.";
        MOUNT_UNCHECKED = "mount-unchecked", Warning,
            "A storage on a mounted directory lacks `is_mountpoint`, so it fills the root file system when nothing is mounted.";
        CLOCK_OFF = "clock-off", Warning,
            "The node's clock and ours differ.";
        JOB_ARCHIVES_SCRATCH = "job-archives-scratch", Warning,
            "A backup job of the cluster covers scratch VMIDs, so it archives copies that a restore test has up.";
        CERTIFICATE_EXPIRES = "certificate-expires", Warning,
            "The pinned certificate is about to be replaced; until the new one is pinned, every job waits.";
        TOO_MUCH_SHOWN = "too-much-shown", Warning,
            "The server would have let a principal do what it must not: asked, not inferred.";
        VOLUMES_INCOMPLETE = "volumes-incomplete", Warning,
            "The report on a guest's Docker volumes leaves some out, or says too little of them to judge.";
        GUARD_EXPIRED = "guard-expired", Warning,
            "A guarded change was not confirmed in time; its snapshot is kept until somebody confirms or aborts.";
        GUARD_TOO_OLD = "guard-too-old", Warning,
            "The snapshot of a guarded change is older than snapshots may become, and grows until somebody confirms or aborts.";
        GUARD_UNDETERMINED = "guard-undetermined", Critical,
            "A rollback was begun, and nobody can say whether it was carried out; only a person goes on from here.";
        GUARD_SNAPSHOT_LEFT = "guard-snapshot-left", Warning,
            "A guard has ended, and its snapshot could not be removed yet.";
        GUARD_SNAPSHOT_GONE = "guard-snapshot-gone", Warning,
            "The snapshot of a guarded change is no longer there, or no longer ours, so there is no way back by it.";
        GUARD_GUEST_STATE = "guard-guest-state", Critical,
            "After a guard's snapshot or rollback the guest does not run as it did before.";
        BACKUP_VERIFY_FAILED = "backup-verify-failed", Critical,
            "A backup server found damage in a backup: it may not be restorable.";
        BACKUP_VERIFY_UNDETERMINED = "backup-verify-undetermined", Warning,
            "A verify was asked for, and the list does not say that our task verified the backup, whatever the task said.";
        BACKUP_VERIFY_STALE = "backup-verify-stale", Warning,
            "No backup of a group was verified within the time that a verify is believed.";
        BACKUP_NOT_ENCRYPTED = "backup-not-encrypted", Critical,
            "A backup that should be encrypted is not: whoever has the backup server reads it.";
        BACKUP_ENCRYPTION_MIXED = "backup-encryption-mixed", Critical,
            "Some files of a backup are encrypted and others are not.";
        BACKUP_ENCRYPTION_UNKNOWN = "backup-encryption-unknown", Warning,
            "The list does not say of each file of a backup whether it is encrypted.";
        BACKUP_KEY_DIFFERS = "backup-key-differs", Critical,
            "The newest backup was made with another encryption key than the one the storage has now.";
        BACKUP_OWNER_FOREIGN = "backup-owner-foreign", Warning,
            "A backup group belongs to another token than the one that backs up, which can then neither add to it nor restore it.";
        BACKUP_UNFINISHED = "backup-unfinished", Warning,
            "The newest backup of a group has been in progress for long, so it may never be finished.";
        BACKUP_GROUP_EMPTY = "backup-group-empty", Critical,
            "A guest that should have a backup on the backup server has none.";
        DATASTORE_MAINTENANCE = "datastore-maintenance", Warning,
            "The datastore is in maintenance, so backups, restores or verifies are refused.";
        PBS_CLOCK_OFF = "pbs-clock-off", Warning,
            "The backup server's clock and ours differ, so ages of backups and verifies are not what they seem.";
        PBS_CERTIFICATE_CHANGED = "pbs-certificate-changed", Critical,
            "The backup server shows another certificate than the one that was known.";
        PBS_UNUSABLE = "pbs-unusable", Critical,
            "A backup server of the configuration cannot be asked, so nothing is known of the backups on it.";
        PBS_STORAGE_DIFFERS = "pbs-storage-differs", Critical,
            "The storage in Proxmox VE is not what the configuration says of it: another server, datastore, owner or key.";
        RECOVERY_KIT_UNCONFIRMED = "recovery-kit-unconfirmed", Critical,
            "Nobody said that the recovery kit is stored off the box: with the box, the key to every backup is lost.";
        KIT_NO_ARCHIVE = "kit-no-archive", Critical,
            "A guest has no archive at all, so no page brings it back when the box is lost.";
        KIT_NO_OFF_BOX = "kit-no-off-box", Warning,
            "The archives of a guest lie only on the box itself: when that is lost, so are they.";
        KIT_NOT_DESCRIBED = "kit-not-described", Warning,
            "A guest needs a bridge or a storage of which the kit cannot say how it is made.";
        KIT_INCOMPLETE = "kit-incomplete", Warning,
            "Something that belongs into the kit could not be read, so the page has a gap.";
        SERVER_CAN_READ = "server-can-read", Critical,
            "Something on the backup server is not encrypted to the key that only we should have.";
        SERVER_CAN_READ_UNPROVEN = "server-can-read-unproven", Warning,
            "It could not be shown of everything in a backup that the backup server cannot read it.";
        STORAGE_VANISHED = "storage-vanished", Critical,
            "A storage that was there is no longer defined, or what it lies on is gone.";
        STORAGE_SWAPPED = "storage-swapped", Critical,
            "Under the name of a storage stands another one than before.";
        STORAGE_FILLS = "storage-fills", Warning,
            "A storage is nearly full, or will be soon as it grows now.";
        THIN_METADATA_FILLS = "thin-metadata-fills", Critical,
            "The metadata of a thin pool is nearly full; when it is, every volume in the pool stops.";
        TARGET_WRONG = "target-wrong", Critical,
            "Another disk, or a copy of it, stands where a target's disk should be; nothing is written to it.";
        TARGET_AWAY_TOO_LONG = "target-away-too-long", Warning,
            "The disk of a target has been away for longer than is allowed.";
        TARGET_UNKNOWN = "target-unknown", Warning,
            "Nobody can say whether the disk of a target is there and the right one.";
        TARGET_READ_ONLY = "target-read-only", Warning,
            "The disk of a target is there and takes no data: it is read-only.";
        TARGET_FULL = "target-full", Warning,
            "The disk of a target is there and full.";
        ROOT_HELPER_ABSENT = "root-helper-absent", Warning,
            "Something that is set up needs the root helper, which is not there.";
        ROOT_HELPER_UNUSABLE = "root-helper-unusable", Warning,
            "The root helper is there, and does not do what is set up.";
        CERTIFICATE_CHANGES = "certificate-changes", Warning,
            "Another certificate than the pinned one is in place, and is shown from pveproxy's next start on.";
        NODE_SILENT = "node-silent", Critical,
            "Proxmox VE on this box does not answer us, so nothing is backed up, proven or known.";
        BACKUP_FAILED = "backup-failed", Critical,
            "Our last backup of a guest failed, or ended without a verdict.";
        BACKUP_OVERDUE = "backup-overdue", Critical,
            "The newest backup of a guest is older than it may become.";
        RESTORE_TEST_FAILED = "restore-test-failed", Critical,
            "The last restore test of a guest says that its backup is bad.";
        RESTORE_TEST_ERROR = "restore-test-error", Warning,
            "Restore tests of a guest could not run, more than once in a row, so nothing is proven.";
        PROOF_OVERDUE = "proof-overdue", Warning,
            "No backup of a guest was proven for longer than that may take.";
        DISK_FAILING = "disk-failing", Critical,
            "A physical disk calls itself failing.";
        DISK_WORN = "disk-worn", Warning,
            "Most of a physical disk's life is used up.";
        TOO_HOT = "too-hot", Critical,
            "A sensor reads more than what is critical by its own word.";
        PASS_BROKEN = "pass-broken", Critical,
            "A pass ended before everything was done that was due, so backups or tests are missing.";
        JOB_STUCK = "job-stuck", Critical,
            "A job did not end, and no pass goes on with it: the program was cut off by it each time, or cannot read it.";
        NOBODY_SELECTED = "nobody-selected", Critical,
            "The schedule selects no guest of this box, so nothing is backed up.";
        POSTURE = "posture", Warning,
            "It is not shown that a guest's data would come back today; without any backup that could be trusted it is critical.";
        NOTIFICATION_UNDELIVERED = "notification-undelivered", Warning,
            "A notice does not reach a channel, however often it is tried.";
    }
}
