//! What the fence holds, seen from outside: a socket, a request, an answer, and what became of the files of a host below a
//! directory, of its disks, and of what the kernel knows of them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a test fails by panicking, helpers included, and says why it is skipped"
)]

mod attacks;
mod calls;
mod disks;
mod guests;
mod program;
mod reference;
mod sensors;
mod support;
mod targets;
mod world;
