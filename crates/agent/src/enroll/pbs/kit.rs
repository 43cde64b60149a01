//! The recovery kit: the key, and a page that says what to do with it.
//!
//! It is made before anybody else gets the key, flushed to the disk and read back. A key that lies there is never replaced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use felhom_ids::KeyFingerprint;
use felhom_proxmox::pbs::format::Key;
use secrecy::{ExposeSecret, SecretString};

use super::super::{EnrollError, files};

/// The key's file, as Proxmox's own tools read it.
pub const KEY: &str = "key.json";
/// The page to print.
pub const PAGE: &str = "recovery.txt";

/// What lies where the kit belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KitSeen {
    /// No key.
    Missing,
    /// A key of this fingerprint, and whether the page lies beside it.
    Key {
        /// Its fingerprint.
        fingerprint: KeyFingerprint,
        /// Whether the page beside it is the one that belongs there.
        page: bool,
    },
    /// Something else, or not to be read; why.
    Foreign(String),
}

/// The key's file.
pub fn key_file(kit: &Path) -> PathBuf {
    kit.join(KEY)
}

/// Looks at what is there; `page` makes the page that belongs beside the key.
pub fn look(kit: &Path, page: impl Fn(&Key, &SecretString) -> SecretString) -> KitSeen {
    let path = key_file(kit);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return KitSeen::Missing,
        Err(error) => {
            return KitSeen::Foreign(format!("`{}` cannot be looked at: {error}", path.display()));
        }
        Ok(_) => {}
    }
    match read(kit) {
        Ok((key, text)) => {
            let there = fs::read_to_string(kit.join(PAGE)).map(SecretString::from);
            let wanted = page(&key, &text);
            KitSeen::Key {
                fingerprint: key.fingerprint(),
                page: there.is_ok_and(|there| is_same(&there, &wanted)),
            }
        }
        Err(error) => KitSeen::Foreign(error.to_string()),
    }
}

/// Whether two pages differ in nothing but when they were made.
fn is_same(one: &SecretString, other: &SecretString) -> bool {
    let lasting = |line: &&str| !line.starts_with("Made ");
    let one = one.expose_secret().lines().filter(lasting);
    one.eq(other.expose_secret().lines().filter(lasting))
}

/// The key, and its file's text as PVE takes it.
///
/// # Errors
/// [`EnrollError::File`] when it cannot be read, [`EnrollError::Kit`] when it is no key without a password.
pub fn read(kit: &Path) -> Result<(Key, SecretString), EnrollError> {
    let path = key_file(kit);
    let text = fs::read_to_string(&path).map_err(EnrollError::file(&path))?;
    let text = SecretString::from(text);
    let key = Key::from_file(&text).map_err(|error| {
        EnrollError::Kit(format!(
            "`{}` is no key that can be used: {error}",
            path.display()
        ))
    })?;
    Ok((key, text))
}

/// Makes a new key and writes it; reads it back before anybody may use it.
///
/// # Errors
/// As [`read`]; also when a key is there already: that one is kept.
pub fn make(kit: &Path, now_s: i64, hint: &str) -> Result<KeyFingerprint, EnrollError> {
    let key = Key::generate().map_err(|error| EnrollError::Kit(error.to_string()))?;
    let text = key.to_file(now_s, Some(hint));
    let path = key_file(kit);
    files::write_new(&path, text.expose_secret().as_bytes()).map_err(EnrollError::file(&path))?;
    let (written, _) = read(kit)?;
    if written.fingerprint() != key.fingerprint() {
        let text = format!("`{}` holds another key than was written", path.display());
        return Err(EnrollError::Kit(text));
    }
    Ok(key.fingerprint())
}

/// Writes the page beside the key.
///
/// # Errors
/// [`EnrollError::File`]
pub fn write_page(kit: &Path, page: &SecretString) -> Result<(), EnrollError> {
    files::write_secret_text(&kit.join(PAGE), page)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn seen(kit: &Path) -> KitSeen {
        look(kit, |key, _| {
            format!("Made now\nkey {}\n", key.fingerprint()).into()
        })
    }

    #[test]
    fn a_key_is_written_once_closed_to_others_and_never_replaced() {
        let above = tempfile::tempdir().unwrap();
        let kit = above.path().join("kit");
        assert_eq!(seen(&kit), KitSeen::Missing);
        let fingerprint = make(&kit, 1_800_000_000, "offsite").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&kit), mode(&key_file(&kit))), (0o700, 0o600));
        let as_key = |page| KitSeen::Key { fingerprint, page };
        assert_eq!(seen(&kit), as_key(false));
        let before = fs::read(key_file(&kit)).unwrap();
        assert!(make(&kit, 1_800_000_000, "offsite").is_err());
        assert_eq!(fs::read(key_file(&kit)).unwrap(), before);
        write_page(&kit, &format!("Made then\nkey {fingerprint}\n").into()).unwrap();
        assert_eq!(seen(&kit), as_key(true));
        assert_eq!(mode(&kit.join(PAGE)), 0o600);
    }

    #[test]
    fn a_draft_of_a_crash_is_no_key_and_stands_in_nobodys_way() {
        let above = tempfile::tempdir().unwrap();
        let kit = above.path();
        fs::write(kit.join(".key.json.new"), "{").unwrap();
        assert_eq!(seen(kit), KitSeen::Missing);
        make(kit, 0, "x").unwrap();
        assert!(!kit.join(".key.json.new").exists());
    }

    #[test]
    fn what_is_no_key_is_foreign() {
        let above = tempfile::tempdir().unwrap();
        for text in ["", "{}", r#"{"kdf":null,"data":"AAAA"}"#] {
            fs::write(key_file(above.path()), text).unwrap();
            assert!(matches!(seen(above.path()), KitSeen::Foreign(_)), "{text}");
        }
    }
}
