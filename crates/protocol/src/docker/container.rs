//! A container as `docker container inspect` prints it (`container.InspectResponse` of moby's `api/types`).

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::docker::object::{Misshapen, Object};
use crate::volumes::{Container, Mount, Source};

/// A container, and what its mounts say of the volumes behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inspected {
    pub(super) container: Container,
    /// The id of its image.
    pub(super) image_id: Option<String>,
    pub(super) volumes: Vec<MountedVolume>,
}

/// What a mount says of its volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountedVolume {
    pub(super) name: String,
    pub(super) driver: String,
    pub(super) mountpoint: String,
}

pub(super) fn read(value: &Value) -> Result<Inspected, Misshapen> {
    let object = Object::new(value)?;
    let (config, host, state) = (
        nested(object, "Config")?,
        nested(object, "HostConfig")?,
        nested(object, "State")?,
    );
    let labels = config
        .texts("Labels")
        .map_err(|error| error.within("Config"))?;
    let running = state.optional_flag("Running");
    let running = running.map_err(|error| error.within("State"))?;
    let mut volumes = Vec::new();
    let mut mounts = Vec::new();
    for (mount, volume) in object.list("Mounts", mount)? {
        mounts.push(mount);
        volumes.extend(volume);
    }
    tmpfs(host, &mut mounts)?;
    // The engine keeps them in a map and prints them in another order each time.
    mounts.sort_by(|one: &Mount, other| one.destination.cmp(&other.destination));
    let label = |name: &str| labels.get(name).cloned();
    Ok(Inspected {
        container: Container {
            id: object.text("Id")?.to_owned(),
            name: object.text("Name")?.trim_start_matches('/').to_owned(),
            image: owned(config.optional_text("Image")?),
            image_digest: None,
            project: label("com.docker.compose.project"),
            service: label("com.docker.compose.service"),
            running: running.unwrap_or(false),
            state: owned(state.optional_text("Status")?),
            restart_policy: restart_policy(host)?,
            labels,
            mounts,
        },
        image_id: object.optional_text("Image")?.map(str::to_owned),
        volumes,
    })
}

fn owned(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

/// An object within it; nothing in it when it is missing.
fn nested<'a>(object: Object<'a>, key: &str) -> Result<Object<'a>, Misshapen> {
    static EMPTY: LazyLock<Value> = LazyLock::new(|| json!({}));
    match object.optional_object(key)? {
        Some(inner) => Ok(inner),
        None => Object::new(&EMPTY),
    }
}

/// An empty name is what a client leaves that says nothing; the engine does not restart such a container.
fn restart_policy(host: Object<'_>) -> Result<String, Misshapen> {
    let Some(policy) = host.optional_object("RestartPolicy")? else {
        return Ok(String::new());
    };
    let name = policy.optional_text("Name");
    let name = name.map_err(|error| error.within("HostConfig.RestartPolicy"))?;
    Ok(name.unwrap_or("no").to_owned())
}

fn mount(value: &Value) -> Result<(Mount, Option<MountedVolume>), Misshapen> {
    let object = Object::new(value)?;
    let kind = object.text("Type")?;
    let source = object.optional_text("Source")?.unwrap_or_default();
    let mut volume = None;
    let source = match kind {
        "volume" => {
            let name = object.text("Name")?.to_owned();
            volume = Some(MountedVolume {
                name: name.clone(),
                driver: owned(object.optional_text("Driver")?),
                mountpoint: source.to_owned(),
            });
            Source::Volume { name }
        }
        "bind" => Source::Bind {
            path: source.to_owned(),
        },
        "tmpfs" => Source::Tmpfs,
        other => Source::Other {
            word: other.to_owned(),
        },
    };
    let writable = object.optional_flag("RW")?;
    let mount = Mount {
        source,
        destination: object.text("Destination")?.to_owned(),
        read_only: writable == Some(false),
    };
    Ok((mount, volume))
}

/// What `--tmpfs` and compose's `tmpfs:` ask for stands in the host configuration only, not among the mounts (seen on
/// 20.10); `--mount type=tmpfs` stands among the mounts.
fn tmpfs(host: Object<'_>, mounts: &mut Vec<Mount>) -> Result<(), Misshapen> {
    let asked = host
        .texts("Tmpfs")
        .map_err(|error| error.within("HostConfig"))?;
    for (destination, options) in asked {
        mounts.push(Mount {
            source: Source::Tmpfs,
            destination,
            read_only: options.split(',').any(|option| option == "ro"),
        });
    }
    Ok(())
}
