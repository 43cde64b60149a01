//! What the journal keeps of incidents: those that are open, and what is to be told of them.

use felhom_engine::incident::{Event, Incident, Reconciled};
use felhom_engine::{Severity, Timestamp};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row, SqliteTransaction};

use super::{Journal, JournalError, Result, reading, writing};

/// Something to be told, under the name that it keeps for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptNotice {
    /// Its name, also for whoever receives it.
    pub id: String,
    /// Why it is told.
    pub event: Event,
    /// The incident as it was then.
    pub incident: Incident,
    /// When it was made.
    pub made: Timestamp,
}

/// For so long what is over is remembered.
/// What was given up while it lasts is tried again after so long.
const DAY_MS: i64 = 24 * 3_600_000;
const KEEP_MS: i64 = 400 * 24 * 3_600_000;

impl Journal {
    /// The incidents that are open, oldest first, and the highest number that was ever given.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn incidents(&self) -> Result<(Vec<Incident>, u64)> {
        // Who reads does not bring the tables up to date.
        if !self.has_table("incidents").await? {
            return Ok((Vec::new(), 0));
        }
        let rows = sqlx::query(
            "SELECT number, code, subject, severity, headline, detail, remedy, opened_ms, seen_ms, told_ms, notices \
             FROM incidents WHERE closed_ms IS NULL ORDER BY number",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        let last = sqlx::query("SELECT coalesce(max(number), 0) FROM incidents")
            .fetch_one(&self.pool)
            .await
            .map_err(reading)?;
        let last: i64 = last.try_get(0).map_err(reading)?;
        let open: Result<Vec<Incident>> = rows.iter().map(incident).collect();
        Ok((open?, u64::try_from(last).unwrap_or(0)))
    }

    /// Writes down how incidents stand after a look, and what is to be told of them on which channels: all of it or nothing.
    /// A channel that never heard of an incident which is open hears of it now.
    ///
    /// # Errors
    /// When the journal cannot be written; then nothing of it may be told.
    pub async fn note_incidents(
        &self,
        after: &Reconciled,
        notices: &[KeptNotice],
        channels: &[&str],
        now: Timestamp,
    ) -> Result<()> {
        let mut transaction = self.pool.begin().await.map_err(writing)?;
        for incident in &after.closed {
            upsert(&mut transaction, incident, Some(now)).await?;
            if !notices
                .iter()
                .any(|one| one.incident.number == incident.number)
            {
                hush(&mut transaction, incident).await?;
            }
        }
        for incident in &after.open {
            upsert(&mut transaction, incident, None).await?;
        }
        for notice in notices {
            keep(&mut transaction, notice).await?;
            for channel in channels {
                queue(&mut transaction, &notice.id, channel, now).await?;
            }
        }
        for channel in channels {
            catch_up(&mut transaction, channel, now).await?;
            once_more(&mut transaction, channel, now).await?;
        }
        forget(&mut transaction, now).await?;
        transaction.commit().await.map_err(writing)
    }
}

async fn upsert(
    transaction: &mut SqliteTransaction<'_>,
    incident: &Incident,
    closed: Option<Timestamp>,
) -> Result<()> {
    let connection: &mut SqliteConnection = transaction;
    sqlx::query(
        "INSERT INTO incidents (number, code, subject, severity, headline, detail, remedy, opened_ms, seen_ms, told_ms, \
         notices, closed_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (number) DO UPDATE SET severity = excluded.severity, headline = excluded.headline, \
         detail = excluded.detail, remedy = excluded.remedy, seen_ms = excluded.seen_ms, told_ms = excluded.told_ms, \
         notices = excluded.notices, closed_ms = excluded.closed_ms",
    )
    .bind(i64::try_from(incident.number).unwrap_or(i64::MAX))
    .bind(&incident.code)
    .bind(&incident.subject)
    .bind(incident.severity.to_string())
    .bind(&incident.headline)
    .bind(&incident.detail)
    .bind(&incident.remedy)
    .bind(incident.opened.millis())
    .bind(incident.seen.millis())
    .bind(incident.told.millis())
    .bind(i64::from(incident.notices))
    .bind(closed.map(Timestamp::millis))
    .execute(connection)
    .await
    .map_err(writing)?;
    Ok(())
}

async fn keep(transaction: &mut SqliteTransaction<'_>, notice: &KeptNotice) -> Result<()> {
    let connection: &mut SqliteConnection = transaction;
    let incident = &notice.incident;
    sqlx::query(
        "INSERT INTO notices (id, incident, event, severity, headline, detail, remedy, opened_ms, made_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&notice.id)
    .bind(i64::try_from(incident.number).unwrap_or(i64::MAX))
    .bind(notice.event.name())
    .bind(incident.severity.to_string())
    .bind(&incident.headline)
    .bind(&incident.detail)
    .bind(&incident.remedy)
    .bind(incident.opened.millis())
    .bind(notice.made.millis())
    .execute(connection)
    .await
    .map_err(writing)?;
    Ok(())
}

async fn queue(
    transaction: &mut SqliteTransaction<'_>,
    notice: &str,
    channel: &str,
    now: Timestamp,
) -> Result<()> {
    let connection: &mut SqliteConnection = transaction;
    sqlx::query("INSERT OR IGNORE INTO deliveries (notice, channel, next_ms) VALUES (?, ?, ?)")
        .bind(notice)
        .bind(channel)
        .bind(now.millis())
        .execute(connection)
        .await
        .map_err(writing)?;
    Ok(())
}

/// What somebody does not want to hear of any more is not told late either.
async fn hush(transaction: &mut SqliteTransaction<'_>, incident: &Incident) -> Result<()> {
    let connection: &mut SqliteConnection = transaction;
    sqlx::query(
        "DELETE FROM deliveries WHERE delivered_ms IS NULL AND given_up_ms IS NULL \
         AND notice IN (SELECT id FROM notices WHERE incident = ?)",
    )
    .bind(i64::try_from(incident.number).unwrap_or(i64::MAX))
    .execute(connection)
    .await
    .map_err(writing)?;
    Ok(())
}

/// What is open and was never told on this channel, by its last notice: the channel is new.
async fn catch_up(
    transaction: &mut SqliteTransaction<'_>,
    channel: &str,
    now: Timestamp,
) -> Result<()> {
    let connection: &mut SqliteConnection = transaction;
    sqlx::query(
        "INSERT INTO deliveries (notice, channel, next_ms) \
         SELECT notices.id, ?1, ?2 FROM incidents JOIN notices ON notices.rowid = \
            (SELECT max(rowid) FROM notices AS last WHERE last.incident = incidents.number) \
         WHERE incidents.closed_ms IS NULL AND NOT EXISTS \
            (SELECT 1 FROM deliveries JOIN notices AS told ON told.id = deliveries.notice \
             WHERE told.incident = incidents.number AND deliveries.channel = ?1)",
    )
    .bind(channel)
    .bind(now.millis())
    .execute(connection)
    .await
    .map_err(writing)?;
    Ok(())
}

/// What is open and was given up on this channel is tried once a day: it may have come back.
async fn once_more(
    transaction: &mut SqliteTransaction<'_>,
    channel: &str,
    now: Timestamp,
) -> Result<()> {
    let connection: &mut SqliteConnection = transaction;
    sqlx::query(
        "UPDATE deliveries SET given_up_ms = NULL, next_ms = ?2 WHERE channel = ?1 AND given_up_ms < ?3 AND notice IN \
            (SELECT notices.id FROM incidents JOIN notices ON notices.rowid = \
                (SELECT max(rowid) FROM notices AS last WHERE last.incident = incidents.number) \
             WHERE incidents.closed_ms IS NULL)",
    )
    .bind(channel)
    .bind(now.millis())
    .bind(now.millis().saturating_sub(DAY_MS))
    .execute(connection)
    .await
    .map_err(writing)?;
    Ok(())
}

/// The last one stays, whatever its age: its number must not be given again.
async fn forget(transaction: &mut SqliteTransaction<'_>, now: Timestamp) -> Result<()> {
    let connection: &mut SqliteConnection = transaction;
    sqlx::query(
        "DELETE FROM incidents WHERE closed_ms < ? AND number < (SELECT max(number) FROM incidents)",
    )
    .bind(now.millis().saturating_sub(KEEP_MS))
    .execute(connection)
    .await
    .map_err(writing)?;
    Ok(())
}

fn incident(row: &SqliteRow) -> Result<Incident> {
    let time = |index: usize| -> Result<Timestamp> {
        row.try_get(index)
            .map(Timestamp::from_millis)
            .map_err(reading)
    };
    let number: i64 = row.try_get(0).map_err(reading)?;
    let notices: i64 = row.try_get(10).map_err(reading)?;
    let severity: String = row.try_get(3).map_err(reading)?;
    Ok(Incident {
        number: u64::try_from(number).unwrap_or(0),
        code: row.try_get(1).map_err(reading)?,
        subject: row.try_get(2).map_err(reading)?,
        severity: self::severity(&severity)?,
        headline: row.try_get(4).map_err(reading)?,
        detail: row.try_get(5).map_err(reading)?,
        remedy: row.try_get(6).map_err(reading)?,
        opened: time(7)?,
        seen: time(8)?,
        told: time(9)?,
        notices: u32::try_from(notices).unwrap_or(u32::MAX),
    })
}

/// A word of the catalogue as it was written down.
fn word<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|source| JournalError::Row { what, source })
}

pub(super) fn severity(text: &str) -> Result<Severity> {
    word(text, "severity")
}

pub(super) fn event(text: &str) -> Result<Event> {
    word(text, "notice")
}
