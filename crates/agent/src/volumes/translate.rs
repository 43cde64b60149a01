//! A volume report in the engine's words.

use felhom_engine::volumes::{
    Container, ContainerMount, Coverage, DockerVolume, Extent, Inventory, Mounted,
};
use felhom_engine::{DEFAULT_DATA_ROOT, Timestamp};
use felhom_protocol::volumes as told;

/// What a report says, taken up at a time.
pub fn inventory(report: &told::VolumeReport, taken: Timestamp) -> Inventory {
    let engine = report.engine.as_ref();
    Inventory {
        taken,
        data_root: engine.map_or_else(|| root(&report.volumes), |engine| engine.data_root.clone()),
        storage_driver: engine.and_then(|engine| engine.storage_driver.clone()),
        volumes: report.volumes.iter().map(volume).collect(),
        containers: report.containers.iter().map(container).collect(),
        coverage: Coverage {
            volumes: extent(report.coverage.volumes),
            containers: extent(report.coverage.containers),
        },
    }
}

/// Without `docker info` a local volume tells: it lies at `ROOT/volumes/NAME/_data` (`volume/local` of moby).
fn root(volumes: &[told::Volume]) -> String {
    let of_volume = |volume: &told::Volume| {
        let below = format!("/volumes/{}/_data", volume.name);
        let root = volume.mountpoint.strip_suffix(&below)?;
        root.starts_with('/').then(|| root.to_owned())
    };
    let found = volumes.iter().find_map(of_volume);
    found.unwrap_or_else(|| DEFAULT_DATA_ROOT.to_owned())
}

fn extent(extent: told::Extent) -> Extent {
    match extent {
        told::Extent::All => Extent::All,
        told::Extent::Some => Extent::Some,
        told::Extent::Unknown => Extent::Unknown,
    }
}

fn volume(volume: &told::Volume) -> DockerVolume {
    DockerVolume {
        name: volume.name.clone(),
        driver: volume.driver.clone(),
        options: volume.options.clone(),
        labels: volume.labels.clone(),
        mountpoint: volume.mountpoint.clone(),
        anonymous: volume.anonymous,
        size: volume.size,
        described: volume.described,
    }
}

fn container(container: &told::Container) -> Container {
    Container {
        name: container.name.clone(),
        image: container.image.clone(),
        image_digest: container.image_digest.clone(),
        project: container.project.clone(),
        service: container.service.clone(),
        running: container.running,
        restart_policy: container.restart_policy.clone(),
        labels: container.labels.clone(),
        mounts: container.mounts.iter().map(mount).collect(),
    }
}

fn mount(mount: &told::Mount) -> ContainerMount {
    ContainerMount {
        source: match &mount.source {
            told::Source::Volume { name } => Mounted::Volume(name.clone()),
            told::Source::Bind { path } => Mounted::Bind(path.clone()),
            told::Source::Tmpfs => Mounted::Tmpfs,
            told::Source::Other { word } => Mounted::Other(word.clone()),
        },
        destination: mount.destination.clone(),
        read_only: mount.read_only,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_told_by_the_engine_or_by_a_volume_or_is_the_usual_one() {
        let volume = |name: &str, mountpoint: &str| told::Volume {
            name: name.to_owned(),
            driver: "local".to_owned(),
            options: [].into(),
            labels: [].into(),
            mountpoint: mountpoint.to_owned(),
            anonymous: false,
            size: None,
            described: true,
        };
        let mut report = told::VolumeReport {
            volumes: vec![
                volume("a", "/mnt/plugin/a"),
                volume("b", "/srv/docker/volumes/b/_data"),
            ],
            ..told::VolumeReport::default()
        };
        let root =
            |report: &told::VolumeReport| inventory(report, Timestamp::from_millis(0)).data_root;
        assert_eq!(root(&report), "/srv/docker");
        report.engine = Some(told::Engine {
            version: "28.5.1".to_owned(),
            data_root: "/data".to_owned(),
            storage_driver: None,
        });
        assert_eq!(root(&report), "/data");
        report = told::VolumeReport::default();
        assert_eq!(root(&report), DEFAULT_DATA_ROOT);
    }
}
