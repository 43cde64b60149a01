//! What the journal keeps of notices that are to reach a channel, and of what became of them.

use felhom_engine::Timestamp;
use felhom_engine::incident::Incident;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::incidents::{KeptNotice, event, severity};
use super::{Journal, Result, reading, writing};

/// A notice that did not reach its channel yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// What is to be told.
    pub notice: KeptNotice,
    /// In how many passes that was tried in vain.
    pub attempts: u32,
    /// Before this it is not tried again.
    pub next: Timestamp,
    /// Whether it may have arrived before, and nobody noted it.
    pub unsure: bool,
}

/// A notice that was tried so often in vain is worth a finding, whether or not it is tried on.
pub const IN_VAIN: u32 = 12;

/// Why a notice did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// In words.
    pub error: String,
    /// Whether it may have arrived all the same.
    pub unsure: bool,
    /// When it is tried again; `None` when it is not.
    pub next: Option<Timestamp>,
}

/// How a channel did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChannelRecord {
    /// Its name.
    pub channel: String,
    /// Notices that wait.
    pub waiting: u64,
    /// Notices that arrived.
    pub delivered: u64,
    /// When one arrived last.
    #[serde(rename = "last_delivered_ms")]
    pub last_delivered: Option<Timestamp>,
    /// Notices that were given up since then.
    pub given_up: u64,
    /// Notices that wait, and were tried at least [`IN_VAIN`] times.
    pub in_vain: u64,
    /// What the channel answered last, while something waits or was given up.
    pub error: Option<String>,
}

impl Journal {
    /// What waits for a channel, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn pending(&self, channel: &str) -> Result<Vec<Pending>> {
        let rows = sqlx::query(
            "SELECT notices.id, event, notices.severity, notices.headline, notices.detail, notices.remedy, \
             notices.opened_ms, made_ms, attempts, next_ms, begun_ms IS NOT NULL, code, subject, number \
             FROM deliveries JOIN notices ON notices.id = deliveries.notice \
             JOIN incidents ON incidents.number = notices.incident \
             WHERE channel = ? AND delivered_ms IS NULL AND given_up_ms IS NULL ORDER BY notices.rowid",
        )
        .bind(channel)
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter().map(pending).collect()
    }

    /// Writes down that a notice is about to leave. Durable when this returns.
    ///
    /// # Errors
    /// When the journal cannot be written; then it must not leave.
    pub async fn begin_delivery(&self, notice: &str, channel: &str, now: Timestamp) -> Result<()> {
        sqlx::query("UPDATE deliveries SET begun_ms = ? WHERE notice = ? AND channel = ?")
            .bind(now.millis())
            .bind(notice)
            .bind(channel)
            .execute(&self.pool)
            .await
            .map_err(writing)?;
        Ok(())
    }

    /// Writes down that a notice arrived.
    ///
    /// # Errors
    /// When the journal cannot be written; then it is sent again, as one that may have arrived.
    pub async fn delivered(&self, notice: &str, channel: &str, now: Timestamp) -> Result<()> {
        sqlx::query(
            "UPDATE deliveries SET delivered_ms = ?, begun_ms = NULL, error = NULL, attempts = attempts + 1 \
             WHERE notice = ? AND channel = ?",
        )
        .bind(now.millis())
        .bind(notice)
        .bind(channel)
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// Writes down that a notice did not arrive.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn missed(
        &self,
        notice: &str,
        channel: &str,
        miss: &Miss,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE deliveries SET attempts = attempts + 1, error = ?, next_ms = ?, given_up_ms = ?, \
             begun_ms = CASE WHEN ? THEN begun_ms END WHERE notice = ? AND channel = ?",
        )
        .bind(&miss.error)
        .bind(miss.next.unwrap_or(now).millis())
        .bind(miss.next.is_none().then_some(now.millis()))
        .bind(miss.unsure)
        .bind(notice)
        .bind(channel)
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// How the channels did that ever were to be told something, by name.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn channel_records(&self) -> Result<Vec<ChannelRecord>> {
        // Who reads does not bring the tables up to date.
        if !self.has_table("deliveries").await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "WITH last AS (SELECT channel AS name, max(delivered_ms) AS at FROM deliveries GROUP BY channel) \
             SELECT channel, \
               sum(delivered_ms IS NULL AND given_up_ms IS NULL), \
               sum(delivered_ms IS NOT NULL), \
               last.at, \
               sum(given_up_ms IS NOT NULL AND given_up_ms > coalesce(last.at, given_up_ms - 1)), \
               (SELECT error FROM deliveries AS failed WHERE failed.channel = deliveries.channel \
                  AND error IS NOT NULL AND (given_up_ms IS NULL OR given_up_ms > coalesce(last.at, given_up_ms - 1)) \
                  ORDER BY next_ms DESC LIMIT 1), \
               sum(delivered_ms IS NULL AND given_up_ms IS NULL AND attempts >= ?1) \
             FROM deliveries JOIN last ON last.name = deliveries.channel GROUP BY channel ORDER BY channel",
        )
        .bind(i64::from(IN_VAIN))
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter().map(record).collect()
    }
}

fn count(row: &SqliteRow, index: usize) -> Result<u64> {
    let count: i64 = row.try_get(index).map_err(reading)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn record(row: &SqliteRow) -> Result<ChannelRecord> {
    let last: Option<i64> = row.try_get(3).map_err(reading)?;
    Ok(ChannelRecord {
        channel: row.try_get(0).map_err(reading)?,
        waiting: count(row, 1)?,
        delivered: count(row, 2)?,
        last_delivered: last.map(Timestamp::from_millis),
        given_up: count(row, 4)?,
        error: row.try_get(5).map_err(reading)?,
        in_vain: count(row, 6)?,
    })
}

fn pending(row: &SqliteRow) -> Result<Pending> {
    let time = |index: usize| -> Result<Timestamp> {
        row.try_get(index)
            .map(Timestamp::from_millis)
            .map_err(reading)
    };
    let text = |index: usize| -> Result<String> { row.try_get(index).map_err(reading) };
    let opened = time(6)?;
    let made = time(7)?;
    let attempts = count(row, 8)?;
    Ok(Pending {
        notice: KeptNotice {
            id: text(0)?,
            event: event(&text(1)?)?,
            incident: Incident {
                number: count(row, 13)?,
                code: text(11)?,
                subject: text(12)?,
                severity: severity(&text(2)?)?,
                headline: text(3)?,
                detail: text(4)?,
                remedy: row.try_get(5).map_err(reading)?,
                opened,
                seen: made,
                told: made,
                notices: 0,
            },
            made,
        },
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        next: time(9)?,
        unsure: row.try_get(10).map_err(reading)?,
    })
}
