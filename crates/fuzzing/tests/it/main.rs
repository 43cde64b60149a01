//! The corpus of cargo-fuzz as ordinary tests: every file through its check, and a bounded number of changed ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, helpers included"
)]

mod corpus;
mod layout;
mod mutate;
mod replay;
