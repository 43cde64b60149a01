//! What docker's commands print, in one file or several: `docker volume inspect` and its like, as a guest sends them.

use std::collections::BTreeMap;

use felhom_agent::volumes::inventory;
use felhom_engine::Timestamp;
use felhom_protocol::docker::{self, DockerError, Input};
use felhom_protocol::volumes::{Extent, Source, VolumeReport};

use crate::claims::short_line;
use crate::volume_report::kept;

/// Files are told apart by a byte that no UTF-8 text holds.
const NEXT_FILE: u8 = 0xff;

/// What is read keeps every promise of a report, names every volume that something mounts, and is the same when all of it
/// comes twice; a refusal is short and says what helps.
pub fn docker_inspect(data: &[u8]) {
    let files: Vec<_> = data.split(|byte| *byte == NEXT_FILE).collect();
    let inputs: Vec<_> = files
        .iter()
        .map(|bytes| Input {
            name: "guest.json",
            bytes,
        })
        .collect();
    let report = match docker::read(&inputs) {
        Ok(report) => report,
        Err(error) => return refused(&error),
    };
    kept(&report);
    in_the_engines_words(&report);
    let twice: Vec<_> = inputs.iter().chain(&inputs).copied().collect();
    match docker::read(&twice) {
        Ok(again) => {
            mounted(&report);
            assert_eq!(again, report);
        }
        Err(error) => assert_eq!(error, DockerError::Mixed),
    }
    let written = felhom_protocol::write(&report);
    let written = Input {
        name: "report.json",
        bytes: written.as_bytes(),
    };
    assert_eq!(docker::read(&[written]), Ok(report));
}

fn refused(error: &DockerError) {
    short_line(&error.to_string());
    assert!(!error.hint().is_empty());
}

/// Every volume that something mounts is there, and the coverage is no claim that the report itself contradicts. (A report
/// that was sent as such may say what it likes.)
fn mounted(report: &VolumeReport) {
    let volumes = report.volumes.iter();
    let described: BTreeMap<_, _> = volumes
        .map(|volume| (&volume.name, volume.described))
        .collect();
    for mount in report.containers.iter().flat_map(|one| &one.mounts) {
        if let Source::Volume { name } = &mount.source {
            assert!(described.contains_key(name), "{name:?}");
        }
    }
    let all_described = described.values().all(|described| *described);
    assert_eq!(report.coverage.volumes == Extent::Some, !all_described);
}

fn in_the_engines_words(report: &VolumeReport) {
    let inventory = inventory(report, Timestamp::from_millis(0));
    assert!(inventory.data_root.starts_with('/'));
    assert_eq!(inventory.volumes.len(), report.volumes.len());
    assert_eq!(inventory.containers.len(), report.containers.len());
    let pairs = inventory.containers.iter().zip(&report.containers);
    for (container, told) in pairs {
        assert_eq!(container.name, told.name);
        assert_eq!(container.mounts.len(), told.mounts.len());
    }
}
