//! What the journal keeps of jobs that ended: backups, restore tests, and what could not be removed.

use felhom_engine::{
    BackupReport, Finding, Job, JobId, Leftover, RestoreRunReport, RestoreTestReport, Timestamp,
};
use felhom_ids::{Vmid, VolumeId};
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::{Journal, Result, decode, encode, reading, writing};

/// A job that ended, with its report.
#[derive(Debug, Clone)]
pub struct Record<Report> {
    /// The job.
    pub job: String,
    /// When it ended.
    pub finished: Timestamp,
    /// What it found.
    pub report: Report,
}

/// A backup that ended.
pub type BackupRow = Record<BackupReport>;

/// A restore test that ended.
pub type TestRow = Record<RestoreTestReport>;

/// A restore that ended.
pub type RestoreRow = Record<RestoreRunReport>;

/// A scratch guest that a finished job could not remove.
#[derive(Debug, Clone)]
pub struct Remains {
    /// What is known of it.
    pub leftover: Leftover,
    /// Why it is still there.
    pub finding: Finding,
}

impl Journal {
    /// Ends a backup job: its record and its end are written at once.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn finish_backup(
        &self,
        job: &Job,
        report: &BackupReport,
        now: Timestamp,
    ) -> Result<()> {
        let mut transaction = self.finishing(job, now).await?;
        sqlx::query(
            "INSERT OR REPLACE INTO backups (job, vmid, volid, verdict, finished_ms, report) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(job.id.as_str())
        .bind(report.vmid.get())
        .bind(report.volid.as_ref().map(ToString::to_string))
        .bind(encode(&report.verdict, "verdict")?)
        .bind(now.millis())
        .bind(encode(report, "backup")?)
        .execute(&mut *transaction)
        .await
        .map_err(writing)?;
        transaction.commit().await.map_err(writing)
    }

    /// Ends a restore test: its record, its end, and what it left behind, at once.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn finish_test(
        &self,
        job: &Job,
        report: &RestoreTestReport,
        remains: Option<&Remains>,
        now: Timestamp,
    ) -> Result<()> {
        let mut transaction = self.finishing(job, now).await?;
        sqlx::query(
            "INSERT OR REPLACE INTO restore_tests (job, vmid, volid, verdict, finished_ms, report) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(job.id.as_str())
        .bind(report.source.map(Vmid::get))
        .bind(report.volid.to_string())
        .bind(report.judgement.verdict.to_string())
        .bind(now.millis())
        .bind(encode(report, "restore test")?)
        .execute(&mut *transaction)
        .await
        .map_err(writing)?;
        if let Some(remains) = remains {
            leave(&mut transaction, remains, now).await?;
        }
        transaction.commit().await.map_err(writing)
    }

    /// Ends a restore that was to stay: its record and its end are written at once.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn finish_restore(
        &self,
        job: &Job,
        report: &RestoreRunReport,
        now: Timestamp,
    ) -> Result<()> {
        let mut transaction = self.finishing(job, now).await?;
        sqlx::query(
            "INSERT OR REPLACE INTO restores (job, vmid, source, volid, ending, finished_ms, report) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(job.id.as_str())
        .bind(report.to.get())
        .bind(report.source.map(Vmid::get))
        .bind(report.volid.to_string())
        .bind(report.end.as_str())
        .bind(now.millis())
        .bind(encode(report, "restore")?)
        .execute(&mut *transaction)
        .await
        .map_err(writing)?;
        transaction.commit().await.map_err(writing)
    }

    /// Restores that ended, newest first, to one VMID or of one guest, or all.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn restores(&self, vmid: Option<Vmid>) -> Result<Vec<RestoreRow>> {
        let rows = sqlx::query(
            "SELECT job, finished_ms, report FROM restores WHERE ?1 IS NULL OR vmid = ?1 OR source = ?1 \
             ORDER BY finished_ms DESC, job",
        )
        .bind(vmid.map(Vmid::get))
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter().map(|row| record(row, "restore")).collect()
    }

    /// Ends a reap: what is gone is forgotten, what is not is kept.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn finish_reap(
        &self,
        job: &Job,
        vmid: Vmid,
        remains: Option<&Remains>,
        now: Timestamp,
    ) -> Result<()> {
        let mut transaction = self.finishing(job, now).await?;
        sqlx::query("DELETE FROM remains WHERE vmid = ?")
            .bind(vmid.get())
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        if let Some(remains) = remains {
            leave(&mut transaction, remains, now).await?;
        }
        transaction.commit().await.map_err(writing)
    }

    /// Ends an exercise or a pruning. Its report is in the job's last state.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn finish_job(&self, job: &Job, now: Timestamp) -> Result<()> {
        self.finishing(job, now)
            .await?
            .commit()
            .await
            .map_err(writing)
    }

    pub(super) async fn finishing(
        &self,
        job: &Job,
        now: Timestamp,
    ) -> Result<Transaction<'static, Sqlite>> {
        let mut transaction = self.pool.begin().await.map_err(writing)?;
        sqlx::query("UPDATE jobs SET finished_ms = ?, updated_ms = ?, state = ? WHERE id = ?")
            .bind(now.millis())
            .bind(now.millis())
            .bind(encode(job, "job")?)
            .bind(job.id.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        Ok(transaction)
    }

    /// Backups that ended, newest first, of one guest or of all.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn backups(&self, vmid: Option<Vmid>) -> Result<Vec<BackupRow>> {
        let rows = sqlx::query(
            "SELECT job, finished_ms, report FROM backups WHERE ?1 IS NULL OR vmid = ?1 \
             ORDER BY finished_ms DESC, job",
        )
        .bind(vmid.map(Vmid::get))
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter().map(|row| record(row, "backup")).collect()
    }

    /// The record of the backup that made this archive.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn backup_of(&self, volid: &VolumeId) -> Result<Option<BackupRow>> {
        let row = sqlx::query(
            "SELECT job, finished_ms, report FROM backups WHERE volid = ? ORDER BY finished_ms DESC LIMIT 1",
        )
        .bind(volid.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(reading)?;
        row.map(|row| record(&row, "backup")).transpose()
    }

    /// Restore tests that ended, newest first, of one guest or of all.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn tests(&self, vmid: Option<Vmid>) -> Result<Vec<TestRow>> {
        let rows = sqlx::query(
            "SELECT job, finished_ms, report FROM restore_tests WHERE ?1 IS NULL OR vmid = ?1 \
             ORDER BY finished_ms DESC, job",
        )
        .bind(vmid.map(Vmid::get))
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter().map(|row| record(row, "restore test")).collect()
    }

    /// Scratch guests that could not be removed.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn remains(&self) -> Result<Vec<Remains>> {
        let rows = sqlx::query(
            "SELECT mark, restore_upid, destroy_upid, finding, earlier FROM remains ORDER BY vmid",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter()
            .map(|row| {
                let mark: String = row.try_get(0).map_err(reading)?;
                let restore: Option<String> = row.try_get(1).map_err(reading)?;
                let destroy: Option<String> = row.try_get(2).map_err(reading)?;
                let finding: String = row.try_get(3).map_err(reading)?;
                let earlier: Option<String> = row.try_get(4).map_err(reading)?;
                Ok(Remains {
                    leftover: Leftover {
                        mark: decode(&mark, "mark")?,
                        restore: restore.and_then(|upid| upid.parse().ok()),
                        destroy: destroy.and_then(|upid| upid.parse().ok()),
                        earlier: earlier
                            .map(|text| decode(&text, "earlier tasks"))
                            .transpose()?
                            .unwrap_or_default(),
                    },
                    finding: decode(&finding, "finding")?,
                })
            })
            .collect()
    }

    /// Whether the journal knows a job of this name.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn knows(&self, job: &JobId) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM jobs WHERE id = ?")
            .bind(job.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(reading)?;
        Ok(row.is_some())
    }
}

async fn leave(
    transaction: &mut Transaction<'static, Sqlite>,
    remains: &Remains,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO remains (vmid, mark, restore_upid, destroy_upid, since_ms, finding, earlier) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(remains.leftover.mark.vmid.get())
    .bind(encode(&remains.leftover.mark, "mark")?)
    .bind(remains.leftover.restore.as_ref().map(ToString::to_string))
    .bind(remains.leftover.destroy.as_ref().map(ToString::to_string))
    .bind(now.millis())
    .bind(encode(&remains.finding, "finding")?)
    .bind(encode(&remains.leftover.earlier, "earlier tasks")?)
    .execute(&mut **transaction)
    .await
    .map_err(writing)?;
    Ok(())
}

pub(super) fn record<Report: DeserializeOwned>(
    row: &SqliteRow,
    what: &'static str,
) -> Result<Record<Report>> {
    let millis: i64 = row.try_get(1).map_err(reading)?;
    let report: String = row.try_get(2).map_err(reading)?;
    Ok(Record {
        job: row.try_get(0).map_err(reading)?,
        finished: Timestamp::from_millis(millis),
        report: decode(&report, what)?,
    })
}
