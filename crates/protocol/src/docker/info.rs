//! The engine as `docker info` tells it (`system.Info` of moby's `api/types`).

use serde_json::Value;

use crate::docker::object::{Misshapen, Object, member_text};
use crate::shown::shown;
use crate::volumes::Engine;

/// The engine, and how many containers it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) engine: Engine,
    pub(super) containers: Option<usize>,
}

/// What the client says when no engine answered: it prints a document all the same, and `ServerErrors` in it.
pub(super) fn unreachable(value: &Value) -> Result<Option<String>, Misshapen> {
    let object = Object::new(value)?;
    let errors = object.list("ServerErrors", member_text)?;
    if let Some(said) = errors.first() {
        return Ok(Some(shown(said)));
    }
    // Clients from 23.0 leave every field empty.
    let root = object.optional_text("DockerRootDir")?;
    Ok(root
        .is_none()
        .then(|| "it tells no root directory".to_owned()))
}

pub(super) fn read(value: &Value) -> Result<Info, Misshapen> {
    let object = Object::new(value)?;
    let containers = object.optional_number("Containers")?;
    Ok(Info {
        engine: Engine {
            version: object.text("ServerVersion")?.to_owned(),
            data_root: object.text("DockerRootDir")?.to_owned(),
            storage_driver: object.optional_text("Driver")?.map(str::to_owned),
        },
        containers: containers.and_then(|count| usize::try_from(count).ok()),
    })
}
