//! `[schedule]`: what `run --once` does, and when.

use std::time::Duration;

use jiff::tz::TimeZone;

use felhom_engine::{CalendarEvent, PostureLimits, Schedule, TimeWindow};
use serde_json::{Value, json};

use super::Config;
use super::problems::Problems;
use super::raw::{OneOrMany, RawSchedule};
use super::span::Span;
use crate::clock;

/// Defaults; each with the reason for its value.
mod default {
    use std::time::Duration;

    pub(super) const GUESTS: &str = "@all";
    pub(super) const BACKUP: &str = "01:00";
    /// Until the first people come.
    pub(super) const BACKUP_FOR: Duration = Duration::from_hours(5);
    pub(super) const BACKUP_EVERY: Duration = Duration::from_hours(24);
    /// Every night, though each guest is tested once a week: so a night without power costs nobody a week, and many guests
    /// spread over the nights.
    pub(super) const PROOF: &str = "02:30";
    pub(super) const PROOF_FOR: Duration = Duration::from_hours(5);
    pub(super) const PROOF_EVERY: Duration = Duration::from_hours(7 * 24);
    pub(super) const PROOFS_PER_PASS: u32 = 50;
    /// After the backups, which a server would have to serve beside.
    pub(super) const VERIFY: &str = "05:00";
    pub(super) const VERIFY_FOR: Duration = Duration::from_hours(4);
    pub(super) const RETRY_AFTER: Duration = Duration::from_hours(1);
}

pub(super) fn schedule(raw: Option<&RawSchedule>, problems: &mut Problems) -> Option<Schedule> {
    let none = RawSchedule::default();
    let raw = raw.unwrap_or(&none);
    let guests = problems.parse_or("schedule.guests", raw.guests.as_deref(), default::GUESTS);
    let mut span = |key: &str, span: Option<Span>, default: Duration| {
        let span = span.map_or(default, Span::get);
        let problem = format!("schedule.{key}: `0s` is no time at all");
        problems.require(!span.is_zero(), &problem, span)
    };
    let backup_for = span("backup_for", raw.backup_for, default::BACKUP_FOR);
    let backup_every = span("backup_every", raw.backup_every, default::BACKUP_EVERY);
    let proof_for = span("proof_for", raw.proof_for, default::PROOF_FOR);
    let proof_every = span("proof_every", raw.proof_every, default::PROOF_EVERY);
    let verify_for = span("verify_for", raw.verify_for, default::VERIFY_FOR);
    let retry_after = raw.retry_after.map_or(default::RETRY_AFTER, Span::get);
    let per_pass = raw.proofs_per_pass.unwrap_or(default::PROOFS_PER_PASS);
    problems.require(
        per_pass > 0,
        "schedule.proofs_per_pass: 0 proves nothing; `proof = []` is how restore tests are left to others",
        (),
    );
    let backup = events("backup", raw.backup.as_ref(), default::BACKUP, problems);
    let proof = events("proof", raw.proof.as_ref(), default::PROOF, problems);
    let verify = events("verify", raw.verify.as_ref(), default::VERIFY, problems);
    let window = |opens, lasts| TimeWindow { opens, lasts };
    Some(Schedule {
        guests: guests?,
        backup: window(backup?, backup_for?),
        backup_every: backup_every?,
        proof: window(proof?, proof_for?),
        proof_every: proof_every?,
        verify: window(verify?, verify_for?),
        retry_after,
        first_at_once: raw.first_at_once.unwrap_or(true),
        proofs_per_pass: usize::try_from(per_pass).unwrap_or(usize::MAX),
    })
}

/// The events of a window. None: nothing of this is done by itself.
fn events(
    key: &str,
    raw: Option<&OneOrMany>,
    default: &str,
    problems: &mut Problems,
) -> Option<Vec<CalendarEvent>> {
    let texts = match raw {
        None => vec![default.to_owned()],
        Some(OneOrMany::One(text)) => vec![text.clone()],
        Some(OneOrMany::Many(texts)) => texts.clone(),
    };
    let key = format!("schedule.{key}");
    let parsed: Vec<Option<CalendarEvent>> = texts
        .iter()
        .map(|text| problems.parse(&key, text))
        .collect();
    parsed.into_iter().collect()
}

pub(super) fn shown(schedule: &Schedule) -> Value {
    let span = |duration: Duration| Span::new(duration).to_string();
    let opens = |window: &TimeWindow| match window.opens.as_slice() {
        [one] => json!(one),
        several => json!(several),
    };
    json!({
        "guests": schedule.guests,
        "backup": opens(&schedule.backup),
        "backup_for": span(schedule.backup.lasts),
        "backup_every": span(schedule.backup_every),
        "proof": opens(&schedule.proof),
        "proof_for": span(schedule.proof.lasts),
        "proof_every": span(schedule.proof_every),
        "proofs_per_pass": schedule.proofs_per_pass,
        "verify": opens(&schedule.verify),
        "verify_for": span(schedule.verify.lasts),
        "retry_after": span(schedule.retry_after),
        "first_at_once": schedule.first_at_once,
    })
}

impl Config {
    /// What is old, by the cadence that is set.
    pub fn posture_limits(&self) -> PostureLimits {
        let Schedule {
            backup_every,
            proof_every,
            backup,
            proof,
            ..
        } = &self.schedule;
        // The windows win: what may be done on Saturdays only is not late on Mondays.
        let backup = longest_gap(backup).max(*backup_every);
        PostureLimits::of_cadence(backup, longest_gap(proof).max(*proof_every))
    }
}

/// The longest time from one opening of a window to the next; the coming sixty are looked at.
fn longest_gap(window: &TimeWindow) -> Duration {
    let mut longest = Duration::ZERO;
    let mut from = clock::now();
    for _ in 0..60 {
        let Some(next) = window.next(from, &TimeZone::UTC) else {
            break;
        };
        longest = longest.max(next.since(from));
        from = next;
    }
    // The first is from now on, and so is never the longest by itself; less than an hour is DST's.
    longest
}
