//! `trust show`, `trust repin` and `trust rotate`: the certificate, seen and trusted.

mod rotate;

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use felhom_ids::Fingerprint;
use felhom_proxmox::fetch_leaf;
use serde_json::json;

use super::context::{Context, parse, pve_failure, remote_failure};
use crate::config::{self, Config, TrustConfig};
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::remote;

pub(super) use rotate::{follow, rotate};

pub(super) async fn show(context: &Context) -> Result<Exit, Failure> {
    let config = context.config()?;
    let seen = seen(&config).await?;
    let (pinned, agrees) = match &config.trust {
        TrustConfig::Fingerprint(pinned) => (pinned.to_string(), Some(*pinned == seen)),
        TrustConfig::CaFile(path) => (format!("whatever `{}` vouches for", path.display()), None),
        TrustConfig::Insecure => ("anybody (insecure)".to_owned(), None),
    };
    let data =
        json!({ "address": config.address, "trusted": pinned, "seen": seen, "agrees": agrees });
    context.printer.document("felhom.trust", &data, || {
        let verdict = match agrees {
            Some(true) => "the server shows the pinned certificate",
            Some(false) => "THE SERVER SHOWS ANOTHER CERTIFICATE",
            None => "no certificate is pinned",
        };
        format!(
            "{}\n  trusted: {pinned}\n  seen:    {seen}\n  {verdict}",
            config.address
        )
    });
    if agrees == Some(false) {
        context.printer.narrate(&how_to_look(&seen));
        return Ok(Exit::Remote);
    }
    Ok(Exit::Done)
}

pub(super) async fn repin(
    context: &Context,
    accept: Option<&str>,
    dry_run: bool,
) -> Result<Exit, Failure> {
    let config = context.config()?;
    let TrustConfig::Fingerprint(pinned) = config.trust else {
        return Err(no_pin());
    };
    let seen = seen(&config).await?;
    if seen == pinned {
        let data = json!({ "pinned": pinned, "changed": false });
        context.printer.document("felhom.trust", &data, || {
            "the server shows the pinned certificate".into()
        });
        return Ok(Exit::Done);
    }
    let Some(accept) = accept else {
        return Err(Failure::new(
            Exit::Refused,
            "not-accepted",
            format!("the server shows {seen}, pinned is {pinned}"),
        )
        .hint(how_to_look(&seen)));
    };
    let accepted: Fingerprint = parse("--accept", accept)?;
    if accepted != seen {
        return Err(Failure::new(
            Exit::Remote,
            "untrusted",
            format!("the server shows {seen}, which is not what you accepted"),
        ));
    }
    if !dry_run {
        let named = config::load(&config.path).map(|config| config.trust);
        let named = match named {
            Ok(TrustConfig::Fingerprint(named)) => named,
            Ok(TrustConfig::CaFile(_) | TrustConfig::Insecure) | Err(_) => pinned,
        };
        replace_pin(&config.path, &named, &seen)?;
        // What followed the former pin is over: a person has decided.
        if let Ok(journal) = Journal::read(&config.state_dir).await
            && let Err(error) = journal.pins_written().await
        {
            tracing::warn!(%error, "the journal still holds what followed the former pin");
        }
    }
    let data = json!({ "pinned": seen, "before": pinned, "changed": !dry_run, "dry_run": dry_run });
    let verb = if dry_run { "would be" } else { "is" };
    context.printer.document("felhom.trust", &data, || {
        format!("{seen} {verb} pinned in `{}`", config.path.display())
    });
    Ok(Exit::Done)
}

fn no_pin() -> Failure {
    Failure::new(
        Exit::Refused,
        "no-pin",
        "the configuration does not pin a certificate",
    )
    .hint("write `fingerprint = \"…\"` into [pve], with the fingerprint that `trust show` prints")
}

async fn seen(config: &Config) -> Result<Fingerprint, Failure> {
    let address = remote::address(config).map_err(|error| remote_failure(&error))?;
    let leaf = fetch_leaf(&address, config.request_timeout)
        .await
        .map_err(|error| pve_failure(&error))?;
    Ok(leaf.fingerprint)
}

fn how_to_look(seen: &Fingerprint) -> String {
    format!(
        "on the node: openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256 \
         (or pveproxy-ssl.pem, if there is one); if it is the same, run `felhom-agent trust repin --accept {seen}`"
    )
}

/// Replaces the pinned fingerprint and nothing else, so that comments stay; the file is replaced as a whole.
fn replace_pin(path: &Path, old: &Fingerprint, new: &Fingerprint) -> Result<(), Failure> {
    let fail = |error: std::io::Error| unchangeable(path, &error);
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let is_old = |part: &&str| part.parse::<Fingerprint>().is_ok_and(|named| named == *old);
    let written_in = |line: &'_ str| line.split('"').find(is_old).map(str::to_owned);
    let (line, written) = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && line.contains("fingerprint"))
        .find_map(|line| Some((line, written_in(line)?)))
        .ok_or_else(|| {
            Failure::new(
                Exit::Configuration,
                "config",
                format!("no line of the file names {old}"),
            )
        })?;
    let changed = text.replacen(line, &line.replace(&written, &new.to_string()), 1);
    replace(path, &changed).map_err(|error| not_replaced(path, &written, new, &error))
}

fn unchangeable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Configuration,
        "config",
        format!("`{}` cannot be changed", path.display()),
    )
    .caused_by(error)
}

/// Where the package made it, the file is root's and we are not.
fn not_replaced(path: &Path, written: &str, new: &Fingerprint, error: &std::io::Error) -> Failure {
    let failure = unchangeable(path, error);
    if error.kind() != ErrorKind::PermissionDenied {
        return failure;
    }
    failure.hint(format!(
        "as root: sed -i 's/{written}/{new}/' {}",
        path.display()
    ))
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&beside)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())?;
    std::fs::rename(&beside, path)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(directory).and_then(|directory| directory.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_only_root_may_write_the_hint_is_what_root_types() {
        let new: Fingerprint = ["AB"; 32].join(":").parse().unwrap();
        let written = "0f".repeat(32);
        let told = |kind: ErrorKind| {
            let path = Path::new("/etc/felhom/agent.toml");
            not_replaced(path, &written, &new, &kind.into()).hint
        };
        assert_eq!(
            told(ErrorKind::PermissionDenied),
            Some(format!(
                "as root: sed -i 's/{written}/{new}/' /etc/felhom/agent.toml"
            ))
        );
        let full = told(ErrorKind::StorageFull);
        assert!(!full.unwrap_or_default().contains("sed"));
    }
}
