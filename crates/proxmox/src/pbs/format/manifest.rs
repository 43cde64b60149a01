//! The manifest of a backup, `index.json.blob`: its files with their sums, a signature where there is a key, and, outside of
//! the signature, what the server adds later.

use felhom_ids::{BackupGroup, BackupSnapshot, BackupType, KeyFingerprint};
use serde::Deserialize;
use serde_json::Value;

use super::{Blob, IndexHead, Invalid, Key, from_hex, sha256};
use crate::decode;
use crate::pbs::snapshots::{CryptMode, Verification};

const WHAT: &str = "manifest";

/// The longest manifest that is read, in bytes; a real one has hundreds.
const LONGEST: usize = 16 << 20;

/// What a backup consists of. It is never encrypted, so everybody who may read the backup may read this.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The backup that it says it is of; compare it with the one that was asked for.
    pub snapshot: BackupSnapshot,
    /// Its files, the manifest itself and the client's log not among them.
    pub files: Vec<ManifestFile>,
    /// The key that it was made with. Outside of the signature: somebody may have changed it.
    pub key_fingerprint: Option<KeyFingerprint>,
    /// What the last verification said. Outside of the signature.
    pub verification: Option<Verification>,
    /// Notes. Outside of the signature.
    pub notes: Option<String>,
    signature: Option<Vec<u8>>,
    /// What the signature is of.
    signed: Vec<u8>,
}

/// A file of a backup, as its maker saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Its name on the server.
    pub filename: String,
    /// Of an index the bytes of what it describes, of a blob its own, with its container.
    pub size: u64,
    /// Of an index the SHA-256 of its entries, of a blob that of the stored file, with its container.
    pub csum: [u8; 32],
    /// What protects it.
    pub crypt_mode: CryptMode,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    backup_type: BackupType,
    backup_id: String,
    backup_time: i64,
    files: Vec<RawFile>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    unprotected: Option<Unprotected>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawFile {
    filename: String,
    size: u64,
    csum: String,
    #[serde(default)]
    crypt_mode: Option<CryptMode>,
}

#[derive(Deserialize, Default)]
struct Unprotected {
    #[serde(default, rename = "key-fingerprint")]
    key_fingerprint: Option<KeyFingerprint>,
    #[serde(default)]
    verify_state: Option<Verification>,
    #[serde(default, deserialize_with = "decode::maybe_text")]
    notes: Option<String>,
}

impl Manifest {
    /// Reads `index.json.blob` as it stands on the server.
    ///
    /// # Errors
    /// Those of [`Blob`] and of [`Manifest::from_json`].
    pub fn from_blob(bytes: &[u8]) -> Result<Self, Invalid> {
        Self::from_json(&Blob::parse(bytes)?.contents(None, LONGEST)?)
    }

    /// Reads what is in it.
    ///
    /// # Errors
    /// [`Invalid::Json`], [`Invalid::Contradiction`], [`Invalid::TooLong`].
    pub fn from_json(text: &[u8]) -> Result<Self, Invalid> {
        if text.len() > LONGEST {
            return Err(Invalid::TooLong {
                what: WHAT,
                limit: LONGEST,
            });
        }
        let json = |error: serde_json::Error| Invalid::json(WHAT, &error);
        // Read once: what the signature is of and what is believed must be the same.
        let mut value: Value = serde_json::from_slice(text).map_err(json)?;
        let raw = Raw::deserialize(&value).map_err(json)?;
        if let Some(object) = value.as_object_mut() {
            object.remove("signature");
            object.remove("unprotected");
        }
        let mut signed = Vec::with_capacity(text.len());
        write_canonical(&value, &mut signed);
        let name = BackupGroup::new(raw.backup_type, &raw.backup_id)
            .and_then(|group| BackupSnapshot::new(group, raw.backup_time));
        let files: Result<Vec<ManifestFile>, Invalid> =
            raw.files.into_iter().map(ManifestFile::try_from).collect();
        let files = files?;
        let mut names: Vec<&str> = files.iter().map(|file| file.filename.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(contradiction("a file that occurs twice"));
        }
        let signature = raw
            .signature
            .map(|text| from_hex(&text).map_or_else(Vec::new, Vec::from));
        let unprotected = raw.unprotected.unwrap_or_default();
        Ok(Self {
            snapshot: name.map_err(|_| contradiction("a backup without a proper name"))?,
            files,
            key_fingerprint: unprotected.key_fingerprint,
            verification: unprotected.verify_state,
            notes: unprotected.notes,
            signature,
            signed,
        })
    }

    /// Whether it says that somebody signed it. Whether that is true, [`Manifest::check`] tells.
    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Whether this key signed it as it stands: names, sizes and sums of all files are then those that the maker of the
    /// backup saw. Not so of notes and the state of verification.
    ///
    /// # Errors
    /// [`Invalid::OtherKey`] when it says that it was made with another, [`Invalid::Signature`].
    pub fn check(&self, key: &Key) -> Result<(), Invalid> {
        if let Some(expected) = &self.key_fingerprint {
            key.must_be(expected)?;
        }
        let signature = self.signature.as_ref().ok_or(Invalid::Signature)?;
        let is_ours = key.signed(&self.signed, signature);
        is_ours.then_some(()).ok_or(Invalid::Signature)
    }

    /// A file by its name on the server.
    pub fn file(&self, name: &str) -> Option<&ManifestFile> {
        self.files.iter().find(|file| file.filename == name)
    }
}

impl ManifestFile {
    /// Whether these are the stored bytes of this blob.
    pub fn is_blob(&self, stored: &[u8]) -> bool {
        u64::try_from(stored.len()) == Ok(self.size) && sha256(stored) == self.csum
    }

    /// Whether this is the head of this index. Its entries are the right ones when [`Index::parse`](super::Index::parse)
    /// takes them.
    pub fn is_index(&self, head: &IndexHead) -> bool {
        head.csum == self.csum
    }
}

impl TryFrom<RawFile> for ManifestFile {
    type Error = Invalid;

    fn try_from(raw: RawFile) -> Result<Self, Invalid> {
        Ok(Self {
            filename: raw.filename,
            size: raw.size,
            csum: from_hex(&raw.csum).ok_or_else(|| contradiction("a sum that is none"))?,
            // Before there were modes, nothing was encrypted.
            crypt_mode: raw.crypt_mode.unwrap_or(CryptMode::None),
        })
    }
}

fn contradiction(why: &'static str) -> Invalid {
    Invalid::Contradiction { what: WHAT, why }
}

/// The one writing of a value that is signed: keys sorted by their bytes, no blanks, everything else as `serde_json` has it.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_unstable();
            out.push(b'{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(Value::from(key.as_str()).to_string().as_bytes());
                out.push(b':');
                write_canonical(object.get(key).unwrap_or(&Value::Null), out);
            }
            out.push(b'}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.extend_from_slice(value.to_string().as_bytes());
        }
    }
}
