//! What the fence holds, seen from outside.

mod attacks;
mod calls;
mod program;
mod support;
