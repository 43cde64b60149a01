//! `/cluster/backup`: backup jobs as they are defined. Nothing in this world runs them by the clock; a client that
//! looks for jobs that are due finds what was put here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::access::random_uuid;
use crate::call::{Answer, ApiError, Call, Params, Reply};
use crate::guest::formats;
use crate::route::{Kind, Param, Route, Rule, may, with};
use crate::words;

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
    row.entry("enabled").or_insert(json!(1));
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

fn one(call: &Call<'_>) -> Reply {
    let id = call.params.need("id");
    let world = call.sim.lock();
    let job = world.jobs.get(&id).ok_or_else(|| unknown(&id))?;
    Ok(Answer::Data(row(&id, job)))
}

/// Options that make the node run or write what the caller says.
const ROOT_ONLY: [&str; 3] = ["tmpdir", "dumpdir", "script"];

fn create(call: &Call<'_>) -> Reply {
    if let Some(option) = ROOT_ONLY.iter().find(|key| call.params.has(key))
        && !call.auth.is_root()
    {
        let text = "Only root may set this option.";
        return Err(ApiError::param(option, text));
    }
    let Params(mut job) = call.params.clone();
    let id = job
        .remove("id")
        .and_then(|id| id.as_str().map(str::to_owned));
    let id = id.unwrap_or_else(|| format!("backup-{}", random_uuid()));
    let mut world = call.sim.lock();
    if world.jobs.contains_key(&id) {
        return Err(ApiError::die(format!("Job '{id}' already exists")));
    }
    world.jobs.insert(id, job.into_iter().collect());
    Ok(Answer::Data(Value::Null))
}

fn delete(call: &Call<'_>) -> Reply {
    let id = call.params.need("id");
    call.sim
        .lock()
        .jobs
        .remove(&id)
        .ok_or_else(|| unknown(&id))?;
    Ok(Answer::Data(Value::Null))
}
