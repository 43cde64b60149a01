//! The contract asked of the simulator: it agrees on every question, and notices where a server does not.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, helpers included"
)]

mod agreement;
mod catalogue;
mod disagreement;
mod pbs;
mod pbs_facts;
mod pbs_world;
mod world;
