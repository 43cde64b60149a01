//! What to test: a volume id, a guest's newest backup, or the guest whose last test is longest ago.

use std::collections::BTreeMap;

use felhom_engine::{
    ArchiveFacts, Candidate, Principal, Timestamp, Verdict, least_recently_proven,
};
use felhom_ids::{Vmid, VolumeId};

use super::super::context::{journal_failure, parse, parse_backup, pve_failure};
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, TestRow};
use crate::observe;
use crate::perform::Performer;

pub(super) async fn subject(
    text: Option<&str>,
    performer: &Performer,
    journal: Option<&Journal>,
) -> Result<Option<VolumeId>, Failure> {
    match text {
        Some(text) if text.contains(':') => {
            let volid = parse_backup(text)?;
            require_archive(performer, &volid).await?;
            Ok(Some(volid))
        }
        Some(text) => {
            let vmid: Vmid = parse("VMID", text)?;
            Ok(newest(performer, Some(vmid))
                .await?
                .remove(&vmid)
                .map(|archive| archive.volid))
        }
        None => {
            let newest = newest(performer, None).await?;
            let mut candidates = Vec::new();
            let scratch = performer.config().restore_test_policy.range();
            for (vmid, archive) in newest {
                // What lies under such a number was made for a test, or by somebody who tried something out.
                if scratch.contains(&vmid) {
                    continue;
                }
                let (last_verdict, last_error) = last_tests(performer, journal, vmid).await?;
                candidates.push(Candidate {
                    vmid,
                    newest: archive.volid,
                    last_verdict,
                    last_error,
                });
            }
            Ok(least_recently_proven(&candidates).map(|candidate| candidate.newest.clone()))
        }
    }
}

/// No verdict is written down about an archive that is not there.
pub(in crate::cli) async fn require_archive(
    performer: &Performer,
    volid: &VolumeId,
) -> Result<(), Failure> {
    let agent = performer.remotes().of(Principal::Agent);
    let listed = agent
        .backups(volid.storage(), volid.guest())
        .await
        .map_err(|error| pve_failure(&error))?;
    if listed.iter().any(|volume| volume.volid == *volid) {
        return Ok(());
    }
    let message = format!("`{volid}` is not on the storage, or hidden from the token");
    Err(Failure::new(Exit::NoSuchThing, "not-found", message)
        .hint("`felhom-agent backup list` shows what there is"))
}

/// The newest backup of each guest, over all storages.
async fn newest(
    performer: &Performer,
    vmid: Option<Vmid>,
) -> Result<BTreeMap<Vmid, ArchiveFacts>, Failure> {
    let pve = performer.remotes().of(Principal::Agent);
    let mut newest: BTreeMap<Vmid, ArchiveFacts> = BTreeMap::new();
    for archive in observe::archives(pve, vmid)
        .await
        .map_err(|error| pve_failure(&error))?
    {
        let Some(vmid) = archive.vmid else {
            continue;
        };
        if newest
            .get(&vmid)
            .is_none_or(|best| best.ctime < archive.ctime)
        {
            newest.insert(vmid, archive);
        }
    }
    Ok(newest)
}

/// When this very guest last passed or failed, and when a test of it last ended as an *error*, which leaves the previous verdict
/// standing.
async fn last_tests(
    performer: &Performer,
    journal: Option<&Journal>,
    vmid: Vmid,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Failure> {
    let Some(journal) = journal else {
        return Ok((None, None));
    };
    let tests = journal
        .tests(Some(vmid))
        .await
        .map_err(|error| journal_failure(&error))?;
    let said = |verdict| matches!(verdict, Verdict::Passed | Verdict::Failed);
    // What was proven of another guest that had this VMID before says nothing. Of a guest that is gone all counts.
    let live = observe::either_config(performer.remotes().of(Principal::Agent), vmid).await;
    let who = live.ok().and_then(Result::ok);
    let who = who.map(|config| config.fingerprint());
    let same = |row: &&TestRow| {
        who.as_ref()
            .is_none_or(|who| row.report.fingerprint.is_of_same_guest(who))
    };
    let verdict = |row: &&TestRow| said(row.report.judgement.verdict);
    let last_verdict = tests.iter().find(|row| verdict(row) && same(row));
    // Who it was of was perhaps never read.
    let last_error = tests.iter().find(|row| !verdict(row));
    let finished = |row: Option<&TestRow>| row.map(|row| row.finished);
    Ok((finished(last_verdict), finished(last_error)))
}
