//! The engine's jobs against a world that is a value: every way through them ends, and nothing unproven is destroyed.

mod backup;
mod crash;
mod fake;
mod restore_test;
