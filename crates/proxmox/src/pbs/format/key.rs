//! An encryption key: 32 bytes that open every backup made with them, and without which nobody reads those again.

use std::fmt;
use std::num::NonZeroU32;

use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use felhom_ids::KeyFingerprint;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::{Deserialize, Serialize};

use super::{Invalid, sha256};

const WHAT: &str = "key file";

/// The longest key file that is read; a real one has some 300 bytes.
const LONGEST: usize = 64 << 10;

/// A nonce of 16 bytes, not the usual 12: the format's own choice.
type Cipher = AesGcm<Aes256, U16>;

/// An encryption key. Its bytes show in no output, and are wiped from memory when it goes.
pub struct Key {
    bytes: SecretBox<[u8; 32]>,
    /// Derived from the key: what names of chunks and signatures are made with, and which opens nothing.
    id: SecretBox<[u8; 32]>,
}

/// A key file as Proxmox Backup writes it.
#[derive(Deserialize)]
struct Read {
    /// How the password becomes a key; `null` without one.
    kdf: Option<serde_json::Value>,
    data: String,
    #[serde(default)]
    fingerprint: Option<KeyFingerprint>,
}

/// The same for writing, with the fields that it wants to find.
#[derive(Serialize)]
struct Written<'a> {
    kdf: (),
    created: &'a str,
    modified: &'a str,
    data: &'a str,
    fingerprint: KeyFingerprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl Key {
    /// The key of these bytes, which should then be wiped.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let kept = SecretBox::init_with_mut(|kept: &mut [u8; 32]| *kept = *bytes);
        // An identifier for sums and signatures, not a password's protection: the format says ten rounds.
        let rounds = NonZeroU32::MIN.saturating_add(9);
        let id = SecretBox::init_with_mut(|id: &mut [u8; 32]| {
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"_id_key", bytes, id);
        });
        Self { bytes: kept, id }
    }

    /// A new random key.
    ///
    /// # Errors
    /// [`Invalid::Random`]
    pub fn generate() -> Result<Self, Invalid> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(bytes.as_mut_slice()).map_err(|_| Invalid::Random)?;
        Ok(Self::from_bytes(&bytes))
    }

    /// Reads a key file as Proxmox Backup writes it, one without a password.
    ///
    /// # Errors
    /// [`Invalid::PasswordProtected`]; [`Invalid::OtherKey`] when the file names another fingerprint than its key has;
    /// [`Invalid::Json`].
    pub fn from_file(text: &SecretString) -> Result<Self, Invalid> {
        let text = text.expose_secret();
        if text.len() > LONGEST {
            return Err(Invalid::TooLong {
                what: WHAT,
                limit: LONGEST,
            });
        }
        let file: Read = serde_json::from_str(text).map_err(|error| Invalid::json(WHAT, &error))?;
        let data = Zeroizing::new(file.data);
        if file.kdf.is_some() {
            return Err(Invalid::PasswordProtected);
        }
        let wrong = || Invalid::Contradiction {
            what: WHAT,
            why: "its data is not 32 bytes",
        };
        let mut bytes = Zeroizing::new([0_u8; 33]);
        let length = STANDARD
            .decode_slice(data.as_bytes(), bytes.as_mut_slice())
            .map_err(|_| wrong())?;
        let whole = bytes.first_chunk().filter(|_| length == 32);
        let key = Self::from_bytes(whole.ok_or_else(wrong)?);
        match file.fingerprint {
            Some(fingerprint) => key.must_be(&fingerprint).map(|()| key),
            None => Ok(key),
        }
    }

    /// A key file that Proxmox Backup and PVE read: without a password, since who may read it may read the backups.
    /// `created` is in seconds since 1970.
    pub fn to_file(&self, created: i64, hint: Option<&str>) -> SecretString {
        let created = jiff::Timestamp::from_second(created)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_string();
        let data = Zeroizing::new(STANDARD.encode(self.bytes.expose_secret()));
        let file = Written {
            kdf: (),
            created: &created,
            modified: &created,
            data: &data,
            fingerprint: self.fingerprint(),
            hint,
        };
        // All of it is text, so that writing it cannot fail.
        serde_json::to_string_pretty(&file)
            .unwrap_or_default()
            .into()
    }

    /// By what it is told from others. Shows nothing of the key.
    pub fn fingerprint(&self) -> KeyFingerprint {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&sha256(b"Proxmox Backup Encryption Key Fingerprint"));
        context.update(self.id.expose_secret());
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        KeyFingerprint::from_bytes(bytes)
    }

    /// Refuses to be taken for another key.
    ///
    /// # Errors
    /// [`Invalid::OtherKey`]
    pub fn must_be(&self, expected: &KeyFingerprint) -> Result<(), Invalid> {
        let seen = self.fingerprint();
        if seen == *expected {
            return Ok(());
        }
        Err(Invalid::OtherKey {
            expected: expected.short(),
            seen: seen.short(),
        })
    }

    /// Opens what was sealed with this key.
    pub(super) fn open(
        &self,
        nonce: &[u8; 16],
        tag: &[u8; 16],
        sealed: &[u8],
    ) -> Result<Vec<u8>, Invalid> {
        let cipher =
            Cipher::new_from_slice(self.bytes.expose_secret()).map_err(|_| Invalid::Unopened)?;
        let mut with_tag = Vec::with_capacity(sealed.len() + tag.len());
        with_tag.extend_from_slice(sealed);
        with_tag.extend_from_slice(tag);
        cipher
            .decrypt(&Nonce::<U16>::from(*nonce), with_tag.as_slice())
            .map_err(|_| Invalid::Unopened)
    }

    /// Whether this key made the signature of a text. Takes the same time for any wrong one.
    pub(super) fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.id.expose_secret());
        hmac::verify(&key, text, signature).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, [redacted])", self.fingerprint().short())
    }
}

/// By what an index names a chunk: of its contents, decompressed and decrypted, and of the key where there is one, so that
/// nobody can tell from names alone what is in an encrypted backup.
pub fn chunk_digest(contents: &[u8], key: Option<&Key>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(contents);
    if let Some(key) = key {
        context.update(key.id.expose_secret());
    }
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    bytes
}
