//! What the journal keeps of host reports: the newest few, each under a number that never comes back; and the jobs that ended last.

use felhom_engine::{Job, Timestamp};
use felhom_protocol::host::{HostReport, JobEnd};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Journal, Result, decode, encode, reading, writing};

/// Reports that are kept: at one an hour a month of them.
const KEPT: i64 = 750;

/// The pass of `run --once` that was begun last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPass {
    /// When it was begun.
    pub began: Timestamp,
    /// When it ended; `None` of one that goes on, or was cut off.
    pub ended: Option<Timestamp>,
    /// The exit code that it ended with.
    pub exit: Option<i64>,
}

impl Journal {
    /// Gives the report its number, and keeps it. Durable when this returns; a report whose number was not returned is
    /// nobody's, and its number may be the next one's.
    ///
    /// # Errors
    /// When the journal cannot be written; the report has no number then.
    pub async fn keep_report(&self, report: &mut HostReport) -> Result<u64> {
        let mut transaction = self.pool.begin().await.map_err(writing)?;
        let row = sqlx::query(
            "UPDATE host_report_sequence SET last = last + 1 WHERE only_row = 1 RETURNING last",
        )
        .fetch_one(&mut *transaction)
        .await
        .map_err(writing)?;
        let last: i64 = row.try_get(0).map_err(reading)?;
        let former = report.sequence;
        report.sequence = u64::try_from(last).unwrap_or_default();
        let text = encode(report, "host report");
        let number = std::mem::replace(&mut report.sequence, former);
        sqlx::query("INSERT INTO host_reports (seq, taken_ms, report) VALUES (?, ?, ?)")
            .bind(last)
            .bind(Timestamp::from_secs(report.taken_s).millis())
            .bind(text?)
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        sqlx::query("DELETE FROM host_reports WHERE seq <= ?")
            .bind(last.saturating_sub(KEPT))
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        transaction.commit().await.map_err(writing)?;
        report.sequence = number;
        Ok(number)
    }

    /// The report that was kept last.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn last_report(&self) -> Result<Option<HostReport>> {
        // Who reads does not bring the tables up to date.
        if !self.has_table("host_reports").await? {
            return Ok(None);
        }
        let row = sqlx::query("SELECT report FROM host_reports ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await
            .map_err(reading)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let text: String = row.try_get(0).map_err(reading)?;
        decode(&text, "host report").map(Some)
    }

    /// The pass that was begun last.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn last_pass(&self) -> Result<Option<LastPass>> {
        if !self.has_table("passes").await? {
            return Ok(None);
        }
        let row =
            sqlx::query("SELECT began_ms, ended_ms, exit FROM passes ORDER BY id DESC LIMIT 1")
                .fetch_optional(&self.pool)
                .await
                .map_err(reading)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let ended: Option<i64> = row.try_get(1).map_err(reading)?;
        Ok(Some(LastPass {
            began: Timestamp::from_millis(row.try_get(0).map_err(reading)?),
            ended: ended.map(Timestamp::from_millis),
            exit: row.try_get(2).map_err(reading)?,
        }))
    }

    /// The jobs that ended last, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn ended_jobs(&self, at_most: u32) -> Result<Vec<JobEnd>> {
        let rows = sqlx::query(
            "SELECT id, kind, subject, created_ms, finished_ms, state FROM jobs \
             WHERE finished_ms IS NOT NULL ORDER BY finished_ms DESC, id LIMIT ?",
        )
        .bind(at_most)
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter().map(ended).collect()
    }
}

fn ended(row: &SqliteRow) -> Result<JobEnd> {
    let seconds = |millis: i64| Timestamp::from_millis(millis).secs();
    let state: String = row.try_get(5).map_err(reading)?;
    // What an older program wrote may be told of without being understood.
    let job: Option<Job> = decode(&state, "job").ok();
    let verdict = job.as_ref().and_then(Job::verdict).unwrap_or("ended");
    Ok(JobEnd {
        job: row.try_get(0).map_err(reading)?,
        kind: row.try_get(1).map_err(reading)?,
        subject: row.try_get(2).map_err(reading)?,
        began_s: seconds(row.try_get(3).map_err(reading)?),
        ended_s: seconds(row.try_get(4).map_err(reading)?),
        verdict: verdict.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(taken_s: i64) -> HostReport {
        serde_json::from_value(serde_json::json!({
            "installation": "test", "sequence": 0, "taken_s": taken_s, "agent_version": "0.1.0", "node": { "name": "pve" },
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn numbers_grow_and_never_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path(), "test").await.unwrap();
        assert_eq!(journal.last_report().await.unwrap(), None);
        let mut first = report(10);
        assert_eq!(journal.keep_report(&mut first).await.unwrap(), 1);
        assert_eq!(first.sequence, 1);
        assert_eq!(journal.last_report().await.unwrap(), Some(first));
        // All that was kept is lost, but not how far the numbers came.
        let all = sqlx::query("DELETE FROM host_reports");
        all.execute(&journal.pool).await.unwrap();
        assert_eq!(journal.keep_report(&mut report(11)).await.unwrap(), 2);
        drop(journal);
        let journal = Journal::open(directory.path(), "test").await.unwrap();
        assert_eq!(journal.keep_report(&mut report(12)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_crash_before_the_report_is_kept_leaves_no_gap_and_none_has_two_owners() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path(), "test").await.unwrap();
        journal.keep_report(&mut report(10)).await.unwrap();
        // The row that would follow is in the way: the write fails after the number was drawn.
        sqlx::query("INSERT INTO host_reports (seq, taken_ms, report) VALUES (2, 0, '{}')")
            .execute(&journal.pool)
            .await
            .unwrap();
        let mut lost = report(11);
        journal.keep_report(&mut lost).await.unwrap_err();
        assert_eq!(lost.sequence, 0, "a report that is not kept has no number");
        sqlx::query("DELETE FROM host_reports WHERE seq = 2")
            .execute(&journal.pool)
            .await
            .unwrap();
        // Another process, as after a crash.
        drop(journal);
        let journal = Journal::open(directory.path(), "test").await.unwrap();
        assert_eq!(journal.keep_report(&mut report(12)).await.unwrap(), 2);
        assert_eq!(journal.last_report().await.unwrap().unwrap().taken_s, 12);
    }

    #[tokio::test]
    async fn only_so_many_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path(), "test").await.unwrap();
        sqlx::query("UPDATE host_report_sequence SET last = 5000")
            .execute(&journal.pool)
            .await
            .unwrap();
        for old in [4000, 4251, 5000] {
            sqlx::query("INSERT INTO host_reports (seq, taken_ms, report) VALUES (?, 0, '{}')")
                .bind(old)
                .execute(&journal.pool)
                .await
                .unwrap();
        }
        assert_eq!(journal.keep_report(&mut report(1)).await.unwrap(), 5001);
        let rows = sqlx::query("SELECT seq FROM host_reports ORDER BY seq");
        let rows = rows.fetch_all(&journal.pool).await.unwrap();
        let left: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(left, [5000, 5001]);
    }
}
