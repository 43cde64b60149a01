//! The simulated host's root helper: it answers the operations of `felhom-host` from this world.
//!
//! Of ours it shares the operations, the reports and the refusals, which are our own interface; what root does for them it
//! does by itself, from what the real helper documents.

mod answer;
mod control;
mod devices;
mod disks;
mod guests;
mod listen;
mod rules;
mod sensors;
mod usb;

pub(crate) use control::{control, state};
pub(crate) use disks::{Disk, MOUNT_DIR, Removable, mount_point, on_host};
pub(crate) use listen::{Runtime, begin, stop};
pub(crate) use rules::Rules;

use crate::sim::Sim;

/// The socket's name in the state directory.
const SOCKET: &str = "hostd.sock";

/// Where the helper listens.
pub(crate) fn socket(sim: &Sim) -> std::path::PathBuf {
    sim.state_dir.join(SOCKET)
}
