//! The root fence: the few things that no API token can do, as a closed list of operations, and the small root daemon that
//! performs them.
//!
//! Three fences stand one inside another: the type ([`Operation`] has no variant for anything else, and no field that is a
//! free string), the table (`argv`: a program's absolute path and arguments for each), and the process (`felhom-hostd`: root,
//! started by its socket, gone when idle). What the caller says is never believed where root can look itself.

mod argv;
mod config;
mod connect;
mod fields;
mod layout;
mod operation;
mod operations;
mod perform;
mod pve;
mod reference;
mod refusal;
mod report;
mod serve;
mod watch;
mod why;
mod wire;

pub use config::{Config, ConfigError, GoldenConfig, ScratchConfig, UsbConfig, VmidRange};
pub use connect::{ConnectError, Connection};
pub use fields::TemplateVolume;
pub use layout::Layout;
pub use operation::{Operation, Why};
pub use reference::root_operations_page;
pub use refusal::{Code, Refusal};
pub use report::{
    BlockDevice, FanReading, Golden, Holder, Report, Sensors, Standing, TargetReport, Temperature,
    Throttling, Written,
};
pub use serve::{Limits, serve, serve_on};
pub use wire::{Reply, Request, SOCKET, WireError};
