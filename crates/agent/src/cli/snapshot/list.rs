//! `snapshot list`: the guards that did not end.

use felhom_engine::{
    GuardPhase, GuardPolicy, GuardStanding, OpenGuard, Past, Principal, Reading, guard_standing,
};
use felhom_proxmox::Pve;
use serde_json::{Value, json};

use super::{guards, ours_only};
use crate::cli::context::Context;
use crate::cli::text::findings_text;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::observe;
use crate::output::table;

pub(super) async fn list(context: &Context) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let all = match context.read_journal(config).await? {
        Some(journal) => {
            let pve = performer.remotes().of(Principal::Agent);
            open(&journal, pve, &config.guard).await?
        }
        None => Vec::new(),
    };
    let data = view(&all);
    context
        .printer
        .document("felhom.snapshot-guards", &data, || {
            let mut text = lines(&all);
            for (_, standing) in &all {
                text.extend(findings_text(&standing.findings));
            }
            if text.is_empty() {
                text.push("no guard is open".to_owned());
            }
            text.join("\n")
        });
    let quiet = all.iter().all(|(_, standing)| standing.findings.is_empty());
    Ok(if quiet { Exit::Done } else { Exit::Findings })
}

/// The guards that did not end, each with how it stands now. The server's clocks are asked only when there is one.
pub(super) async fn open(
    journal: &Journal,
    pve: &Pve,
    policy: &GuardPolicy,
) -> Result<Vec<(OpenGuard, GuardStanding)>, Failure> {
    let all = guards(journal).await?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    // Without the server's clocks nothing is proven, and that is what is shown.
    let now = observe::clocks(pve).await.unwrap_or_else(|_| ours_only());
    Ok(judged(all, policy, &now))
}

pub(super) fn judged(
    all: Vec<OpenGuard>,
    policy: &GuardPolicy,
    now: &Reading,
) -> Vec<(OpenGuard, GuardStanding)> {
    let judge = |guard: OpenGuard| {
        let standing = guard_standing(&guard, policy, now);
        (guard, standing)
    };
    all.into_iter().map(judge).collect()
}

pub(in crate::cli) fn view(all: &[(OpenGuard, GuardStanding)]) -> Value {
    let each = all.iter().map(|(guard, standing)| {
        json!({
            "vmid": guard.vmid().get(),
            "snapshot": guard.snapshot,
            "state": state(guard, standing),
            "begun_ms": guard.begun.ours.millis(),
            "age_s": standing.age.as_secs(),
            "confirm_within_s": guard.confirm_within.as_secs(),
            "left_s": guard.confirm_within.saturating_sub(standing.age).as_secs(),
            "on_expiry": guard.on_expiry,
            "beyond_backup": guard.beyond_backup,
            "findings": standing.findings,
        })
    });
    each.collect()
}

/// `open`, `expired`, `unsure` (the clocks do not agree), `undetermined` (a rollback in doubt), `ended` (its snapshot is left).
fn state(guard: &OpenGuard, standing: &GuardStanding) -> &'static str {
    match (guard.phase, standing.expired) {
        (GuardPhase::Removing(_), _) => "ended",
        (GuardPhase::Doubtful, _) => "undetermined",
        (GuardPhase::Open, Past::Yes) => "expired",
        (GuardPhase::Open, Past::Unsure) => "unsure",
        (GuardPhase::Open, Past::No) => "open",
    }
}

/// A table of them; nothing when there is none.
pub(in crate::cli) fn lines(all: &[(OpenGuard, GuardStanding)]) -> Vec<String> {
    if all.is_empty() {
        return Vec::new();
    }
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let rows: Vec<_> = all
        .iter()
        .map(|(guard, standing)| {
            let left = guard.confirm_within.saturating_sub(standing.age);
            vec![
                guard.vmid().to_string(),
                state(guard, standing).to_owned(),
                clock::age(seconds(standing.age)),
                clock::age(seconds(left)),
                guard.on_expiry.to_string(),
                guard.snapshot.to_string(),
            ]
        })
        .collect();
    let head = ["VMID", "GUARD", "AGE", "LEFT", "THEN", "SNAPSHOT"];
    vec![table(&head, &rows)]
}
