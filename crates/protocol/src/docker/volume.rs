//! A volume as `docker volume inspect` prints it (`volume.Volume` of moby's `api/types`).

use serde_json::Value;

use crate::docker::object::{Misshapen, Object};
use crate::volumes::Volume;

/// Engines from 23.0 label the volumes whose name they chose (`AnonymousLabel` of moby's `volume`).
const ANONYMOUS: &str = "com.docker.volume.anonymous";

pub(super) fn read(value: &Value) -> Result<Volume, Misshapen> {
    let object = Object::new(value)?;
    let name = object.text("Name")?.to_owned();
    let labels = object.texts("Labels")?;
    // The API tells -1 where nobody counted.
    let usage = object.optional_object("UsageData")?;
    let size = usage
        .map(|usage| usage.optional_number("Size"))
        .transpose()
        .map_err(|error| error.within("UsageData"))?
        .flatten();
    Ok(Volume {
        anonymous: labels.contains_key(ANONYMOUS) || is_generated(&name),
        driver: object.text("Driver")?.to_owned(),
        options: object.texts("Options")?,
        labels,
        mountpoint: object.text("Mountpoint")?.to_owned(),
        size: size.and_then(|size| u64::try_from(size).ok()),
        described: true,
        name,
    })
}

/// Names that the engine draws are 64 hexadecimal digits (`stringid.GenerateRandomID` of moby).
pub(super) fn is_generated(name: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    name.len() == 64 && name.bytes().all(digit)
}
