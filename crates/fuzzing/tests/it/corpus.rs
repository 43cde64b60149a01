//! The files below `fuzz/corpus`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where the targets and their corpus are.
pub(crate) fn fuzz() -> PathBuf {
    let below = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    below.canonicalize().unwrap()
}

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> BTreeSet<String> {
    std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A target's seeds by name, in the order of their names.
pub(crate) fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = fuzz().join("corpus").join(target);
    let read = |name: String| {
        let bytes = std::fs::read(directory.join(&name)).unwrap();
        (name, bytes)
    };
    names(&directory).into_iter().map(read).collect()
}
