//! The configuration: one file, checked completely before anything is opened or spoken to.

mod checked;
mod guard;
mod keep;
mod metrics;
mod notify;
mod pbs;
mod peer;
mod problems;
mod raw;
mod schedule;
mod shown;
mod span;
mod template;
mod volumes;

pub use checked::{ArchiveDirectory, Config};
pub use notify::{ChannelConfig, ChannelKind, Concern, NotifyConfig, SmtpTls};
pub use pbs::PbsConfig;
pub use peer::{PrincipalConfig, TrustConfig};
pub use span::Span;
pub use template::Template;

use std::path::{Path, PathBuf};

/// Where the configuration is looked for when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/felhom/agent.toml";

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration `{}` cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML or JSON of the right shape; the text names line and key.
    #[error("{}:{line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The values make no sense; all problems at once.
    #[error("{} has {} problem(s): {}", path.display(), problems.len(), problems.join("; "))]
    Problems {
        /// The file.
        path: PathBuf,
        /// One line each: `key: what is wrong`.
        problems: Vec<String>,
    },
}

/// Reads and checks a configuration file. A name ending in `.json` is read as JSON of the same shape.
///
/// # Errors
/// When the file cannot be read, holds an unknown key (with file, line and key), or values that make no sense.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

/// The same for a text that was read already; `path` is for the messages and for relative file names.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let raw = if path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        serde_json::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            line: error.line().max(1),
            message: told(&error.to_string()),
        })?
    } else {
        toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            message: told(error.message()),
        })?
    };
    checked::check(raw, path).map_err(|problems| ConfigError::Problems {
        path: path.to_owned(),
        problems: problems.iter().map(|problem| told(problem)).collect(),
    })
}

/// How much is told of one problem. The longest that are our own name all keys of a section.
const TOLD: usize = 600;

/// A problem on one line, however long the value is that it repeats and whatever is in it.
fn told(problem: &str) -> String {
    let mut text: String = problem.chars().take(TOLD).collect();
    if text.len() < problem.len() {
        text.push('…');
    }
    if text.contains(char::is_control) {
        text = text.escape_debug().to_string();
    }
    text
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}
