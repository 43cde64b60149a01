//! `status`: one page that tells the truth.

use felhom_engine::{
    ArchiveFacts, GuestConfig, GuestRecord, MountSource, Posture, Principal, Verdict, posture,
};
use felhom_ids::Vmid;
use serde_json::json;

use super::backup::findings_text;
use super::context::{Context, journal_failure, node_now, pve_failure};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::observe;
use crate::output::{size, table};

/// One guest's line.
struct GuestLine {
    vmid: Vmid,
    name: String,
    running: bool,
    posture: Posture,
    reasons: Vec<String>,
    newest_s: Option<i64>,
    proof: Option<(Verdict, i64)>,
}

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let journal = context.read_journal(config).await?;
    let pve = performer.remotes().of(Principal::Agent);
    let version = pve.version().await.map_err(|error| pve_failure(&error))?;
    let node = pve.node_status().await.map_err(|error| pve_failure(&error))?;
    let storages = pve.storages().await.map_err(|error| pve_failure(&error))?;

    let node_now = node_now(pve).await;
    let mut archives = Vec::new();
    for status in &storages {
        let takes_backups = status.active && status.content.iter().any(|content| content == "backup");
        let Some(id) = status.storage.as_ref().filter(|_| takes_backups) else { continue };
        let listed = pve.backups(id, None).await.map_err(|error| pve_failure(&error))?;
        archives.extend(listed.iter().map(observe::archive_facts));
    }
    let mut lines = Vec::new();
    let mut guests = pve.lxc_list().await.map_err(|error| pve_failure(&error))?;
    guests.sort_by_key(|guest| guest.vmid);
    for guest in guests.iter().filter(|guest| !config.restore_test_policy.range().contains(&guest.vmid)) {
        let stored = pve.lxc_config(guest.vmid).await.map_err(|error| pve_failure(&error))?;
        let stored = observe::guest_config(&stored).unwrap_or_default();
        let path = format!("/vms/{}", guest.vmid);
        let held = pve.permissions_at(&path).await.map_err(|error| pve_failure(&error))?;
        let shortened = !held.has(&path, "VM.Backup");
        let record = record(guest.vmid, &stored, &archives, journal.as_ref(), shortened, node_now).await?;
        let (posture, reasons) = posture(&record);
        lines.push(GuestLine {
            vmid: guest.vmid,
            name: guest.name.clone().unwrap_or_default(),
            running: guest.is_running(),
            posture,
            reasons,
            newest_s: record.newest_archive_s,
            proof: record.last_proof,
        });
    }
    let findings: Vec<_> = match &journal {
        Some(journal) => {
            let remains = journal.remains().await.map_err(|error| journal_failure(&error))?;
            remains.into_iter().map(|remains| remains.finding).collect()
        }
        None => Vec::new(),
    };
    let data = json!({
        "node": config.node, "version": version.version, "uptime_s": node.uptime,
        "memory": { "total": node.memory.total, "used": node.memory.used },
        "root": { "total": node.rootfs.total, "avail": node.rootfs.avail },
        "guests": lines.iter().map(guest_json).collect::<Vec<_>>(),
        "storages": storages.iter().map(|one| json!({
            "storage": one.storage, "active": one.active, "total": one.total, "avail": one.avail,
        })).collect::<Vec<_>>(),
        "findings": findings,
    });
    context.printer.document("felhom.status", &data, || {
        let mut page = vec![format!(
            "{} · Proxmox VE {} · up {} · memory {} of {} · root {} free",
            config.node,
            version.version,
            clock::age(node.uptime),
            size(node.memory.used),
            size(node.memory.total),
            size(node.rootfs.avail)
        )];
        page.push(String::new());
        page.push(guest_table(&lines));
        page.push(String::new());
        for one in &storages {
            let state = if one.active { "active" } else { "INACTIVE" };
            let name = one.storage.as_ref().map(ToString::to_string).unwrap_or_default();
            page.push(format!("{name}: {state}, {} of {} free", size(one.avail.unwrap_or(0)), size(one.total.unwrap_or(0))));
        }
        page.extend(findings_text(&findings));
        page.join("\n")
    });
    let healthy = findings.is_empty() && lines.iter().all(|line| line.posture == Posture::Protected);
    Ok(if healthy { Exit::Done } else { Exit::Findings })
}

async fn record(
    vmid: Vmid,
    config: &GuestConfig,
    archives: &[ArchiveFacts],
    journal: Option<&Journal>,
    list_may_be_shortened: bool,
    node_now: i64,
) -> Result<GuestRecord, Failure> {
    let now = clock::now();
    let newest = archives.iter().filter(|archive| archive.vmid == Some(vmid)).map(|archive| archive.ctime).max();
    let outside = |mount: &&felhom_engine::Mount| {
        mount.key != "rootfs" && !(mount.backup && matches!(mount.source, MountSource::Volume(_)))
    };
    let mut record = GuestRecord {
        newest_archive_s: newest.map(|ctime| node_now.saturating_sub(ctime)),
        list_may_be_shortened,
        outside: config.mounts.iter().filter(outside).count(),
        ..GuestRecord::default()
    };
    if let Some(journal) = journal {
        let backups = journal.backups(Some(vmid)).await.map_err(|error| journal_failure(&error))?;
        // A reused VMID does not inherit what was proven of another guest.
        let same: Vec<_> = backups.iter().filter(|row| row.report.fingerprint == config.fingerprint()).collect();
        record.last_backup = same.first().map(|row| row.report.verdict);
        let stranger = !backups.is_empty() && same.is_empty();
        let tests = journal.tests(Some(vmid)).await.map_err(|error| journal_failure(&error))?;
        let said = |verdict| matches!(verdict, Verdict::Passed | Verdict::Failed);
        record.last_proof = tests
            .iter()
            .find(|row| said(row.report.judgement.verdict))
            .filter(|_| !stranger)
            .map(|row| {
                let age = i64::try_from(now.since(row.finished).as_secs()).unwrap_or(i64::MAX);
                (row.report.judgement.verdict, age)
            });
    }
    Ok(record)
}

fn guest_json(line: &GuestLine) -> serde_json::Value {
    json!({
        "vmid": line.vmid.get(), "name": line.name, "running": line.running, "posture": line.posture,
        "reasons": line.reasons, "newest_backup_s": line.newest_s,
        "last_proof": line.proof.map(|(verdict, age)| json!({ "verdict": verdict, "age_s": age })),
    })
}

fn guest_table(lines: &[GuestLine]) -> String {
    if lines.is_empty() {
        return "no guest can be seen".to_owned();
    }
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            vec![
                line.vmid.to_string(),
                line.name.clone(),
                if line.running { "running".to_owned() } else { "stopped".to_owned() },
                line.posture.to_string(),
                line.newest_s.map_or_else(|| "none".to_owned(), clock::age),
                line.proof.map_or_else(|| "never".to_owned(), |(verdict, age)| format!("{verdict}, {}", clock::age(age))),
                line.reasons.join("; "),
            ]
        })
        .collect();
    table(&["VMID", "NAME", "STATUS", "POSTURE", "BACKUP", "PROOF", "WHY"], &rows)
}
