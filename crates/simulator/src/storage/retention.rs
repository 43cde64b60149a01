//! Retention: which archives of a guest a `prune-backups` setting keeps.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::backups::Backup;
use crate::guest::formats::PRUNE;
use crate::guest::props::{self, Props};
use crate::world::World;

/// What becomes of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Keep,
    Remove,
    Protected,
    /// Not of vzdump's name: never touched.
    Renamed,
}

impl Mark {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Protected => "protected",
            Self::Renamed => "renamed",
        }
    }
}

/// A retention setting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Retention(Props);

impl Retention {
    /// Parses; no positive number at all means that everything is kept.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut found = props::parse(&PRUNE, "prune-backups", text)?;
        let all = found.remove("keep-all").is_some_and(|value| value == "1");
        found.retain(|_, number| number.parse::<u64>().is_ok_and(|number| number > 0));
        if all && !found.is_empty() {
            return Err("keep-all cannot be set together with other options.\n".into());
        }
        Ok(Self(found))
    }

    pub(crate) fn keeps_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of all numbers: how many archives fit before `remove=0` is refused.
    pub(crate) fn most(&self) -> u64 {
        self.0
            .values()
            .filter_map(|number| number.parse::<u64>().ok())
            .sum()
    }

    fn count(&self, key: &str) -> u64 {
        self.0
            .get(key)
            .and_then(|number| number.parse().ok())
            .unwrap_or_default()
    }
}

impl std::fmt::Display for Retention {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.keeps_all() {
            return out.write_str("keep-all=1");
        }
        out.write_str(&props::print(&PRUNE, &self.0))
    }
}

/// The period a time belongs to, under each rule; the node's clock is UTC.
fn period(rule: &str, time: i64) -> Option<String> {
    let zoned = Timestamp::from_second(time).ok()?.to_zoned(TimeZone::UTC);
    let format = match rule {
        "keep-hourly" => "%Y-%m-%d %H",
        "keep-daily" => "%Y-%m-%d",
        "keep-weekly" => "%G-%V",
        "keep-monthly" => "%Y-%m",
        "keep-yearly" => "%Y",
        _ => return None,
    };
    Some(zoned.strftime(format).to_string())
}

/// Marks one guest's archives. The answer has the order of the input.
pub(crate) fn mark(retention: &Retention, backups: &[Backup]) -> Vec<Mark> {
    let mut marks: Vec<Option<Mark>> = backups.iter().map(fixed).collect();
    let mut order: Vec<usize> = (0..backups.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(backups.get(place).map(|backup| backup.ctime)));
    if !retention.keeps_all() {
        let mut left = retention.count("keep-last");
        for &place in &order {
            keep_if(&mut marks, place, &mut left, true);
        }
        for rule in [
            "keep-hourly",
            "keep-daily",
            "keep-weekly",
            "keep-monthly",
            "keep-yearly",
        ] {
            keep_periods(rule, retention.count(rule), backups, &order, &mut marks);
        }
    }
    let rest = if retention.keeps_all() {
        Mark::Keep
    } else {
        Mark::Remove
    };
    marks.into_iter().map(|mark| mark.unwrap_or(rest)).collect()
}

fn fixed(backup: &Backup) -> Option<Mark> {
    if backup.vmid.is_none() {
        Some(Mark::Renamed)
    } else if backup.protected {
        Some(Mark::Protected)
    } else {
        None
    }
}

fn keep_if(marks: &mut [Option<Mark>], place: usize, left: &mut u64, fresh: bool) {
    if let Some(mark) = marks.get_mut(place)
        && mark.is_none()
        && fresh
        && *left > 0
    {
        *mark = Some(Mark::Keep);
        *left -= 1;
    }
}

fn keep_periods(
    rule: &str,
    mut left: u64,
    backups: &[Backup],
    order: &[usize],
    marks: &mut [Option<Mark>],
) {
    let key = |place: usize| period(rule, backups.get(place)?.ctime);
    let kept = |marks: &[Option<Mark>], place: usize| marks.get(place) == Some(&Some(Mark::Keep));
    // A period that an earlier rule already serves does not count.
    let mut served: BTreeSet<String> = order
        .iter()
        .filter(|&&place| kept(marks, place))
        .filter_map(|&place| key(place))
        .collect();
    for &place in order {
        let Some(period) = key(place) else { continue };
        let fresh = !served.contains(&period);
        keep_if(marks, place, &mut left, fresh);
        if kept(marks, place) {
            served.insert(period);
        }
    }
}

/// Archives that compete with each other: one type, one guest.
type Group = (&'static str, Option<u32>);

impl World {
    /// The retention that a storage's definition sets; none when it sets none.
    pub(crate) fn storage_retention(&self, storage: &str) -> Option<Retention> {
        let text = self
            .storage
            .definitions
            .get(storage)?
            .options
            .get("prune-backups")?;
        Retention::parse(text).ok()
    }

    /// A guest's archives (or all) with their marks, each guest judged by itself.
    pub(crate) fn prune_plan(
        &self,
        storage: &str,
        retention: &Retention,
        vmid: Option<u32>,
        kind: Option<&str>,
    ) -> Vec<(Backup, Mark)> {
        let mut groups: Vec<(Group, Vec<Backup>)> = Vec::new();
        for backup in self.backups(storage) {
            let wanted = vmid.is_none_or(|id| backup.vmid == Some(id))
                && kind.is_none_or(|kind| backup.subtype == kind);
            if !wanted {
                continue;
            }
            let key = (backup.subtype, backup.vmid);
            match groups.iter_mut().find(|(have, _)| *have == key) {
                Some((_, group)) => group.push(backup),
                None => groups.push((key, vec![backup])),
            }
        }
        let judge = |group: Vec<Backup>| {
            let marks = mark(retention, &group);
            group.into_iter().zip(marks)
        };
        groups
            .into_iter()
            .flat_map(|(_, group)| judge(group))
            .collect()
    }
}
