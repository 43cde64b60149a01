//! What the fence holds, seen from outside.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, helpers included, and says why it is skipped"
)]

mod attacks;
mod calls;
mod program;
mod support;
