//! What the journal keeps of storages: which one stood under a name, whether it may be away, and how full it was.

use std::path::Path;

use felhom_engine::Timestamp;
use felhom_engine::storages::Samples;
use felhom_ids::StorageId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Journal, JournalError, Result, decode, encode, reading, writing};

/// A storage as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownStorage {
    /// Its id.
    pub id: StorageId,
    /// What it was; `None` of a type that nothing durable is known of.
    pub durable_id: Option<String>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen attached.
    pub attached: Option<Timestamp>,
    /// Since when somebody wants it to be away.
    pub ejected: Option<Timestamp>,
    /// Whether it has been away since.
    pub away: bool,
    /// How full it was.
    pub samples: Samples,
}

const TABLE: &str = "SELECT 1 FROM sqlite_master WHERE name = 'storages'";

impl Journal {
    /// Opens the journal to note in passing what was seen. `None` when another process holds it and its tables are not up to
    /// date; then nothing is noted this time. Where they are, nobody is kept from working meanwhile.
    ///
    /// # Errors
    /// When it can neither be opened nor made.
    pub async fn to_note(directory: &Path) -> Result<Option<Self>> {
        match Self::read(directory).await {
            Ok(journal) if journal.has_storages().await? => return Ok(Some(journal)),
            Ok(_) | Err(JournalError::Absent(_)) => {}
            Err(error) => return Err(error),
        }
        match Self::open(directory, "noting storages").await {
            Ok(journal) => Ok(Some(journal)),
            Err(JournalError::Lock(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn has_storages(&self) -> Result<bool> {
        let table = sqlx::query(TABLE).fetch_optional(&self.pool).await;
        Ok(table.map_err(reading)?.is_some())
    }

    /// The storages that are remembered, by id.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn storages(&self) -> Result<Vec<KnownStorage>> {
        // Who reads does not bring the tables up to date.
        if !self.has_storages().await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT id, durable_id, first_seen_ms, attached_ms, ejected_ms, away, samples FROM storages ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter().map(known).collect()
    }

    /// Notes what was learned since `former` was read. What a person decided meanwhile stands, and the look is lost.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn note_storage(
        &self,
        former: Option<&KnownStorage>,
        news: &KnownStorage,
    ) -> Result<()> {
        let now = self.storages().await?;
        let now = now.iter().find(|one| one.id == news.id);
        let decided = |one: Option<&KnownStorage>| {
            one.map(|one| (one.durable_id.clone(), one.ejected, one.first_seen))
        };
        if decided(now) == decided(former) {
            self.remember_storage(news).await?;
        }
        Ok(())
    }

    /// Remembers a storage; what was remembered of it before is replaced.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn remember_storage(&self, storage: &KnownStorage) -> Result<()> {
        sqlx::query(
            "INSERT OR REPLACE INTO storages (id, durable_id, first_seen_ms, attached_ms, ejected_ms, away, samples) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(storage.id.to_string())
        .bind(&storage.durable_id)
        .bind(storage.first_seen.millis())
        .bind(storage.attached.map(Timestamp::millis))
        .bind(storage.ejected.map(Timestamp::millis))
        .bind(storage.away)
        .bind(encode(&storage.samples, "samples")?)
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }
}

fn known(row: &SqliteRow) -> Result<KnownStorage> {
    let id: String = row.try_get(0).map_err(reading)?;
    let samples: String = row.try_get(6).map_err(reading)?;
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    Ok(KnownStorage {
        id: id
            .parse()
            .map_err(|error: felhom_ids::InvalidName| JournalError::Row {
                what: "storage id",
                source: serde::de::Error::custom(error),
            })?,
        durable_id: row.try_get(1).map_err(reading)?,
        first_seen: Timestamp::from_millis(row.try_get(2).map_err(reading)?),
        attached: time(row.try_get(3).map_err(reading)?),
        ejected: time(row.try_get(4).map_err(reading)?),
        away: row.try_get(5).map_err(reading)?,
        samples: decode(&samples, "samples")?,
    })
}
