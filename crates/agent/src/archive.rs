//! Reading a vzdump archive: what is really in it, member by member, without unpacking anything.
//!
//! The root of a guest writes nearly everything that is read here. So every name, size and header is taken for hostile:
//! memory is bounded whatever comes (no header is kept whole, no list of members is held), nothing that is read becomes a
//! path on this machine, and what tars do not agree upon is refused. Time is bounded by the archive's length only; whoever
//! reads can stop at any moment.
//!
//! Where readers of tar differ we read as GNU tar does, since that is what restores: PVE pipes the archive into
//! `tar xpf - … --skip-old-files` (pve-container, `PVE/LXC/Create.pm`).
//!
//! - [`locate`] says where an archive lies, and opens it.
//! - `members` takes the stream apart, with `pax` and `sparse` for what stands in front of content.
//! - `name` says which names can be believed, `roots` what they lie below.
//! - `count` tallies, `sample` digests.
//! - `vma` reads the archives of virtual machines.

mod count;
mod input;
mod locate;
mod members;
mod name;
mod number;
mod pax;
mod read;
mod roots;
mod sample;
mod sparse;
mod vma;

use std::path::PathBuf;

pub use locate::locate;
pub(crate) use locate::log_beside;
pub use name::LONGEST_NAME;
pub use read::{Packing, read, read_machine_stream, read_stream};
pub use sample::{DIGESTED_BYTES, SAMPLED_FILES};

/// The archive cannot be looked at (which says nothing about it).
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The configuration names no directory for its storage.
    #[error("no directory is configured for the archives of storage `{storage}`")]
    NoDirectory {
        /// The storage.
        storage: String,
    },
    /// The file cannot be opened.
    #[error("the archive file `{}` cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What lies there is no regular file: reading a pipe could wait for ever.
    #[error("`{}` is no regular file", path.display())]
    NoFile {
        /// Its path.
        path: PathBuf,
    },
    /// It is compressed in a way we do not read.
    #[error(
        "archives named `{name}` are not read; only `.tar` and `.vma` are, as they are or with `.zst`"
    )]
    Format {
        /// The file name.
        name: String,
    },
    /// There is more in it than is kept count of, which says nothing against it.
    #[error(
        "the drives of the archive have {bytes} bytes together, and no more than {most} are counted: it is not read"
    )]
    TooLarge {
        /// What they have.
        bytes: u64,
        /// What is counted.
        most: u64,
    },
    /// The storage does not give the file's bytes.
    #[error("the archive file cannot be read on from byte {at}")]
    Storage {
        /// Bytes that were read.
        at: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else writes to the file.
    #[error(
        "the archive file had {before} bytes when reading began and has {after} now: somebody writes to it"
    )]
    Changed {
        /// Its length at first.
        before: u64,
        /// Its length at the end.
        after: u64,
    },
    /// It lies on a backup server, and cannot be looked into there.
    #[error("the backup cannot be looked into")]
    Listing(#[from] crate::perform::ListingError),
    /// Whoever asked has gone.
    #[error("reading the archive was stopped")]
    Stopped,
    /// The thread that read came to an end.
    #[error("the thread that read the archive ended without an answer")]
    Thread(#[source] tokio::task::JoinError),
}
