//! The metrics: what they tell, that readers of both formats understand them, and an endpoint that nobody can hurt.

mod endpoint;
mod grammar;
mod told;
