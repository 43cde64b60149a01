//! The simulator from outside: over TLS, as any client meets it.

mod access;
mod backups;
mod client;
mod faults;
mod guests;
mod http;
mod restores;
mod story;
mod world;
