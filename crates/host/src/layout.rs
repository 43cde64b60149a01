//! Where things are on the host. The daemon has one layout, the system's; tests have one below a directory of theirs.

use std::path::{Path, PathBuf};

/// Where the host's files and programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    owner: u32,
}

impl Layout {
    /// The host's own: everything at its place, and trusted when it is root's.
    pub fn system() -> Self {
        let root = PathBuf::from("/");
        Self { root, owner: 0 }
    }

    /// A layout below a directory, in which what belongs to `owner` is trusted as root's is on the host.
    pub fn under(root: impl Into<PathBuf>, owner: u32) -> Self {
        let root = root.into();
        Self { root, owner }
    }

    /// The place of an absolute path of the host.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The root below which everything is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whose files are trusted.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Root's configuration.
    pub fn config(&self) -> PathBuf {
        self.path("/etc/felhom/hostd.toml")
    }

    /// The records of targets, one file each.
    pub fn targets(&self) -> PathBuf {
        self.path("/etc/felhom/targets")
    }

    /// Where mount units are installed.
    pub fn units(&self) -> PathBuf {
        self.path("/etc/systemd/system")
    }

    /// What the daemon needs only while the host runs.
    pub fn run(&self) -> PathBuf {
        self.path("/run/felhom")
    }
}
