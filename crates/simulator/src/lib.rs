//! A Proxmox VE world to talk to: real TLS, the real permission algorithm, worker tasks with UPIDs and logs,
//! real archives, a thin pool that fills up, time that can be scaled or stepped, and injected faults.
//!
//! It shares no type with our client: what it knows of Proxmox it knows from Proxmox's schema, from recordings
//! and from the facts named beside each rule, so that it can contradict the client.

mod access;
mod api;
mod archive;
mod call;
mod clock;
mod control;
mod faults;
mod guest;
mod hex;
mod hostd;
mod pbs;
mod persist;
mod pool;
mod qemu;
mod route;
mod running;
mod scenario;
mod server;
mod sim;
mod storage;
mod tasks;
mod tls;
mod vma;
mod words;
mod workers;
mod world;

pub use clock::Time;
pub use faults::{Fault, FaultKind};
pub use running::{Options, Running, Simulator, StartError};
pub use scenario::Scenario;
