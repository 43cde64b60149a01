//! What metrics tell beside the last host report: the last pass, and how many incidents are open. Read at each scrape, so no more than
//! that is read.

use felhom_engine::Timestamp;
use sqlx::Row;

use super::{Journal, Result, reading};

impl Journal {
    /// When the last pass ended that came to an end, and with which exit code.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn last_ended_pass(&self) -> Result<Option<(Timestamp, i64)>> {
        // Who reads does not bring the tables up to date.
        if !self.has_table("passes").await? {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT ended_ms, exit FROM passes WHERE ended_ms IS NOT NULL AND exit IS NOT NULL ORDER BY id DESC LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(reading)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let ended = Timestamp::from_millis(row.try_get(0).map_err(reading)?);
        Ok(Some((ended, row.try_get(1).map_err(reading)?)))
    }

    /// How many incidents are open; `None` where nobody keeps them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn open_incidents(&self) -> Result<Option<u64>> {
        if !self.has_table("incidents").await? {
            return Ok(None);
        }
        let row = sqlx::query("SELECT count(*) FROM incidents WHERE closed_ms IS NULL")
            .fetch_one(&self.pool)
            .await
            .map_err(reading)?;
        let count: i64 = row.try_get(0).map_err(reading)?;
        Ok(u64::try_from(count).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_pass_that_ended_and_what_is_open_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path(), "test").await.unwrap();
        // The columns that are read here; where the journal has the tables, they are its own.
        for text in [
            "CREATE TABLE IF NOT EXISTS passes (id INTEGER PRIMARY KEY AUTOINCREMENT, began_ms INTEGER NOT NULL, ended_ms INTEGER, exit INTEGER)",
            "CREATE TABLE IF NOT EXISTS incidents (number INTEGER PRIMARY KEY, code TEXT NOT NULL, subject TEXT NOT NULL, \
             severity TEXT NOT NULL, headline TEXT NOT NULL, detail TEXT NOT NULL, opened_ms INTEGER NOT NULL, \
             seen_ms INTEGER NOT NULL, told_ms INTEGER NOT NULL, notices INTEGER NOT NULL, closed_ms INTEGER)",
        ] {
            sqlx::query(text).execute(&journal.pool).await.unwrap();
        }
        assert_eq!(journal.last_ended_pass().await.unwrap(), None);
        assert_eq!(journal.open_incidents().await.unwrap(), Some(0));
        for text in [
            "INSERT INTO passes (began_ms, ended_ms, exit) VALUES (1000, 2000, 0), (3000, 4000, 3), (5000, NULL, NULL)",
            "INSERT INTO incidents (number, code, subject, severity, headline, detail, opened_ms, seen_ms, told_ms, notices, closed_ms) \
             VALUES (1, 'a', 'x', 'warning', '', '', 1, 1, 1, 1, NULL), \
             (2, 'b', 'x', 'warning', '', '', 1, 1, 1, 1, 5), (3, 'c', 'x', 'critical', '', '', 1, 1, 1, 1, NULL)",
        ] {
            sqlx::query(text).execute(&journal.pool).await.unwrap();
        }
        let last = journal.last_ended_pass().await.unwrap();
        assert_eq!(last, Some((Timestamp::from_secs(4), 3)));
        assert_eq!(journal.open_incidents().await.unwrap(), Some(2));
    }
}
