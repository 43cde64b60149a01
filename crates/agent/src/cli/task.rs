//! `task watch`.

use felhom_engine::{Followed, Outcome, Principal, Remote, Step, TaskVerdict};
use felhom_ids::Upid;
use serde_json::json;

use super::context::{Context, engine_failure, parse};
use crate::exit::{Exit, Failure};
use crate::output::Printer;
use crate::progress::{Event, Progress};

/// Log lines go out as they come.
struct Lines(Printer);

impl Progress for Lines {
    fn event(&self, event: &Event<'_>) {
        if let Event::LogLine(line) = event {
            self.0.narrate(line);
        }
    }
}

pub(super) async fn watch(context: &Context, upid: &str) -> Result<Exit, Failure> {
    let upid: Upid = parse("UPID", upid)?;
    let performer = context.performer()?;
    let step = Step::Follow {
        principal: Principal::Agent,
        upid: upid.clone(),
        guard: None,
        fills: None,
        no_progress: performer.config().backup.no_progress,
        remote: Remote::Node,
    };
    let lines = Lines(context.printer.clone());
    let outcome = tokio::select! {
        outcome = performer.perform(&step, &lines) => outcome,
        _ = tokio::signal::ctrl_c() => {
            return Err(Failure::new(Exit::Undetermined, "interrupted", "no longer watching; the task goes on"));
        }
    };
    if let Outcome::Failed(error) = outcome {
        return Err(engine_failure(&error));
    }
    let Outcome::Followed(followed) = outcome else {
        return Ok(Exit::Unexpected);
    };
    let (verdict, exit) = match followed {
        Followed::Ended { verdict, .. } => {
            let exit = match &verdict {
                TaskVerdict::Succeeded => Exit::Done,
                TaskVerdict::Warnings(_) => Exit::Findings,
                TaskVerdict::Failed(_) => Exit::TaskFailed,
                TaskVerdict::Undetermined(_) => Exit::Undetermined,
            };
            (verdict.to_string(), exit)
        }
        Followed::Stuck { silent_ms } => (
            format!(
                "no progress for {} s; the task still runs",
                silent_ms / 1000
            ),
            Exit::Undetermined,
        ),
        Followed::Tripped { reason } => (reason, Exit::Undetermined),
    };
    context.printer.document(
        "felhom.task",
        &json!({ "upid": upid, "verdict": verdict }),
        || verdict.clone(),
    );
    Ok(exit)
}
