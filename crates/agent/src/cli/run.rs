//! `run --once`: one pass of everything that is due by the schedule, one job at a time, each decision with its reason.
//!
//! The engine plans ([`felhom_engine::plan_pass`]), anew after each job, since the world moves on meanwhile. A job that fails
//! stops no other. What ends a pass early is what would end every further job, too: the journal, the node, a stop signal.

mod facts;
mod finish;
mod text;
mod work;

use std::collections::BTreeMap;

use clap::Args;
use felhom_engine::{PassPlan, RefusedWork, Timestamp, Work, plan_pass};
use felhom_ids::{StorageId, Vmid};
use serde_json::json;

use super::context::{Context, journal_failure};
use super::jobs::{self, AskedBy, StopSign};
use super::targets::Door;
use super::{arrears, backup, restore_test};
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::notify;
use crate::perform::Performer;
use facts::Known;
use work::Done;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Do what is due now, and end. Nothing else can be asked for yet.
    #[arg(long, required = true)]
    once: bool,
    /// Begin whatever is due by its cadence, whether a window is open or not.
    #[arg(long)]
    ignore_windows: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// What became of a pass.
#[derive(Debug, Default)]
struct Pass {
    /// Jobs that an earlier program had begun, and that came to their end now.
    resumed: Vec<String>,
    /// Guests of which one of these made a good backup that rules of ours prune, and where.
    fresh: BTreeMap<Vmid, StorageId>,
    /// What was done, in order.
    done: Vec<Done>,
    /// The last plan: what is not done, and why.
    plan: PassPlan,
    /// Why it ended before everything was done.
    broken: Option<String>,
}

/// For how long the journal keeps the steps of jobs that ended.
const KEPT_STEPS_MS: i64 = 90 * 86_400_000;

/// What a pass needs before it can do anything.
async fn begin(context: &Context) -> Result<(Performer, Journal, Timestamp, i64), Failure> {
    let performer = context.performer()?;
    let journal = context
        .open_journal(performer.config(), "a pass of what is due")
        .await?;
    cut_off(context, performer.config(), &journal).await?;
    let began = clock::now();
    let id = journal.begin_pass(began).await;
    let id = id.map_err(|error| journal_failure(&error))?;
    Ok((performer, journal, began, id))
}

/// So many passes in a row that did not come to their end are no accident.
const CUT_OFF: u64 = 3;

/// Passes that were cut off told nothing of what they met: killed for the memory they took, or the box goes down again and again.
async fn cut_off(context: &Context, config: &Config, journal: &Journal) -> Result<(), Failure> {
    let fail = |error| journal_failure(&error);
    let count = journal.passes_cut_off().await.map_err(fail)?;
    if count < CUT_OFF {
        return Ok(());
    }
    let unfinished = journal.unfinished().await.map_err(fail)?;
    // Of what is left aside something else was told.
    let begun = unfinished.iter().filter(|one| !one.is_stuck());
    let under_way = begun.max_by_key(|one| one.cut_off);
    let under_way = under_way.map_or_else(String::new, |one| {
        let (kind, subject) = (one.job.kind_name(), one.job.subject());
        format!("; under way is {kind} of {subject}")
    });
    let detail = format!("the last {count} passes were cut off before their end{under_way}");
    let remedy = "`journalctl -u felhom-agent` and `journalctl -k` say what ended them";
    for line in notify::alarm(config, &detail, Some(remedy)).await {
        context.printer.narrate(&line);
    }
    Ok(())
}

/// A pass that cannot begin is told all the same, unless another run is at work.
async fn unwritten(context: &Context, failure: &Failure) {
    if failure.exit == Exit::Busy {
        return;
    }
    let Ok(config) = context.config() else {
        return;
    };
    let parts: Vec<&str> = std::iter::once(&failure.message)
        .chain(&failure.causes)
        .map(String::as_str)
        .collect();
    let detail = format!("no pass can begin or be written down: {}", parts.join(": "));
    for line in notify::alarm(&config, &detail, failure.hint.as_deref()).await {
        context.printer.narrate(&line);
    }
}

pub(super) async fn run(context: &Context, args: &RunArgs) -> Result<Exit, Failure> {
    // Watched from the beginning: a signal between two jobs must not be lost.
    let mut stop = StopSign::watch();
    if args.dry_run {
        return rehearse(context, &context.performer()?, args).await;
    }
    let (performer, mut journal, began, id) = match begin(context).await {
        Ok(begun) => begun,
        Err(failure) => {
            unwritten(context, &failure).await;
            return Err(failure);
        }
    };
    let fail = |error| journal_failure(&error);
    let mut pass = Pass::default();
    let mut ended = settle(context, &mut journal, &performer, &mut pass).await;
    if ended.is_ok() {
        ended = work_off(
            context,
            &mut journal,
            &performer,
            args,
            &mut stop,
            &mut pass,
        )
        .await;
    }
    if let Err(failure) = &ended {
        pass.broken = Some(failure.message.clone());
    }
    journal.say("the end of a pass");
    let ending = finish::finish(&journal, &performer, &pass, ended.as_ref().err());
    let said = Box::pin(ending).await;
    let exit = exit(&ended, said.exit);
    let mut data = text::data(&pass, &said);
    if let Some(map) = data.as_object_mut() {
        map.insert("began_ms".into(), json!(began));
        map.insert("ended_ms".into(), json!(clock::now()));
        map.insert("exit".into(), json!(exit.code()));
        map.insert("told".into(), said.data.clone());
    }
    let forgotten = Timestamp::from_millis(began.millis() - KEPT_STEPS_MS);
    journal.forget_before(forgotten).await.map_err(fail)?;
    let ended_at = clock::now();
    journal
        .end_pass(id, ended_at, exit.code(), &data)
        .await
        .map_err(fail)?;
    finish::publish(context, performer.config(), &journal).await;
    journal.settle().await;
    context
        .printer
        .document("felhom.pass", &data, || text::text(&pass, &said));
    if let Err(failure) = ended {
        context.printer.narrate(&failure.message);
    }
    Ok(exit)
}

/// Busy is who did not get the journal; a pass that did and broke off is no success for a timer.
fn exit(ended: &Result<(), Failure>, said: Exit) -> Exit {
    match ended {
        Err(failure) if failure.exit == Exit::Busy => Exit::Remote,
        Err(failure) => failure.exit,
        Ok(()) => said,
    }
}

/// What an earlier program left: jobs, guards, scratch guests.
async fn settle(
    context: &Context,
    journal: &mut Journal,
    performer: &Performer,
    pass: &mut Pass,
) -> Result<(), Failure> {
    jobs::single_node(performer).await?;
    let timer = AskedBy::Timer;
    for job in arrears::settle_for(context, journal, performer, timer).await? {
        if let Some((vmid, storage)) = backup::report(&job).and_then(work::prunable) {
            pass.fresh.insert(vmid, storage);
        }
        pass.resumed
            .push(format!("{} of {}", job.kind_name(), job.subject()));
    }
    for reaped in restore_test::remains(context, journal, performer).await? {
        pass.resumed
            .push(format!("removal of scratch guest {}", reaped.vmid));
    }
    let door = Door {
        context,
        performer,
        journal: Some(journal),
        dry_run: false,
    };
    door.mount_present().await
}

/// Plans, does the first thing, and plans again, until nothing is due.
async fn work_off(
    context: &Context,
    journal: &mut Journal,
    performer: &Performer,
    args: &RunArgs,
    stop: &mut StopSign,
    pass: &mut Pass,
) -> Result<(), Failure> {
    let schedule = &performer.config().schedule;
    let mut known = Known::new(!args.ignore_windows, pass.fresh.clone());
    loop {
        let facts = known.gather(performer, Some(journal)).await?;
        pass.plan = plan_pass(schedule, &facts, &clock::zone());
        if stop.is_shown() {
            pass.broken = Some("told to stop; what is due waits for the next pass".to_owned());
            return Ok(());
        }
        let Some(next) = pass.plan.due.first().cloned() else {
            return Ok(());
        };
        context
            .printer
            .narrate(&format!("{}: {}", text::work(&next.work), next.reason));
        known.begun.insert(next.work.clone());
        match work::perform(context, journal, performer, &next).await {
            Ok(done) => {
                known.learn(&done);
                pass.done.push(done);
            }
            Err(failure) if ends_everything(&failure) => return Err(failure),
            Err(failure) => {
                note_refused(journal, &next.work, &failure).await?;
                pass.done.push(Done::failed(&next, &failure));
            }
        }
        if let Work::Backup { vmid } | Work::Proof { vmid, .. } = next.work {
            known.forget(vmid);
        }
    }
}

/// No job of it was begun whose record would say that it was tried.
async fn note_refused(journal: &Journal, work: &Work, failure: &Failure) -> Result<(), Failure> {
    let refused = RefusedWork {
        work: work.clone(),
        at: clock::now(),
        why: failure.message.clone(),
    };
    let noted = journal.note_refused(&refused).await;
    noted.map_err(|error| journal_failure(&error))
}

/// Whether a failure would meet the next job, too.
fn ends_everything(failure: &Failure) -> bool {
    let stopped = failure.code == jobs::INTERRUPTED;
    let journal = ["journal", "state-dir", "randomness"].contains(&failure.code);
    let node = ["unreachable", "untrusted", "unauthorized", "cluster"].contains(&failure.code);
    stopped || journal || node
}

async fn rehearse(
    context: &Context,
    performer: &Performer,
    args: &RunArgs,
) -> Result<Exit, Failure> {
    let config = performer.config();
    let journal = context.read_journal(config).await?;
    let mut known = Known::new(!args.ignore_windows, BTreeMap::new());
    let facts = known.gather(performer, journal.as_ref()).await?;
    let plan = plan_pass(&config.schedule, &facts, &clock::zone());
    let mut resumed = Vec::new();
    if let Some(journal) = &journal {
        let unfinished = journal.unfinished().await;
        let unfinished = unfinished.map_err(|error| journal_failure(&error))?;
        resumed.extend(unfinished.iter().map(|one| {
            if one.is_stuck() {
                jobs::set_aside(one)
            } else {
                jobs::resumption(&one.job)
            }
        }));
    }
    let data = json!({ "dry_run": true, "resumed": resumed, "due": plan.due, "left": plan.left, "out": plan.out, "unasked": plan.unasked });
    context
        .printer
        .document("felhom.pass", &data, || text::plan(&resumed, &plan));
    Ok(Exit::Done)
}
