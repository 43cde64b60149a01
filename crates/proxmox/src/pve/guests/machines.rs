//! Virtual machines: the same calls as for containers where there are the same, by other names.

mod config;
mod create;
mod status;

pub use config::{GetQemuConfig, QemuConfig};
pub use create::{DestroyQemu, QemuSettings, RestoreQemu};
pub use status::{GetQemuStatus, ListQemu, PingAgent, Pong, QemuStatus};
