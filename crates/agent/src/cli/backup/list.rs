//! `backup list`: the backups that can be seen, and what is known of them.

use felhom_engine::{BackupVerdict, Principal};
use felhom_ids::Vmid;
use serde_json::json;

use crate::cli::context::{Context, journal_failure, node_now, parse, pve_failure};
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
        let proven = row.map_or("not ours", |row| match row.report.verdict {
            BackupVerdict::Good => "proven",
            BackupVerdict::Failed => "failed",
            BackupVerdict::Refused | BackupVerdict::Undetermined => "undetermined",
        });
        data.push(json!({
            "volid": archive.volid, "vmid": archive.vmid.map(Vmid::get), "size": archive.size,
            "ctime": archive.ctime, "protected": archive.protected, "notes": archive.notes, "content": proven,
        }));
        rows.push(vec![
            archive
                .vmid
                .map(|vmid| vmid.to_string())
                .unwrap_or_default(),
            archive.volid.to_string(),
            clock::age(now.saturating_sub(archive.ctime)),
            size(archive.size),
            proven.to_owned(),
            archive.notes.unwrap_or_default(),
        ]);
    }
    context.printer.document("felhom.backups", &data, || {
        if rows.is_empty() {
            "no backup can be seen (a token sees only backups of guests it has VM.Backup on)"
                .to_owned()
        } else {
            table(&["VMID", "VOLID", "AGE", "SIZE", "CONTENT", "NOTES"], &rows)
        }
    });
    Ok(Exit::Done)
}
