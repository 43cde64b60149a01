//! A container as `docker container inspect` prints it (`container.InspectResponse` of moby's `api/types`).

use serde_json::Value;

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
    let nested = |key: &'static str| {
        let inner = object.optional_object(key)?;
        inner.map_or_else(|| Object::new(empty()), Ok)
    };
    let (config, host, state) = (nested("Config")?, nested("HostConfig")?, nested("State")?);
    let labels = config
        .texts("Labels")
        .map_err(|error| error.within("Config"))?;
    let flag = |key| {
        let flag = state.optional_flag(key);
        flag.map_err(|error| error.within("State"))
    };
    let restart = host.optional_object("RestartPolicy")?;
    let restart = restart.map(|policy| policy.optional_text("Name"));
    // An empty name is what a client leaves that says nothing; the engine does not restart it.
    let restart = restart.transpose()?.map(|name| name.unwrap_or("no"));
    let status = state.optional_text("Status")?;
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
            image: config
                .optional_text("Image")?
                .unwrap_or_default()
                .to_owned(),
            image_digest: None,
            project: label("com.docker.compose.project"),
            service: label("com.docker.compose.service"),
            running: flag("Running")?.unwrap_or(false),
            state: status.unwrap_or_default().to_owned(),
            restart_policy: restart.unwrap_or_default().to_owned(),
            labels,
            mounts,
        },
        image_id: object.optional_text("Image")?.map(str::to_owned),
        volumes,
    })
}

fn empty() -> &'static Value {
    static EMPTY: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| serde_json::json!({}));
    &EMPTY
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
                driver: object
                    .optional_text("Driver")?
                    .unwrap_or_default()
                    .to_owned(),
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
