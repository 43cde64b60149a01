//! The grammar, as the administration guide of Proxmox VE has it ("Calendar Events"): `[WEEKDAY] [[YEAR-]MONTH-DAY] [TIME]`, where
//! a time is `[HOURS:]MINUTES[:SECONDS]`, each a list of values, ranges `a..b` and repetitions `a/n`.

use std::str::FromStr;

use super::values::{Item, Values};
use super::{CalendarEvent, DAY_NAMES};

/// The text is no calendar event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no calendar event: {why}; write it as PVE does: `sat 02:30`, `mon..fri 22:00`, `*:0/15`, `daily`"
)]
pub struct ParseEventError {
    text: String,
    why: String,
}

type Result<T> = std::result::Result<T, String>;

impl FromStr for CalendarEvent {
    type Err = ParseEventError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        parse(text.trim()).map_err(|why| ParseEventError {
            text: text.chars().take(80).collect(),
            why,
        })
    }
}

impl TryFrom<String> for CalendarEvent {
    type Error = ParseEventError;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        text.parse()
    }
}

fn parse(text: &str) -> Result<CalendarEvent> {
    let mut parts: Vec<String> = text
        .split_whitespace()
        .map(str::to_ascii_lowercase)
        .collect();
    let utc = parts.last().is_some_and(|last| last == "utc");
    if utc {
        parts.pop();
    }
    let mut parts = parts.iter().map(String::as_str).peekable();
    let Some(first) = parts.peek().copied() else {
        return Err("it is empty".to_owned());
    };
    let spelled = keyword(first);
    if let Some(spelled) = spelled {
        parts.next();
        return match parts.next() {
            None => Ok(CalendarEvent {
                utc,
                ..parse(spelled)?
            }),
            Some(rest) => Err(format!(
                "nothing can stand after `{first}`, and `{rest}` does"
            )),
        };
    }
    let mut event = CalendarEvent {
        days: 0,
        date: None,
        time: [Values::single(0), Values::single(0), Values::single(0)],
        utc,
    };
    if let Some(days) = parts.next_if(|part| part.starts_with(|c: char| c.is_ascii_alphabetic())) {
        event.days = weekdays(days)?;
    }
    if let Some(part) = parts.next_if(|part| part.contains('-')) {
        event.date = Some(date(part)?);
    }
    if let Some(part) = parts.next() {
        event.time = time(part)?;
    }
    match parts.next() {
        None => Ok(event),
        Some(rest) => Err(format!("`{rest}` is left over")),
    }
}

/// What a word stands for, as in systemd.time(7).
fn keyword(word: &str) -> Option<&'static str> {
    Some(match word {
        "minutely" => "*:*",
        "hourly" => "*:00",
        "daily" => "00:00",
        "weekly" => "mon 00:00",
        "monthly" => "*-*-1 00:00",
        "quarterly" => "*-1,4,7,10-1 00:00",
        "semiannually" | "semi-annually" => "*-1,7-1 00:00",
        "yearly" | "annually" => "*-1-1 00:00",
        _ => return None,
    })
}

fn weekday(name: &str) -> Result<u8> {
    const FULL: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let mut names = (0..7).zip(DAY_NAMES.into_iter().zip(FULL));
    let found = names.find(|(_, (short, full))| name == *short || name == *full);
    found
        .map(|(index, _)| index)
        .ok_or_else(|| format!("`{name}` is no day of the week"))
}

fn weekdays(text: &str) -> Result<u8> {
    let mut days = 0;
    for item in text.split(',') {
        let ends = item.split_once("..").or_else(|| item.split_once('-'));
        let Some((first, last)) = ends else {
            days |= 1 << weekday(item)?;
            continue;
        };
        let (first_day, last_day) = (weekday(first)?, weekday(last)?);
        // A week may begin on a Sunday: `sun..sat`.
        if first_day == 6 && last_day != 6 {
            days |= 1 << 6;
            days |= bits(0, last_day);
        } else if first_day <= last_day {
            days |= bits(first_day, last_day);
        } else {
            return Err(format!("`{first}` comes after `{last}` in the week"));
        }
    }
    Ok(days)
}

fn bits(first: u8, last: u8) -> u8 {
    (first..=last).fold(0, |bits, day| bits | 1 << day)
}

fn date(text: &str) -> Result<[Values; 3]> {
    let parts: Vec<&str> = text.split('-').collect();
    let (years, months, days) = match parts.as_slice() {
        [months, days] => (Values::any(), *months, *days),
        [years, months, days] => (values(years, 1970, 2200)?, *months, *days),
        _ => return Err(format!("`{text}` is no date")),
    };
    Ok([years, values(months, 1, 12)?, values(days, 1, 31)?])
}

fn time(text: &str) -> Result<[Values; 3]> {
    let parts: Vec<&str> = text.split(':').collect();
    let hours = |text| values(text, 0, 23);
    let sixtieths = |text| values(text, 0, 59);
    match parts.as_slice() {
        [minutes] => Ok([Values::any(), sixtieths(minutes)?, Values::single(0)]),
        [hour, minutes] => Ok([hours(hour)?, sixtieths(minutes)?, Values::single(0)]),
        [hour, minutes, seconds] => Ok([hours(hour)?, sixtieths(minutes)?, sixtieths(seconds)?]),
        _ => Err(format!("`{text}` is no time")),
    }
}

fn values(text: &str, low: u16, high: u16) -> Result<Values> {
    if text == "*" {
        return Ok(Values::any());
    }
    let items: Result<Vec<Item>> = text.split(',').map(|item| one(item, low, high)).collect();
    items.map(Values)
}

fn one(text: &str, low: u16, high: u16) -> Result<Item> {
    let (what, step) = match text.split_once('/') {
        Some((what, step)) => (what, Some(number(step, 1, high)?)),
        None => (text, None),
    };
    if what == "*" && step.is_some() {
        return Ok(Item {
            first: low,
            last: None,
            step,
        });
    }
    let (first, last) = match what.split_once("..") {
        Some((first, last)) => (first, Some(number(last, low, high)?)),
        None => (what, None),
    };
    let first = number(first, low, high)?;
    if last.is_some_and(|last| last < first) {
        return Err(format!("the range `{what}` ends before it begins"));
    }
    Ok(Item { first, last, step })
}

fn number(text: &str, low: u16, high: u16) -> Result<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value: Option<u16> = if digits { text.parse().ok() } else { None };
    match value {
        Some(value) if (low..=high).contains(&value) => Ok(value),
        Some(_) | None if digits => Err(format!("{text} is not between {low} and {high}")),
        Some(_) | None => Err(format!("`{text}` is no number")),
    }
}
