//! Storages as things that can be taken away, swapped and filled: which one stands under a name, and for how long it lasts.

mod attachment;
mod durable;
mod findings;
mod growth;

pub use attachment::{Answer, Attachment, attachment};
pub use durable::{Backing, durable_id};
pub use findings::{StorageLook, mount_unchecked, storage_findings};
pub use growth::{Growth, Sample, Samples, ThinMetadata};
