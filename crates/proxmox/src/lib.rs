//! Proxmox VE over HTTPS, only what we call: requests as values, one path that sends them, answers
//! as types, and errors that say whether a mutation may have happened.
//!
//! [`Pve`] is the handle for everyday use; below it lie [`Client`] (one peer, one token, one trust),
//! the endpoints of [`pve`] with their answers, and the [`property`] strings of guest configurations.

pub mod client;
pub mod credentials;
pub mod decode;
pub mod encode;
pub mod error;
pub mod property;
pub mod pve;
pub mod task;
pub mod tls;
pub mod token;

pub use client::{Address, Client, Settings, Timeouts};
pub use credentials::{Credentials, Ticket};
pub use encode::{Endpoint, Method, Request};
pub use error::{Delivery, Denied, Error, Phase};
pub use pve::Pve;
pub use task::{Ending, FollowOptions, LogLine, Outcome, Silent, TaskHandle, Watch};
pub use tls::{Leaf, Trust, fetch_leaf};
pub use token::Token;
