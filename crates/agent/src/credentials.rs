//! Secrets: from a file that only its owner reads, or from systemd's credential directory; nowhere else.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::privilege::USER;

/// A secret that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("the secret file `{}` cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("the secret file `{}` is readable by others (mode {mode:04o})", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is nothing in it.
    #[error("the secret file `{}` is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// No systemd credentials were handed to this process.
    #[error("systemd handed no credentials to this process (LoadCredential=)")]
    NoCredentials,
}

impl CredentialError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            // Root made it, and it is there.
            Self::Read { path, source } if source.kind() == ErrorKind::PermissionDenied => {
                format!("chown {USER} {}", path.display())
            }
            Self::Read { path, .. } => {
                format!("put the secret into `{}`, mode 0600", path.display())
            }
            Self::Readable { path, .. } => format!("chmod 600 {}", path.display()),
            Self::Empty { path } => format!("write the secret into `{}`", path.display()),
            Self::NoCredentials => "start it by its systemd unit, or use `secret_file`".to_owned(),
        }
    }
}

/// Reads a secret. Whitespace around it is not part of it.
///
/// # Errors
/// When the file is missing, empty, or readable by its group or by others.
pub fn read_secret(path: &Path) -> Result<SecretString, CredentialError> {
    let fail = |source| CredentialError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(fail)?;
    let mode = metadata.mode() & 0o777;
    // systemd hands credentials over in a directory of the service's own, readable by ACL, which shows as the group's bits.
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|directory| path.starts_with(directory));
    let others = if handed_over { 0o037 } else { 0o077 };
    if mode & others != 0 {
        return Err(CredentialError::Readable {
            path: path.to_owned(),
            mode,
        });
    }
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(CredentialError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(SecretString::from(secret))
}

/// The directory whose files the package's units hand over, each as a credential of its own.
const HANDED_OVER: &str = "/etc/felhom/credentials";

/// The name under which the package's units hand a secret file over (`LoadCredential=felhom:` and the directory), if they do.
pub(crate) fn credential_of(file: &Path) -> Option<String> {
    let name = file.strip_prefix(HANDED_OVER).ok()?.to_str()?;
    (!name.is_empty() && !name.contains('/')).then(|| format!("felhom_{name}"))
}

/// The credential of this name, if systemd handed one over to this process: a unit has it, a person's shell has the file.
pub(crate) fn handed_over(name: &str) -> Option<PathBuf> {
    credential_path(name).ok().filter(|path| path.exists())
}

/// Where systemd puts a credential of this name.
pub(crate) fn credential_path(name: &str) -> Result<PathBuf, CredentialError> {
    std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|directory| Path::new(&directory).join(name))
        // The name is not repeated: who takes `credential` for the place of the secret wrote that.
        .ok_or(CredentialError::NoCredentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_made_is_given_to_the_agents_user() {
        let hint = |kind: ErrorKind| {
            let path = PathBuf::from("/etc/felhom/credentials/hub");
            let source = kind.into();
            CredentialError::Read { path, source }.hint()
        };
        assert_eq!(
            hint(ErrorKind::PermissionDenied),
            "chown felhom-agent /etc/felhom/credentials/hub"
        );
        assert!(hint(ErrorKind::NotFound).starts_with("put the secret into `/etc/"));
    }

    #[test]
    fn what_the_units_hand_over_has_the_name_that_systemd_gives_it() {
        let name = |file: &str| credential_of(Path::new(file));
        assert_eq!(
            name("/etc/felhom/credentials/restore-test").as_deref(),
            Some("felhom_restore-test")
        );
        for other in [
            "/etc/felhom/credentials",
            "/etc/felhom/agent",
            "/root/credentials/agent",
            "credentials/agent",
            "/etc/felhom/credentials/below/agent",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
