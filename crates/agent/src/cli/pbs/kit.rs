//! `pbs kit`: the page and the key file without which a lost box loses its backups, too.

use clap::Args;
use felhom_ids::{KeyFingerprint, StorageId};
use serde_json::json;

use super::chosen;
use crate::cli::context::{Context, journal_failure};
use crate::clock;
use crate::doctor::pbs::Look;
use crate::exit::{Exit, Failure};
use crate::journal::KeptKit;

#[derive(Debug, Args)]
pub(in crate::cli) struct KitArgs {
    /// The storage whose key it is.
    #[arg(long)]
    storage: String,
    /// Write down that this person says that the kit is stored off the box.
    #[arg(long, value_name = "NAME")]
    stored_by: Option<String>,
}

pub(super) async fn run(context: &Context, args: &KitArgs) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let servers = chosen(config, Some(&args.storage))?;
    let Some((storage, section)) = servers.into_iter().next() else {
        return Ok(Exit::Unexpected);
    };
    let look = Look::begin(config, performer.remotes(), None).await;
    if let Some((has, ours)) = look.key_conflict(&storage, &section) {
        return Err(conflict(&storage, &has, &ours));
    }
    let key = look
        .key(&storage, &section)
        .ok_or_else(|| keyless(&storage))?;
    if let Some(by) = &args.stored_by {
        let by = by.trim();
        if by.is_empty() {
            let message = "--stored-by: whoever looks for the kit later needs a name";
            return Err(Failure::new(Exit::Usage, "usage", message));
        }
        let journal = context
            .open_journal(config, "noting where a kit is")
            .await?;
        journal
            .kit_stored(&storage, &key, by, clock::now())
            .await
            .map_err(|error| journal_failure(&error))?;
    }
    let kept = match context.read_journal(config).await? {
        Some(journal) => journal
            .kit(&storage, &key)
            .await
            .map_err(|error| journal_failure(&error))?,
        None => None,
    };
    let data = json!({ "storage": storage, "key_fingerprint": key, "kit": kept });
    let is_stored = kept.as_ref().is_some_and(|kit| kit.stored.is_some());
    context.printer.document("felhom.pbs-kit", &data, || {
        text(&storage, &key, kept.as_ref())
    });
    Ok(if is_stored {
        Exit::Done
    } else {
        Exit::Findings
    })
}

/// Of which of the two a kit is stored, nobody can say.
fn conflict(storage: &StorageId, has: &KeyFingerprint, ours: &KeyFingerprint) -> Failure {
    let message = format!(
        "storage `{storage}` has key {}, and the configuration names {}",
        has.short(),
        ours.short()
    );
    let hint = format!(
        "find out who changed it; when the storage's is the right one, write it as `key_fingerprint` into [pbs.{storage}]; \
         when it is not, save it off the box (install -m 600 /etc/pve/priv/storage/{storage}.enc FILE) before the other is put \
         back: pvesm set {storage} --encryption-key FILE-OF-THE-KIT"
    );
    Failure::new(Exit::Refused, "key-differs", message).hint(hint)
}

fn keyless(storage: &StorageId) -> Failure {
    let message = format!("storage `{storage}` has no encryption key that can be seen");
    let hint = format!(
        "`pvesm config {storage}` shows `encryption-key`; where the token may not see that, write `key_fingerprint` into \
         [pbs.{storage}]"
    );
    Failure::new(Exit::NoSuchThing, "no-key", message).hint(hint)
}

fn text(storage: &StorageId, key: &KeyFingerprint, kept: Option<&KeptKit>) -> String {
    let mut lines = vec![format!("key {} of storage {storage}", key.short())];
    if let Some(stored) = kept.and_then(|kit| kit.stored.as_ref()) {
        let when = clock::local(stored.at);
        lines.push(format!(
            "  {} said on {when} that it is stored off the box",
            stored.by
        ));
    } else {
        lines.push("  nobody said that it is stored off the box".to_owned());
        lines.push(format!(
            "hint: store page and key file off the box, then felhom-agent pbs kit --storage {storage} --stored-by NAME"
        ));
    }
    lines.join("\n")
}
