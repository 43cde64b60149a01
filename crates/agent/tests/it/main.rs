//! The agent against the simulator, end to end.

mod architecture;
mod bad_input;
mod canary;
mod cli;
mod crash_matrix;
mod power_cut;
mod story;
mod support;
