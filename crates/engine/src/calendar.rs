//! Calendar events in Proxmox's own syntax: `sat 02:30`, `mon..fri 22:00`, `*:0/15`, `*-1..7`, `daily`.
//!
//! An event is a set of civil times. Which instants these are is for a time zone to say: a time that does not exist, since
//! clocks went forward over it, is the first instant after the gap; one that exists twice happens once, the first time.

mod parse;
mod values;
mod window;

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
pub use parse::ParseEventError;
use values::Values;
pub use window::{Open, TimeWindow};

/// Later years are not looked at; no event lies beyond.
const LAST_YEAR: i16 = 2200;

/// When something happens, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CalendarEvent {
    /// A bit for each day of the week, Monday the lowest; none: every day.
    days: u8,
    /// Years, months, days of the month; `None`: every date.
    date: Option<[Values; 3]>,
    /// Hours, minutes, seconds.
    time: [Values; 3],
    /// Whether it is meant in UTC, whatever the zone of the box.
    utc: bool,
}

impl CalendarEvent {
    /// The first instant after another at which it happens; `None` when never again.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let utc = TimeZone::UTC;
        let zone = if self.utc { &utc } else { zone };
        let after_s = after.secs();
        let instant = jiff::Timestamp::from_second(after_s).ok()?;
        let mut from = zone.to_datetime(instant);
        loop {
            from = next_second(from)?;
            from = self.first_from(from)?;
            let found = first_instant(from, zone)?;
            if found > after_s {
                return Some(Timestamp::from_secs(found));
            }
        }
    }

    /// The first civil time of the event that is not before another.
    fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let (mut date, mut time) = (from.date(), from.time());
        loop {
            let matching = self.date_from(date)?;
            if matching != date {
                (date, time) = (matching, Time::midnight());
            }
            if let Some(time) = self.time_from(time) {
                return Some(date.to_datetime(time));
            }
            (date, time) = (date.tomorrow().ok()?, Time::midnight());
        }
    }

    fn date_from(&self, from: Date) -> Option<Date> {
        let mut date = from;
        while date.year() <= LAST_YEAR {
            match &self.date {
                Some([years, _, _]) if !years.has(date.year().unsigned_abs()) => {
                    date = Date::new(date.year() + 1, 1, 1).ok()?;
                }
                Some([_, months, _]) if !months.has(small(date.month())) => {
                    date = date.last_of_month().tomorrow().ok()?;
                }
                Some([_, _, days]) if !days.has(small(date.day())) => {
                    date = date.tomorrow().ok()?;
                }
                Some(_) | None if !self.has_day(date) => date = date.tomorrow().ok()?,
                Some(_) | None => return Some(date),
            }
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let offset = date.weekday().to_monday_zero_offset();
        self.days == 0 || self.days & (1 << offset) != 0
    }

    fn time_from(&self, from: Time) -> Option<Time> {
        let [hours, minutes, seconds] = &self.time;
        let (hour, minute) = (from.hour(), from.minute());
        for h in (hour..24).filter(|h| hours.has(small(*h))) {
            let first_minute = if h == hour { minute } else { 0 };
            for m in (first_minute..60).filter(|m| minutes.has(small(*m))) {
                let same = h == hour && m == minute;
                let first = if same { from.second() } else { 0 };
                if let Some(s) = (first..60).find(|s| seconds.has(small(*s))) {
                    return Time::new(h, m, s, 0).ok();
                }
            }
        }
        None
    }
}

fn small(value: i8) -> u16 {
    value.unsigned_abs().into()
}

fn next_second(time: DateTime) -> Option<DateTime> {
    let whole = time.with().subsec_nanosecond(0).build().ok()?;
    whole.checked_add(jiff::SignedDuration::from_secs(1)).ok()
}

/// When a civil time is, in seconds since 1970.
fn first_instant(time: DateTime, zone: &TimeZone) -> Option<i64> {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    match ambiguous.offset() {
        // The later offset is that of what comes after the gap, and the earlier instant lies before the gap's end.
        AmbiguousOffset::Gap { after, .. } => {
            let before_end = after.to_timestamp(time).ok()?;
            let gap = zone.following(before_end).next()?;
            Some(gap.timestamp().as_second())
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
            Some(ambiguous.earlier().ok()?.as_second())
        }
    }
}

const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl fmt::Display for CalendarEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != 0 {
            f.write_str(&days_text(self.days))?;
            f.write_str(" ")?;
        }
        if let Some([years, months, days]) = &self.date {
            write!(f, "{}-{}-{} ", years.text(4), months.text(2), days.text(2))?;
        }
        let [hours, minutes, seconds] = &self.time;
        write!(f, "{}:{}", hours.text(2), minutes.text(2))?;
        if !seconds.is_zero() {
            write!(f, ":{}", seconds.text(2))?;
        }
        f.write_str(if self.utc { " UTC" } else { "" })
    }
}

/// `mon..fri,sun`.
fn days_text(days: u8) -> String {
    let has = |index: usize| days & (1 << index) != 0;
    let mut runs: Vec<String> = Vec::new();
    let mut index = 0;
    while index < DAY_NAMES.len() {
        if !has(index) {
            index += 1;
            continue;
        }
        let length = (index..DAY_NAMES.len()).take_while(|one| has(*one)).count();
        let name = |at: usize| DAY_NAMES.get(at).copied().unwrap_or_default();
        match length {
            1 => runs.push(name(index).to_owned()),
            2 => runs.push(format!("{},{}", name(index), name(index + 1))),
            _ => runs.push(format!("{}..{}", name(index), name(index + length - 1))),
        }
        index += length;
    }
    runs.join(",")
}

impl From<CalendarEvent> for String {
    fn from(event: CalendarEvent) -> Self {
        event.to_string()
    }
}
