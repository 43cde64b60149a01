//! `storage`: which storages there are, and which of them is meant.

mod shown;
pub(super) mod target;

use clap::{Args, Subcommand};
use felhom_engine::storages::{Attachment, Samples};
use felhom_ids::StorageId;
use serde_json::json;

use super::context::{Context, journal_failure, parse, pve_failure};
use super::findings;
use super::text::findings_text;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, KnownStorage};
use crate::output::table;
use crate::perform::Performer;
use crate::storages::Observed;
use crate::storages::sight::{self, Seen, SightError};

pub(super) use shown::{brief, line};

#[derive(Debug, Subcommand)]
pub(super) enum StorageCommand {
    /// The storages of the node: which each is, whether it is there, how full, and for how long it lasts.
    List,
    /// Take the storage that stands under this name now for the one that is meant; or take a removable
    /// disk, by its UUID, for a target.
    Adopt(AdoptArgs),
    /// Say that a storage is away on purpose, so that it is not missed until it comes back; unmount a
    /// target on a removable disk, so that it can be unplugged.
    Eject(EjectArgs),
}

#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    /// The storage, as `storage list` shows it; or `UUID=…` of a removable disk, as `host devices` does.
    storage: String,
    /// The name of the target that the disk becomes.
    #[arg(long)]
    name: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct EjectArgs {
    /// The storage or target, as `storage list` shows it.
    storage: String,
    /// Of a target: also remove its mount point and its unit, and forget it. What is on the disk stays.
    #[arg(long)]
    forget: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, command: StorageCommand) -> Result<Exit, Failure> {
    match command {
        StorageCommand::List => list(context).await,
        StorageCommand::Adopt(args) => match args.storage.strip_prefix("UUID=") {
            Some(uuid) => target::adopt(context, uuid, &args).await,
            None => adopt(context, &args).await,
        },
        StorageCommand::Eject(args) => eject(context, &args).await,
    }
}

/// Looks at all storages beside what the journal remembers.
pub(super) async fn look(
    performer: &Performer,
    journal: Option<&Journal>,
) -> Result<Seen, Failure> {
    let seen = sight::look(performer.config(), performer.remotes(), journal).await;
    seen.map_err(|error| sight_failure(&error))
}

/// The same, and remembers what was learned.
pub(super) async fn look_and_note(
    performer: &Performer,
    journal: Option<&Journal>,
) -> Result<Seen, Failure> {
    let seen = look(performer, journal).await?;
    seen.note(performer.config()).await;
    Ok(seen)
}

fn sight_failure(error: &SightError) -> Failure {
    match error {
        SightError::Node(error) => pve_failure(error),
        SightError::Journal(error) => journal_failure(error),
    }
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let journal = context.read_journal(performer.config()).await?;
    let seen = look_and_note(&performer, journal.as_ref()).await?;
    let (all, targets) = (&seen.all, &seen.targets);
    let found = seen.findings(performer.config());
    let heard = findings::heard(journal.as_ref(), found).await?;
    let data: Vec<_> = all.iter().map(shown::data).collect();
    context
        .printer
        .document_with_findings("felhom.storages", &data, &heard.loud, || {
            let rows: Vec<_> = all.iter().map(shown::row).collect();
            let mut lines = vec![table(&shown::HEADER, &rows), String::new()];
            lines.extend(all.iter().flat_map(shown::lines));
            lines.extend(targets.all.iter().map(target::line));
            lines.extend(targets.absent.iter().map(|why| {
                format!("how the targets stand is not known: {why}; doctor says what to install")
            }));
            lines.extend(findings_text(&heard.loud));
            lines.extend(findings::suppressed_lines(&heard.quiet));
            lines.join("\n")
        });
    Ok(if heard.loud.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    })
}

/// A storage that a person decides about.
struct Decision {
    id: StorageId,
    observed: Option<Observed>,
    known: Option<KnownStorage>,
}

async fn decide(
    performer: &Performer,
    journal: Option<&Journal>,
    name: &str,
) -> Result<Decision, Failure> {
    let id: StorageId = parse("STORAGE", name)?;
    let seen = look(performer, journal).await?;
    let observed = seen.all.into_iter().find(|one| one.look.id == id);
    let known = observed.as_ref().and_then(|one| one.known.clone());
    Ok(Decision {
        id,
        observed,
        known,
    })
}

fn no_such(id: &StorageId, what: &str) -> Failure {
    let failure = Failure::new(
        Exit::NoSuchThing,
        "no-such-storage",
        format!("storage `{id}` {what}"),
    );
    failure.hint("`felhom-agent storage list` shows those that the token sees")
}

/// The journal in which a decision is written; for a rehearsal the one that is there.
async fn journal(
    context: &Context,
    config: &Config,
    dry_run: bool,
    purpose: &str,
) -> Result<Option<Journal>, Failure> {
    if dry_run {
        return context.read_journal(config).await;
    }
    context.open_journal(config, purpose).await.map(Some)
}

async fn adopt(context: &Context, args: &AdoptArgs) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    parse::<StorageId>("STORAGE", &args.storage)?;
    let journal = journal(context, config, args.dry_run, "adopting a storage").await?;
    let decision = decide(&performer, journal.as_ref(), &args.storage).await?;
    let id = &decision.id;
    let defined = decision
        .observed
        .as_ref()
        .filter(|one| one.config.is_some());
    let Some(observed) = defined else {
        return Err(no_such(id, "is not defined, so there is nothing to adopt"));
    };
    let Some(is) = observed.durable_id() else {
        let message = format!("storage `{id}` is of a type that nothing durable is known of");
        let failure = Failure::new(Exit::Refused, "refused", message);
        return Err(
            failure.hint("nothing has to be done: such a storage is never taken for another one")
        );
    };
    let was = decision
        .known
        .as_ref()
        .and_then(|known| known.durable_id.clone());
    let changes = was.as_ref() != Some(&is);
    if changes && !args.dry_run {
        let now = clock::now();
        let fresh = KnownStorage {
            id: id.clone(),
            durable_id: Some(is.clone()),
            first_seen: now,
            attached: observed.is_active().then_some(now),
            ejected: None,
            away: false,
            samples: Samples::default(),
        };
        remember(journal.as_ref(), &fresh).await?;
    }
    let data = json!({
        "storage": id, "deed": "adopt", "is": is, "was": was, "changes": changes, "dry_run": args.dry_run,
    });
    context
        .printer
        .document("felhom.storage-decision", &data, || {
            let was = was.as_deref().unwrap_or("not known");
            match (changes, args.dry_run) {
                (false, _) => format!("`{id}` is {is}, as it was: nothing to adopt"),
                (true, true) => format!("would take {is} for `{id}`; it was {was}"),
                (true, false) => format!("`{id}` is {is} from now on; it was {was}"),
            }
        });
    Ok(Exit::Done)
}

async fn eject(context: &Context, args: &EjectArgs) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let read = context.read_journal(config).await?;
    if let Some(known) = target::named(read.as_ref(), &args.storage).await? {
        drop(read);
        return target::eject(context, &performer, known, args).await;
    }
    drop(read);
    if args.forget {
        let message = format!("`{}` is no target on a removable disk", args.storage);
        return Err(Failure::new(Exit::NoSuchThing, "no-such-target", message)
            .hint("`felhom-agent storage list` shows the targets"));
    }
    parse::<StorageId>("STORAGE", &args.storage)?;
    let journal = journal(context, config, args.dry_run, "ejecting a storage").await?;
    let decision = decide(&performer, journal.as_ref(), &args.storage).await?;
    let id = &decision.id;
    let Some(observed) = &decision.observed else {
        return Err(no_such(id, "is neither defined nor remembered"));
    };
    let now = clock::now();
    let mut known = decision.known.clone().unwrap_or_else(|| KnownStorage {
        id: id.clone(),
        durable_id: observed.durable_id(),
        first_seen: now,
        attached: None,
        ejected: None,
        away: false,
        samples: Samples::default(),
    });
    let changes = known.ejected.is_none();
    if changes && !args.dry_run {
        known.ejected = Some(now);
        known.away = observed.state() == Attachment::Detached;
        remember(journal.as_ref(), &known).await?;
    }
    let data = json!({
        "storage": id, "deed": "eject", "is": observed.durable_id(), "was": known.durable_id,
        "state": observed.state(), "changes": changes, "dry_run": args.dry_run,
    });
    context.printer.document("felhom.storage-decision", &data, || {
        let there = if observed.state() == Attachment::Detached {
            "it is not missed until it was there again"
        } else {
            "it is still there: on the node, unmount it before it is unplugged; then it is not missed until it was there again"
        };
        match (changes, args.dry_run) {
            (false, _) => format!("`{id}` is away on purpose already"),
            (true, true) => format!("would note that `{id}` is away on purpose; {there}"),
            (true, false) => format!("`{id}` is away on purpose; {there}"),
        }
    });
    Ok(Exit::Done)
}

async fn remember(journal: Option<&Journal>, storage: &KnownStorage) -> Result<(), Failure> {
    let Some(journal) = journal else {
        return Ok(());
    };
    journal
        .remember_storage(storage)
        .await
        .map_err(|error| journal_failure(&error))
}
