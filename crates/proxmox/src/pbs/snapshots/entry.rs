//! What lists say of groups, backups and files.

use felhom_ids::{BackupGroup, BackupSnapshot, BackupType, InvalidName, KeyFingerprint, Upid};
use serde::{Deserialize, Deserializer};

use crate::decode;

/// A group of backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub group: BackupGroup,
    /// How many backups it has, one in progress included.
    pub backup_count: u64,
    /// When the last of them was begun, one in progress included.
    pub last_backup: i64,
    /// Names of the files of the last one.
    pub files: Vec<String>,
    /// Whose it is: a user's or a token's id.
    pub owner: Option<String>,
    /// The first line of its notes.
    pub comment: Option<String>,
}

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Raw {
            backup_type: BackupType,
            #[serde(deserialize_with = "decode::text")]
            backup_id: String,
            #[serde(deserialize_with = "decode::number")]
            backup_count: u64,
            #[serde(deserialize_with = "decode::number")]
            last_backup: i64,
            #[serde(default, deserialize_with = "decode::list")]
            files: Vec<String>,
            #[serde(default, deserialize_with = "decode::maybe_text")]
            owner: Option<String>,
            #[serde(default, deserialize_with = "decode::maybe_text")]
            comment: Option<String>,
        }
        let raw = Raw::deserialize(from)?;
        Ok(Self {
            group: BackupGroup::new(raw.backup_type, &raw.backup_id)
                .map_err(serde::de::Error::custom)?,
            backup_count: raw.backup_count,
            last_backup: raw.last_backup,
            files: raw.files,
            owner: raw.owner,
            comment: raw.comment,
        })
    }
}

/// A backup as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub snapshot: BackupSnapshot,
    /// Its files, by its manifest. None: it is still being made, or was given up.
    pub files: Vec<FileEntry>,
    /// Bytes of all files before deduplication and compression.
    pub size: Option<u64>,
    /// Whose it is: a user's or a token's id.
    pub owner: Option<String>,
    /// Whether it may neither be pruned nor removed.
    pub protected: bool,
    /// That of the key it was made with, encrypted or only signed.
    pub fingerprint: Option<KeyFingerprint>,
    /// The first line of its notes.
    pub comment: Option<String>,
    /// What the last verification said, if there was one.
    pub verification: Option<Verification>,
}

impl Snapshot {
    /// Whether it has no manifest yet. It vanishes when whoever makes it dies.
    pub fn is_in_progress(&self) -> bool {
        self.files.is_empty() && self.size.is_none()
    }

    /// Whether any of its files can only be read with a key.
    pub fn is_encrypted(&self) -> bool {
        self.files
            .iter()
            .any(|file| file.crypt_mode == Some(CryptMode::Encrypt))
    }

    /// What this verification said of it. A task that ended well does not mean that it looked: it skips what has any
    /// earlier state unless told otherwise, and what is locked or missing.
    pub fn verified_by(&self, upid: &Upid) -> Option<&VerifyState> {
        let verification = self.verification.as_ref()?;
        (verification.upid == *upid).then_some(&verification.state)
    }
}

/// A backup by the three fields in which lists name it.
pub(in crate::pbs) fn named(
    kind: BackupType,
    id: &str,
    time: i64,
) -> Result<BackupSnapshot, InvalidName> {
    BackupSnapshot::new(BackupGroup::new(kind, id)?, time)
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Raw {
            backup_type: BackupType,
            #[serde(deserialize_with = "decode::text")]
            backup_id: String,
            #[serde(deserialize_with = "decode::number")]
            backup_time: i64,
            #[serde(default, deserialize_with = "decode::list")]
            files: Vec<FileEntry>,
            #[serde(default, deserialize_with = "decode::maybe_number")]
            size: Option<u64>,
            #[serde(default, deserialize_with = "decode::maybe_text")]
            owner: Option<String>,
            #[serde(default, deserialize_with = "decode::flag")]
            protected: bool,
            #[serde(default, deserialize_with = "decode::maybe_name")]
            fingerprint: Option<KeyFingerprint>,
            #[serde(default, deserialize_with = "decode::maybe_text")]
            comment: Option<String>,
            #[serde(default)]
            verification: Option<Verification>,
        }
        let raw = Raw::deserialize(from)?;
        Ok(Self {
            snapshot: named(raw.backup_type, &raw.backup_id, raw.backup_time)
                .map_err(serde::de::Error::custom)?,
            files: raw.files,
            size: raw.size,
            owner: raw.owner,
            protected: raw.protected,
            fingerprint: raw.fingerprint,
            comment: raw.comment,
            verification: raw.verification,
        })
    }
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileEntry {
    /// Its name on the server, which ends in `.blob`, `.didx` or `.fidx`.
    #[serde(deserialize_with = "decode::text")]
    pub filename: String,
    /// Of an index the bytes of what it describes, of a blob its own.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub size: Option<u64>,
    /// What protects it; none when the manifest does not say.
    #[serde(default)]
    pub crypt_mode: Option<CryptMode>,
}

/// What protects a file. `index.json.blob` of an encrypted backup is `sign-only`: anybody who may read the backup may read
/// names and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CryptMode {
    /// `none`: nothing.
    None,
    /// `encrypt`: it can only be read with the key.
    Encrypt,
    /// `sign-only`: it can be read, and not be changed, without the key.
    SignOnly,
    /// A word that later versions may have.
    Other(String),
}

/// Which words there are.
impl<'de> Deserialize<'de> for CryptMode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = decode::text(from)?;
        Ok(match word.as_str() {
            "none" => Self::None,
            "encrypt" => Self::Encrypt,
            "sign-only" => Self::SignOnly,
            _ => Self::Other(word),
        })
    }
}

/// What the last verification of a backup said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verification {
    /// Its word.
    pub state: VerifyState,
    /// The task that said it.
    pub upid: Upid,
}

/// The word of a verification. Of encrypted backups it only means that nothing rotted on disk: without the key the server
/// cannot tell whether the contents are what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyState {
    /// `ok`
    Ok,
    /// `failed`
    Failed,
    /// A word that later versions may have.
    Other(String),
}

impl<'de> Deserialize<'de> for VerifyState {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = decode::text(from)?;
        Ok(match word.as_str() {
            "ok" => Self::Ok,
            "failed" => Self::Failed,
            _ => Self::Other(word),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(json: &str) -> Result<Snapshot, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_backup_in_progress_has_neither_files_nor_size() {
        for json in [
            r#"{"backup-type":"ct","backup-id":"9001","backup-time":1795390566,"files":[],"protected":false}"#,
            r#"{"backup-type":"ct","backup-id":"9001","backup-time":1795390566,"files":null,"size":null,"owner":null,"fingerprint":null,"comment":null,"verification":null,"later":{}}"#,
        ] {
            let snapshot = snapshot(json).unwrap();
            assert!(snapshot.is_in_progress() && !snapshot.is_encrypted());
            assert_eq!(
                snapshot.snapshot.to_string(),
                "ct/9001/2026-11-22T23:36:06Z"
            );
        }
    }

    #[test]
    fn words_of_later_versions_are_kept() {
        let upid = "UPID:vm:00004F7B:0003D00B:0000001A:6B037E38:verify:x:felhom@pbs!n100:";
        let json = format!(
            r#"{{"backup-type":"vm","backup-id":"100","backup-time":1,"files":[{{"filename":"drive-scsi0.img.fidx","crypt-mode":"sealed"}},{{"filename":"a.blob","size":7}}],"verification":{{"state":"stale","upid":"{upid}"}}}}"#
        );
        let snapshot = snapshot(&json).unwrap();
        let sealed = CryptMode::Other("sealed".to_owned());
        assert_eq!(snapshot.files[0].crypt_mode, Some(sealed));
        assert_eq!(
            (snapshot.files[1].size, &snapshot.files[1].crypt_mode),
            (Some(7), &None)
        );
        let upid: Upid = upid.parse().unwrap();
        let stale = VerifyState::Other("stale".to_owned());
        assert_eq!(snapshot.verified_by(&upid), Some(&stale));
        let other = upid.as_str().replace("1A", "1B").parse().unwrap();
        assert_eq!(snapshot.verified_by(&other), None);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for json in [
            r#"{"backup-type":"xx","backup-id":"1","backup-time":1}"#,
            r#"{"backup-type":"ct","backup-id":"../1","backup-time":1}"#,
            r#"{"backup-type":"ct","backup-id":"1","backup-time":9223372036854775807}"#,
            r#"{"backup-type":"ct","backup-id":"1"}"#,
        ] {
            assert!(snapshot(json).is_err(), "{json}");
        }
    }
}
