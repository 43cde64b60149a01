//! The client against real sockets: a server that says what a test wants, byte for byte, the
//! answers that real servers gave, and the schema that they publish.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, helpers included"
)]

mod answers;
mod delivery;
mod follow;
mod login;
mod machines;
mod pbs;
mod pbs_formats;
mod pbs_recordings;
mod properties;
mod recordings;
mod schema;
mod scripted;
mod simulated;
mod tls;
