//! What only a backup server is asked: what its roles may call, on the datastore that was filled for the run.

mod permissions;
mod prepare;

pub(crate) use permissions::{Call, ask as ask_permissions};
pub use permissions::{Permission, table as permission_table};
