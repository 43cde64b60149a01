//! Task logs and the index of finished tasks as the files they are on a node.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::tasks::Upid;

/// Where a task's log lies: PVE spreads them by the last digit of the start time.
pub(crate) fn path(dir: &Path, upid: &Upid) -> PathBuf {
    let digit = upid.starttime.rem_euclid(16);
    dir.join(format!("{digit:X}")).join(upid.to_string())
}

/// Makes an empty log.
pub(crate) fn create(dir: &Path, upid: &Upid) -> io::Result<File> {
    let path = path(dir, upid);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// All lines; fails where there is no log.
pub(crate) fn lines(dir: &Path, upid: &Upid) -> io::Result<Vec<String>> {
    let text = fs::read(path(dir, upid))?;
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .map(str::to_owned)
        .collect())
}

/// The exit status that a log's last line tells.
pub(crate) fn exit_status(dir: &Path, upid: &Upid) -> String {
    let last = lines(dir, upid)
        .ok()
        .and_then(|mut lines| lines.pop())
        .unwrap_or_default();
    let Some(rest) = last.strip_prefix("TASK ") else {
        return "unexpected status".to_owned();
    };
    match rest.strip_prefix("ERROR: ") {
        Some(message) => message.to_owned(),
        None if rest == "OK" || rest.starts_with("WARNINGS: ") => rest.to_owned(),
        None => "unexpected status".to_owned(),
    }
}

/// A finished task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) upid: Upid,
    pub(crate) endtime: i64,
    pub(crate) status: String,
}

/// The index of finished tasks, oldest first.
pub(crate) fn read_index(dir: &Path) -> Vec<Finished> {
    let text = fs::read_to_string(dir.join("index")).unwrap_or_default();
    let entry = |line: &str| {
        let (upid, rest) = line.split_once(' ')?;
        let (endtime, status) = rest.split_once(' ')?;
        Some(Finished {
            upid: Upid::parse(upid)?,
            endtime: i64::from_str_radix(endtime, 16).ok()?,
            status: status.to_owned(),
        })
    };
    text.lines().filter_map(entry).collect()
}

/// Adds a finished task to the index.
pub(crate) fn append_index(dir: &Path, finished: &Finished) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("index"))?;
    writeln!(
        file,
        "{} {:08X} {}",
        finished.upid, finished.endtime, finished.status
    )
}

/// The tasks that were running when this was last written.
pub(crate) fn read_active(dir: &Path) -> Vec<Upid> {
    let text = fs::read_to_string(dir.join("active")).unwrap_or_default();
    text.lines().filter_map(Upid::parse).collect()
}

/// Writes down which tasks are running.
pub(crate) fn write_active<'a>(
    dir: &Path,
    running: impl Iterator<Item = &'a Upid>,
) -> io::Result<()> {
    let lines: Vec<String> = running.map(|upid| format!("{upid}\n")).collect();
    fs::create_dir_all(dir)?;
    fs::write(dir.join("active"), lines.concat())
}
