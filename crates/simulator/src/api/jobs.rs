//! `/cluster/backup`: backup jobs as they are defined. Nothing in this world runs them by the clock; a client that
//! looks for jobs that are due finds what was put here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::access::random_uuid;
use crate::api::vzdump;
use crate::call::{Answer, ApiError, Call, Params, Reply};
use crate::guest::{formats, props};
use crate::route::{Kind, Param, Route, Rule, may, with};
use crate::words;
use crate::world::World;

const AUDIT: Rule = Rule::All("/", &["Sys.Audit"]);
const MODIFY: Rule = Rule::All("/", &["Sys.Modify"]);

const OPTIONS: &[Param] = &[
    may("id", Kind::ConfigId),
    may("schedule", Kind::Short(128)),
    may("enabled", Kind::Bool),
    may("comment", Kind::Short(512)),
    may("repeat-missed", Kind::Bool),
    may("node", Kind::Node),
    may("vmid", Kind::VmidList),
    may("all", Kind::Bool),
    may("exclude", Kind::VmidList),
    may("pool", Kind::Text),
    may("storage", Kind::StorageId),
    may("mode", Kind::Enum(&["snapshot", "suspend", "stop"])),
    may("compress", Kind::Enum(&["0", "1", "gzip", "lzo", "zstd"])),
    may("prune-backups", Kind::Properties(&formats::PRUNE)),
    may("remove", Kind::Bool),
    with("protected", Kind::Bool, "storage"),
    with("notes-template", Kind::Short(1024), "storage"),
    may("mailto", Kind::List),
    may("mailnotification", Kind::Enum(&["always", "failure"])),
    may(
        "notification-mode",
        Kind::Enum(&["auto", "legacy-sendmail", "notification-system"]),
    ),
    may("bwlimit", Kind::Int(0, i64::MAX)),
    may("ionice", Kind::Int(0, 8)),
    may("lockwait", Kind::Int(0, i64::MAX)),
    may("stopwait", Kind::Int(0, i64::MAX)),
    may("exclude-path", Kind::Array),
    may("stdexcludes", Kind::Bool),
    may("fleecing", Kind::Properties(&formats::FLEECING)),
    may("performance", Kind::Properties(&formats::PERFORMANCE)),
    may("quiet", Kind::Bool),
    with("dow", Kind::List, "starttime"),
    may("dumpdir", Kind::Text),
    may(
        "pbs-change-detection-mode",
        Kind::Enum(&["legacy", "data", "metadata"]),
    ),
    may("pigz", Kind::Int(i64::MIN, i64::MAX)),
    may("script", Kind::Text),
    may("starttime", Kind::Pattern(words::clock)),
    may("stop", Kind::Bool),
    may("tmpdir", Kind::Text),
    may("zstd", Kind::Int(i64::MIN, i64::MAX)),
];

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/cluster/backup",
        rule: AUDIT,
        params: &[],
        handler: list,
    },
    Route {
        method: "POST",
        path: "/cluster/backup",
        rule: MODIFY,
        params: OPTIONS,
        handler: create,
    },
    Route {
        method: "GET",
        path: "/cluster/backup/{id}",
        rule: AUDIT,
        params: &[],
        handler: one,
    },
    Route {
        method: "DELETE",
        path: "/cluster/backup/{id}",
        rule: MODIFY,
        params: &[],
        handler: delete,
    },
];

/// A backup job's options, as they were given.
pub(crate) type Jobs = BTreeMap<String, Map<String, Value>>;

fn row(id: &str, job: &Map<String, Value>) -> Value {
    let mut row = job.clone();
    row.insert("id".into(), id.into());
    row.insert("type".into(), "vzdump".into());
    // Property strings are given back taken apart.
    for (key, format) in [
        ("fleecing", &formats::FLEECING),
        ("performance", &formats::PERFORMANCE),
        ("prune-backups", &formats::PRUNE),
    ] {
        let text = job.get(key).and_then(Value::as_str);
        if let Some(parts) = text.and_then(|text| props::parse(format, key, text).ok()) {
            row.insert(key.into(), json!(parts));
        }
    }
    Value::Object(row)
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    Ok(Answer::Data(
        world.jobs.iter().map(|(id, job)| row(id, job)).collect(),
    ))
}

fn unknown(id: &str) -> ApiError {
    ApiError::param("id", format!("No such job '{id}'"))
}

/// What becomes of a refusal under the lock of the jobs' file: a plain error with its text.
fn under_lock(error: &ApiError) -> ApiError {
    let details = error.errors.iter();
    let details = details.map(|(key, text)| format!("\n{key}: {}", text.trim_end()));
    ApiError::die(format!(
        "{}{}",
        error.in_task(),
        details.collect::<String>()
    ))
}

fn one(call: &Call<'_>) -> Reply {
    let id = call.params.need("id");
    let world = call.sim.lock();
    let job = world.jobs.get(&id).ok_or_else(|| unknown(&id))?;
    Ok(Answer::Data(row(&id, job)))
}

/// A job's schedule; the older way to give one is turned into it.
fn schedule(params: &Params) -> Result<Option<String>, ApiError> {
    let (schedule, time) = (params.text("schedule"), params.text("starttime"));
    match (schedule, time) {
        (Some(_), Some(_)) => Err(ApiError::param(
            "starttime",
            "'starttime' and 'schedule' cannot both be set",
        )),
        (None, Some(time)) => Ok(Some(match params.text("dow") {
            Some(days) if !days.is_empty() => format!("{days} {time}"),
            _ => time,
        })),
        (schedule, None) => Ok(schedule),
    }
}

fn check(world: &World, call: &Call<'_>) -> Result<(), ApiError> {
    vzdump::check_common(world, call)?;
    if !call.params.has("dumpdir") {
        let storage = call.params.text("storage");
        let path = format!("/storage/{}", storage.as_deref().unwrap_or("local"));
        world.check(call.auth, &path, &["Datastore.Allocate"])?;
    }
    if let Some(pool) = call.params.text("pool") {
        world.check_pool_exists(&pool)?;
        world.check(call.auth, &format!("/pool/{pool}"), &["VM.Backup"])?;
    }
    Ok(())
}

fn create(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    check(&world, call)?;
    let schedule = schedule(call.params)?.ok_or_else(|| {
        ApiError::param("schedule", "neither 'starttime' nor 'schedule' were set")
    })?;
    let id = call.params.text("id").unwrap_or_else(random_uuid);
    if world.jobs.contains_key(&id) {
        return Err(ApiError::die(format!("Job '{id}' already exists")));
    }
    vzdump::verify(call.params).map_err(|error| under_lock(&error))?;
    let Params(options) = call.params.clone();
    let mut job: Map<String, Value> = options.into_iter().collect();
    job.retain(|key, _| !["id", "starttime", "dow"].contains(&key.as_str()));
    job.insert("schedule".into(), schedule.into());
    job.entry("enabled").or_insert(json!(1));
    if call.params.has("exclude") && !call.params.has("pool") {
        job.insert("all".into(), json!(1));
    }
    world.jobs.insert(id, job);
    Ok(Answer::Data(Value::Null))
}

fn delete(call: &Call<'_>) -> Reply {
    let id = call.params.need("id");
    let gone = call.sim.lock().jobs.remove(&id);
    gone.ok_or_else(|| under_lock(&unknown(&id)))?;
    Ok(Answer::Data(Value::Null))
}
