//! A guest's volumes as they are judged now: the live configuration, the latest report, and the policy.

use felhom_engine::volumes::{
    Inventory, JudgedVolumes, StorageKinds, gaps, surrounding_findings, volume_findings,
};
use felhom_engine::{Finding, GuestConfig, Principal};
use felhom_ids::Vmid;
use felhom_proxmox::Pve;

use crate::cli::context::{Context, journal_failure, pve_failure};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::observe;
use crate::perform::Performer;
use crate::volumes::{Known, how_to_report, inventory, known};

pub(super) struct Look {
    pub(super) vmid: Vmid,
    pub(super) config: GuestConfig,
    pub(super) inventory: Inventory,
    pub(super) judged: JudgedVolumes,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn everyday(performer: &Performer) -> &Pve {
    performer.remotes().of(Principal::Agent)
}

/// The container's configuration. One that the node does not have, or hides, is no guest.
pub(super) async fn guest(pve: &Pve, vmid: Vmid) -> Result<GuestConfig, Failure> {
    let config = match pve.lxc_config(vmid).await {
        Ok(config) => config,
        Err(error) if pve.qemu_status(vmid).await.is_err() => return Err(pve_failure(&error)),
        Err(_) => {
            let text = format!(
                "guest {vmid} is a virtual machine; reports on Docker volumes are for containers only"
            );
            let hint = format!("`felhom-agent backup run {vmid}` works for both kinds");
            return Err(Failure::new(Exit::Refused, "refused", text).hint(hint));
        }
    };
    observe::guest_config(&config).map_err(|error| {
        let text = format!("the configuration of {vmid}: {error}");
        Failure::new(Exit::Remote, "garbage", text)
    })
}

/// Judges what the last report told by what is true now.
pub(super) async fn look(
    context: &Context,
    performer: &Performer,
    vmid: Vmid,
) -> Result<Look, Failure> {
    let pve = everyday(performer);
    let config = guest(pve, vmid).await?;
    let journal = context.read_journal(performer.config()).await?;
    let inventory = told(journal.as_ref(), vmid, &config).await?;
    let policy = &performer.config().volumes;
    let judged = JudgedVolumes::judge(vmid, &config, &inventory, policy);
    let mut findings: Vec<Finding> = gaps(vmid, &inventory).into_iter().collect();
    findings.extend(volume_findings(&judged, policy));
    let kinds = storage_kinds(pve).await?;
    findings.extend(surrounding_findings(&judged, &config, &inventory, &kinds));
    Ok(Look {
        vmid,
        config,
        inventory,
        judged,
        findings,
    })
}

/// The inventory of the latest report on this very guest.
async fn told(
    journal: Option<&Journal>,
    vmid: Vmid,
    config: &GuestConfig,
) -> Result<Inventory, Failure> {
    let known = known(journal, vmid, &config.fingerprint())
        .await
        .map_err(|error| journal_failure(&error))?;
    let message = match known {
        Known::Report(kept) => return Ok(inventory(&kept.report, kept.taken)),
        Known::Nothing => format!("there is no report on the Docker volumes of {vmid} yet"),
        Known::OfAnother(kept) => format!(
            "the report of {} is on another guest, which had the VMID {vmid} before",
            clock::local(kept.taken)
        ),
    };
    let failure = Failure::new(Exit::NoSuchThing, "no-report", message);
    Err(failure.hint(format!("as root on the node: {}", how_to_report(vmid))))
}

/// What kind of storage each is, as far as the token sees them.
async fn storage_kinds(pve: &Pve) -> Result<StorageKinds, Failure> {
    let listed = pve.storages().await.map_err(|error| pve_failure(&error))?;
    Ok(listed
        .into_iter()
        .filter_map(|status| Some((status.storage?, status.kind)))
        .collect())
}
