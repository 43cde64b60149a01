//! What an honest report does not exceed: whoever writes it may be hostile, and it is kept and worked with.

use std::collections::{BTreeMap, BTreeSet};

use super::{Container, Mount, Source, Volume, VolumeReport};
use crate::document::{DocumentError, LARGEST};
use crate::shown::shown;

/// Volumes, and containers. The largest host of which Docker's forum tells has some hundred.
const THINGS: usize = 5_000;
/// Mounts of one container.
const MOUNTS: usize = 500;
/// Options or labels of one thing.
const ENTRIES: usize = 500;
/// Bytes of a name, or of an option's or label's key. Names of local volumes are names of directories: 255.
const NAME: usize = 512;
/// Bytes of a path (`PATH_MAX` of Linux).
const PATH: usize = 4096;
/// Bytes of the value of an option or label. Build packs keep some ten KiB of JSON in labels of their images.
const VALUE: usize = 64 << 10;

type Checked = Result<(), DocumentError>;

pub(super) fn check(report: &VolumeReport) -> Checked {
    if let Some(engine) = &report.engine {
        name(&engine.version, || "the engine's version".to_owned())?;
        path(&engine.data_root, || "the engine's data root".to_owned())?;
        let driver = engine.storage_driver.as_deref().unwrap_or_default();
        name(driver, || "the storage driver".to_owned())?;
        if !engine.data_root.starts_with('/') {
            let root = shown(&engine.data_root);
            let why = format!("the engine's data root `{root}` is no absolute path");
            return Err(DocumentError::Names(why));
        }
    }
    count(report.volumes.len(), THINGS, "entries", || {
        "the list of volumes".to_owned()
    })?;
    count(report.containers.len(), THINGS, "entries", || {
        "the list of containers".to_owned()
    })?;
    report.volumes.iter().try_for_each(volume)?;
    report.containers.iter().try_for_each(container)?;
    let volumes = report.volumes.iter().map(|volume| volume.name.as_str());
    unique("volumes", volumes)?;
    let containers = report.containers.iter();
    unique(
        "containers",
        containers.clone().map(|one| one.name.as_str()),
    )?;
    unique("container ids", containers.map(|one| one.id.as_str()))?;
    let bytes = crate::document::write(report).len();
    count(bytes, LARGEST, "bytes", || "the report".to_owned())
}

fn volume(volume: &Volume) -> Checked {
    let of = |what: &str| format!("volume `{}`: its {what}", shown(&volume.name));
    name(&volume.name, || of("name"))?;
    name(&volume.driver, || of("driver"))?;
    path(&volume.mountpoint, || of("mount point"))?;
    entries(&volume.options, || of("options"))?;
    entries(&volume.labels, || of("labels"))
}

fn container(container: &Container) -> Checked {
    let of = |what: &str| format!("container `{}`: its {what}", shown(&container.name));
    let digest = container.image_digest.as_deref().unwrap_or_default();
    let project = container.project.as_deref().unwrap_or_default();
    let service = container.service.as_deref().unwrap_or_default();
    for (text, what) in [
        (container.id.as_str(), "id"),
        (&container.name, "name"),
        (&container.image, "image"),
        (digest, "image digest"),
        (project, "compose project"),
        (service, "compose service"),
        (&container.state, "state"),
        (&container.restart_policy, "restart policy"),
    ] {
        name(text, || of(what))?;
    }
    entries(&container.labels, || of("labels"))?;
    let mounts = &container.mounts;
    count(mounts.len(), MOUNTS, "entries", || of("mounts"))?;
    mounts.iter().try_for_each(|one| mount(one, &of))
}

fn mount(mount: &Mount, of: &impl Fn(&str) -> String) -> Checked {
    path(&mount.destination, || of("mount destination"))?;
    match &mount.source {
        Source::Volume { name: text } if text.is_empty() => {
            let at = shown(&mount.destination);
            let why = format!("{} at `{at}` names no volume", of("mount"));
            Err(DocumentError::Names(why))
        }
        Source::Volume { name: text } | Source::Other { word: text } => {
            name(text, || of("mounted volume"))
        }
        Source::Bind { path: text } => path(text, || of("mount source")),
        Source::Tmpfs => Ok(()),
    }
}

fn unique<'a>(what: &str, mut names: impl Iterator<Item = &'a str>) -> Checked {
    let mut seen = BTreeSet::new();
    match names.find(|name| name.is_empty() || !seen.insert(*name)) {
        None => Ok(()),
        Some("") => Err(DocumentError::Names(format!(
            "among the {what} is one without a name"
        ))),
        Some(twice) => Err(DocumentError::Names(format!(
            "among the {what} `{}` stands twice",
            shown(twice)
        ))),
    }
}

fn entries(all: &BTreeMap<String, String>, what: impl Fn() -> String) -> Checked {
    count(all.len(), ENTRIES, "entries", &what)?;
    for (key, value) in all {
        let of = || format!("{}: `{}`", what(), shown(key));
        count(key.len(), NAME, "bytes", of)?;
        count(value.len(), VALUE, "bytes", of)?;
    }
    Ok(())
}

fn name(text: &str, what: impl Fn() -> String) -> Checked {
    count(text.len(), NAME, "bytes", what)
}

fn path(text: &str, what: impl Fn() -> String) -> Checked {
    count(text.len(), PATH, "bytes", what)
}

fn count(found: usize, limit: usize, unit: &'static str, what: impl Fn() -> String) -> Checked {
    if found <= limit {
        return Ok(());
    }
    Err(DocumentError::TooMuch {
        what: what(),
        found,
        unit,
        limit,
    })
}
