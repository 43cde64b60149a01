//! `trust rotate`: the pin that follows the certificate by itself, and how that stands.

use felhom_engine::Principal;
use felhom_ids::Fingerprint;
use serde_json::json;

use super::{no_pin, replace_pin};
use crate::cli::context::{Context, journal_failure, pve_failure};
use crate::clock;
use crate::config::{self, Config, TrustConfig};
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, PinChange};
use crate::pins::{self, Learned};

/// Before a command begins: takes a prepared pin that is shown now. Writes it into the configuration where that can be
/// written; where not, the journal's word holds.
pub(in crate::cli) async fn follow(
    context: &Context,
    take: bool,
) -> Option<(Fingerprint, Fingerprint)> {
    let config = config::load(&context.path).ok()?;
    let TrustConfig::Fingerprint(configured) = config.trust else {
        return None;
    };
    let followed = pins::follow(&config, take).await?;
    if followed.just_taken {
        let pin = followed.pin;
        context.printer.narrate(&format!(
            "the node shows the certificate that was prepared for it: {pin} is pinned from now on, and {configured} is not"
        ));
    }
    if take && followed.only_in_journal && written(&config, &configured, &followed.pin).await {
        return None;
    }
    followed
        .only_in_journal
        .then_some((configured, followed.pin))
}

/// Writes the pin into the configuration, and notes that.
async fn written(config: &Config, former: &Fingerprint, pin: &Fingerprint) -> bool {
    if let Err(failure) = replace_pin(&config.path, former, pin) {
        let why = failure.causes.join(": ");
        tracing::debug!(%why, "the configuration keeps the former pin; the journal has the new one");
        return false;
    }
    let noted = async { Journal::read(&config.state_dir).await?.pins_written().await };
    if let Err(error) = noted.await {
        tracing::debug!(%error, "that the configuration names the pin is not noted");
    }
    true
}

pub(in crate::cli) async fn rotate(context: &Context, dry_run: bool) -> Result<Exit, Failure> {
    let before = config::load(&context.path).ok();
    let configured = before.and_then(|config| match config.trust {
        TrustConfig::Fingerprint(pin) => Some(pin),
        TrustConfig::CaFile(_) | TrustConfig::Insecure => None,
    });
    let performer = context.performer()?;
    let config = performer.config();
    let TrustConfig::Fingerprint(pin) = &config.trust else {
        return Err(no_pin());
    };
    let pve = performer.remotes().of(Principal::Agent);
    let learned = pins::learn(&config.state_dir, pin, pve, !dry_run, clock::now())
        .await
        .map_err(|error| pve_failure(&error))?;
    let changes = match context.read_journal(config).await? {
        Some(journal) => journal
            .pin_changes()
            .await
            .map_err(|error| journal_failure(&error))?,
        None => Vec::new(),
    };
    let in_configuration = configured.as_ref() == Some(pin);
    let next = match &learned {
        Learned::Next(next) => Some(next),
        Learned::Nothing | Learned::Untold => None,
    };
    let data = json!({
        "pinned": pin, "next": next, "prepared": next.is_some() && !dry_run, "dry_run": dry_run,
        "in_configuration": in_configuration, "history": changes,
    });
    context.printer.document("felhom.pin-rotation", &data, || {
        let mut lines = vec![format!("{pin} is pinned, and shown by the node"), said(&learned, dry_run)];
        if !in_configuration {
            lines.push(format!(
                "the configuration names a former one, since it could not be written; as root write \
                 `fingerprint = \"{pin}\"` into [pve] of {}",
                config.path.display()
            ));
        }
        lines.extend(changes.iter().map(history));
        lines.join("\n")
    });
    Ok(Exit::Done)
}

fn said(learned: &Learned, dry_run: bool) -> String {
    match (learned, dry_run) {
        (Learned::Nothing, _) => "it is the one in the node's file: nothing follows".to_owned(),
        (Learned::Untold, _) => "the node names no certificate that could follow".to_owned(),
        (Learned::Next(next), true) => {
            format!("{next} stands in the node's file; it would be prepared")
        }
        (Learned::Next(next), false) => format!(
            "{next} stands in the node's file: it is prepared, and taken as soon as the node shows exactly that"
        ),
    }
}

fn history(change: &PinChange) -> String {
    let (former, next) = (change.former, change.next);
    let learned = clock::local(change.learned);
    match change.taken {
        Some(taken) => format!(
            "{}: {next} after {former}, learned {learned}",
            clock::local(taken)
        ),
        None => format!("prepared {learned}: {next} after {former}"),
    }
}
