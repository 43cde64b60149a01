//! The parts of a report, from however many documents, put together: what two of them tell of one thing is one.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use serde_json::Value;

use crate::docker::container::{Inspected, MountedVolume};
use crate::docker::error::DockerError;
use crate::docker::image::Digests;
use crate::docker::info::Info;
use crate::docker::kind::Kind;
use crate::docker::{container, image, info, listed, volume};
use crate::shown::shown;
use crate::volumes::{Coverage, Extent, Volume, VolumeReport};

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Parts {
    info: Option<Info>,
    /// As `docker volume inspect` describes them.
    described: BTreeMap<String, Volume>,
    /// As a list names them.
    listed: BTreeMap<String, Volume>,
    /// Whether the list of all was told, and whether the engine counted.
    list_told: bool,
    counted: bool,
    containers: BTreeMap<String, Inspected>,
    images: BTreeMap<String, Digests>,
}

impl Parts {
    /// Takes one document up.
    pub(super) fn take(
        &mut self,
        file: &str,
        kind: Kind,
        value: &Value,
    ) -> Result<(), DockerError> {
        let wrong = |document| move |error| DockerError::malformed(file, document, &error);
        match kind {
            Kind::Volume => self.describe(volume::read(value).map_err(wrong("a volume"))?),
            Kind::Listed => {
                self.list_told = true;
                self.list(listed::read(value).map_err(wrong("a line of the volume list"))?);
                Ok(())
            }
            Kind::DiskUsage => {
                self.counted = true;
                let volumes = listed::of_disk_usage(value);
                let volumes = volumes.map_err(wrong("`docker system df -v`"))?;
                for volume in volumes {
                    self.list(volume);
                }
                Ok(())
            }
            Kind::Container => self.inspect(container::read(value).map_err(wrong("a container"))?),
            Kind::Image => {
                let image = image::read(value).map_err(wrong("an image"))?;
                self.images
                    .entry(image.id)
                    .or_default()
                    .extend(image.digests);
                Ok(())
            }
            Kind::Info => {
                let reached = info::unreachable(value).map_err(wrong("`docker info`"))?;
                if let Some(said) = reached {
                    let file = shown(file);
                    return Err(DockerError::Unreachable { file, said });
                }
                self.engine(info::read(value).map_err(wrong("`docker info`"))?)
            }
            // A report stands for itself.
            Kind::Report => Err(DockerError::Mixed),
        }
    }

    fn engine(&mut self, told: Info) -> Result<(), DockerError> {
        let differs = self
            .info
            .as_ref()
            .is_some_and(|known| known.engine != told.engine);
        if differs {
            return Err(DockerError::Contradiction("the engine".to_owned()));
        }
        self.info = Some(told);
        Ok(())
    }

    fn describe(&mut self, told: Volume) -> Result<(), DockerError> {
        match self.described.entry(told.name.clone()) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(told);
            }
            btree_map::Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                let size = told.size.or(known.size);
                let told = Volume { size, ..told };
                known.size = size;
                if *known != told {
                    let name = shown(&told.name);
                    return Err(DockerError::Contradiction(format!("volume `{name}`")));
                }
            }
        }
        Ok(())
    }

    /// A list that counts comes beside one that does not.
    fn list(&mut self, told: Volume) {
        match self.listed.entry(told.name.clone()) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(told);
            }
            btree_map::Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.size = told.size.or(known.size);
            }
        }
    }

    /// States change between two commands; what a container is made of does not.
    fn inspect(&mut self, told: Inspected) -> Result<(), DockerError> {
        let id = told.container.id.clone();
        let known = self.containers.get(&id);
        let differs = known.is_some_and(|known| {
            let (one, other) = (&known.container, &told.container);
            one.name != other.name || one.mounts != other.mounts || one.labels != other.labels
        });
        if differs {
            let name = shown(&told.container.name);
            return Err(DockerError::Contradiction(format!("container `{name}`")));
        }
        self.containers.insert(id, told);
        Ok(())
    }

    /// All of it as one report.
    pub(super) fn merge(self) -> Result<VolumeReport, DockerError> {
        let nothing = self.described.is_empty()
            && self.listed.is_empty()
            && self.containers.is_empty()
            && !self.counted;
        if nothing {
            return Err(DockerError::Nothing);
        }
        let coverage = self.coverage();
        let mut volumes = self.described;
        for (name, told) in self.listed {
            match volumes.entry(name) {
                btree_map::Entry::Vacant(entry) => {
                    entry.insert(told);
                }
                btree_map::Entry::Occupied(mut entry) => {
                    let known = entry.get_mut();
                    known.size = known.size.or(told.size);
                }
            }
        }
        let mut containers = Vec::new();
        for mut inspected in self.containers.into_values() {
            for mounted in std::mem::take(&mut inspected.volumes) {
                mount(&mut volumes, mounted);
            }
            let digests = inspected.image_id.and_then(|id| self.images.get(&id));
            let mut container = inspected.container;
            container.image_digest =
                digests.and_then(|digests| image::digest(&container.image, digests));
            containers.push(container);
        }
        Ok(VolumeReport {
            engine: self.info.map(|info| info.engine),
            volumes: volumes.into_values().collect(),
            containers,
            coverage,
        })
    }

    fn coverage(&self) -> Coverage {
        let mounted = self
            .containers
            .values()
            .flat_map(|told| told.volumes.iter().map(|volume| &volume.name));
        let named: BTreeSet<&String> = self.listed.keys().chain(mounted).collect();
        let undescribed = named.iter().any(|name| !self.described.contains_key(*name));
        let volumes = match (undescribed, self.list_told) {
            (true, _) => Extent::Some,
            (false, true) => Extent::All,
            (false, false) => Extent::Unknown,
        };
        let counted = self.info.as_ref().and_then(|info| info.containers);
        let containers = match counted {
            Some(count) if count > self.containers.len() => Extent::Some,
            Some(_) => Extent::All,
            None => Extent::Unknown,
        };
        Coverage {
            volumes,
            containers,
        }
    }
}

/// A volume that only a container names is there too; of one that a list names the mount may know more.
fn mount(volumes: &mut BTreeMap<String, Volume>, told: MountedVolume) {
    let MountedVolume {
        name,
        driver,
        mountpoint,
    } = told;
    let known = volumes.entry(name.clone()).or_insert_with(|| Volume {
        anonymous: volume::is_generated(&name),
        name,
        driver: String::new(),
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        mountpoint: String::new(),
        size: None,
        described: false,
    });
    if known.driver.is_empty() {
        known.driver = driver;
    }
    if known.mountpoint.is_empty() && !known.described {
        known.mountpoint = mountpoint;
    }
}
