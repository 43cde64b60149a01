//! Docker volumes from end to end.

mod engine;
