//! What agent, in-guest controller and hub tell each other: versioned documents, checked where they are read.
//!
//! Whoever sends may be hostile: every document is bounded, what it holds beyond its version's fields is ignored, and a
//! newer version is refused. Nothing here does I/O.

pub mod docker;
mod document;
pub mod host;
pub mod kit;
pub mod notice;
pub mod pbs;
pub mod placement;
mod shown;
pub mod volumes;

pub use document::{Document, DocumentError, LARGEST, read, write};
