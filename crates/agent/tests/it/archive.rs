//! The archive reader: what it tells of honest archives, and that no archive can make it wait, grow or believe.

mod belonging;
mod built;
mod files;
mod hostile;
mod long;
mod rivals;

use std::ops::ControlFlow;

use felhom_agent::archive::{ArchiveError, Packing, read_stream};
use felhom_engine::{ArchiveContent, ArchivedVolume, VolumeRoot, WantedContent};

/// The mount points of most tests, and Docker at its usual place.
fn wanted() -> WantedContent {
    let mount = |key: &str, path: &str| (key.to_owned(), path.to_owned());
    WantedContent {
        mounts: vec![
            mount("rootfs", "/"),
            mount("mp0", "/mnt/mp0"),
            mount("mp1", "/mnt/mp0/deep"),
        ],
        volumes: Vec::new(),
        data_root: "/var/lib/docker".into(),
    }
}

fn volume(name: &str, path: &str) -> VolumeRoot {
    VolumeRoot {
        name: name.into(),
        path: path.into(),
    }
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn read_as(bytes: &[u8], packing: Packing, wanted: &WantedContent) -> ArchiveContent {
    read_stream(bytes, packing, wanted, &mut go_on).unwrap()
}

fn read(bytes: &[u8]) -> ArchiveContent {
    read_as(bytes, Packing::Plain, &wanted())
}

/// Reads what must be whole.
fn whole(bytes: &[u8], wanted: &WantedContent) -> ArchiveContent {
    let content = read_as(bytes, Packing::Plain, wanted);
    assert_eq!((content.complete, &content.error), (true, &None));
    content
}

fn members(content: &ArchiveContent, key: &str) -> u64 {
    content.mounts.get(key).map_or(0, |tally| tally.members)
}

fn named<'a>(content: &'a ArchiveContent, name: &str) -> &'a ArchivedVolume {
    let mut found = content.docker_volumes.iter();
    found.find(|volume| volume.name == name).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}

fn stopped(result: &Result<ArchiveContent, ArchiveError>) -> bool {
    matches!(result, Err(ArchiveError::Stopped))
}
