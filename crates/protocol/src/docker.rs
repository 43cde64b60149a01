//! What Docker's own commands print, read into one volume report.
//!
//! Shapes: `api/types` of moby/moby (`volume.Volume`, `container.InspectResponse`, `image.InspectResponse`, `system.Info`) and
//! `cli/command/formatter` of docker/cli for what `--format` prints; looked at on engines 20.10 and clients 20.10 and 28.2.

mod container;
mod error;
mod image;
mod info;
mod kind;
mod listed;
mod merge;
mod object;
mod size;
mod stream;
mod volume;

pub use error::DockerError;

use crate::docker::kind::Kind;
use crate::docker::merge::Parts;
use crate::docker::stream::Told;
use crate::document::{self, Document};
use crate::volumes::VolumeReport;

/// Bytes of all inputs together: some 700 containers, of which each takes about 8 KiB, with their images and volumes. Taken
/// apart, hostile JSON takes sixteen times its size in memory.
pub const LARGEST: usize = 8 << 20;

/// The commands whose output, in one stream, makes a whole report. A shell inside the guest runs them; `xargs` because a
/// list may be empty. None of them holds a single quote, so that `sh -c '…'` takes them as they are.
pub const COMMANDS: [&str; 6] = [
    "docker info --format \"{{json .}}\"",
    "docker volume ls --format \"{{json .}}\"",
    "docker volume ls -q | xargs -r docker volume inspect",
    "docker ps -aq --no-trunc | xargs -r docker container inspect",
    "docker image ls -q --no-trunc | sort -u | xargs -r docker image inspect",
    "docker system df -v --format \"{{json .}}\"",
];

/// One file, and what errors call it.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// `volumes.json`, or `standard input`.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// Reads what Docker's commands printed, in any number of files and any order; or one volume report.
///
/// # Errors
/// When something is no JSON, is not what one of the [`COMMANDS`] prints, contradicts the rest, or says nothing of volumes.
pub fn read(inputs: &[Input<'_>]) -> Result<VolumeReport, DockerError> {
    let bytes = inputs.iter().map(|input| input.bytes.len()).sum();
    if bytes > LARGEST {
        return Err(DockerError::Large { bytes });
    }
    let mut parts = Parts::default();
    let mut report = None;
    let mut documents = 0_usize;
    for input in inputs {
        for told in stream::documents(input) {
            documents = documents.saturating_add(1);
            let Told { file, value } = told?;
            match kind::of(&value) {
                Ok(Kind::Report) => report = Some(value),
                Ok(kind) => parts.take(file, kind, &value)?,
                Err(what) => return Err(DockerError::foreign(file, what)),
            }
        }
    }
    let report = match report {
        Some(_) if documents > 1 => return Err(DockerError::Mixed),
        Some(report) => document::from_value(report)?,
        None => parts.merge()?.checked()?,
    };
    Ok(report)
}
