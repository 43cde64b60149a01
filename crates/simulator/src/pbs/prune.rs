//! Retention as a backup server computes it (proxmox-backup, `pbs-datastore/prune.rs`), and the workers that prune.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::access::{BACKUP, MODIFY, PRUNE, check_owner, space};
use super::state::{Group, Snapshot, SnapshotId, Store, rfc3339};
use super::store;
use super::tasks::Worker;
use crate::sim::Sim;

/// What becomes of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Protected,
    Keep,
    KeepPartial,
    Remove,
}

impl Mark {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Keep => "keep",
            Self::KeepPartial => "keep-partial",
            Self::Remove => "remove",
        }
    }
}

/// How many to keep of what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keep(BTreeMap<&'static str, usize>);

const OPTIONS: [(&str, &str); 6] = [
    ("keep-last", "%s"),
    ("keep-hourly", "%Y/%m/%d/%H"),
    ("keep-daily", "%Y/%m/%d"),
    ("keep-weekly", "%G/%V"),
    ("keep-monthly", "%Y/%m"),
    ("keep-yearly", "%Y"),
];

impl Keep {
    pub(crate) fn of(params: &Map<String, Value>) -> Self {
        let given = OPTIONS.iter().filter_map(|(name, _)| {
            let number = params.get(*name)?.as_u64()?;
            Some((*name, usize::try_from(number).ok()?))
        });
        Self(given.collect())
    }

    /// Without any option everything is kept.
    pub(crate) fn keeps_all(&self) -> bool {
        self.0.is_empty()
    }

    fn text(&self) -> String {
        let given = OPTIONS
            .iter()
            .filter_map(|(name, _)| Some(format!("--{name} {}", self.0.get(name)?)));
        given.collect::<Vec<_>>().join(" ")
    }
}

/// Marks the snapshots of a group, newest first.
pub(crate) fn marks(group: &Group, keep: &Keep) -> Vec<(i64, Mark)> {
    let list: Vec<(i64, &Snapshot)> = group
        .snapshots
        .iter()
        .rev()
        .map(|(time, one)| (*time, one))
        .collect();
    let mut marks: BTreeMap<i64, Mark> = BTreeMap::new();
    let mut first = true;
    for (time, snapshot) in &list {
        if snapshot.unfinished {
            marks.insert(
                *time,
                if first {
                    Mark::KeepPartial
                } else {
                    Mark::Remove
                },
            );
        }
        first = false;
    }
    for (name, format) in OPTIONS {
        if let Some(number) = keep.0.get(name) {
            select(&mut marks, &list, *number, format);
        }
    }
    let fate = |(time, snapshot): (i64, &Snapshot)| {
        let mark = if snapshot.protected {
            Mark::Protected
        } else {
            marks.get(&time).copied().unwrap_or(Mark::Remove)
        };
        (time, mark)
    };
    list.into_iter().map(fate).collect()
}

fn period(time: i64, format: &str) -> String {
    let date = Timestamp::from_second(time).map(|time| time.to_zoned(TimeZone::UTC));
    date.map(|date| date.strftime(format).to_string())
        .unwrap_or_default()
}

fn select(marks: &mut BTreeMap<i64, Mark>, list: &[(i64, &Snapshot)], number: usize, format: &str) {
    let kept = list
        .iter()
        .filter(|(time, _)| marks.get(time) == Some(&Mark::Keep));
    let before: BTreeSet<String> = kept.map(|(time, _)| period(*time, format)).collect();
    let mut included = BTreeSet::new();
    for (time, snapshot) in list {
        if marks.contains_key(time) {
            continue;
        }
        if snapshot.protected {
            marks.insert(*time, Mark::Protected);
            continue;
        }
        let here = period(*time, format);
        if before.contains(&here) {
            continue;
        }
        if included.contains(&here) {
            marks.insert(*time, Mark::Remove);
            continue;
        }
        if included.len() >= number {
            break;
        }
        included.insert(here);
        marks.insert(*time, Mark::Keep);
    }
}

/// The groups of a namespace and those below it; the time of each says nothing.
pub(crate) fn groups(
    name: &str,
    store: &Store,
    ns: &str,
    depth: usize,
    wanted: impl Fn(&Group) -> bool,
) -> Vec<SnapshotId> {
    let mut found = Vec::new();
    for ns in store.below(ns, depth) {
        let Some(space) = store.spaces.get(&ns) else {
            continue;
        };
        for (key, _) in space.groups.iter().filter(|(_, group)| wanted(group)) {
            let (kind, id) = key.split_once('/').unwrap_or_default();
            found.push(SnapshotId {
                store: name.to_owned(),
                ns: ns.clone(),
                kind: kind.to_owned(),
                id: id.to_owned(),
                time: 0,
            });
        }
    }
    found
}

/// A datastore with a namespace, in messages.
pub(crate) fn place(store: &str, ns: &str) -> String {
    if ns.is_empty() {
        format!("datastore '{store}', root namespace")
    } else {
        format!("datastore '{store}', namespace '{ns}'")
    }
}

/// Prunes one group, as the task that is noted for it tells; answers what became of each snapshot, oldest first.
pub(crate) fn group(sim: &Sim, auth: &str, id: &SnapshotId, keep: &Keep) -> Vec<(i64, Mark)> {
    let worker = format!("{}:{}:{}", id.store, id.ns, id.group());
    let upid = sim.pbs_note(auth, "prune", &worker);
    let mut lines = Vec::new();
    if keep.keeps_all() {
        lines.push("No prune selection - keeping all files.".to_owned());
    } else {
        let ns = if id.ns.is_empty() {
            String::new()
        } else {
            format!("--ns {} ", id.ns)
        };
        lines.push(format!("retention options: {ns}{}", keep.text()));
        lines.push(format!(
            "Starting prune on {} group \"{}\"",
            place(&id.store, &id.ns),
            id.group()
        ));
    }
    let mut world = sim.lock();
    let known = world
        .pbs
        .stores
        .get(&id.store)
        .and_then(|store| store.group(&id.ns, &id.group()));
    let mut marks = known.map(|group| marks(group, keep)).unwrap_or_default();
    marks.reverse();
    for (time, mark) in &marks {
        lines.push(format!("{}/{} {}", id.group(), rfc3339(*time), mark.word()));
        if *mark == Mark::Remove && !keep.keeps_all() {
            let id = SnapshotId {
                time: *time,
                ..id.clone()
            };
            store::remove_snapshot(&sim.state_dir, &mut world.pbs, &id);
        }
    }
    drop(world);
    sim.pbs_say(&upid, &lines);
    sim.pbs_conclude(&upid, &Ok(()));
    marks
}

/// What a prune of a whole datastore is to do.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    pub(crate) store: String,
    pub(crate) ns: String,
    pub(crate) depth: Option<usize>,
    pub(crate) keep: Keep,
    pub(crate) dry: bool,
    pub(crate) auth: String,
}

/// Prunes a datastore.
pub(crate) async fn sweep(worker: &Worker, sweep: &Sweep) -> Result<(), String> {
    let depth = match sweep.depth {
        None | Some(7) => "down to full depth".to_owned(),
        Some(0) => "non-recursive".to_owned(),
        Some(depth) => format!("to depth {depth}"),
    };
    let Sweep {
        store,
        ns,
        keep,
        dry,
        auth,
        ..
    } = sweep;
    worker.log(format!(
        "Starting datastore prune on {}, {depth}",
        place(store, ns)
    ));
    if *dry {
        worker.log("(dry test run)");
    }
    if keep.keeps_all() {
        worker.log("No prune selection - keeping all files.");
    } else {
        let ns = if ns.is_empty() {
            String::new()
        } else {
            format!("--ns {ns} ")
        };
        let depth = sweep
            .depth
            .map(|depth| format!("--max-depth {depth} "))
            .unwrap_or_default();
        worker.log(format!("retention options: {ns}{depth}{}", keep.text()));
    }
    for id in allowed(&worker.sim, sweep, auth) {
        worker.sleep(std::time::Duration::from_millis(10)).await?;
        let lines = sweep_group(&worker.sim, sweep, &id);
        worker.say(&lines);
    }
    Ok(())
}

/// Prunes one group of a datastore; answers the lines about it.
fn sweep_group(sim: &Sim, sweep: &Sweep, id: &SnapshotId) -> Vec<String> {
    let mut lines = vec![format!("Pruning group {}:\"{}\"", id.ns, id.group())];
    let keep = &sweep.keep;
    let mut world = sim.lock();
    let known = world
        .pbs
        .stores
        .get(&sweep.store)
        .and_then(|store| store.group(&id.ns, &id.group()));
    let marks = known.map(|group| marks(group, keep)).unwrap_or_default();
    for (time, mark) in marks.into_iter().rev() {
        let spared = keep.keeps_all() && mark == Mark::Remove;
        let mark = if spared { Mark::Keep } else { mark };
        let prefix = if sweep.dry { "would " } else { "" };
        lines.push(format!(
            "{prefix}{} {}/{}",
            mark.word(),
            id.group(),
            rfc3339(time)
        ));
        if mark == Mark::Remove && !sweep.dry {
            let id = SnapshotId { time, ..id.clone() };
            store::remove_snapshot(&sim.state_dir, &mut world.pbs, &id);
        }
    }
    lines
}

/// The groups that somebody may prune.
fn allowed(sim: &Sim, sweep: &Sweep, auth: &str) -> Vec<SnapshotId> {
    let world = sim.lock();
    let access = &world.pbs.access;
    let Some(store) = world.pbs.stores.get(&sweep.store) else {
        return Vec::new();
    };
    let all = groups(
        &sweep.store,
        store,
        &sweep.ns,
        sweep.depth.unwrap_or(7),
        |_| true,
    );
    let may = |id: &SnapshotId| {
        let path = space(&sweep.store, &id.ns);
        let owner = store
            .group(&id.ns, &id.group())
            .map(|group| group.owner.as_str());
        access.has(auth, &path, MODIFY)
            || (access.has(auth, &path, PRUNE | BACKUP)
                && check_owner(owner.unwrap_or_default(), auth).is_ok())
    };
    all.into_iter().filter(may).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(times: &[i64]) -> Group {
        let snapshots = times.iter().map(|time| (*time, Snapshot::default()));
        Group {
            snapshots: snapshots.collect(),
            ..Group::default()
        }
    }

    fn kept(group: &Group, options: &Value) -> Vec<i64> {
        let keep = Keep::of(options.as_object().unwrap());
        let marks = marks(group, &keep).into_iter();
        marks
            .filter(|(_, mark)| *mark != Mark::Remove)
            .map(|(time, _)| time)
            .collect()
    }

    #[test]
    fn options_add_up() {
        const DAY: i64 = 86_400;
        let times: Vec<i64> = (0..10).map(|day| 1_795_390_562 + day * DAY).collect();
        let mut group = group(&times);
        assert_eq!(
            kept(&group, &json!({ "keep-last": 2 })),
            [times[9], times[8]]
        );
        assert_eq!(
            kept(&group, &json!({ "keep-last": 1, "keep-daily": 2 })),
            [times[9], times[8], times[7]]
        );
        group.snapshots.get_mut(&times[0]).unwrap().protected = true;
        assert_eq!(
            kept(&group, &json!({ "keep-last": 1 })),
            [times[9], times[0]]
        );
    }
}
