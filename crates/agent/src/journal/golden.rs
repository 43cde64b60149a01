//! What the journal keeps of the containers that golden archives are taken of.

use felhom_engine::{BackupVerdict, GoldenReport, Job, Timestamp};
use felhom_ids::Vmid;
use serde::Serialize;
use sqlx::Row;

use super::{BackupRow, Journal, Result, decode, encode, reading, writing};

/// A golden container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoldenContainer {
    /// Its number.
    pub vmid: Vmid,
    /// What it was made from.
    pub template: String,
    /// Its features as they stand in its configuration.
    pub features: String,
    /// When it was made, or first seen.
    #[serde(rename = "made_ms")]
    pub made: Timestamp,
}

impl Journal {
    /// Ends the making of a golden container: what is ready is remembered with it, at once.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn finish_golden(
        &self,
        job: &Job,
        report: &GoldenReport,
        now: Timestamp,
    ) -> Result<()> {
        let mut transaction = self.finishing(job, now).await?;
        if report.ready {
            // One that was there before keeps its date, by which its archives are known.
            sqlx::query(
                "INSERT INTO golden (vmid, template, features, made_ms) VALUES (?, ?, ?, ?) \
                 ON CONFLICT (vmid) DO UPDATE SET template = excluded.template, features = excluded.features, \
                 made_ms = CASE WHEN ?5 THEN golden.made_ms ELSE excluded.made_ms END",
            )
            .bind(report.vmid.get())
            .bind(report.template.to_string())
            .bind(report.features.clone().unwrap_or_default())
            .bind(now.millis())
            .bind(report.existed)
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        }
        transaction.commit().await.map_err(writing)
    }

    /// The golden containers, by number.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn golden(&self) -> Result<Vec<GoldenContainer>> {
        if !self.has_table("golden").await? {
            return Ok(Vec::new());
        }
        let rows =
            sqlx::query("SELECT vmid, template, features, made_ms FROM golden ORDER BY vmid")
                .fetch_all(&self.pool)
                .await
                .map_err(reading)?;
        rows.iter()
            .map(|row| {
                let vmid: u32 = row.try_get(0).map_err(reading)?;
                Ok(GoldenContainer {
                    vmid: decode(&encode(&vmid, "VMID")?, "VMID")?,
                    template: row.try_get(1).map_err(reading)?,
                    features: row.try_get(2).map_err(reading)?,
                    made: Timestamp::from_millis(row.try_get(3).map_err(reading)?),
                })
            })
            .collect()
    }

    /// The good backups of golden containers since they were made, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn golden_archives(&self) -> Result<Vec<(GoldenContainer, BackupRow)>> {
        let mut all = Vec::new();
        for container in self.golden().await? {
            let rows = self.backups(Some(container.vmid)).await?.into_iter();
            let good = rows.filter(|row| {
                row.finished >= container.made
                    && row.report.verdict == BackupVerdict::Good
                    && row.report.volid.is_some()
            });
            all.extend(good.map(|row| (container.clone(), row)));
        }
        all.sort_by_key(|(_, row)| std::cmp::Reverse(row.finished));
        Ok(all)
    }
}
