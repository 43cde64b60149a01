//! Volumes as the client lists them: `docker volume ls`, which lists all, and `docker system df -v`, which counts.
//!
//! `docker system df` leaves out every volume with options (`LocalVolumesSize` of moby's `volume/service`; seen on 20.10):
//! what it does not list may still be there.

use serde_json::Value;

use crate::docker::object::{Misshapen, Object};
use crate::docker::size;
use crate::docker::volume::is_generated;
use crate::volumes::Volume;

/// A line of the list. Labels stand in it as one text with commas, which cannot be taken apart for certain.
pub(super) fn read(value: &Value) -> Result<Volume, Misshapen> {
    let object = Object::new(value)?;
    let name = object.text("Name")?.to_owned();
    let size = object.optional_text("Size")?.and_then(size::bytes);
    Ok(Volume {
        driver: object.text("Driver")?.to_owned(),
        options: [].into(),
        labels: [].into(),
        mountpoint: object.text("Mountpoint")?.to_owned(),
        anonymous: is_generated(&name),
        size,
        described: false,
        name,
    })
}

/// The volumes of `docker system df -v`.
pub(super) fn of_disk_usage(value: &Value) -> Result<Vec<Volume>, Misshapen> {
    Object::new(value)?.list("Volumes", read)
}
