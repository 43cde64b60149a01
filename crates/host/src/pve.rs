//! What PVE keeps in files of its own, read by root without asking anybody.

pub(crate) mod files;
pub(crate) mod guest_config;
pub(crate) mod guests;
pub(crate) mod lock_file;
pub(crate) mod mounts;
pub(crate) mod pools;
pub(crate) mod running;
pub(crate) mod task_files;
