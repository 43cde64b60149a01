//! Steps that the root helper performs.

use felhom_engine::{ErrorClass, Mutation, Outcome, RemoteError, Sent, Step};
use felhom_host::{Operation, Report};

use crate::config::Config;
use crate::fence::{Fence, FenceError};

/// It unmounts and rewrites a file: as slow as the slowest look at the node.
const PATIENCE: u32 = 3;

/// Performs one step. The helper has no tasks: what it says is the end, and what it does not say is looked for in the world.
pub(super) async fn perform(config: &Config, step: &Step) -> Outcome {
    let Step::Mutate(Mutation::ReleaseUnfinished { vmid, upid }) = step else {
        return super::undone(step, strange("the root helper has no such operation"));
    };
    let release = Operation::ReleaseUnfinishedRestore {
        vmid: *vmid,
        upid: upid.clone(),
    };
    let patience = config.request_timeout.saturating_mul(PATIENCE);
    Outcome::Sent(match Fence::new(config).ask(release, patience).await {
        Ok(Report::Released { vmid: of, .. }) if of == *vmid => Sent::Done,
        Ok(_) => Sent::Lost(strange("the root helper answered something else")),
        Err(error) => unsent(&error),
    })
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
