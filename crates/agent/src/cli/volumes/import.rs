//! `volumes import`: a report on a guest's Docker volumes goes into the journal, whole or not at all.

use std::io::Read;

use felhom_engine::Timestamp;
use felhom_engine::volumes::gaps;
use felhom_ids::Vmid;
use felhom_protocol::docker::{self, DockerError, Input, LARGEST};
use felhom_protocol::volumes::{Extent, VolumeReport};
use serde_json::json;

use super::ImportArgs;
use super::look::{everyday, guest};
use crate::cli::context::{Context, journal_failure, parse};
use crate::cli::text::findings_text;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::KeptReport;
use crate::volumes::{Changes, Difference, Known, changes, inventory, known};

pub(super) async fn run(context: &Context, args: &ImportArgs) -> Result<Exit, Failure> {
    let vmid: Vmid = parse("VMID", &args.vmid)?;
    let performer = context.performer()?;
    let report = read(&args.file)?;
    let fingerprint = guest(everyday(&performer), vmid).await?.fingerprint();
    let kept = KeptReport {
        taken: clock::now(),
        fingerprint,
        report,
    };
    let failure = |error| journal_failure(&error);
    let before = if args.dry_run {
        let journal = context.read_journal(performer.config()).await?;
        let known = known(journal.as_ref(), vmid, &kept.fingerprint).await;
        known.map_err(failure)?
    } else {
        let purpose = format!("importing a report on the volumes of {vmid}");
        let journal = context.open_journal(performer.config(), &purpose).await?;
        let before = known(Some(&journal), vmid, &kept.fingerprint).await;
        let before = before.map_err(failure)?;
        journal
            .keep_volume_report(vmid, &kept)
            .await
            .map_err(failure)?;
        before
    };
    Ok(tell(context, vmid, &kept, before, args.dry_run))
}

/// What was taken up, what is missing, and what differs from the last report on this guest.
fn tell(context: &Context, vmid: Vmid, kept: &KeptReport, before: Known, dry_run: bool) -> Exit {
    let report = &kept.report;
    let (before, of_another) = match before {
        Known::Report(before) => (Some(before), None),
        Known::OfAnother(other) => (None, Some(other.taken)),
        Known::Nothing => (None, None),
    };
    let differences = before
        .as_ref()
        .map(|before| changes(&before.report, report));
    let finding = gaps(vmid, &inventory(report, kept.taken));
    let findings: Vec<_> = finding.into_iter().collect();
    let since = before.as_ref().map(|before| before.taken);
    let data = json!({
        "vmid": vmid.get(), "dry_run": dry_run, "taken_ms": kept.taken.millis(), "engine": report.engine,
        "volumes": report.volumes.len(), "containers": report.containers.len(), "coverage": report.coverage,
        "since_ms": since.map(Timestamp::millis), "changes": differences, "findings": findings,
        "replaces_report_of_another_guest": of_another.is_some(),
    });
    context.printer.document("felhom.volume-import", &data, || {
        let mut lines = vec![summary(vmid, report, dry_run)];
        lines.extend(of_another.map(|taken| {
            format!(
                "  the report of {} was on another guest, which had this VMID before",
                clock::local(taken)
            )
        }));
        if let (Some(since), Some(differences)) = (since, &differences) {
            lines.extend(difference_lines(since, differences));
        }
        lines.extend(unknown_lines(report));
        lines.extend(findings_text(&findings));
        lines.join("\n")
    });
    if findings.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    }
}

fn summary(vmid: Vmid, report: &VolumeReport, dry_run: bool) -> String {
    let anonymous = report.volumes.iter().filter(|volume| volume.anonymous);
    let verb = if dry_run { "would be" } else { "is" };
    let engine = report.engine.as_ref().map_or_else(
        || "an engine that was not told".to_owned(),
        |engine| {
            format!(
                "Docker {} with its data in {}",
                engine.version, engine.data_root
            )
        },
    );
    format!(
        "the report on {vmid} {verb} taken up: {} volume(s), {} of them anonymous, and {} container(s) of {engine}",
        report.volumes.len(),
        anonymous.count(),
        report.containers.len(),
    )
}

fn difference_lines(since: Timestamp, changes: &Changes) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |what: &str, difference: &Difference| {
        for (verb, names) in [
            ("new", &difference.added),
            ("gone", &difference.removed),
            ("changed", &difference.changed),
        ] {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            if !names.is_empty() {
                lines.push(format!("  {verb} {what}: {}", names.join(", ")));
            }
        }
    };
    say("volumes", &changes.volumes);
    say("containers", &changes.containers);
    let since = clock::local(since);
    let first = if lines.is_empty() {
        format!("  nothing differs from the report of {since}")
    } else {
        format!("  since the report of {since}:")
    };
    lines.insert(0, first);
    lines
}

fn unknown_lines(report: &VolumeReport) -> Vec<String> {
    let coverage = report.coverage;
    let mut lines = Vec::new();
    for (extent, what, command) in [
        (coverage.volumes, "volumes", "docker volume ls"),
        (coverage.containers, "containers", "docker info"),
    ] {
        if extent == Extent::Unknown {
            lines.push(format!(
                "  whether these are all {what} is not known: nothing of `{command}` is in it"
            ));
        }
    }
    lines
}

/// All files, read no further than a report goes.
fn read(files: &[String]) -> Result<VolumeReport, Failure> {
    if files.iter().filter(|file| *file == "-").count() > 1 {
        let message = "FILE: standard input (`-`) can be read once";
        return Err(Failure::new(Exit::Usage, "usage", message));
    }
    let mut contents = Vec::new();
    for file in files {
        let (name, read) = if file == "-" {
            ("standard input", take(std::io::stdin().lock()))
        } else {
            (file.as_str(), std::fs::File::open(file).and_then(take))
        };
        let bytes = read.map_err(|error| unreadable(name, &error))?;
        contents.push((name, bytes));
    }
    let inputs: Vec<_> = contents
        .iter()
        .map(|(name, bytes)| Input { name, bytes })
        .collect();
    docker::read(&inputs).map_err(|error| refusal(&error))
}

fn take(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let exit = if error.kind() == ErrorKind::NotFound {
        Exit::NoSuchThing
    } else if error.kind() == ErrorKind::PermissionDenied {
        Exit::Permission
    } else {
        Exit::Unexpected
    };
    let failure = Failure::new(exit, "file", format!("`{name}` cannot be read"));
    failure.caused_by(error).hint(
        "started as root the agent reads as its own user; `felhom-agent volumes import VMID - < FILE` lets the shell open it",
    )
}

fn refusal(error: &DockerError) -> Failure {
    Failure::new(Exit::Usage, "no-report", error.to_string()).hint(error.hint())
}
