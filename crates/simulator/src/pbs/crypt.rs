//! Keys of encrypted backups: what hangs on the 32 bytes of a key (proxmox-backup, `pbs-tools/crypt_config.rs`; checked
//! byte for byte against a real server's files).

use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag};
use aes_gcm::{AesGcm, aes::Aes256};
use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::hex;

type Cipher = AesGcm<Aes256, U16>;

/// Length of a blob's initialisation vector, and of its tag.
pub(crate) const IV: usize = 16;

/// The key of a client: the server never has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// 64 hexadecimal digits.
    secret: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Key({})", self.short())
    }
}

/// SHA-256.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

/// Pairs with colons, as fingerprints of keys and certificates are written by a backup server.
pub(crate) fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

impl Key {
    /// A key from its bytes.
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        let secret = hex::lower(&bytes);
        Self { secret }
    }

    /// A key that nobody had before.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 32];
        if rand::fill(&mut bytes).is_err() {
            tracing::warn!("no randomness for a key");
        }
        Self::new(bytes)
    }

    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let pairs = self.secret.as_bytes().chunks(2);
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let digits = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        }
        bytes
    }

    /// What identifies the key in digests without giving it away.
    fn id(&self) -> [u8; 32] {
        let mut id = [0; 32];
        let rounds = std::num::NonZeroU32::MIN.saturating_add(9);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            rounds,
            b"_id_key",
            &self.bytes(),
            &mut id,
        );
        id
    }

    /// The digest of a chunk: of its content and of the key.
    pub(crate) fn digest(&self, plain: &[u8]) -> [u8; 32] {
        sha256(&[plain, &self.id()])
    }

    /// 32 bytes, in pairs with colons.
    pub(crate) fn fingerprint(&self) -> String {
        let label = sha256(&[b"Proxmox Backup Encryption Key Fingerprint"]);
        colons(&sha256(&[&label, &self.id()]))
    }

    /// The first eight bytes, as messages print them.
    pub(crate) fn short(&self) -> String {
        short(&self.fingerprint())
    }

    /// Signs a text: the canonical form of a manifest.
    pub(crate) fn sign(&self, text: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.id());
        hex::lower(hmac::sign(&key, text).as_ref())
    }

    /// Encrypts in place with a fresh initialisation vector; answers that and the tag.
    pub(crate) fn seal(&self, data: &mut [u8]) -> Result<([u8; IV], [u8; IV]), String> {
        let mut iv = [0; IV];
        rand::fill(&mut iv).map_err(|_| "no randomness")?;
        let cipher = Cipher::new(&self.bytes().into());
        let nonce = Nonce::<Cipher>::from(iv);
        let tag = cipher.encrypt_inout_detached(&nonce, b"", data.into());
        Ok((iv, tag.map_err(|_| "encryption failed")?.into()))
    }

    /// Decrypts in place; fails with the words that a client prints.
    pub(crate) fn open(&self, iv: [u8; IV], tag: [u8; IV], data: &mut [u8]) -> Result<(), String> {
        let cipher = Cipher::new(&self.bytes().into());
        let (nonce, tag) = (Nonce::<Cipher>::from(iv), Tag::<Cipher>::from(tag));
        let opened = cipher.decrypt_inout_detached(&nonce, b"", data.into(), &tag);
        opened.map_err(|_| "OpenSSL error".to_owned())
    }

    /// The key as the file that a client keeps, without a password; `now` in RFC 3339.
    pub(crate) fn file(&self, now: &str) -> Value {
        json!({
            "kdf": null, "created": now, "modified": now,
            "data": BASE64.encode(&self.bytes()), "fingerprint": self.fingerprint(),
        })
    }

    /// The key's file, encrypted for the holder of a master key.
    pub(crate) fn sealed_for(&self, pem: &str) -> Result<Vec<u8>, String> {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = BASE64
            .decode(body.trim().as_bytes())
            .map_err(|error| error.to_string())?;
        let unusable = "master key is no RSA key";
        let public = PublicEncryptingKey::from_der(&der).map_err(|_| unusable)?;
        let public = Pkcs1PublicEncryptingKey::new(public).map_err(|_| unusable)?;
        let text = self.file("1970-01-01T00:00:00Z").to_string();
        let mut sealed = vec![0; public.ciphertext_size()];
        let done = public.encrypt(text.as_bytes(), &mut sealed);
        done.map(|sealed| sealed.to_vec())
            .map_err(|_| "data too large for key size".into())
    }

    /// Reads such a file; one with a password cannot be used by a machine.
    pub(crate) fn from_file(text: &str) -> Result<Self, String> {
        let file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.get("kdf").is_some_and(|kdf| !kdf.is_null()) {
            return Err("key is protected by a password".into());
        }
        let data = file.get("data").and_then(Value::as_str);
        let data = BASE64.decode(data.ok_or("missing field `data`")?.as_bytes());
        let data = data.map_err(|error| error.to_string())?;
        let bytes = <[u8; 32]>::try_from(data).map_err(|_| "unexpected key length")?;
        Ok(Self::new(bytes))
    }
}

/// The first eight bytes of a fingerprint.
pub(crate) fn short(fingerprint: &str) -> String {
    fingerprint.get(..23).unwrap_or(fingerprint).to_owned()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn a_key_survives_its_file() {
        let key = Key::random();
        let file = key.file("2026-11-22T23:35:00Z").to_string();
        assert_eq!(Key::from_file(&file).unwrap(), key);
        assert_eq!(key.fingerprint().len(), 95);
        assert!(key.fingerprint().starts_with(&key.short()));
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_key_only() {
        let (key, other) = (Key::new([1; 32]), Key::new([2; 32]));
        let mut data = b"a small secret".to_vec();
        let (iv, tag) = key.seal(&mut data).unwrap();
        assert_ne!(data, b"a small secret");
        let mut copy = data.clone();
        assert_eq!(other.open(iv, tag, &mut copy).unwrap_err(), "OpenSSL error");
        key.open(iv, tag, &mut data).unwrap();
        assert_eq!(data, b"a small secret");
    }

    /// Made with another library of another language.
    #[test]
    fn encryption_and_fingerprint_are_those_of_others() {
        let mut secret = [0; 32];
        (0_u8..)
            .zip(&mut secret)
            .for_each(|(number, byte)| *byte = number);
        let key = Key::new(secret);
        let mut iv = [0; IV];
        (100_u8..)
            .zip(&mut iv)
            .for_each(|(number, byte)| *byte = number);
        let sealed = HEXLOWER
            .decode(b"bed62f398b79795a167b5d594023fb4a9dc1446505e4")
            .unwrap();
        let (data, tag) = sealed.split_at(6);
        let mut data = data.to_vec();
        key.open(iv, tag.try_into().unwrap(), &mut data).unwrap();
        assert_eq!(data, b"felhom");
        assert!(
            key.fingerprint()
                .starts_with("0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7")
        );
    }
}
