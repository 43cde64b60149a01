//! `[pbs.STORAGE]`: the backup servers behind storages of PVE.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use felhom_ids::{DatastoreName, KeyFingerprint, Namespace, StorageId, TokenId};
use serde::Serialize;
use serde_json::{Value, json};

use super::peer::{self, PrincipalConfig, RawTrust, TrustConfig};
use super::problems::Problems;
use super::raw::{RawPbs, RawPrincipal};
use super::span::Span;

/// Disks rot slowly; a month is what Proxmox's own documentation proposes for verifying again.
const VERIFY_EVERY: Duration = Duration::from_hours(30 * 24);
/// Verifying reads every chunk: it shall be over before the next backup is due.
const VERIFY_FOR: Duration = Duration::from_hours(4);

/// A backup server, and what is expected of the backups on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PbsConfig {
    /// `host:port`.
    pub address: String,
    /// Whom to trust there.
    pub trust: TrustConfig,
    /// The datastore.
    pub datastore: DatastoreName,
    /// The namespace in it.
    pub namespace: Namespace,
    /// The agent's own token there, which reads and verifies, and can neither write nor delete.
    pub identity: PrincipalConfig,
    /// Who makes the backups: the token in PVE's definition of the storage.
    pub owner: Option<TokenId>,
    /// Whether every backup must be encrypted.
    pub encrypted: bool,
    /// The key that they must be encrypted with.
    pub key: Option<KeyFingerprint>,
    /// How old a verified state may become.
    pub verify_every: Duration,
    /// For how long verifying goes on before it leaves the rest to the next time.
    pub verify_for: Duration,
}

pub(super) fn pbs(
    raw: &BTreeMap<String, RawPbs>,
    base: &Path,
    problems: &mut Problems,
) -> Option<BTreeMap<StorageId, PbsConfig>> {
    // All are looked at, whatever is wrong with the first.
    let all: Vec<_> = raw
        .iter()
        .map(|(name, raw)| {
            let storage = problems.parse("pbs", name);
            let config = one(&format!("pbs.{name}"), raw, base, problems);
            storage.zip(config)
        })
        .collect();
    all.into_iter().collect()
}

fn one(section: &str, raw: &RawPbs, base: &Path, problems: &mut Problems) -> Option<PbsConfig> {
    let address = peer::address(section, &raw.url, 8007, problems);
    let trust = RawTrust {
        fingerprint: raw.fingerprint.as_deref(),
        ca_file: raw.ca_file.as_deref(),
        insecure: false,
    };
    let trust = peer::trust(section, trust, base, problems);
    let identity = RawPrincipal {
        token: raw.token.clone(),
        secret_file: raw.secret_file.clone(),
        credential: raw.credential.clone(),
    };
    let identity = peer::principal(section, &identity, base, problems);
    let datastore = problems.parse(&format!("{section}.datastore"), &raw.datastore);
    let namespace = problems.parse_or(
        &format!("{section}.namespace"),
        raw.namespace.as_deref(),
        "",
    );
    let owner = maybe(&format!("{section}.owner"), raw.owner.as_deref(), problems);
    let key = maybe(
        &format!("{section}.key_fingerprint"),
        raw.key_fingerprint.as_deref(),
        problems,
    );
    let encrypted = raw.encrypted.unwrap_or(true);
    problems.require(
        encrypted || raw.key_fingerprint.is_none(),
        &format!("{section}: `key_fingerprint` names a key, and `encrypted = false` wants none"),
        (),
    );
    let verify_every = raw.verify_every.map_or(VERIFY_EVERY, Span::get);
    let verify_for = raw.verify_for.map_or(VERIFY_FOR, Span::get);
    for (key, span) in [("verify_every", verify_every), ("verify_for", verify_for)] {
        problems.require(
            !span.is_zero(),
            &format!("{section}.{key}: `0s` leaves no time to verify anything"),
            (),
        );
    }
    Some(PbsConfig {
        address: address?,
        trust: trust?,
        datastore: datastore?,
        namespace: namespace?,
        identity: identity?,
        owner: owner?,
        encrypted,
        key: key?,
        verify_every,
        verify_for,
    })
}

/// `None` where it is written and wrong.
#[expect(
    clippy::option_option,
    reason = "wrong is another thing than not written"
)]
fn maybe<T: std::str::FromStr<Err: std::fmt::Display>>(
    key: &str,
    text: Option<&str>,
    problems: &mut Problems,
) -> Option<Option<T>> {
    text.map_or(Some(None), |text| problems.parse(key, text).map(Some))
}

pub(super) fn shown(all: &BTreeMap<StorageId, PbsConfig>) -> Value {
    let one = |config: &PbsConfig| {
        let span = |duration: Duration| Span::new(duration).to_string();
        let mut shown = json!({
            "url": format!("https://{}", config.address),
            "datastore": config.datastore,
            "namespace": config.namespace,
            "token": config.identity.token,
            "secret_file": config.identity.secret_file,
            "owner": config.owner,
            "encrypted": config.encrypted,
            "key_fingerprint": config.key,
            "verify_every": span(config.verify_every),
            "verify_for": span(config.verify_for),
        });
        if let Some(shown) = shown.as_object_mut() {
            let (key, value) = super::shown::trust(&config.trust);
            shown.insert(key.to_owned(), value);
        }
        shown
    };
    all.iter()
        .map(|(storage, config)| (storage.to_string(), one(config)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
