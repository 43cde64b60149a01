//! Where a server is, who it must be, and who we are to it.

use std::path::{Path, PathBuf};

use felhom_ids::{Fingerprint, TokenId};
use felhom_proxmox::Address;
use serde::Serialize;

use super::problems::Problems;
use super::raw::RawPrincipal;

/// Whom to trust at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustConfig {
    /// Exactly one certificate, by its SHA-256.
    Fingerprint(Fingerprint),
    /// Exactly one certificate authority.
    CaFile(PathBuf),
    /// Anybody. Warned about at every start.
    Insecure,
}

/// One identity: a token and where its secret is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrincipalConfig {
    /// `user@realm!name`.
    pub token: TokenId,
    /// The file that holds the secret, readable by its owner only.
    pub secret_file: PathBuf,
}

/// `host:port` of `https://host[:port]`; `section` names the place in the file, such as `pve`.
pub(super) fn address(
    section: &str,
    url: &str,
    port: u16,
    problems: &mut Problems,
) -> Option<String> {
    let rest = url
        .strip_prefix("https://")
        .map(|rest| rest.trim_end_matches('/'));
    let Some(rest) =
        rest.filter(|rest| !rest.is_empty() && !rest.contains(['/', '@', '?', '#', ' ']))
    else {
        // What stands before an `@` may be a password, and messages end in logs.
        let shown = url.rsplit_once('@').map_or(url, |(_, after)| after);
        problems.0.push(format!(
            "{section}.url: `{shown}` is no address like `https://127.0.0.1:{port}`"
        ));
        return None;
    };
    // `[::1]` has colons of its own.
    let after_host = rest.rsplit_once(']').map_or(rest, |(_, after)| after);
    let address = if after_host.contains(':') {
        rest.to_owned()
    } else {
        format!("{rest}:{port}")
    };
    let readable: Option<Address> = problems.parse(&format!("{section}.url"), &address);
    readable.map(|_| address)
}

/// What is written about whom to trust.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawTrust<'a> {
    pub(super) fingerprint: Option<&'a str>,
    pub(super) ca_file: Option<&'a Path>,
    pub(super) insecure: bool,
}

pub(super) fn trust(
    section: &str,
    raw: RawTrust<'_>,
    base: &Path,
    problems: &mut Problems,
) -> Option<TrustConfig> {
    match (raw.fingerprint, raw.ca_file, raw.insecure) {
        (Some(fingerprint), None, false) => problems
            .parse(&format!("{section}.fingerprint"), fingerprint)
            .map(TrustConfig::Fingerprint),
        (None, Some(file), false) => Some(TrustConfig::CaFile(base.join(file))),
        (None, None, true) => Some(TrustConfig::Insecure),
        _ => {
            let shown_by = if section == "pve" {
                "felhom-agent trust show"
            } else {
                "proxmox-backup-manager cert info"
            };
            problems.0.push(format!(
                "{section}: exactly one of `fingerprint` and `ca_file` is needed (see it with `{shown_by}`)"
            ));
            None
        }
    }
}

pub(super) fn principal(
    section: &str,
    raw: &RawPrincipal,
    base: &Path,
    problems: &mut Problems,
) -> Option<PrincipalConfig> {
    let token = problems.parse(&format!("{section}.token"), &raw.token);
    let secret_file = match (&raw.secret_file, &raw.credential) {
        (Some(file), None) => Some(base.join(file)),
        // A unit and a person's shell use one configuration: what systemd handed over comes first.
        (Some(file), Some(name)) => {
            Some(crate::credentials::handed_over(name).unwrap_or_else(|| base.join(file)))
        }
        (None, Some(name)) => crate::credentials::credential_path(name)
            .map_err(|error| problems.0.push(format!("{section}.credential: {error}")))
            .ok(),
        (None, None) => {
            problems.0.push(format!(
                "{section}: `secret_file` or `credential` is needed"
            ));
            None
        }
    };
    Some(PrincipalConfig {
        token: token?,
        secret_file: secret_file?,
    })
}
