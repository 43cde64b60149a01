//! The jobs that did not end, each read by itself, and how often they were gone on with in vain.

use std::collections::BTreeMap;

use felhom_engine::{Job, JobId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Journal, Result, decode, reading, writing};

/// So many processes in a row that were cut off while they went on with one job are no accident.
const CUT_OFF: u32 = 3;

/// A job that did not end, and the mutation whose outcome is not known.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The job, in the state before its last step.
    pub job: Job,
    /// The number that its next step gets.
    pub next_seq: i64,
    /// Whether the last step was a mutation that was begun and whose outcome was never written.
    pub mutation_pending: bool,
    /// How often in a row it was gone on with by a process that was cut off.
    pub cut_off: u32,
}

impl Unfinished {
    /// Whether nobody goes on with it unasked any more: it may be what ends each process.
    pub fn is_stuck(&self) -> bool {
        self.cut_off >= CUT_OFF
    }
}

/// A job that did not end, and of which this program cannot read how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Illegible {
    /// Its name.
    pub job: String,
    /// Its kind.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// What cannot be read.
    pub why: String,
}

impl Journal {
    /// The jobs that did not end, oldest first, but those that cannot be read: they stand in no other's way.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn unfinished(&self) -> Result<Vec<Unfinished>> {
        let all = self.every_unfinished().await?;
        Ok(all
            .into_iter()
            .filter_map(std::result::Result::ok)
            .collect())
    }

    /// The jobs that did not end and cannot be read, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn illegible(&self) -> Result<Vec<Illegible>> {
        let all = self.every_unfinished().await?;
        Ok(all
            .into_iter()
            .filter_map(std::result::Result::err)
            .collect())
    }

    async fn every_unfinished(&self) -> Result<Vec<std::result::Result<Unfinished, Illegible>>> {
        let rows = sqlx::query(
            "SELECT jobs.id, jobs.kind, jobs.subject, jobs.state, steps.seq, steps.mutation, steps.outcome FROM jobs \
             LEFT JOIN steps ON steps.job = jobs.id \
                AND steps.seq = (SELECT max(seq) FROM steps AS last WHERE last.job = jobs.id) \
             WHERE jobs.finished_ms IS NULL ORDER BY jobs.created_ms, jobs.id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        let cut_off = self.resumptions().await?;
        rows.iter().map(|row| read(row, &cut_off)).collect()
    }

    async fn resumptions(&self) -> Result<BTreeMap<String, u32>> {
        if !self.has_table("resumptions").await? {
            return Ok(BTreeMap::new());
        }
        let rows = sqlx::query("SELECT job, times FROM resumptions")
            .fetch_all(&self.pool)
            .await
            .map_err(reading)?;
        let one = |row: &SqliteRow| {
            let job = row.try_get(0).map_err(reading)?;
            Ok((job, row.try_get(1).map_err(reading)?))
        };
        rows.iter().map(one).collect()
    }

    /// Writes down that a job is about to be gone on with. Durable when this returns: the process may not live to say more.
    ///
    /// # Errors
    /// When the journal cannot be written; then it must not be gone on with.
    pub async fn begin_resumption(&self, job: &JobId) -> Result<()> {
        sqlx::query(
            "INSERT INTO resumptions (job, times) VALUES (?, 1) \
             ON CONFLICT (job) DO UPDATE SET times = times + 1",
        )
        .bind(job.as_str())
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// Writes down that whoever went on with a job was not cut off, whatever came of it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn end_resumption(&self, job: &JobId) -> Result<()> {
        sqlx::query("DELETE FROM resumptions WHERE job = ?")
            .bind(job.as_str())
            .execute(&self.pool)
            .await
            .map_err(writing)?;
        Ok(())
    }
}

fn read(
    row: &SqliteRow,
    cut_off: &BTreeMap<String, u32>,
) -> Result<std::result::Result<Unfinished, Illegible>> {
    let id: String = row.try_get(0).map_err(reading)?;
    let state: String = row.try_get(3).map_err(reading)?;
    let seq: Option<i64> = row.try_get(4).map_err(reading)?;
    let mutation: Option<bool> = row.try_get(5).map_err(reading)?;
    let outcome: Option<String> = row.try_get(6).map_err(reading)?;
    let job: Job = match decode(&state, "job") {
        Ok(job) => job,
        Err(error) => {
            return Ok(Err(Illegible {
                job: id,
                kind: row.try_get(1).map_err(reading)?,
                subject: row.try_get(2).map_err(reading)?,
                why: error.to_string(),
            }));
        }
    };
    Ok(Ok(Unfinished {
        job,
        next_seq: seq.map_or(0, |seq| seq.saturating_add(1)),
        mutation_pending: mutation == Some(true) && outcome.is_none(),
        cut_off: cut_off.get(&id).copied().unwrap_or_default(),
    }))
}
