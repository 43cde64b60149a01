//! The file that `node_exporter` reads: the text format 0.0.4, written beside and renamed, so that nobody ever reads a part of it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use felhom_protocol::host::HostReport;

use super::{Format, Told, render};
use crate::config::Config;
use crate::journal::JournalError;

/// Everybody may read it: it holds no secret, and the reader is another user.
const MODE: u32 = 0o644;

/// The metrics could not be published. Whatever else was done stays done.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file cannot be written.
    #[error(
        "the metrics cannot be written to `{}`: {source}; the directory must be there, and `felhom-agent` may create files in it", path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody knows what is to be told.
    #[error("the metrics cannot be made: {0}")]
    Journal(#[from] JournalError),
}

/// Writes the metrics of a report to the file that the configuration names, if it names one.
///
/// # Errors
/// When the file cannot be written; the former one stays then.
pub fn publish(config: &Config, report: &HostReport) -> Result<(), PublishError> {
    publish_told(
        config,
        &Told {
            report: Some(report),
            ..Told::default()
        },
    )
}

/// The same with all that is to be told.
///
/// # Errors
/// As [`publish`].
pub fn publish_told(config: &Config, told: &Told<'_>) -> Result<(), PublishError> {
    let Some(path) = &config.metrics_textfile else {
        return Ok(());
    };
    let text = render(told, Format::Text);
    replace(path, text.as_bytes()).map_err(|source| PublishError::File {
        path: path.clone(),
        source,
    })
}

/// Puts a whole file in the place of another. The one beside does not end in `.prom`, so that it is not read.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path)?;
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let written = write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // What is left of it is in nobody's way but that of the next one, which removes it.
        drop(fs::remove_file(&beside));
        return written;
    }
    // The name is durable when the directory is; a file system that cannot do that has renamed all the same.
    if let Some(directory) = path.parent().and_then(|parent| File::open(parent).ok()) {
        drop(directory.sync_all());
    }
    Ok(())
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("it names no file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    Ok(path.with_file_name(hidden))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)?;
    // Whatever the umask takes away.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_takes_the_place_of_another_for_everybody_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("felhom.prom");
        for text in ["one\n", "another\n"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        // What a crash left is overwritten, and nothing is left beside.
        fs::write(directory.path().join(".felhom.prom.new"), "part").unwrap();
        replace(&path, b"third\n").unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        // A link leads nowhere else: the file takes its place.
        let elsewhere = directory.path().join("elsewhere");
        fs::write(&elsewhere, "mine").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        replace(&path, b"fourth\n").unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_written_leaves_the_former_file() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing/felhom.prom");
        assert!(replace(&missing, b"x").is_err());
        // A directory in the place of the file.
        let path = directory.path().join("felhom.prom");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"x").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
