//! What the journal keeps of verifies: the last word on each snapshot, and which chunks are known to be damaged.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::pbs::{SnapshotVerdict, Target, VerifyReport, VerifyVerdict};
use felhom_engine::{Job, Timestamp};
use felhom_ids::BackupSnapshot;
use sqlx::Row;

use super::{Journal, Record, Result, decode, encode, reading, writing};

/// A verdict on one snapshot.
pub type VerifyRow = Record<SnapshotVerdict>;

impl Journal {
    /// Ends a verify: its verdicts and the end of the job are written at once.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn finish_verify(
        &self,
        job: &Job,
        report: &VerifyReport,
        now: Timestamp,
    ) -> Result<()> {
        let mut transaction = self.finishing(job, now).await?;
        for one in &report.verdicts {
            sqlx::query(
                "INSERT OR REPLACE INTO verifications \
                 (job, storage, namespace, snapshot, verdict, finished_ms, report) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(job.id.as_str())
            .bind(report.target.storage.to_string())
            .bind(report.target.namespace.to_string())
            .bind(one.snapshot.to_string())
            .bind(one.verdict.to_string())
            .bind(now.millis())
            .bind(encode(one, "verify")?)
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        }
        transaction.commit().await.map_err(writing)
    }

    /// The last *passed* or *failed* on each snapshot of a namespace, the newest first. What could not be determined left the
    /// former verdict standing.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn verifications(&self, target: &Target) -> Result<Vec<VerifyRow>> {
        if !self.has_table("verifications").await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT job, finished_ms, report FROM verifications AS one \
             WHERE storage = ? AND namespace = ? AND verdict IN ('passed', 'failed') \
               AND NOT EXISTS (SELECT 1 FROM verifications AS later WHERE later.storage = one.storage \
                 AND later.namespace = one.namespace AND later.snapshot = one.snapshot \
                 AND later.verdict IN ('passed', 'failed') AND later.rowid > one.rowid) \
             ORDER BY finished_ms DESC, snapshot",
        )
        .bind(target.storage.to_string())
        .bind(target.namespace.to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter()
            .map(|row| {
                let report: String = row.try_get(2).map_err(reading)?;
                Ok(Record {
                    job: row.try_get(0).map_err(reading)?,
                    finished: Timestamp::from_millis(row.try_get(1).map_err(reading)?),
                    report: decode(&report, "verify")?,
                })
            })
            .collect()
    }

    /// The chunks that the last verdicts call damaged, and the snapshots that need them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn known_damage(
        &self,
        target: &Target,
    ) -> Result<BTreeMap<String, BTreeSet<BackupSnapshot>>> {
        let mut known = BTreeMap::<String, BTreeSet<BackupSnapshot>>::new();
        let rows = self.verifications(target).await?.into_iter();
        for row in rows.filter(|row| row.report.verdict == VerifyVerdict::Failed) {
            for chunk in row.report.chunks {
                let needed = known.entry(chunk).or_default();
                needed.insert(row.report.snapshot.clone());
            }
        }
        Ok(known)
    }
}
