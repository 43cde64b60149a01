//! Verify jobs and prune jobs: `/config/verify`, `/config/prune`, and running them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde_json::{Map, Value, json};

use crate::pbs::access::{AUDIT, MODIFY, VERIFY, space};
use crate::pbs::http::{Answer, Call, Error, Reply, Route, Rule, data, with_digest};
use crate::pbs::params::{DEPTH, JOB, KEEP, Kind, NS, Param, STORE, may, need};
use crate::pbs::prune::{self, Keep, Sweep};
use crate::pbs::verify::{self, Filter, Scope};
use crate::world::World;

type Job = Map<String, Value>;
type Jobs = std::collections::BTreeMap<String, Job>;

const IGNORE: Param = may("ignore-verified", Kind::Bool);
const OUTDATED: Param = may("outdated-after", Kind::Int(0, i64::MAX));
const COMMENT: Param = may("comment", Kind::Text);
const SCHEDULE: Param = may("schedule", Kind::Text);
const DELETE: Param = may("delete", Kind::Texts);
const DIGEST: Param = may("digest", Kind::Text);
const DISABLE: Param = may("disable", Kind::Bool);
const LAST: Param = may("keep-last", KEEP);
const HOURLY: Param = may("keep-hourly", KEEP);
const DAILY: Param = may("keep-daily", KEEP);
const WEEKLY: Param = may("keep-weekly", KEEP);
const MONTHLY: Param = may("keep-monthly", KEEP);
const YEARLY: Param = may("keep-yearly", KEEP);
const ID: Param = need("id", JOB);
const NAMESPACE: Param = may("ns", NS);
const MAX_DEPTH: Param = may("max-depth", DEPTH);

const fn row(
    method: &'static str,
    path: &'static str,
    params: &'static [Param],
    handler: crate::pbs::http::Handler,
) -> Route {
    Route {
        method,
        path,
        rule: Rule::User,
        params,
        handler,
    }
}

pub(super) const ROUTES: &[Route] = &[
    row("GET", "/config/verify", &[], |call| {
        list(call, Which::Verify, false)
    }),
    row("GET", "/admin/verify", &[may("store", STORE)], |call| {
        list(call, Which::Verify, true)
    }),
    row(
        "POST",
        "/config/verify",
        &[
            ID,
            need("store", STORE),
            NAMESPACE,
            MAX_DEPTH,
            IGNORE,
            OUTDATED,
            COMMENT,
            SCHEDULE,
        ],
        |call| create(call, Which::Verify),
    ),
    row("GET", "/config/verify/{id}", &[ID], |call| {
        show(call, Which::Verify)
    }),
    row(
        "PUT",
        "/config/verify/{id}",
        &[
            ID,
            may("store", STORE),
            NAMESPACE,
            MAX_DEPTH,
            IGNORE,
            OUTDATED,
            COMMENT,
            SCHEDULE,
            DELETE,
            DIGEST,
        ],
        |call| change(call, Which::Verify),
    ),
    row("DELETE", "/config/verify/{id}", &[ID, DIGEST], |call| {
        remove(call, Which::Verify)
    }),
    row("POST", "/admin/verify/{id}/run", &[ID], run_verify),
    row("GET", "/config/prune", &[], |call| {
        list(call, Which::Prune, false)
    }),
    row("GET", "/admin/prune", &[may("store", STORE)], |call| {
        list(call, Which::Prune, true)
    }),
    row(
        "POST",
        "/config/prune",
        &[
            ID,
            need("store", STORE),
            NAMESPACE,
            MAX_DEPTH,
            COMMENT,
            need("schedule", Kind::Text),
            DISABLE,
            LAST,
            HOURLY,
            DAILY,
            WEEKLY,
            MONTHLY,
            YEARLY,
        ],
        |call| create(call, Which::Prune),
    ),
    row("GET", "/config/prune/{id}", &[ID], |call| {
        show(call, Which::Prune)
    }),
    row(
        "PUT",
        "/config/prune/{id}",
        &[
            ID,
            may("store", STORE),
            NAMESPACE,
            MAX_DEPTH,
            COMMENT,
            SCHEDULE,
            DISABLE,
            DELETE,
            DIGEST,
            LAST,
            HOURLY,
            DAILY,
            WEEKLY,
            MONTHLY,
            YEARLY,
        ],
        |call| change(call, Which::Prune),
    ),
    row("DELETE", "/config/prune/{id}", &[ID, DIGEST], |call| {
        remove(call, Which::Prune)
    }),
    row("POST", "/admin/prune/{id}/run", &[ID], run_prune),
];

/// The two kinds of jobs, and the rights they take.
#[derive(Clone, Copy)]
enum Which {
    Verify,
    Prune,
}

impl Which {
    fn jobs(self, world: &World) -> &Jobs {
        match self {
            Self::Verify => &world.pbs.verify_jobs,
            Self::Prune => &world.pbs.prune_jobs,
        }
    }

    fn jobs_mut(self, world: &mut World) -> &mut Jobs {
        match self {
            Self::Verify => &mut world.pbs.verify_jobs,
            Self::Prune => &mut world.pbs.prune_jobs,
        }
    }

    fn sees(self) -> u32 {
        match self {
            Self::Verify => AUDIT | VERIFY,
            Self::Prune => AUDIT | MODIFY,
        }
    }

    fn changes(self) -> u32 {
        match self {
            Self::Verify => VERIFY,
            Self::Prune => MODIFY,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Verify => "verification",
            Self::Prune => "prune",
        }
    }
}

fn text<'a>(job: &'a Job, field: &str) -> &'a str {
    job.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn path(job: &Job) -> String {
    space(text(job, "store"), text(job, "ns"))
}

/// The job, which must be there, and whoever asks must have the rights.
fn known(world: &World, call: &Call<'_>, which: Which, rights: u32) -> Result<Job, Error> {
    let id = call.need("id");
    let job = which.jobs(world).get(id);
    let job = job.ok_or_else(|| Error::plain(format!("no such {} '{id}'", which.word())))?;
    world
        .pbs
        .access
        .require(call.auth, &path(job), rights, true)?;
    Ok(job.clone())
}

fn digest_of(world: &World, which: Which) -> String {
    let jobs = which.jobs(world);
    if jobs.is_empty() {
        String::new()
    } else {
        json!(jobs).to_string()
    }
}

/// The next time that a calendar event names; only the words are known.
fn next_run(schedule: &str, now: i64) -> Option<i64> {
    let now = Timestamp::from_second(now).ok()?.to_zoned(TimeZone::UTC);
    let midnight = |zoned: &Zoned| zoned.start_of_day().ok();
    let next = match schedule {
        "hourly" => now
            .checked_add(1.hour())
            .ok()?
            .with()
            .minute(0)
            .second(0)
            .subsec_nanosecond(0)
            .build()
            .ok()?,
        "daily" => midnight(&now.tomorrow().ok()?)?,
        "weekly" => midnight(&now.nth_weekday(1, jiff::civil::Weekday::Monday).ok()?)?,
        "monthly" => midnight(&now.last_of_month().ok()?.tomorrow().ok()?)?,
        _ => return None,
    };
    Some(next.timestamp().as_second())
}

fn list(call: &Call<'_>, which: Which, with_state: bool) -> Reply {
    let now = call.sim.pbs_now();
    let world = call.sim.lock();
    let wanted = |job: &&Job| {
        world.pbs.access.has(call.auth, &path(job), which.sees())
            && call
                .text("store")
                .is_none_or(|store| store == text(job, "store"))
    };
    let mut items = Vec::new();
    for job in which.jobs(&world).values().filter(wanted) {
        let mut item = job.clone();
        if with_state {
            if let Some(next) = next_run(text(job, "schedule"), now) {
                item.insert("next-run".into(), json!(next));
            }
            last_run(&world, which, job, &mut item);
        }
        items.push(Value::Object(item));
    }
    with_digest(json!(items), &digest_of(&world, which))
}

fn last_run(world: &World, which: Which, job: &Job, item: &mut Job) {
    let (kind, id) = match which {
        Which::Verify => (
            "verificationjob",
            format!("{}:{}", text(job, "store"), text(job, "id")),
        ),
        Which::Prune => (
            "prunejob",
            format!("{}:{}", text(job, "store"), text(job, "ns")),
        ),
    };
    let Some(task) = world
        .pbs
        .tasks
        .iter()
        .rfind(|task| task.kind == kind && task.id == id)
    else {
        return;
    };
    item.insert("last-run-upid".into(), json!(task.upid));
    if let Some((at, status)) = &task.end {
        item.insert("last-run-endtime".into(), json!(at));
        item.insert("last-run-state".into(), json!(status));
    }
}

fn create(call: &Call<'_>, which: Which) -> Reply {
    let mut world = call.sim.lock();
    let (id, job) = (call.need("id"), call.params.clone());
    world
        .pbs
        .access
        .require(call.auth, &path(&job), which.changes(), false)?;
    if which.jobs(&world).contains_key(id) {
        return Err(Error::param("id", &format!("job '{id}' already exists.")));
    }
    which.jobs_mut(&mut world).insert(id.to_owned(), job);
    data(Value::Null)
}

fn show(call: &Call<'_>, which: Which) -> Reply {
    let world = call.sim.lock();
    let job = known(&world, call, which, which.sees())?;
    with_digest(Value::Object(job), &digest_of(&world, which))
}

fn change(call: &Call<'_>, which: Which) -> Reply {
    let mut world = call.sim.lock();
    let mut job = known(&world, call, which, which.changes())?;
    let deleted = call.params.get("delete").and_then(Value::as_array);
    for field in deleted.into_iter().flatten().filter_map(Value::as_str) {
        job.remove(field);
    }
    let given = call
        .params
        .iter()
        .filter(|(name, _)| !["id", "delete", "digest"].contains(&name.as_str()));
    job.extend(given.map(|(name, value)| (name.clone(), value.clone())));
    world
        .pbs
        .access
        .require(call.auth, &path(&job), which.changes(), true)?;
    which
        .jobs_mut(&mut world)
        .insert(call.need("id").to_owned(), job);
    data(Value::Null)
}

fn remove(call: &Call<'_>, which: Which) -> Reply {
    let mut world = call.sim.lock();
    known(&world, call, which, which.changes())?;
    which.jobs_mut(&mut world).remove(call.need("id"));
    data(Value::Null)
}

fn depth(job: &Job) -> Option<usize> {
    usize::try_from(job.get("max-depth")?.as_u64()?).ok()
}

fn run_verify(call: &Call<'_>) -> Reply {
    let job = known(&call.sim.lock(), call, Which::Verify, VERIFY)?;
    let (store, name) = (text(&job, "store").to_owned(), call.need("id"));
    super::store(&call.sim.lock(), &store, false)?;
    let filter = Filter {
        ignore_verified: job
            .get("ignore-verified")
            .and_then(Value::as_bool)
            .unwrap_or(true),
        outdated_after: job.get("outdated-after").and_then(Value::as_i64),
    };
    let id = format!("{store}:{name}");
    let title = format!("Starting datastore verify job '{id}'");
    let scope = Scope::Store {
        store,
        ns: text(&job, "ns").to_owned(),
        depth: depth(&job).unwrap_or(7),
        owner: None,
    };
    let upid = call.sim.pbs_task(
        call.auth,
        "verificationjob",
        &id,
        move |worker| async move {
            worker.log(title);
            verify::run(&worker, scope, filter).await
        },
    );
    Ok(Answer::Data(json!(upid)))
}

fn run_prune(call: &Call<'_>) -> Reply {
    let job = known(&call.sim.lock(), call, Which::Prune, MODIFY)?;
    let sweep = Sweep {
        store: text(&job, "store").to_owned(),
        ns: text(&job, "ns").to_owned(),
        depth: depth(&job),
        keep: Keep::of(&job),
        dry: false,
        auth: call.auth.to_owned(),
    };
    let title = format!("prune job '{}'", call.need("id"));
    let id = format!("{}:{}", sweep.store, sweep.ns);
    let upid = call
        .sim
        .pbs_task(call.auth, "prunejob", &id, move |worker| async move {
            worker.log(title);
            prune::sweep(&worker, &sweep).await
        });
    data(json!(upid))
}
