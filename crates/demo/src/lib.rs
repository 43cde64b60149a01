//! The simulator as a program, and the demo of the agent against it: the one place that composes the two.

pub mod equip;
pub mod serve;
pub mod story;
