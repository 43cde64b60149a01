//! How long the node stands before storages that do not answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::call::{Answer, ApiError, Reply};
use crate::sim::Sim;
use crate::storage::Definition;
use crate::storage::exports::Reach;

/// After this the node takes a server that says nothing for one that is not online.
const CHECK: Duration = Duration::from_secs(10);
/// `pveproxy` waits no longer for its daemon, which goes on.
const PROXY: Duration = Duration::from_secs(30);

/// Answers as soon as the node is through with the storages that it touches for it, one after the other.
pub(super) fn after(
    sim: &Arc<Sim>,
    touches: impl Fn(&str, &Definition) -> bool,
    answer: impl FnOnce() -> Reply + Send + 'static,
) -> Reply {
    let wait = {
        let world = sim.lock();
        let all = world.storage.definitions.iter();
        let asked = all.filter(|(id, definition)| definition.enabled() && touches(id, definition));
        asked
            .map(|(id, _)| match world.reach(id) {
                Reach::Online | Reach::Offline => Duration::ZERO,
                Reach::Silent => CHECK,
                Reach::Hang => PROXY,
            })
            .sum::<Duration>()
    };
    if wait.is_zero() {
        return answer();
    }
    let sim = Arc::clone(sim);
    Ok(Answer::Later(Box::pin(async move {
        sim.clock.sleep(wait.min(PROXY)).await;
        if wait < PROXY {
            return answer();
        }
        Err(ApiError {
            status: 596,
            message: "Connection timed out".into(),
            errors: BTreeMap::new(),
        })
    })))
}
