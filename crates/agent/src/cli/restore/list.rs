//! `restore list`: what was restored, and how it ended.

use felhom_engine::RestoreEnd;
use felhom_ids::Vmid;
use serde_json::json;

use crate::cli::context::{Context, journal_failure, parse};
use crate::cli::text::findings_text;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::output::table;

pub(in crate::cli) async fn list(context: &Context, vmid: Option<&str>) -> Result<Exit, Failure> {
    let vmid: Option<Vmid> = vmid.map(|text| parse("VMID", text)).transpose()?;
    let config = context.config()?;
    let restores = match context.read_journal(&config).await? {
        Some(journal) => journal
            .restores(vmid)
            .await
            .map_err(|error| journal_failure(&error))?,
        None => Vec::new(),
    };
    let data: Vec<_> = restores
        .iter()
        .map(|row| json!({ "job": row.job, "finished_ms": row.finished.millis(), "report": row.report }))
        .collect();
    context.printer.document("felhom.restores", &data, || {
        if restores.is_empty() {
            return "nothing was restored yet".to_owned();
        }
        let rows: Vec<_> = restores
            .iter()
            .map(|row| {
                let report = &row.report;
                vec![
                    clock::local(row.finished),
                    report.to.to_string(),
                    report.volid.to_string(),
                    report.identity.to_string(),
                    report.end.to_string(),
                    report.reasons.first().cloned().unwrap_or_default(),
                ]
            })
            .collect();
        let mut lines = vec![table(
            &["WHEN", "VMID", "BACKUP", "IDENTITY", "END", "REASON"],
            &rows,
        )];
        // What is left is told for as long as somebody may have to remove it.
        let left = restores.iter().filter(|row| !row.report.nothing_left);
        for row in left.filter(|row| row.report.end == RestoreEnd::Failed) {
            lines.extend(findings_text(&row.report.findings));
        }
        lines.join("\n")
    });
    Ok(Exit::Done)
}
