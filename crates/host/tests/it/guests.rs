//! The operations on guests: PVE's files below a directory, a stand-in for its programs, and the daemon on its socket.

mod golden;
mod release;
mod standins;
mod strip;
pub(crate) mod world;
