//! What the journal keeps of storages: which one stood under a name, whether it may be away, and how full it was.

use std::path::Path;

use felhom_engine::Timestamp;
use felhom_engine::storages::Samples;
use felhom_ids::StorageId;
use sqlx::Row;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};

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
            Ok(journal) if journal.has_storages().await? && journal.has_table("pins").await? => {
                return Ok(Some(journal));
            }
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
        all(&self.pool).await
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
        // Who decides something meanwhile waits until this is written, or was here before it is read.
        let begun = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.map_err(writing)?;
        let now = all(&mut *transaction).await?;
        let now = now.iter().find(|one| one.id == news.id);
        let decided = |one: Option<&KnownStorage>| {
            one.map(|one| (one.durable_id.clone(), one.ejected, one.first_seen))
        };
        if decided(now) == decided(former) {
            remember(&mut *transaction, news).await?;
        }
        transaction.commit().await.map_err(writing)
    }

    /// Remembers a storage; what was remembered of it before is replaced.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn remember_storage(&self, storage: &KnownStorage) -> Result<()> {
        remember(&self.pool, storage).await
    }
}

async fn all(executor: impl SqliteExecutor<'_>) -> Result<Vec<KnownStorage>> {
    let rows = sqlx::query(
        "SELECT id, durable_id, first_seen_ms, attached_ms, ejected_ms, away, samples FROM storages ORDER BY id",
    )
    .fetch_all(executor)
    .await
    .map_err(reading)?;
    rows.iter().map(known).collect()
}

async fn remember(executor: impl SqliteExecutor<'_>, storage: &KnownStorage) -> Result<()> {
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
    .execute(executor)
    .await
    .map_err(writing)?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_decided_while_a_look_is_noted_stands() {
        let directory = tempfile::tempdir().unwrap();
        let person = Journal::open(directory.path(), "test").await.unwrap();
        let before = KnownStorage {
            id: "nas".parse().unwrap(),
            durable_id: Some("one".into()),
            first_seen: Timestamp::from_millis(1),
            attached: None,
            ejected: None,
            away: false,
            samples: Samples::default(),
        };
        person.remember_storage(&before).await.unwrap();
        let look = Journal::read(directory.path()).await.unwrap();
        let seen = KnownStorage {
            attached: Some(Timestamp::from_millis(2)),
            ..before.clone()
        };
        let ejected = KnownStorage {
            ejected: Some(Timestamp::from_millis(3)),
            ..before.clone()
        };
        let mut deciding = person.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        remember(&mut *deciding, &ejected).await.unwrap();
        let decided = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            deciding.commit().await.unwrap();
        };
        let (noted, ()) = tokio::join!(look.note_storage(Some(&before), &seen), decided);
        noted.unwrap();
        let known = person.storages().await.unwrap();
        assert_eq!(known, std::slice::from_ref(&ejected));
        let seen = KnownStorage {
            ejected: ejected.ejected,
            ..seen
        };
        look.note_storage(Some(&ejected), &seen).await.unwrap();
        assert_eq!(person.storages().await.unwrap(), [seen]);
    }
}
