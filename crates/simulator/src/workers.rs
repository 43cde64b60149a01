//! What the tasks do.

use std::sync::Arc;

use crate::sim::Sim;
use crate::world::World;

/// Called when the power went, after every worker and connection died: leaves guests as PVE finds them at the next boot.
pub(crate) fn power_cut(_world: &mut World) {}

/// Called when the node has booted: starts what is to start by itself.
pub(crate) fn boot(_sim: &Arc<Sim>) {}
