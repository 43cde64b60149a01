//! What only a backup server needs: its datastore before the first question, and what its roles may call.

mod permissions;
mod prepare;

pub(crate) use permissions::{Call, ask as ask_permissions};
pub use permissions::{Permission, table as permission_table};
