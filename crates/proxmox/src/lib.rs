//! Proxmox VE and Proxmox Backup Server over HTTPS, only what we call: requests as values, one path that sends them, answers
//! as types, and errors that say whether a mutation may have happened.
//!
//! [`Pve`] and [`Pbs`] are the handles for everyday use; below them lie [`Client`] (one peer, one token, one trust),
//! the endpoints of [`pve`] and [`pbs`] with their answers, and the [`property`] strings of guest configurations.

pub mod client;
pub mod credentials;
pub mod decode;
pub mod encode;
pub mod error;
mod login;
pub mod pbs;
mod product;
pub mod property;
pub mod pve;
pub mod task;
pub mod tls;
pub mod token;

pub use client::{Address, Client, Settings, Timeouts};
pub use credentials::{Credentials, Ticket};
pub use encode::{Endpoint, Method, Request};
pub use error::{Delivery, Denied, Error, Phase};
pub use pbs::Pbs;
pub use product::Product;
pub use pve::Pve;
pub use task::{Ending, FollowOptions, LogLine, Outcome, Silent, TaskHandle, Watch};
pub use tls::{Leaf, Trust, fetch_leaf, leaf_of_pem};
pub use token::Token;
