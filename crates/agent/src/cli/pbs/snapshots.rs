//! `pbs snapshots`: what the lists say, and what is wrong with that.

use felhom_engine::pbs::{Encryption, Listing, Snapshot, Target, VerifyStanding};
use felhom_engine::{Finding, Timestamp};
use serde_json::{Value, json};

use super::{Which, chosen, trouble, unusable};
use crate::cli::context::{Context, journal_failure};
use crate::cli::findings;
use crate::cli::text::findings_text;
use crate::clock;
use crate::config::PbsConfig;
use crate::doctor::pbs::{Look, Looked};
use crate::exit::{Exit, Failure};
use crate::observe;
use crate::output::{size, table};

pub(super) async fn run(context: &Context, which: &Which) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let servers = chosen(config, which.storage.as_deref())?;
    if let [(storage, _)] = servers.as_slice() {
        performer
            .remotes()
            .pbs(storage)
            .map_err(|error| unusable(&error))?;
    }
    let journal = context.read_journal(config).await?;
    let look = Look::begin(config, performer.remotes(), journal.as_ref()).await;
    let mut looked = Vec::new();
    for (storage, section) in servers {
        let one = look.at(&storage, &section).await;
        let one = one.map_err(|error| journal_failure(&error))?;
        looked.push((section, one));
    }
    // Nothing was seen at all: that is a failure, and not a page of findings.
    let failed = |(section, one): &(PbsConfig, Looked)| {
        let error = one.seen.listing.as_ref().err()?;
        Some(trouble(&one.seen.target, section, error))
    };
    let mut failures: Vec<Failure> = looked.iter().filter_map(failed).collect();
    if failures.len() == looked.len() {
        return Err(failures.swap_remove(0));
    }
    let found: Vec<Finding> = looked
        .iter()
        .flat_map(|(_, one)| one.findings.clone())
        .collect();
    let heard = findings::heard(journal.as_ref(), found).await?;
    let data = json!({ "servers": looked.iter().map(view).collect::<Vec<_>>() });
    context
        .printer
        .document_with_findings("felhom.pbs-snapshots", &data, &heard.loud, || {
            let mut lines: Vec<String> = looked.iter().map(text).collect();
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

/// By group, newest first.
fn ordered(listing: &Listing) -> Vec<&Snapshot> {
    let mut all: Vec<&Snapshot> = listing.snapshots.iter().collect();
    all.sort_by_key(|one| (one.name.group(), std::cmp::Reverse(one.name.time())));
    all
}

fn view((section, one): &(PbsConfig, Looked)) -> Value {
    let target = &one.seen.target;
    let mut data = json!({
        "storage": target.storage, "datastore": target.datastore, "namespace": target.namespace,
        "address": section.address, "maintenance": one.seen.maintenance,
    });
    let told = match &one.seen.listing {
        Ok(listing) => json!({
            "sight": listing.sight, "server_now_s": listing.server_now_s,
            "snapshots": ordered(listing).into_iter().map(|one| observe::snapshot_record(target, one)).collect::<Vec<_>>(),
        }),
        Err(error) => json!({ "error": error.text }),
    };
    if let (Some(data), Value::Object(told)) = (data.as_object_mut(), told) {
        data.extend(told);
    }
    data
}

fn text((section, one): &(PbsConfig, Looked)) -> String {
    let target = &one.seen.target;
    let listing = match &one.seen.listing {
        Ok(listing) => listing,
        Err(error) => return format!("{target}: {error}\n"),
    };
    if listing.snapshots.is_empty() {
        return match listing.sight.shortened() {
            None => format!("{target}: there is no backup\n"),
            Some(why) => format!("{target}: no backup can be seen: {why}\n"),
        };
    }
    let now = listing.now(clock::now());
    let rows: Vec<Vec<String>> = ordered(listing)
        .into_iter()
        .map(|one| row(one, now, section))
        .collect();
    let header = ["BACKUP", "SIZE", "ENCRYPTED WITH", "VERIFIED", "NOTES"];
    format!("{}\n{}\n", heading(target, section), table(&header, &rows))
}

fn heading(target: &Target, section: &PbsConfig) -> String {
    format!("{target} on {}", section.address)
}

fn row(one: &Snapshot, now: Timestamp, section: &PbsConfig) -> Vec<String> {
    let nothing = || "-".to_owned();
    let note = if one.is_in_progress() {
        "in progress"
    } else if !one.is_backup() {
        "empty"
    } else if one.protected {
        "protected"
    } else {
        ""
    };
    vec![
        one.name.to_string(),
        one.size.map_or_else(nothing, size),
        encrypted(one),
        verified(one, now, section),
        note.to_owned(),
    ]
}

/// The key, where everything is encrypted with one; else what it is instead.
fn encrypted(one: &Snapshot) -> String {
    match (one.encryption(), one.key) {
        (Encryption::Encrypted, Some(key)) => key.short(),
        (Encryption::Encrypted, None) => "a key unknown".to_owned(),
        (Encryption::Unknown, _) if one.is_in_progress() => "-".to_owned(),
        (other, _) => other.to_string(),
    }
}

/// The state, and how old it is: an old one is not believed.
fn verified(one: &Snapshot, now: Timestamp, section: &PbsConfig) -> String {
    let age = one
        .verification
        .as_ref()
        .map(|last| clock::age(now.secs().saturating_sub(last.at().secs())));
    let age = age.unwrap_or_default();
    match one.standing(now, section.verify_every) {
        VerifyStanding::Ok => format!("ok, {age}"),
        VerifyStanding::Failed => format!("FAILED, {age}"),
        VerifyStanding::Never => "never".to_owned(),
        VerifyStanding::Unknown => format!("unknown ({age})"),
    }
}
