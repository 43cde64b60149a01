//! What the journal keeps of guarded changes.

use felhom_engine::{GuardEnd, GuardPurpose, GuardReport, Job, OpenGuard, Timestamp};
use sqlx::Row;

use super::{Journal, Result, decode, encode, reading, writing};

impl Journal {
    /// Ends a guard's job: what becomes of the guard and the end of the job are written at once. A guard is named after the
    /// job that made its snapshot.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn finish_guard(
        &self,
        job: &Job,
        report: &GuardReport,
        now: Timestamp,
    ) -> Result<()> {
        let mut transaction = self.finishing(job, now).await?;
        let guard = &report.guard;
        // A guard that was never opened is no guard, unless its snapshot could not be removed.
        let known = report.stays || report.purpose != GuardPurpose::Begin;
        if known {
            let ended = (!report.stays).then_some(now.millis());
            let ended_as = ended.map(|_| encode(&report.end, "end")).transpose()?;
            sqlx::query(
                "INSERT INTO guards (job, vmid, snapshot, guard, begun_ms, ended_ms, ended_as) \
                 VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job) DO UPDATE SET \
                 guard = excluded.guard, ended_ms = excluded.ended_ms, ended_as = excluded.ended_as",
            )
            .bind(guard.mark.job.as_str())
            .bind(guard.vmid().get())
            .bind(guard.snapshot.as_str())
            .bind(encode(guard, "guard")?)
            .bind(guard.begun.ours.millis())
            .bind(ended)
            .bind(ended_as)
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        }
        transaction.commit().await.map_err(writing)
    }

    /// The guards that did not end, by guest.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn guards(&self) -> Result<Vec<OpenGuard>> {
        // A reader may come before anybody brought the tables up to date.
        let table = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'guards'")
            .fetch_optional(&self.pool)
            .await
            .map_err(reading)?;
        if table.is_none() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query("SELECT guard FROM guards WHERE ended_ms IS NULL ORDER BY vmid")
            .fetch_all(&self.pool)
            .await
            .map_err(reading)?;
        rows.iter()
            .map(|row| {
                let guard: String = row.try_get(0).map_err(reading)?;
                decode(&guard, "guard")
            })
            .collect()
    }

    /// How each guard ended that did, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn ended_guards(&self) -> Result<Vec<(OpenGuard, GuardEnd)>> {
        let rows = sqlx::query(
            "SELECT guard, ended_as FROM guards WHERE ended_ms IS NOT NULL ORDER BY ended_ms, job",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter()
            .map(|row| {
                let guard: String = row.try_get(0).map_err(reading)?;
                let end: String = row.try_get(1).map_err(reading)?;
                Ok((decode(&guard, "guard")?, decode(&end, "end")?))
            })
            .collect()
    }
}
