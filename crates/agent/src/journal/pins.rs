//! What the journal keeps of pins: which certificate was learned to follow which, how, and when it did. Rows are never removed.

use felhom_engine::Timestamp;
use felhom_ids::Fingerprint;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Journal, JournalError, Result, reading, writing};

/// One change of the pin, prepared or made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinChange {
    /// The pin over which it was learned.
    pub former: Fingerprint,
    /// The certificate that follows.
    pub next: Fingerprint,
    /// When it was learned.
    pub learned: Timestamp,
    /// Where it was read.
    pub how: String,
    /// Since when it is the pin; `None` while it is only prepared.
    pub taken: Option<Timestamp>,
    /// Whether the configuration names it, or a later one.
    pub written: bool,
}

impl Journal {
    /// All changes of the pin, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn pin_changes(&self) -> Result<Vec<PinChange>> {
        // Who reads does not bring the tables up to date.
        if !self.has_table("pins").await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT former, next, learned_ms, how, taken_ms, written FROM pins ORDER BY seq",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter().map(change).collect()
    }

    /// Prepares what follows a pin. What was prepared for it before was never shown, and is taken back.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn prepare_pin(
        &self,
        former: &Fingerprint,
        next: Option<&Fingerprint>,
        how: &str,
        now: Timestamp,
    ) -> Result<()> {
        let begun = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.map_err(writing)?;
        sqlx::query("DELETE FROM pins WHERE former = ? AND taken_ms IS NULL AND next IS NOT ?")
            .bind(former.to_string())
            .bind(next.map(ToString::to_string))
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        if let Some(next) = next {
            sqlx::query(
                "INSERT INTO pins (former, next, learned_ms, how) SELECT ?1, ?2, ?3, ?4 \
                 WHERE NOT EXISTS (SELECT 1 FROM pins WHERE former = ?1 AND taken_ms IS NULL)",
            )
            .bind(former.to_string())
            .bind(next.to_string())
            .bind(now.millis())
            .bind(how)
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        }
        transaction.commit().await.map_err(writing)
    }

    /// Takes what was prepared. `false`: somebody else did, or it is prepared no more.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn take_pin(
        &self,
        former: &Fingerprint,
        next: &Fingerprint,
        now: Timestamp,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE pins SET taken_ms = ? WHERE former = ? AND next = ? AND taken_ms IS NULL",
        )
        .bind(now.millis())
        .bind(former.to_string())
        .bind(next.to_string())
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes that the configuration names the pin.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn pins_written(&self) -> Result<()> {
        if !self.has_table("pins").await? {
            return Ok(());
        }
        sqlx::query("UPDATE pins SET written = 1 WHERE taken_ms IS NOT NULL")
            .execute(&self.pool)
            .await
            .map_err(writing)?;
        Ok(())
    }
}

fn change(row: &SqliteRow) -> Result<PinChange> {
    let fingerprint = |index: usize| {
        let text: String = row.try_get(index).map_err(reading)?;
        text.parse::<Fingerprint>()
            .map_err(|error| JournalError::Row {
                what: "fingerprint",
                source: serde::de::Error::custom(error),
            })
    };
    let taken: Option<i64> = row.try_get(4).map_err(reading)?;
    Ok(PinChange {
        former: fingerprint(0)?,
        next: fingerprint(1)?,
        learned: Timestamp::from_millis(row.try_get(2).map_err(reading)?),
        how: row.try_get(3).map_err(reading)?,
        taken: taken.map(Timestamp::from_millis),
        written: row.try_get(5).map_err(reading)?,
    })
}
