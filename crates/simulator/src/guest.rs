//! LXC guests.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::world::World;

/// The guests of the node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Guests {}

/// Called by `/cluster/resources` and others: one complete row a guest as that call answers it (`vmid`, `type`, `id`,
/// `name`, `status`, `mem` …); permissions are the caller's business.
pub(crate) fn rows(_world: &World, _now: i64) -> Vec<Map<String, Value>> {
    Vec::new()
}
