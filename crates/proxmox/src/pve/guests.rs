//! Containers and virtual machines: what they are, what they do, and everything that is done to them.

mod any;
mod config;
mod create;
mod machines;
mod pct_conf;
mod power;
mod snapshots;
mod status;

pub use any::GetGuestConfig;
pub use config::{GetLxcConfig, LxcConfig, SetLxcConfig};
pub use create::{CreateLxc, DestroyLxc, LxcSettings, RestoreLxc};
pub use machines::{
    DestroyQemu, GetQemuConfig, GetQemuStatus, ListQemu, PingAgent, Pong, QemuConfig, QemuSettings,
    QemuStatus, RestoreQemu,
};
pub use power::{ShutdownGuest, StartGuest, StopGuest};
pub use snapshots::{
    CanSnapshot, CreateSnapshot, DeleteSnapshot, GetSnapshotConfig, ListSnapshots,
    RollbackSnapshot, Snapshot, SnapshotFeature, Snapshots,
};
pub use status::{
    GetLxcInterfaces, GetLxcStatus, GuestInterface, GuestStatus, InterfaceAddress, ListLxc,
    RunState,
};

#[doc(hidden)]
pub use create::LxcSettings as Neutral;
