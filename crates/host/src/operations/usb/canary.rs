//! The canary: a file on the target's disk with the target's id and a number that every writing probe draws anew. A copy of
//! the disk that was made before the last probe carries an old one, whatever its serial number says.

use std::io;
use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use super::super::Root;
use super::place;
use super::record::{Record, random_hex};
use crate::refusal::Refusal;

const FILE: &str = ".felhom-target";
const HEAD: &str =
    "# felhom-agent knows this disk by this file. Without it, it does not write here any more.\n";
const LONGEST: u64 = 4096;

/// What a canary says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Canary {
    target: String,
    nonce: String,
}

/// Reads the canary at the root of a file system. What is no canary counts as none, an error of the disk as an error.
pub(super) fn read(dir: impl AsFd) -> io::Result<Option<Canary>> {
    let text = match place::read(dir, FILE, LONGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::Other && error.raw_os_error().is_none() => {
            None
        }
        Err(error) => return Err(error),
    };
    Ok(text.and_then(|text| toml::from_str(&text).ok()))
}

/// Whether this is what the target's disk has to say; if not, why not.
pub(super) fn check(record: &Record, found: Option<&Canary>) -> Result<(), String> {
    if record.current.is_none() {
        return Ok(());
    }
    let Some(found) = found else {
        return Err(format!(
            "the disk with its UUID has no {FILE}: it was formatted anew, or is a copy from before it was a target"
        ));
    };
    if found.target != record.id {
        return Err(format!(
            "{FILE} on the disk with its UUID is of another target"
        ));
    }
    let nonce = Some(&found.nonce);
    if nonce == record.current.as_ref() || nonce == record.next.as_ref() {
        return Ok(());
    }
    Err(format!(
        "{FILE} on the disk with its UUID is of an earlier time: it is a copy, or was put back from one"
    ))
}

/// Draws a new number and writes it: into the record as the next, onto the disk, and into the record as the current one. Cut
/// off between two of these, either number is accepted.
///
/// The outer error is of the host, the inner one of the disk.
pub(super) fn renew(
    root: Root<'_>,
    record: &mut Record,
    dir: impl AsFd,
) -> Result<io::Result<()>, Refusal> {
    if let Ok(Some(found)) = read(dir.as_fd())
        && Some(&found.nonce) == record.next.as_ref()
        && found.target == record.id
    {
        record.current = record.next.take();
    }
    let nonce = random_hex()?;
    record.next = Some(nonce.clone());
    record.save(root)?;
    let canary = Canary {
        target: record.id.clone(),
        nonce,
    };
    let text = toml::to_string(&canary).map_err(|error| place::failed(FILE, error))?;
    if let Err(error) = place::write(dir, FILE, &format!("{HEAD}{text}"), 0o600) {
        return Ok(Err(error));
    }
    record.current = record.next.take();
    record.save(root)?;
    Ok(Ok(()))
}
