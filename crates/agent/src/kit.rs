//! The kit: the page that rebuilds the box without our software.
//!
//! `gather.rs` reads, as the principal that observes, and decides nothing. `compose.rs` makes the kit of what was read: pure, as is all
//! below it. `page.rs` lays it out for paper.

mod archives;
mod compose;
mod facts;
mod gather;
mod guest;
mod judge;
mod machine;
mod network;
mod order;
mod page;
mod places;
pub(crate) mod shell;
mod storage;
mod volumes;

pub use compose::compose;
pub use facts::{ArchiveFact, Config, DiskFact, Facts, GuestFact, Told};
pub(crate) use gather::gather;
pub use page::page;
