//! `backup proof`: the three witnesses about an archive – what was planned, what vzdump said, what is in it now.

use felhom_engine::volumes::{JudgedVolumes, PlannedVolume};
use felhom_engine::{
    ArchiveProof, GuestConfig, Inclusion, LogSource, Principal, ProofStanding, VzdumpLog,
    WantedContent, Witnesses, planned_inclusion, prove_archive,
};
use felhom_ids::{Vmid, VolumeId};
use serde_json::json;

use super::witnesses::{listed_line, untold_lines, witness_table};
use crate::archive::ArchiveError;
use crate::cli::context::{Context, archived_config, journal_failure, parse_backup};
use crate::cli::targets::{Door, Use};
use crate::cli::terminal::Terminal;
use crate::exit::{Exit, Failure};
use crate::journal::{BackupRow, Journal, KeptReport};
use crate::output::size;
use crate::perform::Performer;
use crate::volumes::inventory;

pub(in crate::cli) async fn proof(context: &Context, archive_id: &str) -> Result<Exit, Failure> {
    let volid = parse_backup(archive_id)?;
    let performer = context.performer()?;
    let pve = performer.remotes().of(Principal::Agent);
    let journal = context.read_journal(performer.config()).await?;
    let door = Door {
        context,
        performer: &performer,
        journal: journal.as_ref(),
        dry_run: false,
    };
    door.admit(volid.storage(), Use::Read).await?;
    let archived = archived_config(pve, &volid).await?;
    let config = performer.config();
    let (record, told) = match journal {
        Some(journal) => known(&journal, &volid).await?,
        None => (None, None),
    };
    let told = told.filter(|kept| kept.fingerprint.is_of_same_guest(&archived.fingerprint()));
    let told = told.map(|kept| inventory(&kept.report, kept.taken));
    let volumes = |vmid| {
        let judged = JudgedVolumes::judge(vmid, &archived, told.as_ref()?, &config.volumes);
        Some(judged.planned())
    };
    let plan = plan(&archived, record.as_ref(), volumes, volid.guest());
    let log = match recorded_log(record.as_ref()) {
        Some(log) => Some((LogSource::Record, log)),
        None => performer
            .read_log(&volid)
            .map(|log| (LogSource::LogFile, log)),
    };
    let mut wanted = WantedContent::of(&archived);
    wanted.volumes = plan.volumes.iter().flat_map(PlannedVolume::roots).collect();
    if let Some(inventory) = &told {
        wanted.data_root.clone_from(&inventory.data_root);
    }
    let witnesses = Witnesses {
        mounts: plan.mounts,
        volumes: plan.volumes,
        volumes_of_then: plan.of_then,
        log,
        content: read(context, &performer, &volid, &wanted).await?,
    };
    let mut proof = prove_archive(&volid, witnesses);
    if let Some(recorded) = record.as_ref().and_then(|row| row.report.content.as_ref()) {
        proof = proof.held_against(recorded);
    }
    tell(context, &proof);
    Ok(match proof.standing {
        ProofStanding::Proven => Exit::Done,
        ProofStanding::Failed => Exit::VerdictFailed,
        ProofStanding::Unproven => Exit::Findings,
    })
}

/// What the journal knows of the archive, and of its guest's volumes.
async fn known(
    journal: &Journal,
    volid: &VolumeId,
) -> Result<(Option<BackupRow>, Option<KeptReport>), Failure> {
    let failure = |error| journal_failure(&error);
    let record = journal.backup_of(volid).await.map_err(failure)?;
    let told = match volid.guest() {
        Some(vmid) => journal.volume_report(vmid).await.map_err(failure)?,
        None => None,
    };
    Ok((record, told))
}

/// What should be in an archive.
struct Plan {
    mounts: Vec<Inclusion>,
    volumes: Vec<PlannedVolume>,
    /// Whether the volumes are those of when the backup was made.
    of_then: bool,
}

/// By our record of the backup; else by the configuration inside the archive, and by what was told of the guest's volumes
/// since.
fn plan(
    archived: &GuestConfig,
    record: Option<&BackupRow>,
    volumes: impl FnOnce(Vmid) -> Option<Vec<PlannedVolume>>,
    vmid: Option<Vmid>,
) -> Plan {
    let recorded = record
        .map(|row| &row.report)
        .filter(|report| !report.inclusion.is_empty());
    match recorded {
        Some(report) => {
            let mounts = report.inclusion.iter().map(|proof| proof.planned.clone());
            let volumes = report.volumes.iter().map(|proof| proof.planned.clone());
            Plan {
                mounts: mounts.collect(),
                volumes: volumes.collect(),
                of_then: true,
            }
        }
        None => Plan {
            mounts: planned_inclusion(archived),
            volumes: vmid.and_then(volumes).unwrap_or_default(),
            of_then: false,
        },
    }
}

/// What vzdump said, as far as our record keeps it.
fn recorded_log(record: Option<&BackupRow>) -> Option<VzdumpLog> {
    let report = &record?.report;
    let mounts: std::collections::BTreeMap<_, _> = report
        .inclusion
        .iter()
        .filter_map(|proof| Some((proof.planned.key.clone(), (proof.logged?, None))))
        .collect();
    (!mounts.is_empty()).then(|| VzdumpLog {
        mode: report.actual_mode.clone(),
        mounts,
        ..VzdumpLog::default()
    })
}

/// What is in it, or why that cannot be said, which says nothing about it.
async fn read(
    context: &Context,
    performer: &Performer,
    volid: &VolumeId,
    wanted: &WantedContent,
) -> Result<Result<felhom_engine::ArchiveContent, String>, Failure> {
    let terminal = Terminal::new(context.printer.clone());
    let reading = performer.read_archive(volid, wanted, &terminal);
    let read = tokio::select! {
        read = reading => read,
        _ = tokio::signal::ctrl_c() => Err(ArchiveError::Stopped),
    };
    drop(terminal);
    match read {
        Ok(found) => Ok(Ok(found)),
        Err(error @ ArchiveError::Stopped) => Err(Failure::new(
            Exit::Undetermined,
            "archive",
            error.to_string(),
        )),
        Err(error @ ArchiveError::Thread(_)) => {
            Err(Failure::new(Exit::Unexpected, "archive", error.to_string()))
        }
        Err(error) => Ok(Err(why(&error))),
    }
}

fn why(error: &ArchiveError) -> String {
    let text = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    if matches!(error, ArchiveError::NoDirectory { .. }) {
        return format!(
            "{text} (name it in the configuration: [[archives]] storage = …, path = …)"
        );
    }
    text
}

fn tell(context: &Context, proof: &ArchiveProof) {
    let data = json!(proof);
    context
        .printer
        .document("felhom.proof", &data, || text(proof));
}

fn text(proof: &ArchiveProof) -> String {
    let standing = match proof.standing {
        ProofStanding::Proven => "proven: plan, log and archive agree",
        ProofStanding::Failed => "FAILED",
        ProofStanding::Unproven => "unproven",
    };
    let mut lines = vec![format!("{}: {standing}", proof.volid)];
    lines.extend(proof.reasons.iter().map(|reason| format!("  {reason}")));
    if let Some(content) = &proof.content {
        lines.push(listed_line(Some(content)).unwrap_or_else(|| {
            let (members, bytes) = (content.members, size(content.bytes));
            format!("  {members} members, {bytes} unpacked")
        }));
        let odd = &content.odd_names;
        if odd.count > 0 {
            lines.push(format!(
                "  {} name(s) that no honest archive has, such as `{}`: counted nowhere",
                odd.count,
                odd.first.first().map_or("", String::as_str)
            ));
        }
    }
    lines.push(witness_table(&proof.mounts, &proof.volumes));
    if let Some(content) = &proof.content {
        lines.extend(untold_lines(&content.docker_volumes, &proof.volumes));
    }
    lines.push(match proof.log {
        Some(LogSource::Record) => "vzdump's word is from our record of the backup".to_owned(),
        Some(LogSource::LogFile) => "vzdump's word is from the log beside the archive".to_owned(),
        None => "vzdump's word is not known".to_owned(),
    });
    lines.join("\n")
}
