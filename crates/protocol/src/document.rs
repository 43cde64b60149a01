//! The envelope of every document: which one it is, and of which version.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::shown::shown;

/// Bytes of the largest document that is read. A report on 200 containers has about 200 KiB.
pub const LARGEST: usize = 8 << 20;

/// Something that is sent or written down under a name and a version.
///
/// Within a version a document only grows: readers ignore fields that they do not know, and do without those that are
/// optional. A change that breaks a reader is a new version.
pub trait Document: Serialize + DeserializeOwned {
    /// Its name: `felhom.volume-report`.
    const SCHEMA: &'static str;
    /// The version that this program writes, and the newest that it reads.
    const VERSION: u64;

    /// Brings what was read into the form that is kept, and refuses what breaks a promise of the document.
    ///
    /// # Errors
    /// When a text is too long, there are too many of something, or names are not unique.
    fn checked(self) -> Result<Self, DocumentError>;
}

/// A text is not the document it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is larger than any honest one.
    #[error("the document has {bytes} bytes, at most {LARGEST} are read")]
    Large {
        /// Its size.
        bytes: usize,
    },
    /// It is no JSON.
    #[error("this is no JSON: {0}")]
    NotJson(String),
    /// It is something else.
    #[error("this is no `{expected}` document: its `schema` is {found}")]
    Other {
        /// The document that was wanted.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// It was written by a newer program.
    #[error(
        "this is version {found} of `{schema}`, and this program knows versions up to {known}: update it"
    )]
    Newer {
        /// The document.
        schema: &'static str,
        /// Its version.
        found: String,
        /// The newest that is known.
        known: u64,
    },
    /// A field is missing, or is not what it should be.
    #[error("`{schema}` cannot be read: {why}")]
    Malformed {
        /// The document.
        schema: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A text is too long, or there are too many of something.
    #[error("{what} has {found} {unit}, at most {limit} are taken")]
    TooMuch {
        /// Of what: `volume `x`: its driver`.
        what: String,
        /// How much there is.
        found: usize,
        /// `bytes`, `entries`.
        unit: &'static str,
        /// How much is taken.
        limit: usize,
    },
    /// Two things have one name, or a name is none.
    #[error("{0}")]
    Names(String),
}

/// Writes a document in its envelope.
pub fn write<T: Document>(document: &T) -> String {
    json!({ "schema": T::SCHEMA, "version": T::VERSION, "data": document }).to_string()
}

/// Reads a document.
///
/// # Errors
/// When it is another document, of a newer version, too large, or not whole.
pub fn read<T: Document>(bytes: &[u8]) -> Result<T, DocumentError> {
    if bytes.len() > LARGEST {
        return Err(DocumentError::Large { bytes: bytes.len() });
    }
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| DocumentError::NotJson(shown(&error.to_string())))?;
    from_value(value)
}

/// The same of what is already taken apart.
pub(crate) fn from_value<T: Document>(mut value: Value) -> Result<T, DocumentError> {
    let found = value.get("schema").unwrap_or(&Value::Null);
    if found != T::SCHEMA {
        return Err(DocumentError::Other {
            expected: T::SCHEMA,
            found: if found.is_null() {
                "missing".to_owned()
            } else {
                format!("`{}`", shown(&found.to_string()))
            },
        });
    }
    let malformed = |why: &str| DocumentError::Malformed {
        schema: T::SCHEMA,
        why: shown(why),
    };
    let version = value.get("version").unwrap_or(&Value::Null);
    match version.as_u64() {
        Some(0) => return Err(malformed("there is no version 0")),
        Some(known) if known <= T::VERSION => {}
        Some(newer) => {
            return Err(DocumentError::Newer {
                schema: T::SCHEMA,
                found: newer.to_string(),
                known: T::VERSION,
            });
        }
        None => return Err(malformed("`version` is no whole number")),
    }
    let data = value.get_mut("data").map(Value::take);
    let data = data.ok_or_else(|| malformed("`data` is missing"))?;
    let document: T =
        serde_json::from_value(data).map_err(|error| malformed(&error.to_string()))?;
    document.checked()
}
