//! The names of things in a Proxmox world, parsed once at the border and trusted from there on.
//!
//! Every type here has private fields, refuses what Proxmox itself would refuse, prints the text
//! it was parsed from (or its canonical spelling) and travels through serde in that same form.
//! Nothing here does I/O, and nothing here knows what a name is used for.

mod backup;
mod bridge;
mod datastore;
mod digest;
mod error;
mod fingerprint;
mod key_fingerprint;
mod kind;
mod mac;
mod node;
mod pool;
mod size;
mod snapshot;
mod storage;
mod target;
mod text;
mod token;
mod upid;
mod user;
mod vmid;
mod volume;

pub use backup::{BackupGroup, BackupSnapshot, BackupType};
pub use bridge::BridgeName;
pub use datastore::{DatastoreName, Namespace};
pub use digest::Digest;
pub use error::InvalidName;
pub use fingerprint::Fingerprint;
pub use key_fingerprint::KeyFingerprint;
pub use kind::GuestKind;
pub use mac::MacAddress;
pub use node::NodeName;
pub use pool::PoolId;
pub use size::ByteSize;
pub use snapshot::SnapshotName;
pub use storage::StorageId;
pub use target::{FilesystemUuid, TargetName};
pub use token::TokenId;
pub use upid::Upid;
pub use user::UserId;
pub use vmid::Vmid;
pub use volume::{BackupVolume, VolumeId};
