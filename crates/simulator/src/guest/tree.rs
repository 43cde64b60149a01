//! Guests' file systems: every volume is a real directory tree below the state directory.

use std::fs;
use std::io;
use std::path::Path;

/// Bytes of all regular files below a directory; what is not there is empty.
pub(crate) fn size(root: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(root) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) if meta.is_file() => meta.len(),
            _ => 0,
        })
        .sum()
}

/// Copies a tree as it is, with the times of its files; symbolic links stay links.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, goal) = (entry.path(), to.join(entry.file_name()));
        let meta = fs::symlink_metadata(&source)?;
        if meta.is_dir() {
            copy(&source, &goal)?;
        } else if meta.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &goal)?;
        } else if meta.is_file() {
            fs::copy(&source, &goal)?;
            fs::File::open(&goal)?.set_modified(meta.modified()?)?;
        }
    }
    Ok(())
}

/// Removes a tree; one that is not there is removed already.
pub(crate) fn remove(root: &Path) -> io::Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a file of a tree, making its directories.
pub(crate) fn put(root: &Path, inside: &str, content: &[u8]) -> io::Result<()> {
    let path = root.join(inside.trim_start_matches('/'));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)
}
