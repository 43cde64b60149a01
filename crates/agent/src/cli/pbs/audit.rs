//! `pbs audit`: shows of the newest backup of each group that the server can read nothing in it, and says what it cannot show.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::pbs::{
    Audit, AuditPolicy, AuditVerdict, Listing, Target, audit, audit_findings,
};
use felhom_engine::{ErrorClass, Finding, RemoteError};
use felhom_ids::{BackupGroup, BackupSnapshot, StorageId};
use felhom_proxmox::Pbs;
use serde_json::{Value, json};

use super::{Which, chosen, trouble, unusable, worst};
use crate::cli::context::{Context, engine_failure};
use crate::cli::findings;
use crate::cli::text::findings_text;
use crate::config::PbsConfig;
use crate::doctor::pbs::Look;
use crate::exit::{Exit, Failure};
use crate::observe::{self, Trouble};
use crate::output::table;
use crate::perform::Performer;

/// The audits of one server.
struct Audited {
    target: Target,
    audits: Vec<Audit>,
    /// Why there may be more than was audited.
    shortened: Option<&'static str>,
}

pub(super) async fn run(context: &Context, which: &Which) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let servers = chosen(config, which.storage.as_deref())?;
    let look = Look::begin(config, performer.remotes(), None).await;
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for (storage, section) in &servers {
        let defined = look.definition(storage);
        let policy = AuditPolicy {
            key: defined.and_then(observe::key_of),
            configured: section.key,
            master_key: defined.map(|one| one.master_key.is_some()),
        };
        match one(&performer, storage, section, &policy).await {
            Ok(audited) => all.push(audited),
            Err(failure) => failures.push((storage, failure)),
        }
    }
    if all.is_empty()
        && let Some((_, failure)) = failures.pop()
    {
        return Err(failure);
    }
    for (storage, failure) in &failures {
        let told = format!("{storage}: {}", failure.message);
        context.printer.narrate(&told);
    }
    let found: Vec<Finding> = all
        .iter()
        .flat_map(|one| audit_findings(&one.target, &one.audits))
        .collect();
    let journal = context.read_journal(config).await?;
    let heard = findings::heard(journal.as_ref(), found).await?;
    let data = json!({ "servers": all.iter().map(view).collect::<Vec<_>>() });
    context
        .printer
        .document_with_findings("felhom.pbs-audit", &data, &heard.loud, || {
            let mut lines: Vec<String> = all.iter().map(text).collect();
            lines.extend(findings_text(&heard.loud));
            lines.extend(findings::suppressed_lines(&heard.quiet));
            lines.join("\n")
        });
    let ends = all.iter().map(exit);
    Ok(worst(
        ends.chain(failures.iter().map(|(_, failure)| failure.exit)),
    ))
}

async fn one(
    performer: &Performer,
    storage: &StorageId,
    section: &PbsConfig,
    policy: &AuditPolicy,
) -> Result<Audited, Failure> {
    let server = performer
        .remotes()
        .pbs(storage)
        .map_err(|error| unusable(&error))?;
    let target = observe::target(storage, section);
    let told = |error: &RemoteError| trouble(&target, section, error);
    let listing = observe::pbs_snapshots(server, &target, None)
        .await
        .map_err(|Trouble(error)| told(&error))?;
    let (mut audits, mut seen, mut lost) = (Vec::new(), false, None::<RemoteError>);
    for name in newest(&listing) {
        // A server that is out of reach stays so for a while: the others are not waited for.
        let away = lost.as_ref().filter(|error| is_away(error));
        let looked = match away {
            Some(error) => Err(error.clone()),
            None => audited(server, &target, &name, policy).await,
        };
        audits.push(match looked {
            Ok(audit) => {
                seen = true;
                audit
            }
            Err(error) => {
                let audit = Audit::undetermined(name, &format!("the backup: {}", error.text));
                lost = Some(error);
                audit
            }
        });
    }
    if let Some(error) = lost.filter(|_| !seen) {
        return Err(told(&error));
    }
    let shortened = listing.sight.shortened();
    if audits.is_empty() {
        let message = match shortened {
            Some(why) => format!("{target}: no backup can be seen: {why}"),
            None => format!("{target}: there is no backup to audit"),
        };
        let (class, text) = (ErrorClass::NotFound, message);
        let failure = engine_failure(&RemoteError { class, text });
        return Err(failure.hint("make one with `felhom-agent backup run VMID`; `felhom-agent doctor` names the rights that lack"));
    }
    Ok(Audited {
        target,
        audits,
        shortened,
    })
}

fn is_away(error: &RemoteError) -> bool {
    matches!(error.class, ErrorClass::Unreachable | ErrorClass::Untrusted)
}

/// The newest backup of each group; what is in progress is none.
fn newest(listing: &Listing) -> Vec<BackupSnapshot> {
    let mut newest = BTreeMap::<&BackupGroup, &BackupSnapshot>::new();
    for one in listing.snapshots.iter().filter(|one| one.is_backup()) {
        let kept = newest.entry(one.name.group()).or_insert(&one.name);
        if one.name.time() > kept.time() {
            *kept = &one.name;
        }
    }
    newest.into_values().cloned().collect()
}

async fn audited(
    server: &Pbs,
    target: &Target,
    name: &BackupSnapshot,
    policy: &AuditPolicy,
) -> Result<Audit, RemoteError> {
    let subject = observe::audit_subject(server, target, name).await?;
    Ok(audit(&subject, policy))
}

fn exit(one: &Audited) -> Exit {
    worst(one.audits.iter().map(|audit| match audit.verdict {
        AuditVerdict::Passed if one.shortened.is_some() => Exit::Findings,
        AuditVerdict::Passed => Exit::Done,
        AuditVerdict::Failed => Exit::VerdictFailed,
        AuditVerdict::Undetermined => Exit::Undetermined,
    }))
}

fn view(one: &Audited) -> Value {
    json!({
        "storage": one.target.storage, "datastore": one.target.datastore, "namespace": one.target.namespace,
        "shortened": one.shortened, "audits": one.audits,
    })
}

fn text(one: &Audited) -> String {
    let mut rows = Vec::new();
    for audit in &one.audits {
        let mut name = audit.snapshot.to_string();
        let columns = [
            ("BREACH", &audit.breaches),
            ("not seen", &audit.unseen),
            ("shown", &audit.shown),
        ];
        let mut verdict = audit.verdict.to_string();
        for (what, lines) in columns {
            for line in lines {
                let (name, verdict) = (std::mem::take(&mut name), std::mem::take(&mut verdict));
                rows.push(vec![name, verdict, what.to_owned(), line.clone()]);
            }
        }
    }
    let header = ["BACKUP", "VERDICT", "WHAT", "FILE"];
    let mut lines = vec![one.target.to_string(), table(&header, &rows)];
    let limits = one.audits.iter().flat_map(|audit| &audit.limits);
    let limits: BTreeSet<&String> = limits.collect();
    lines.push("what no audit from outside shows, and what the server always sees:".to_owned());
    lines.extend(limits.into_iter().map(|limit| format!("  {limit}")));
    let more = one.shortened;
    lines.extend(more.map(|why| format!("there may be more backups: {why}")));
    lines.push(String::new());
    lines.join("\n")
}
