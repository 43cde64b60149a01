//! `/nodes/{node}/tasks` and `/cluster/tasks`: who may see which task, and its log.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::access::Principal;
use crate::call::{Answer, ApiError, Call, Params, Reply};
use crate::route::{Kind, Route, Rule, may};
use crate::tasks::{Finished, Upid};

const SOURCES: &[&str] = &["archive", "active", "all"];
const ANY: i64 = i64::MAX;
/// What a list shows unless asked for more.
const PAGE: usize = 50;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/nodes/{node}/tasks",
        rule: Rule::User,
        params: &[
            may("start", Kind::Int(0, ANY)),
            may("limit", Kind::Int(0, ANY)),
            may("userfilter", Kind::Text),
            may("typefilter", Kind::Text),
            may("vmid", Kind::Vmid),
            may("errors", Kind::Bool),
            may("source", Kind::Enum(SOURCES)),
            may("since", Kind::Int(i64::MIN, ANY)),
            may("until", Kind::Int(i64::MIN, ANY)),
            may("statusfilter", Kind::List),
        ],
        handler: list,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/tasks/{upid}",
        rule: Rule::User,
        params: &[],
        handler: index,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/tasks/{upid}/status",
        rule: Rule::User,
        params: &[],
        handler: status,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/tasks/{upid}/log",
        rule: Rule::User,
        params: &[
            may("start", Kind::Int(0, ANY)),
            may("limit", Kind::Int(0, ANY)),
            may("download", Kind::Bool),
        ],
        handler: log,
    },
    Route {
        method: "DELETE",
        path: "/nodes/{node}/tasks/{upid}",
        rule: Rule::User,
        params: &[],
        handler: stop,
    },
    Route {
        method: "GET",
        path: "/cluster/tasks",
        rule: Rule::User,
        params: &[],
        handler: of_cluster,
    },
];

/// One task of a list. Running ones carry the whole name of their token as user, finished ones have it split.
struct Entry {
    upid: Upid,
    end: Option<(i64, String)>,
}

impl From<Finished> for Entry {
    fn from(finished: Finished) -> Self {
        Self {
            upid: finished.upid,
            end: Some((finished.endtime, finished.status)),
        }
    }
}

impl Entry {
    fn running(upid: Upid) -> Self {
        Self { upid, end: None }
    }

    fn listed_user(&self) -> &str {
        if self.end.is_some() {
            self.upid.owner()
        } else {
            &self.upid.user
        }
    }

    /// Own tasks: an owner sees its tokens' finished tasks here, but not their running ones.
    fn belongs_to(&self, who: &Principal) -> bool {
        self.upid.user == who.as_str() || self.listed_user() == who.as_str()
    }

    fn passes(&self, params: &Params) -> bool {
        let upid = &self.upid;
        let status = self.end.as_ref().map(|(_, status)| status.as_str());
        let has = |filter: &str, holds: &dyn Fn(&str) -> bool| {
            params.text(filter).is_none_or(|value| holds(&value))
        };
        has("userfilter", &|part| {
            self.listed_user()
                .to_lowercase()
                .contains(&part.to_lowercase())
        }) && has("typefilter", &|kind| upid.kind == kind)
            && has("vmid", &|id| upid.id == id)
            && has("statusfilter", &|wanted| {
                status.is_none_or(|status| wanted.split(',').any(|one| one.trim() == class(status)))
            })
            && params
                .int("since")
                .is_none_or(|since| upid.starttime >= since)
            && params
                .int("until")
                .is_none_or(|until| upid.starttime <= until)
            && (!params.flag("errors")
                || status.is_none_or(|status| !["ok", "warning"].contains(&class(status))))
    }

    fn row(&self) -> Value {
        let mut row = described(&self.upid, self.end.is_some());
        let status = match &self.end {
            Some((end, status)) => {
                row.insert("endtime".into(), (*end).into());
                status.as_str()
            }
            None => "RUNNING",
        };
        row.insert("status".into(), status.into());
        Value::Object(row)
    }
}

/// What `statusfilter` calls an exit status.
fn class(status: &str) -> &'static str {
    match status {
        "OK" => "ok",
        "unexpected status" | "unknown" => "unknown",
        warnings if warnings.starts_with("WARNINGS: ") => "warning",
        _ => "error",
    }
}

fn described(upid: &Upid, is_split: bool) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("upid".into(), upid.to_string().into());
    row.insert("node".into(), upid.node.clone().into());
    row.insert("pid".into(), upid.pid.into());
    row.insert("pstart".into(), upid.pstart.into());
    row.insert("starttime".into(), upid.starttime.into());
    row.insert("type".into(), upid.kind.clone().into());
    row.insert("id".into(), upid.id.clone().into());
    row.insert(
        "user".into(),
        if is_split { upid.owner() } else { &upid.user }.into(),
    );
    if let Some(token) = upid.token().filter(|_| is_split) {
        row.insert("tokenid".into(), token.into());
    }
    row
}

fn list(call: &Call<'_>) -> Reply {
    let sees_all = sees_all(call, "Sys.Audit");
    let source = call
        .params
        .text("source")
        .unwrap_or_else(|| "archive".into());
    let running = if source == "archive" {
        Vec::new()
    } else {
        call.sim.tasks.running()
    };
    let finished = if source == "active" {
        Vec::new()
    } else {
        call.sim.tasks.finished()
    };
    let entries = running
        .into_iter()
        .map(Entry::running)
        .chain(finished.into_iter().map(Entry::from));
    let matching: Vec<Entry> = entries
        .filter(|entry| (sees_all || entry.belongs_to(call.auth)) && entry.passes(call.params))
        .collect();
    let (start, limit) = (
        page(call.params, "start", 0),
        page(call.params, "limit", PAGE),
    );
    let rows = matching
        .iter()
        .skip(start)
        .take(limit)
        .map(Entry::row)
        .collect();
    Ok(Answer::Total(rows, matching.len()))
}

fn page(params: &Params, key: &str, default: usize) -> usize {
    params
        .int(key)
        .and_then(|value| usize::try_from(value).ok())
        .unwrap_or(default)
}

fn sees_all(call: &Call<'_>, privilege: &str) -> bool {
    let path = format!("/nodes/{}", call.params.need("node"));
    call.sim.lock().has(call.auth, &path, privilege)
}

fn of_cluster(call: &Call<'_>) -> Reply {
    let sees_all = call.sim.lock().has(call.auth, "/", "Sys.Audit");
    let running = call.sim.tasks.running().into_iter().map(Entry::running);
    let finished = call
        .sim
        .tasks
        .finished()
        .into_iter()
        .map(Entry::from)
        .take(25);
    let rows = running
        .chain(finished)
        .filter(|entry| sees_all || entry.upid.owner() == call.auth.as_str());
    let row = |entry: Entry| {
        let mut row = described(&entry.upid, true);
        if let Some((end, status)) = entry.end {
            row.insert("endtime".into(), end.into());
            row.insert("status".into(), status.into());
        }
        Value::Object(row)
    };
    Ok(Answer::Data(rows.map(row).collect()))
}

fn index(call: &Call<'_>) -> Reply {
    upid(call)?;
    Ok(Answer::Data(
        json!([{ "name": "log" }, { "name": "status" }]),
    ))
}

fn upid(call: &Call<'_>) -> Result<Upid, ApiError> {
    Upid::parse(&call.params.need("upid"))
        .ok_or_else(|| ApiError::param("upid", "unable to parse worker upid"))
}

/// The task, if the caller owns it or holds the privilege on the node. A user owns its tokens' tasks; a token owns
/// neither its user's nor its siblings'.
fn owned_or(call: &Call<'_>, privilege: &str) -> Result<Upid, ApiError> {
    let upid = upid(call)?;
    if upid.user != call.auth.as_str() && upid.owner() != call.auth.as_str() {
        let path = format!("/nodes/{}", call.params.need("node"));
        call.sim.lock().check(call.auth, &path, &[privilege])?;
    }
    Ok(upid)
}

fn status(call: &Call<'_>) -> Reply {
    let upid = owned_or(call, "Sys.Audit")?;
    let mut row = described(&upid, true);
    if call.sim.tasks.is_running(&upid) {
        row.insert("status".into(), "running".into());
        return Ok(Answer::Data(Value::Object(row)));
    }
    let Some(exit) = call.sim.tasks.exit_status(&upid) else {
        return Err(ApiError::param("upid", "no such task"));
    };
    row.insert("status".into(), "stopped".into());
    row.insert("exitstatus".into(), exit.into());
    Ok(Answer::Data(Value::Object(row)))
}

fn log(call: &Call<'_>) -> Reply {
    let upid = owned_or(call, "Sys.Audit")?;
    let found = call.sim.tasks.log(&upid);
    if call.params.flag("download") {
        let lines =
            found.map_err(|_| ApiError::die("unable to open file - No such file or directory"))?;
        return Ok(Answer::Raw(
            "text/plain",
            (lines.join("\n") + "\n").into_bytes(),
        ));
    }
    let lines = match found {
        Ok(lines) if lines.is_empty() => vec!["no content".to_owned()],
        Ok(lines) => lines,
        Err(_) => vec!["unable to open file - No such file or directory".to_owned()],
    };
    let start = page(call.params, "start", 0);
    // For logs, unlike for lists, a limit of 0 is none.
    let limit = Some(page(call.params, "limit", PAGE))
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX);
    let shown = lines.iter().enumerate().skip(start).take(limit);
    let rows = shown
        .map(|(index, line)| json!({ "n": index + 1, "t": line }))
        .collect();
    Ok(Answer::Total(rows, lines.len()))
}

fn stop(call: &Call<'_>) -> Reply {
    let upid = owned_or(call, "Sys.Modify")?;
    let sim = Arc::clone(call.sim);
    Ok(Answer::Later(Box::pin(async move {
        sim.stop_task(&upid).await;
        Ok(Answer::Data(Value::Null))
    })))
}
