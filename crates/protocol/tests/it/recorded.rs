//! What a real engine printed (`tests/fixtures`), by the names of the files.

use std::path::{Path, PathBuf};

use felhom_protocol::docker::{self, DockerError, Input};
use felhom_protocol::volumes::VolumeReport;

/// The files that together make a whole report.
pub(crate) const WHOLE: [&str; 6] = [
    "info.json",
    "volume-ls.json",
    "volumes.json",
    "containers.json",
    "images.json",
    "df.json",
];

fn path(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/docker-20.10");
    fixtures.join(name)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads some of the files.
pub(crate) fn read(names: &[&str]) -> Result<VolumeReport, DockerError> {
    let files: Vec<_> = names.iter().map(|name| (*name, bytes(name))).collect();
    let inputs: Vec<_> = files
        .iter()
        .map(|(name, bytes)| Input { name, bytes })
        .collect();
    docker::read(&inputs)
}

/// Reads a text as one file.
pub(crate) fn read_text(text: &str) -> Result<VolumeReport, DockerError> {
    let bytes = text.as_bytes();
    docker::read(&[Input {
        name: "volumes.json",
        bytes,
    }])
}
