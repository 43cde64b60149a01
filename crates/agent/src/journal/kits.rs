//! What the journal keeps of recovery kits: of which key each is, and whether a person said that it is stored off the box.

use felhom_engine::Timestamp;
use felhom_ids::{KeyFingerprint, StorageId};
use serde::Serialize;
use sqlx::Row;

use super::{Journal, Result, reading, writing};

/// The kit of one key of one storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptKit {
    /// When somebody said that it is stored off the box, and who.
    pub stored: Option<Stored>,
}

/// That a kit is stored off the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// When it was said.
    #[serde(rename = "at_ms")]
    pub at: Timestamp,
    /// Who said so.
    pub by: String,
}

impl Journal {
    /// Writes down who says that the kit is stored off the box.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn kit_stored(
        &self,
        storage: &StorageId,
        key: &KeyFingerprint,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO kits (storage, key_fingerprint, stored_ms, stored_by) VALUES (?, ?, ?, ?) \
             ON CONFLICT (storage, key_fingerprint) DO UPDATE SET stored_ms = excluded.stored_ms, stored_by = excluded.stored_by",
        )
        .bind(storage.to_string())
        .bind(key.to_string())
        .bind(now.millis())
        .bind(by)
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// The kit of this key.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn kit(&self, storage: &StorageId, key: &KeyFingerprint) -> Result<Option<KeptKit>> {
        if !self.has_table("kits").await? {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT stored_ms, stored_by FROM kits WHERE storage = ? AND key_fingerprint = ?",
        )
        .bind(storage.to_string())
        .bind(key.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(reading)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let at: Option<i64> = row.try_get(0).map_err(reading)?;
        let by: Option<String> = row.try_get(1).map_err(reading)?;
        Ok(Some(KeptKit {
            stored: at.zip(by).map(|(at, by)| Stored {
                at: Timestamp::from_millis(at),
                by,
            }),
        }))
    }
}
