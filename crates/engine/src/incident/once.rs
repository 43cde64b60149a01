//! What two conditions of one look would both tell is told by one of them.

use felhom_ids::Vmid;

use super::Condition;
use crate::finding::codes;

/// Codes that say why a guest is not protected. Of a guest with one of these the posture is no news.
pub const EXPLAINS_POSTURE: &[&str] = &[
    "backup-failed",
    "backup-overdue",
    "proof-overdue",
    "restore-test-error",
    "restore-test-failed",
    codes::INCLUSION_DIFFERS.name,
    codes::VOLUME_HOT_NOT_IN_BACKUP.name,
    codes::BACKUP_VERIFY_FAILED.name,
    codes::BACKUP_GROUP_EMPTY.name,
];

/// Codes that cannot be told of a guest whose posture is unknown.
pub const POSTURE_FAMILY: &[&str] = &[
    codes::POSTURE.name,
    "backup-failed",
    "backup-overdue",
    "proof-overdue",
    "restore-test-error",
    "restore-test-failed",
];

/// Marks every posture that another condition of the same guest tells, at least as gravely.
pub fn mark_explained(conditions: &mut [Condition]) {
    let reasons: Vec<_> = conditions
        .iter()
        .filter(|condition| EXPLAINS_POSTURE.contains(&condition.code.as_str()))
        .filter_map(|condition| Some((condition.guest?, condition.severity)))
        .collect();
    for condition in conditions {
        let explains = |(guest, severity): &(Vmid, _)| {
            condition.guest == Some(*guest) && *severity >= condition.severity
        };
        if condition.code == codes::POSTURE.name {
            condition.explained = reasons.iter().any(explains);
        }
    }
}
