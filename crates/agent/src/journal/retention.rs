//! What the journal says about archives when it is to be decided which of them may go, and which of them we protected.

use std::collections::BTreeMap;

use felhom_engine::{ArchiveRecord, BackupVerdict, FormerProof, JobId, Verdict};
use felhom_ids::{StorageId, Vmid};

use super::{Journal, Result};

impl Journal {
    /// Every archive that jobs of ours made of this guest on this storage, with what is known of it by now.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn archive_records(
        &self,
        vmid: Vmid,
        storage: &StorageId,
    ) -> Result<Vec<ArchiveRecord>> {
        // Newest first: the first statement about an archive is the last that was made.
        let mut stated = BTreeMap::new();
        for row in self.tests(Some(vmid)).await? {
            let verdict = row.report.judgement.verdict;
            if matches!(verdict, Verdict::Passed | Verdict::Failed) {
                stated
                    .entry(row.report.volid)
                    .or_insert((verdict, row.finished));
            }
        }
        let rows = self.backups(Some(vmid)).await?.into_iter();
        Ok(rows
            .filter_map(|row| {
                let volid = row.report.volid?;
                let job: JobId = row.job.parse().ok()?;
                let statement = stated.get(&volid);
                let passed = statement.filter(|(verdict, _)| *verdict == Verdict::Passed);
                let failed = statement.is_some() && passed.is_none();
                (volid.storage() == storage).then_some(ArchiveRecord {
                    job,
                    finished: row.finished,
                    size: row.report.size,
                    fingerprint: row.report.fingerprint,
                    good: row.report.verdict == BackupVerdict::Good && !failed,
                    proven: passed.map(|(_, finished)| *finished),
                    volid,
                })
            })
            .collect())
    }

    /// The archives of this guest that restore tests of ours set protected, and did not release since.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn former_proofs(&self, vmid: Vmid) -> Result<Vec<FormerProof>> {
        let mut proofs = BTreeMap::new();
        let oldest_first = self.tests(Some(vmid)).await?.into_iter().rev();
        for row in oldest_first {
            for volid in &row.report.released {
                proofs.remove(volid);
            }
            if row.report.protected {
                proofs.insert(row.report.volid, row.report.fingerprint);
            }
        }
        let proof = |(volid, fingerprint)| FormerProof { volid, fingerprint };
        Ok(proofs.into_iter().map(proof).collect())
    }
}
