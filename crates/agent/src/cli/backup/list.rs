//! `backup list`: the backups that can be seen, and what is known of them.

use felhom_engine::{BackupReport, BackupVerdict, Finding, Principal, codes};
use felhom_ids::Vmid;
use felhom_proxmox::Pve;
use serde_json::json;

use crate::cli::context::{Context, journal_failure, node_now, parse, pve_failure};
use crate::cli::text::findings_text;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::observe;
use crate::output::{size, table};

pub(in crate::cli) async fn list(context: &Context, vmid: Option<&str>) -> Result<Exit, Failure> {
    let vmid: Option<Vmid> = vmid.map(|text| parse("VMID", text)).transpose()?;
    let performer = context.performer()?;
    let config = performer.config();
    let journal = context.read_journal(config).await?;
    let pve = performer.remotes().of(Principal::Agent);
    let now = node_now(pve).await;
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for archive in observe::archives(pve, vmid)
        .await
        .map_err(|error| pve_failure(&error))?
    {
        let row = match &journal {
            Some(journal) => journal
                .backup_of(&archive.volid)
                .await
                .map_err(|error| journal_failure(&error))?,
            None => None,
        };
        let proven = row.map_or("not ours", |row| standing(&row.report));
        data.push(json!({
            "volid": archive.volid, "vmid": archive.vmid.map(Vmid::get), "size": archive.size,
            "ctime": archive.ctime, "protected": archive.protected, "notes": archive.notes, "content": proven,
        }));
        let notes = archive.notes.unwrap_or_default();
        rows.push(vec![
            archive
                .vmid
                .map(|vmid| vmid.to_string())
                .unwrap_or_default(),
            clock::age(now.saturating_sub(archive.ctime)),
            size(archive.size),
            proven.to_owned(),
            format!("{}\n{notes}", archive.volid).trim_end().to_owned(),
        ]);
    }
    let findings = shortened(pve, vmid).await?;
    let text = || {
        let mut lines = vec![if rows.is_empty() {
            "no backup can be seen".to_owned()
        } else {
            table(&["VMID", "AGE", "SIZE", "CONTENT", "VOLID, NOTES"], &rows)
        }];
        lines.extend(findings_text(&findings));
        lines.join("\n")
    };
    context
        .printer
        .document_with_findings("felhom.backups", &data, &findings, text);
    Ok(if findings.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    })
}

/// What is known of a backup of ours, in a word.
fn standing(report: &BackupReport) -> &'static str {
    match report.verdict {
        BackupVerdict::Good if super::is_proven(report) => "proven",
        BackupVerdict::Good => "unproven",
        BackupVerdict::Failed => "failed",
        BackupVerdict::Refused | BackupVerdict::Undetermined => "undetermined",
    }
}

/// What the list may leave out: PVE shows a backup to those who administrate its storage, or who may back its guest up
/// (pve-storage Storage.pm, `check_volume_access`).
async fn shortened(pve: &Pve, vmid: Option<Vmid>) -> Result<Vec<Finding>, Failure> {
    let guests = vmid.map_or_else(|| "/vms".to_owned(), |vmid| format!("/vms/{vmid}"));
    let holds = async |path: &str, privilege: &str| {
        let held = pve.permissions_at(path).await;
        held.map(|held| held.has(path, privilege))
            .map_err(|error| pve_failure(&error))
    };
    if holds(&guests, "VM.Backup").await? {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    for storage in observe::backup_storages(pve)
        .await
        .map_err(|error| pve_failure(&error))?
    {
        if !holds(&format!("/storage/{storage}"), "Datastore.Allocate").await? {
            let detail = format!(
                "the token lacks VM.Backup on {guests}: backups may be there that it does not see, and an empty list \
                 proves nothing"
            );
            let subject = format!("storage {storage}");
            findings.push(Finding::new(codes::LIST_MAY_BE_SHORTENED, subject, detail));
        }
    }
    Ok(findings)
}
