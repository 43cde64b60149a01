//! Storages.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::world::World;

/// The storages of the node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Storages {}

/// Called by `/cluster/resources`: one complete row a storage; permissions are the caller's business.
pub(crate) fn rows(_world: &World) -> Vec<Map<String, Value>> {
    Vec::new()
}
