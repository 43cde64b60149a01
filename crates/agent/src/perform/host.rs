//! Steps that the root helper performs.

use std::time::Duration;

use felhom_engine::{ErrorClass, Mutation, Outcome, RemoteError, Sent, Step};
use felhom_host::{Operation, Report};

use crate::config::Config;
use crate::fence::{CREATE, Fence, FenceError};

/// A release unmounts and rewrites a file: as slow as the slowest look at the node.
const RELEASE: u32 = 3;

/// Performs one step. The helper has no tasks: what it says is the end, and what it does not say is looked for in the world.
pub(super) async fn perform(config: &Config, step: &Step) -> Outcome {
    let Some((operation, patience)) = operation(config, step) else {
        return super::undone(step, strange("the root helper has no such operation"));
    };
    let asked = operation.clone();
    Outcome::Sent(match Fence::new(config).ask(asked, patience).await {
        Ok(report) if answers(&operation, &report) => Sent::Done,
        Ok(_) => Sent::Lost(strange("the root helper answered something else")),
        Err(error) => unsent(&error),
    })
}

fn operation(config: &Config, step: &Step) -> Option<(Operation, Duration)> {
    let release = config.request_timeout.saturating_mul(RELEASE);
    match step {
        Step::Mutate(Mutation::ReleaseUnfinished { vmid, upid }) => {
            let (vmid, upid) = (*vmid, upid.clone());
            Some((Operation::ReleaseUnfinishedRestore { vmid, upid }, release))
        }
        Step::Mutate(Mutation::CreateGolden { vmid, template }) => {
            let (vmid, template) = (*vmid, template.to_string().parse().ok()?);
            // What shows nothing for as long is looked for in the world, where a lock tells that it goes on.
            let patience = CREATE.min(config.backup.no_progress);
            Some((
                Operation::CreateGoldenContainer { vmid, template },
                patience,
            ))
        }
        Step::Mutate(_) | Step::Observe(_) | Step::FindTask { .. } | Step::Follow { .. } => None,
    }
}

/// Whether a report is of what was asked for.
fn answers(asked: &Operation, report: &Report) -> bool {
    match report {
        Report::Released { vmid: of, .. } => {
            matches!(asked, Operation::ReleaseUnfinishedRestore { vmid, .. } if vmid == of)
        }
        Report::Golden(golden) => {
            matches!(asked, Operation::CreateGoldenContainer { vmid, .. } if *vmid == golden.vmid)
        }
        Report::BlockDevices { .. }
        | Report::Target(_)
        | Report::Removed { .. }
        | Report::Sensors(_)
        | Report::Stripped { .. } => false,
    }
}

/// A helper that is not there has refused: waiting does not install it.
fn unsent(error: &FenceError) -> Sent {
    let told = error.to_remote();
    if error.is_clean() {
        Sent::Refused(told)
    } else {
        Sent::Lost(told)
    }
}

fn strange(text: &str) -> RemoteError {
    RemoteError {
        class: ErrorClass::Garbage,
        text: text.to_owned(),
    }
}
