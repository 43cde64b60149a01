//! `[backup] keep_*`: how many archives are kept; none configured keeps all.

use felhom_engine::KeepPolicy;

use super::raw::RawBackup;

pub(super) fn keep(raw: Option<&RawBackup>, problems: &mut Vec<String>) -> Option<KeepPolicy> {
    let Some(raw) = raw else {
        return Some(KeepPolicy::keep_all());
    };
    let at_least = raw.keep_at_least.unwrap_or(KeepPolicy::AT_LEAST);
    if at_least == 0 {
        problems.push("backup.keep_at_least: at least one good backup must stay".to_owned());
        return None;
    }
    Some(KeepPolicy {
        last: raw.keep_last.unwrap_or(0),
        daily: raw.keep_daily.unwrap_or(0),
        weekly: raw.keep_weekly.unwrap_or(0),
        monthly: raw.keep_monthly.unwrap_or(0),
        at_least,
    })
}
