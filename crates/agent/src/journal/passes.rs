//! What the journal keeps of passes, and what a pass is planned from; and what of old jobs is forgotten.

use std::collections::BTreeSet;

use felhom_engine::Timestamp;
use felhom_ids::StorageId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Journal, Result, reading, writing};

/// How many passes are kept: more than a week of one every quarter of an hour.
const KEPT_PASSES: i64 = 1000;

/// A pass, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassRow {
    /// Its number.
    pub id: i64,
    /// When it was begun.
    pub began: Timestamp,
    /// When it ended; `None` of one that was cut off.
    pub ended: Option<Timestamp>,
    /// The exit code that it ended with.
    pub exit: Option<i64>,
    /// What it decided and did, as JSON.
    pub document: Option<String>,
}

/// What ended well since a pass came to its end that could say so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoneWell {
    /// The VMIDs of which a good backup was made.
    pub backed_up: BTreeSet<u32>,
    /// The VMIDs of which a restore test passed.
    pub proved: BTreeSet<u32>,
}

impl Journal {
    /// Writes down that a pass begins.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn begin_pass(&self, now: Timestamp) -> Result<i64> {
        let row = sqlx::query("INSERT INTO passes (began_ms) VALUES (?) RETURNING id")
            .bind(now.millis())
            .fetch_one(&self.pool)
            .await
            .map_err(writing)?;
        row.try_get(0).map_err(reading)
    }

    /// Writes down how a pass ended, and forgets the oldest ones.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn end_pass(
        &self,
        id: i64,
        now: Timestamp,
        exit: u8,
        document: &serde_json::Value,
    ) -> Result<()> {
        let mut transaction = self.pool.begin().await.map_err(writing)?;
        sqlx::query("UPDATE passes SET ended_ms = ?, exit = ?, document = ? WHERE id = ?")
            .bind(now.millis())
            .bind(i64::from(exit))
            .bind(document.to_string())
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        sqlx::query("DELETE FROM passes WHERE id <= ?")
            .bind(id.saturating_sub(KEPT_PASSES))
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        transaction.commit().await.map_err(writing)
    }

    /// How many passes, without one between them that came to its end, were begun last.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn passes_cut_off(&self) -> Result<u64> {
        let query = "SELECT count(*) FROM passes \
             WHERE id > (SELECT coalesce(max(id), 0) FROM passes WHERE ended_ms IS NOT NULL)";
        let row = sqlx::query(query).fetch_one(&self.pool).await;
        let count: i64 = row.and_then(|row| row.try_get(0)).map_err(reading)?;
        Ok(count.unsigned_abs())
    }

    /// The passes that are kept, the newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn passes(&self) -> Result<Vec<PassRow>> {
        if !self.has_table("passes").await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT id, began_ms, ended_ms, exit, document FROM passes ORDER BY id DESC",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        let pass = |row: &SqliteRow| {
            let ended: Option<i64> = row.try_get(2).map_err(reading)?;
            Ok(PassRow {
                id: row.try_get(0).map_err(reading)?,
                began: Timestamp::from_millis(row.try_get(1).map_err(reading)?),
                ended: ended.map(Timestamp::from_millis),
                exit: row.try_get(3).map_err(reading)?,
                document: row.try_get(4).map_err(reading)?,
            })
        };
        rows.iter().map(pass).collect()
    }

    /// What ended well since the last pass that did all of its work, by whatever program; what is dated after now was dated by a
    /// clock that was wrong.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn done_well(&self, now: Timestamp) -> Result<DoneWell> {
        let since = sqlx::query(
            "SELECT coalesce(max(ended_ms), 0) FROM passes \
             WHERE ended_ms <= ? AND json_extract(document, '$.broken') IS NULL",
        )
        .bind(now.millis())
        .fetch_one(&self.pool)
        .await;
        let since: i64 = since.and_then(|row| row.try_get(0)).map_err(reading)?;
        Ok(DoneWell {
            backed_up: self.vmids(WELL_BACKED_UP, since, now).await?,
            proved: self.vmids(WELL_PROVED, since, now).await?,
        })
    }

    async fn vmids(
        &self,
        query: &'static str,
        since: i64,
        until: Timestamp,
    ) -> Result<BTreeSet<u32>> {
        let rows = sqlx::query(query)
            .bind(since)
            .bind(until.millis())
            .fetch_all(&self.pool)
            .await
            .map_err(reading)?;
        let number = |row: &SqliteRow| row.try_get(0).map_err(reading);
        rows.iter().map(number).collect()
    }

    /// Writes down that a pass had a backup server verify what was due on it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn note_server(&self, storage: &StorageId, now: Timestamp, good: bool) -> Result<()> {
        sqlx::query(
            "INSERT OR REPLACE INTO server_passes (storage, ended_ms, good) VALUES (?, ?, ?)",
        )
        .bind(storage.as_str())
        .bind(now.millis())
        .bind(good)
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// When passes had a backup server verify, and whether the verify came to its end.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn server_passes(&self, storage: &StorageId) -> Result<Vec<(Timestamp, bool)>> {
        if !self.has_table("server_passes").await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT ended_ms, good FROM server_passes WHERE storage = ? ORDER BY ended_ms DESC LIMIT 20",
        )
        .bind(storage.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        let one = |row: &SqliteRow| {
            let ended = Timestamp::from_millis(row.try_get(0).map_err(reading)?);
            Ok((ended, row.try_get(1).map_err(reading)?))
        };
        rows.iter().map(one).collect()
    }

    /// Forgets what nobody will ask for again of jobs that ended before a time: their steps, their states, and those that left
    /// no record. What is known of backups stays: the archives may be there still.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn forget_before(&self, time: Timestamp) -> Result<()> {
        let mut transaction = self.pool.begin().await.map_err(writing)?;
        for query in FORGETTING {
            sqlx::query(query)
                .bind(time.millis())
                .execute(&mut *transaction)
                .await
                .map_err(writing)?;
        }
        transaction.commit().await.map_err(writing)
    }
}

const WELL_BACKED_UP: &str = "SELECT DISTINCT vmid FROM backups \
     WHERE verdict = '\"good\"' AND finished_ms > ?1 AND finished_ms <= ?2";
const WELL_PROVED: &str = "SELECT DISTINCT vmid FROM restore_tests \
     WHERE vmid IS NOT NULL AND verdict = 'passed' AND finished_ms > ?1 AND finished_ms <= ?2";

const FORGETTING: [&str; 5] = [
    "DELETE FROM steps WHERE job IN (SELECT id FROM jobs WHERE finished_ms < ?1)",
    "UPDATE jobs SET state = '' WHERE finished_ms < ?1 AND state <> ''",
    "DELETE FROM server_passes WHERE ended_ms < ?1",
    "DELETE FROM refused_work WHERE ended_ms < ?1",
    "DELETE FROM jobs WHERE finished_ms < ?1 AND kind IN ('prune', 'reap', 'exercise')",
];
