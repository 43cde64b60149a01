//! `restore plan`: what would come back, what would be lost, and what stands in the way.

use felhom_engine::{JobId, Mark, Principal, plan_restore};
use serde_json::json;

use super::context::{Context, archived_config, parse_backup};
use super::jobs;
use crate::exit::{Exit, Failure};

pub(super) async fn plan(context: &Context, volid: &str) -> Result<Exit, Failure> {
    let volid = parse_backup(volid)?;
    let performer = context.performer()?;
    let config = performer.config();
    let policy = &config.restore_test_policy;
    let pve = performer.remotes().of(Principal::RestoreTest);
    let archived = archived_config(pve, &volid).await?;
    let installation = match context.read_journal(config).await? {
        Some(journal) => journal.installation().clone(),
        None => jobs::no_installation(),
    };
    // A plan on paper: the VMID and the job are chosen when the restore is carried out.
    let mark = Mark {
        installation,
        job: JobId::from_bits(0),
        vmid: policy.first_vmid,
    };
    let plan = plan_restore(&volid, &archived, policy.first_vmid, policy, mark, 0);
    let data = json!({
        "volid": volid, "storage": plan.storage, "mounts": plan.mounts, "lost": plan.lost, "refused": plan.refused,
        "nics": plan.nics, "memory_mib": plan.memory_mib, "cores": plan.cores, "features": archived.features,
    });
    context.printer.document("felhom.restore-plan", &data, || {
        let mut lines = plan.lines();
        lines.push(
            "  machine-id, SSH host keys and the host name stay those of the original".to_owned(),
        );
        for refusal in &plan.refused {
            lines.extend(refusal.hint.iter().map(|hint| format!("  hint: {hint}")));
        }
        lines.join("\n")
    });
    Ok(if plan.refused.is_empty() {
        Exit::Done
    } else {
        Exit::Refused
    })
}
