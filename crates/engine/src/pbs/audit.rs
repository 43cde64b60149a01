//! Zero knowledge, shown and not promised: the server can read nothing of a snapshot but names, sizes and times.
//!
//! The manifest says how each file is protected; the first bytes of what the server really serves say whether that is so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use felhom_ids::{BackupSnapshot, KeyFingerprint};
use serde::{Deserialize, Serialize};

use super::facts::{CLIENT_LOG, CryptMode, ESCROW, MANIFEST, SnapshotFile, Target};
use crate::finding::{Finding, codes, one_line};

/// What the first eight bytes of a file say that it is (each the head of the SHA-256 of the format's name; seen on 3.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Magic {
    /// `Proxmox Backup uncompressed blob v1.0`.
    PlainBlob,
    /// `Proxmox Backup zstd compressed blob v1.0`.
    CompressedBlob,
    /// `Proxmox Backup encrypted blob v1.0`.
    EncryptedBlob,
    /// `Proxmox Backup zstd compressed encrypted blob v1.0`.
    CompressedEncryptedBlob,
    /// `Proxmox Backup dynamic sized chunk index v1.0`.
    DynamicIndex,
    /// `Proxmox Backup fixed sized chunk index v1.0`.
    FixedIndex,
    /// None of them, or fewer than eight bytes.
    Other,
}

impl Magic {
    /// Of the beginning of a file.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes.first_chunk::<8>() {
            Some([66, 171, 56, 7, 190, 131, 112, 161]) => Self::PlainBlob,
            Some([49, 185, 88, 66, 111, 182, 163, 127]) => Self::CompressedBlob,
            Some([123, 103, 133, 190, 34, 45, 76, 240]) => Self::EncryptedBlob,
            Some([230, 89, 27, 191, 11, 191, 216, 11]) => Self::CompressedEncryptedBlob,
            Some([28, 145, 78, 165, 25, 186, 179, 205]) => Self::DynamicIndex,
            Some([47, 127, 65, 237, 145, 253, 15, 205]) => Self::FixedIndex,
            Some(_) | None => Self::Other,
        }
    }
}

impl fmt::Display for Magic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlainBlob => "a blob that is not encrypted",
            Self::CompressedBlob => "a compressed blob that is not encrypted",
            Self::EncryptedBlob | Self::CompressedEncryptedBlob => "an encrypted blob",
            Self::DynamicIndex => "a dynamic index",
            Self::FixedIndex => "a fixed index",
            Self::Other => "no file of Proxmox Backup's",
        })
    }
}

/// The beginning of a file as the server serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// It was downloaded.
    Seen {
        /// What it says that it is.
        magic: Magic,
        /// Bytes of the whole file, where they were counted.
        len: Option<u64>,
    },
    /// It was not, and why.
    NotDownloaded(String),
}

/// The manifest of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// All files that it names.
    pub files: Vec<SnapshotFile>,
    /// The key that it names.
    pub key: Option<KeyFingerprint>,
    /// Whether it bears a signature.
    pub signed: bool,
}

/// All that was seen of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSubject {
    /// The snapshot.
    pub snapshot: BackupSnapshot,
    /// Its manifest as downloaded, or why there is none.
    pub manifest: Result<Manifest, String>,
    /// The names of all files that the server lists, those beyond the manifest among them.
    pub listed: BTreeSet<String>,
    /// The beginnings, by name.
    pub heads: BTreeMap<String, Head>,
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPolicy {
    /// The key that the storage has; `None` when it has none, or that cannot be seen.
    pub key: Option<KeyFingerprint>,
    /// The key that the configuration names. Where it does, backups are judged by it: the storage's may have been swapped.
    pub configured: Option<KeyFingerprint>,
    /// Whether the storage has a master public key, so that each backup holds an escrow copy; `None` when nobody said.
    pub master_key: Option<bool>,
}

/// What an audit comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditVerdict {
    /// All that can be shown from outside was.
    Passed,
    /// The server can read something, or somebody else's key opens it.
    Failed,
    /// Something could not be looked at.
    Undetermined,
}

impl fmt::Display for AuditVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Undetermined => "undetermined",
        })
    }
}

/// The audit of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The snapshot.
    pub snapshot: BackupSnapshot,
    /// What it comes to.
    pub verdict: AuditVerdict,
    /// What was shown, a line a file.
    pub shown: Vec<String>,
    /// What the server can read, or what another key opens.
    pub breaches: Vec<String>,
    /// What should have been looked at and was not.
    pub unseen: Vec<String>,
    /// The key that it was made with, when it is another than it should be and that is the only breach.
    #[serde(default)]
    pub other_key: Option<KeyFingerprint>,
    /// What no look from outside can show, and what the server always sees. Part of every audit.
    pub limits: Vec<String>,
}

/// Header of an unencrypted blob.
const BLOB_HEADER: u64 = 12;
/// Bytes of what RSA makes of the key file: as many as the master key has. 2048 bits are too few for a key file (seen).
const RSA_LENGTHS: [u64; 4] = [384, 512, 768, 1024];
/// What no audit shows.
const LIMITS: [&str; 3] = [
    "chunks are not downloaded: that the content behind an index is encrypted is shown by the manifest's `crypt-mode` alone",
    "the manifest's signature can be checked only with the key, as every restore does",
    "the server sees the names and sizes of files, times, the owner, and which chunks two backups share",
];

/// Audits one snapshot.
pub fn audit(subject: &AuditSubject, policy: &AuditPolicy) -> Audit {
    let mut audit = Audit::new(subject.snapshot.clone());
    match &subject.manifest {
        Ok(manifest) => {
            audit.key(manifest, policy);
            audit.manifest(manifest, subject, policy);
        }
        Err(why) => audit
            .unseen
            .push(format!("the manifest: {}", one_line(why))),
    }
    let in_manifest = |name: &str| match &subject.manifest {
        Ok(manifest) => manifest.files.iter().any(|file| file.name == name),
        Err(_) => false,
    };
    let names: BTreeSet<&String> = subject.listed.iter().chain(subject.heads.keys()).collect();
    for name in names {
        if name != MANIFEST && !in_manifest(name) {
            audit.beyond(name, subject, policy);
        }
    }
    if policy.master_key == Some(true) && !subject.listed.contains(ESCROW) && !in_manifest(ESCROW) {
        audit.unseen.push(format!(
            "{ESCROW}: no escrow copy, though a master key is set; made before it was set?"
        ));
    }
    audit.other_key = audit.other_key.filter(|_| audit.breaches.len() == 1);
    audit.verdict = match (audit.breaches.is_empty(), audit.unseen.is_empty()) {
        (false, _) => AuditVerdict::Failed,
        (true, false) => AuditVerdict::Undetermined,
        (true, true) => AuditVerdict::Passed,
    };
    audit
}

impl Audit {
    fn new(snapshot: BackupSnapshot) -> Self {
        Self {
            snapshot,
            verdict: AuditVerdict::Passed,
            shown: Vec::new(),
            breaches: Vec::new(),
            unseen: Vec::new(),
            other_key: None,
            limits: LIMITS.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Of a snapshot that could not be looked at.
    pub fn undetermined(snapshot: BackupSnapshot, why: &str) -> Self {
        let mut audit = Self::new(snapshot);
        audit.verdict = AuditVerdict::Undetermined;
        audit.unseen.push(one_line(why));
        audit
    }

    fn key(&mut self, manifest: &Manifest, policy: &AuditPolicy) {
        if let (Some(has), Some(should)) = (policy.key, policy.configured)
            && has != should
        {
            self.unseen.push(format!(
                "which key is ours: the storage has {}, and the configuration {}",
                has.short(),
                should.short()
            ));
        }
        let who = match policy.configured {
            Some(_) => "the configuration",
            None => "the storage",
        };
        match (manifest.key, policy.configured.or(policy.key)) {
            (None, _) => self
                .breaches
                .push("the manifest names no encryption key".to_owned()),
            (Some(_), None) => self
                .unseen
                .push("the storage's own key: its fingerprint is not known".to_owned()),
            (Some(made), Some(should)) if made != should => {
                self.other_key = Some(made);
                self.breaches.push(format!(
                    "it was made with key {}, and {who} has {}",
                    made.short(),
                    should.short()
                ));
            }
            (Some(made), Some(_)) => self
                .shown
                .push(format!("one key, {}, that of {who}", made.short())),
        }
        if !manifest.signed {
            self.breaches
                .push("the manifest is not signed, so the server may have written it".to_owned());
        }
    }

    fn manifest(&mut self, manifest: &Manifest, subject: &AuditSubject, policy: &AuditPolicy) {
        if !manifest.files.iter().any(SnapshotFile::is_data) {
            self.breaches.push("the manifest names no data".to_owned());
        }
        for file in &manifest.files {
            let name = one_line(&file.name);
            match (file.name.as_str(), file.crypt_mode) {
                // Signed is all it can be: the server must read it.
                (MANIFEST, _) => continue,
                (ESCROW, _) | (_, Some(CryptMode::Encrypt)) => {}
                (_, Some(mode)) => {
                    let mode = match mode {
                        CryptMode::SignOnly => "sign-only",
                        CryptMode::None | CryptMode::Encrypt => "none",
                    };
                    self.breaches.push(format!("{name}: crypt-mode `{mode}`"));
                }
                (_, None) => self.unseen.push(format!("{name}: its crypt-mode")),
            }
            self.head(&file.name, subject, policy);
        }
    }

    /// A file that the manifest does not name. Only the client's log is one by nature.
    fn beyond(&mut self, name: &str, subject: &AuditSubject, policy: &AuditPolicy) {
        if name != CLIENT_LOG && subject.manifest.is_ok() {
            self.unseen.push(format!(
                "{}: it is not in the manifest, so nobody vouches for it",
                one_line(name)
            ));
        }
        self.head(name, subject, policy);
    }

    /// What the server really serves under this name.
    fn head(&mut self, name: &str, subject: &AuditSubject, policy: &AuditPolicy) {
        let told = one_line(name);
        let (magic, len) = match subject.heads.get(name) {
            Some(Head::Seen { magic, len }) => (*magic, *len),
            Some(Head::NotDownloaded(why)) => {
                let why = one_line(why);
                return self
                    .unseen
                    .push(format!("{told}: it was not downloaded: {why}"));
            }
            None => {
                return self.unseen.push(format!("{told}: it was not downloaded"));
            }
        };
        if name == ESCROW {
            return self.escrow(magic, len, policy);
        }
        let wanted: &[Magic] = match name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("blob") => &[Magic::EncryptedBlob, Magic::CompressedEncryptedBlob],
            Some("didx") => &[Magic::DynamicIndex],
            Some("fidx") => &[Magic::FixedIndex],
            Some(_) | None => &[],
        };
        if wanted.contains(&magic) {
            self.shown.push(format!("{told}: {magic}"));
        } else if magic == Magic::Other && wanted.is_empty() {
            self.unseen
                .push(format!("{told}: its kind is not known here"));
        } else {
            self.breaches.push(format!("{told}: {magic}"));
        }
    }

    /// The key, encrypted to the master key: a plain container by nature, with nothing in it but one RSA block.
    fn escrow(&mut self, magic: Magic, len: Option<u64>, policy: &AuditPolicy) {
        if magic != Magic::PlainBlob {
            return self.breaches.push(format!("{ESCROW}: {magic}"));
        }
        match len.map(|len| len.saturating_sub(BLOB_HEADER)) {
            None => self.unseen.push(format!("{ESCROW}: its length")),
            Some(len) if !RSA_LENGTHS.contains(&len) => self.breaches.push(format!(
                "{ESCROW}: {len} bytes, which no master key makes of a key file"
            )),
            Some(_) => match policy.master_key {
                Some(true) => self.shown.push(format!("{ESCROW}: the escrow copy")),
                Some(false) => self.breaches.push(format!(
                    "{ESCROW}: an escrow copy, and the storage has no master key: somebody else's opens this backup"
                )),
                None => self
                    .unseen
                    .push(format!("{ESCROW}: whose master key it is for")),
            },
        }
    }
}

/// What a person should know of the audits of one storage.
pub fn audit_findings(target: &Target, audits: &[Audit]) -> Vec<Finding> {
    let told = audits.iter().filter_map(|audit| {
        let (code, why, hint) = match audit.verdict {
            AuditVerdict::Passed => return None,
            AuditVerdict::Failed => (
                codes::SERVER_CAN_READ,
                &audit.breaches,
                breach_hint(target, audit.other_key),
            ),
            AuditVerdict::Undetermined => (
                codes::SERVER_CAN_READ_UNPROVEN,
                &audit.unseen,
                format!(
                    "felhom-agent pbs audit again; reading files needs `DatastoreReader` on `{}`",
                    target.datastore
                ),
            ),
        };
        let subject = format!("backup {} on {}", audit.snapshot, target.storage);
        Some(Finding::new(code, subject, why.join("; ")).hint(hint))
    });
    told.collect()
}

/// What to do about a breach. What another key of ours opens is a backup, and perhaps the only one.
fn breach_hint(target: &Target, other_key: Option<KeyFingerprint>) -> String {
    let storage = &target.storage;
    match other_key {
        Some(key) => format!(
            "do not remove it: the kit of key {} opens it; find that kit, and see which key the storage should have: \
             felhom-agent doctor",
            key.short()
        ),
        None => format!(
            "see that the storage has its key (pvesm config {storage}: `encryption-key`) and make a new backup; only when \
             felhom-agent pbs audit passes that one, remove this one on the backup server"
        ),
    }
}
