//! Files that enrolling writes: whole or not at all, and never readable by others while they are written.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::EnrollError;
use crate::privilege;

/// The first words of a configuration that enrolling wrote; the digest of the rest follows.
const WRITTEN: &str = "# written by `felhom-agent enroll pve`; `--remove` takes it back while its text is unchanged: ";

/// A configuration under the line by which `--remove` knows it.
pub fn sealed(text: &str) -> String {
    format!("{WRITTEN}{}\n{text}", digest(text))
}

/// Whether this is a configuration as enrolling wrote it.
pub fn is_sealed(text: &str) -> bool {
    text.strip_prefix(WRITTEN)
        .and_then(|rest| rest.split_once('\n'))
        .is_some_and(|(written, rest)| written == digest(rest))
}

fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let hex: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    hex.concat()
}

/// Writes a secret, mode 0600.
pub(crate) fn write_secret(path: &Path, secret: &SecretString) -> Result<(), EnrollError> {
    let line = SecretString::from(format!("{}\n", secret.expose_secret()));
    replace(path, line.expose_secret().as_bytes(), 0o600, reader()).map_err(EnrollError::file(path))
}

/// Writes what must not be lost, mode 0600, where nothing is yet: a file that is there already is never replaced. It stays with
/// whoever writes it, in a directory that is closed to others.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = private_directory(path)?;
    let draft = write_draft(path, content, 0o600, None)?;
    // A link, other than a renaming, does not replace what is there.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked?;
    fs::File::open(&directory)?.sync_all()
}

/// Writes a text that holds a secret beside such a file, in place of an earlier one.
pub(crate) fn write_secret_text(path: &Path, text: &SecretString) -> Result<(), EnrollError> {
    let write = || {
        let directory = private_directory(path)?;
        let draft = write_draft(path, text.expose_secret().as_bytes(), 0o600, None)?;
        fs::rename(&draft, path)?;
        fs::File::open(&directory)?.sync_all()
    };
    write().map_err(EnrollError::file(path))
}

/// Writes the configuration, which holds no secret. It stays root's where root enrols: root believes it when it enrols again, and
/// sends a password to where it says.
pub(crate) fn write_config(path: &Path, text: &str) -> Result<(), EnrollError> {
    replace(path, text.as_bytes(), 0o644, None).map_err(EnrollError::file(path))
}

/// Whether root may act on what this file says: it is root's, and nobody else writes it. Who is not root acts for nobody else.
pub(crate) fn is_roots_own(path: &Path) -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    fs::metadata(path).is_ok_and(|facts| facts.uid() == 0 && facts.mode() & 0o022 == 0)
}

/// Adds a section to the end of the configuration, which stays as it is; one that enrolling wrote stays recognisable as that.
pub(crate) fn append_config(path: &Path, section: &str) -> Result<(), EnrollError> {
    let there = fs::read_to_string(path).map_err(EnrollError::file(path))?;
    let ours = is_sealed(&there);
    let text = match there.split_once('\n') {
        Some((_, rest)) if ours => sealed(&format!("{rest}{section}")),
        _ => format!("{}\n{section}", there.trim_end_matches('\n')),
    };
    let write = || {
        let facts = fs::metadata(path)?;
        let owner = rustix::process::geteuid()
            .is_root()
            .then(|| (facts.uid(), facts.gid()));
        let draft = write_draft(path, text.as_bytes(), facts.mode() & 0o777, owner)?;
        fs::rename(&draft, path)?;
        fs::File::open(directory(path)?)?.sync_all()
    };
    write().map_err(EnrollError::file(path))
}

/// Removes a file, and its directory if that is empty then and is one for secrets. A file that is gone is no error.
pub(crate) fn remove(path: &Path) -> Result<(), EnrollError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(EnrollError::file(path)(error));
        }
        _ => {}
    }
    if let Some(directory) = path.parent()
        && directory.ends_with("credentials")
    {
        // Others' files may be in it.
        drop(fs::remove_dir(directory));
    }
    Ok(())
}

/// Replaces a file as a whole: a draft beside it, flushed to the disk, renamed into place.
fn replace(path: &Path, content: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let directory = directory(path)?;
    let draft = write_draft(path, content, mode, owner)?;
    fs::rename(&draft, path)?;
    fs::File::open(&directory)?.sync_all()
}

/// Writes a draft beside the file and flushes it to the disk.
fn write_draft(
    path: &Path,
    content: &[u8],
    mode: u32,
    owner: Option<(u32, u32)>,
) -> io::Result<PathBuf> {
    let draft = draft(path);
    // A draft of an interrupted run may have another mode.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    }
    file.write_all(content)?;
    file.sync_all()?;
    Ok(draft)
}

/// The file's directory, made closed to others if it is not there.
fn private_directory(path: &Path) -> io::Result<PathBuf> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    };
    if !directory.exists() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&directory)?;
        // A power cut must not take a directory away that is new.
        if let Some(above) = directory.parent() {
            fs::File::open(above)?.sync_all()?;
        }
    }
    Ok(directory)
}

/// Root enrols for the agent's user, who must be able to read what is closed to others.
fn reader() -> Option<(u32, u32)> {
    rustix::process::geteuid()
        .is_root()
        .then(privilege::package_user)
        .flatten()
}

/// The file's directory, made if it is not there; one for secrets is closed to others.
fn directory(path: &Path) -> io::Result<PathBuf> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    };
    if directory.exists() {
        return Ok(directory);
    }
    let mode = if directory.ends_with("credentials") {
        0o700
    } else {
        0o755
    };
    // What is above is open: the agent's user has to get through to its secrets and the configuration.
    if let Some(above) = directory.parent() {
        open_directories(above)?;
    }
    made(&directory, mode)?;
    if let Some((_, gid)) = reader().filter(|_| directory.ends_with("credentials")) {
        // The files in it are the user's, the directory stays root's: systemd reads it as root, and must find no link of the user's.
        std::os::unix::fs::chown(&directory, None, Some(gid))?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o750))?;
    }
    Ok(directory)
}

/// Makes the directories that are not there, open to all.
fn open_directories(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.exists() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        open_directories(above)?;
    }
    made(path, 0o755)
}

/// Makes a directory of exactly this mode: the umask of root's shell takes away from what making it asks for.
fn made(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn draft(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_closed_to_others_and_replaced_as_a_whole() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("credentials/agent");
        let draft = path.with_file_name(".agent.new");
        for secret in ["one", "two"] {
            write_secret(&path, &secret.to_owned().into()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{secret}\n"));
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            assert!(!draft.exists());
            // What a crash leaves.
            fs::write(&draft, "half").unwrap();
        }
        let mode = fs::metadata(path.parent().unwrap()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::remove_file(draft).unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn who_reads_the_secrets_gets_through_to_them() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("felhom/credentials/agent");
        write_secret(&path, &"one".to_owned().into()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&above.path().join("felhom")), 0o755);
    }

    #[test]
    fn a_section_is_added_and_the_rest_stays() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("agent.toml");
        let section = "\n[pbs.x]\nurl = \"https://x\"\n";
        for (there, ours) in [
            (sealed("node = \"pve\"\n"), true),
            ("node = \"a\"".to_owned(), false),
        ] {
            write_config(&path, &there).unwrap();
            append_config(&path, section).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.ends_with(section), "{text}");
            assert_eq!(is_sealed(&text), ours, "{text}");
            let table: toml::Table = text.parse().unwrap();
            assert_eq!(table.len(), 2, "{text}");
        }
    }

    #[test]
    fn a_configuration_that_somebody_edited_is_no_longer_ours() {
        let text = sealed("node = \"pve\"\n");
        assert!(is_sealed(&text));
        assert!(!is_sealed(&text.replace("pve\"", "other\"")));
        assert!(!is_sealed("node = \"pve\"\n"));
    }
}
