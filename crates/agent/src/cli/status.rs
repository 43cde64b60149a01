//! `status`: one page that tells the truth.

mod page;

pub(super) use page::{disk_line, percent, posture};

use felhom_protocol::host::{Guest, Posture};
use serde_json::{Value, json};

use super::context::{Context, journal_failure, pve_failure};
use super::{snapshot, storage};
use crate::exit::{Exit, Failure};
use crate::report::servers::ServerLine;
use crate::report::{Gathered, Trouble, gather};

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let journal = context.read_journal(performer.config()).await?;
    let gathered = Box::pin(gather(&performer, journal.as_ref())).await;
    match &gathered.trouble {
        // A page on which the node or the journal is missing would pass for one of a box with nothing on it.
        Some(Trouble::Node(error)) => return Err(pve_failure(error)),
        Some(Trouble::Journal(error)) => return Err(journal_failure(error)),
        None => {}
    }
    context
        .printer
        .document("felhom.status", &data(&gathered), || page::text(&gathered));
    Ok(exit(&gathered))
}

/// Whether anything should be mended.
pub(super) fn exit(gathered: &Gathered) -> Exit {
    let report = &gathered.report;
    let mut guests = report.guests.iter();
    let well = guests.all(|guest| guest.posture == Posture::Protected);
    if report.findings.is_empty() && well {
        Exit::Done
    } else {
        Exit::Findings
    }
}

fn data(gathered: &Gathered) -> Value {
    let (report, node) = (&gathered.report, &gathered.report.node);
    let root = gathered.status.as_ref().map(|status| &status.rootfs);
    let guests = report.guests.iter();
    json!({
        "node": node.name, "version": node.pve_version, "uptime_s": node.uptime_s,
        "kernel": node.kernel, "load": node.load, "cpus": node.cpus,
        "memory": node.memory, "swap": node.swap,
        "root": { "total": root.map(|root| root.total), "avail": root.map(|root| root.avail) },
        "updates": node.updates,
        "guests": guests.map(|guest| guest_json(guest, report.taken_s)).collect::<Vec<_>>(),
        "storages": gathered.seen.all.iter().map(storage::brief).collect::<Vec<_>>(),
        "thin_pools": report.thin_pools, "disks": report.disks, "temperatures": report.temperatures,
        "targets": storage::target::views(&gathered.seen.targets),
        "backup_servers": gathered.servers.iter().map(ServerLine::view).collect::<Vec<_>>(),
        "guards": snapshot::view(&gathered.guards),
        "findings": gathered.heard.loud,
        "suppressed": gathered.heard.quiet,
        "last_pass": gathered.last_pass.map(|pass| json!({
            "began_ms": pass.began, "ended_ms": pass.ended, "exit": pass.exit,
        })),
        "jobs": report.jobs, "unknown": report.unknown,
    })
}

fn guest_json(guest: &Guest, now: i64) -> Value {
    let age = |at: i64| now.saturating_sub(at);
    let proof = guest.last_proof.as_ref();
    json!({
        "vmid": guest.vmid, "kind": guest.kind, "name": guest.name, "running": guest.running, "posture": guest.posture,
        "selected": guest.selected, "reasons": guest.reasons, "newest_backup_s": guest.newest_archive_s.map(age),
        "last_proof": proof.map(|proof| json!({
            "verdict": proof.verdict, "age_s": age(proof.ended_s), "evidence": proof.evidence, "rto_ms": proof.rto_ms,
        })),
        "last_backup": guest.last_backup,
    })
}
