//! `/nodes/{node}/tasks`: whose they are, what they said, how they ended.

use serde_json::{Map, Value, json};

use crate::pbs::access::{Access, MODIFY, SYS_AUDIT, SYS_MODIFY, VERIFY, space};
use crate::pbs::http::{Answer, Call, Error, Reply, Route, Rule, data};
use crate::pbs::params::{Kind, NODE, STORE, may, need};
use crate::pbs::tasks::Task;

const TASKS: &str = "/system/tasks";
const UPID: Kind = Kind::Match(1, 256, |text| Task::parse(text).is_some());
const ANY: i64 = i64::MAX;

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/nodes/{node}/tasks",
        rule: Rule::User,
        params: &[
            need("node", NODE),
            may("start", Kind::Int(0, ANY)),
            may("limit", Kind::Int(0, ANY)),
            may("store", STORE),
            may("running", Kind::Bool),
            may("errors", Kind::Bool),
            may("userfilter", Kind::Text),
            may("since", Kind::Int(i64::MIN, ANY)),
            may("until", Kind::Int(i64::MIN, ANY)),
            may("typefilter", Kind::Text),
            may(
                "statusfilter",
                Kind::Words(&["ok", "warning", "error", "unknown"]),
            ),
        ],
        handler: list,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/tasks/{upid}/status",
        rule: Rule::User,
        params: &[need("node", NODE), need("upid", UPID)],
        handler: status,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/tasks/{upid}/log",
        rule: Rule::User,
        params: &[
            need("node", NODE),
            need("upid", UPID),
            may("start", Kind::Int(0, ANY)),
            may("limit", Kind::Int(0, ANY)),
            may("download", Kind::Bool),
            may("test-status", Kind::Bool),
        ],
        handler: log,
    },
    Route {
        method: "DELETE",
        path: "/nodes/{node}/tasks/{upid}",
        rule: Rule::User,
        params: &[need("node", NODE), need("upid", UPID)],
        handler: stop,
    },
];

/// Whether somebody could have started such a task as a job, and so may see it.
fn could_have_started(access: &Access, auth: &str, task: &Task) -> bool {
    let store = task.id.split(':').next().unwrap_or_default();
    let rights = match task.kind.as_str() {
        "verificationjob" => VERIFY,
        "garbage_collection" | "prune" | "prunejob" => MODIFY,
        _ => return false,
    };
    access.has(auth, &space(store, ""), rights)
}

fn is_own(auth: &str, task: &Task) -> bool {
    task.auth == auth
        || task
            .auth
            .split_once('!')
            .is_some_and(|(user, _)| user == auth)
}

fn may_see(access: &Access, auth: &str, task: &Task) -> bool {
    is_own(auth, task)
        || access.has(auth, TASKS, SYS_AUDIT)
        || could_have_started(access, auth, task)
}

fn kind_of(status: &str) -> &'static str {
    match status {
        "OK" => "ok",
        "unknown" => "unknown",
        text if text.starts_with("WARNINGS: ") => "warning",
        _ => "error",
    }
}

fn is_wanted(call: &Call<'_>, task: &Task) -> bool {
    let status = task.end.as_ref().map(|(_, status)| kind_of(status));
    let filter = call.params.get("statusfilter").and_then(Value::as_array);
    let store_fits = |store: &str| task.id == store || task.id.starts_with(&format!("{store}:"));
    let typed = ["prune", "prunejob", "backup", "garbage_collection"].contains(&task.kind.as_str())
        || task.kind.starts_with("verif");
    call.int("until").is_none_or(|until| task.start <= until)
        && call.int("since").is_none_or(|since| task.start >= since)
        && call
            .text("store")
            .is_none_or(|store| typed && store_fits(store))
        && call
            .text("userfilter")
            .is_none_or(|user| task.auth.contains(user))
        && call
            .text("typefilter")
            .is_none_or(|kind| task.kind.contains(kind))
        && (call.flag("running") != Some(true) || task.running)
        && (call.flag("errors") != Some(true) || status.is_some_and(|status| status != "ok"))
        && filter.is_none_or(|words| {
            status.is_some_and(|status| words.iter().any(|word| word.as_str() == Some(status)))
        })
}

fn item(task: &Task) -> Value {
    let mut item = Map::new();
    item.insert("upid".into(), json!(task.upid));
    item.insert("node".into(), json!("localhost"));
    item.insert("pid".into(), json!(task.pid));
    item.insert("pstart".into(), json!(task.pstart));
    item.insert("starttime".into(), json!(task.start));
    item.insert("worker_type".into(), json!(task.kind));
    item.insert("worker_id".into(), json!(task.id));
    item.insert("user".into(), json!(task.auth));
    if let Some((at, status)) = &task.end {
        item.insert("endtime".into(), json!(at));
        item.insert("status".into(), json!(status));
    }
    Value::Object(item)
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let access = &world.pbs.access;
    let tasks = world.pbs.tasks.iter().rev();
    let seen = tasks.filter(|task| may_see(access, call.auth, task) && is_wanted(call, task));
    let items: Vec<Value> = seen.map(item).collect();
    let number = |name: &str| {
        call.int(name)
            .and_then(|number| usize::try_from(number).ok())
    };
    let limit = number("limit").unwrap_or(50);
    let limit = if limit == 0 { usize::MAX } else { limit };
    let total = Map::from_iter([("total".to_owned(), json!(items.len()))]);
    let page = items
        .into_iter()
        .skip(number("start").unwrap_or_default())
        .take(limit);
    Ok(Answer::With(page.collect(), total))
}

/// The task, whether or not it ever was, if it may be seen; and the node in its name.
fn seen(call: &Call<'_>) -> Result<(String, Task, bool), Error> {
    let world = call.sim.lock();
    let upid = call.need("upid");
    let parsed = Task::parse(upid).ok_or_else(|| Error::plain("unable to parse UPID"))?;
    let known = world.pbs.tasks.iter().rfind(|task| task.upid == upid);
    let (node, task) = (parsed.0, known.cloned().unwrap_or(parsed.1));
    if !may_see(&world.pbs.access, call.auth, &task) {
        return Err(Error::plain("task access not allowed"));
    }
    Ok((node, task, known.is_some()))
}

fn status(call: &Call<'_>) -> Reply {
    let (node, task, _) = seen(call)?;
    let (user, token) = task
        .auth
        .split_once('!')
        .map_or((task.auth.as_str(), None), |(user, token)| {
            (user, Some(token))
        });
    let mut item = Map::new();
    item.insert("upid".into(), json!(task.upid));
    item.insert("node".into(), json!(node));
    item.insert("pid".into(), json!(task.pid));
    item.insert("pstart".into(), json!(task.pstart));
    item.insert("starttime".into(), json!(task.start));
    item.insert("type".into(), json!(task.kind));
    item.insert("id".into(), json!(task.id));
    item.insert("user".into(), json!(user));
    if let Some(token) = token {
        item.insert("tokenid".into(), json!(token));
    }
    if task.running {
        item.insert("status".into(), json!("running"));
    } else {
        let exit = task
            .end
            .map_or_else(|| "unknown".to_owned(), |(_, status)| status);
        item.insert("status".into(), json!("stopped"));
        item.insert("exitstatus".into(), json!(exit));
    }
    data(Value::Object(item))
}

fn log(call: &Call<'_>) -> Reply {
    let (_, task, known) = seen(call)?;
    if !known {
        return Err(Error::plain("No such file or directory (os error 2)"));
    }
    if call.flag("download") == Some(true) {
        if ["start", "limit", "test-status"]
            .iter()
            .any(|name| call.params.contains_key(*name))
        {
            return Err(Error::plain(
                "Parameter 'download' cannot be used with other parameters",
            ));
        }
        let text = format!("{}\n", task.log.join("\n"));
        return Ok(Answer::Bytes("text/plain", text.into_bytes()));
    }
    let number = |name: &str| {
        call.int(name)
            .and_then(|number| usize::try_from(number).ok())
    };
    let (start, limit) = (
        number("start").unwrap_or_default().max(1),
        number("limit").unwrap_or(50),
    );
    let limit = if limit == 0 { usize::MAX } else { limit };
    let lines = task.log.iter().zip(1_usize..).skip(start - 1).take(limit);
    let lines: Vec<Value> = lines
        .map(|(line, number)| json!({ "n": number, "t": line }))
        .collect();
    let mut whole = json!({ "data": lines, "total": task.log.len(), "success": 1 });
    if let (Some(true), Some(fields)) = (call.flag("test-status"), whole.as_object_mut()) {
        fields.insert("active".into(), json!(task.running));
    }
    Ok(Answer::Whole(whole))
}

fn stop(call: &Call<'_>) -> Reply {
    let upid = call.need("upid");
    let (_, task) = Task::parse(upid).ok_or_else(|| Error::plain("unable to parse UPID"))?;
    if task.auth != call.auth {
        let world = call.sim.lock();
        world
            .pbs
            .access
            .require(call.auth, TASKS, SYS_MODIFY, false)?;
    }
    call.sim.pbs.aborts.abort(upid);
    data(Value::Null)
}
