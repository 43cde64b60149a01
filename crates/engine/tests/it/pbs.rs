//! Verifying on a backup server: only what the list says by our task is believed.

#![expect(
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tables are long, and a test fails by panicking"
)]

mod audit;
mod facts;
mod findings;
mod log;
mod server;
mod trouble;
mod verify;
