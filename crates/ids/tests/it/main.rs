//! Properties that every name has: what it prints it reads, and no text makes it panic.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod round_trips;
