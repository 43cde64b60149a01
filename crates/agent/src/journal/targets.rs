//! What the journal keeps of targets on removable disks.

use felhom_engine::Timestamp;
use felhom_ids::TargetName;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Journal, JournalError, Result, reading, writing};

/// A target as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownTarget {
    /// Its name.
    pub name: TargetName,
    /// The file system that was adopted.
    pub uuid: String,
    /// The serial number of its disk, when it has one.
    pub serial: Option<String>,
    /// Where it is mounted when it is.
    pub mount_point: String,
    /// When it was adopted.
    pub since: Timestamp,
    /// When its disk was last seen.
    pub attached: Option<Timestamp>,
    /// Since when somebody wants it to be away.
    pub ejected: Option<Timestamp>,
    /// Whether it has been away since.
    pub away: bool,
}

impl Journal {
    /// The targets that are remembered, by name.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn targets(&self) -> Result<Vec<KnownTarget>> {
        // Who reads does not bring the tables up to date.
        if !self.has_table("targets").await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT name, uuid, serial, mount_point, since_ms, attached_ms, ejected_ms, away FROM targets ORDER BY name",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter().map(known).collect()
    }

    /// Remembers a target; what was remembered of it before is replaced.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn remember_target(&self, target: &KnownTarget) -> Result<()> {
        sqlx::query(
            "INSERT OR REPLACE INTO targets (name, uuid, serial, mount_point, since_ms, attached_ms, ejected_ms, away) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(target.name.as_str())
        .bind(&target.uuid)
        .bind(&target.serial)
        .bind(&target.mount_point)
        .bind(target.since.millis())
        .bind(target.attached.map(Timestamp::millis))
        .bind(target.ejected.map(Timestamp::millis))
        .bind(target.away)
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// Notes what was seen of a target that is still as it was when `former` was read. What a person decided meanwhile stands.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn note_target(&self, former: &KnownTarget, news: &KnownTarget) -> Result<()> {
        sqlx::query(
            "UPDATE targets SET attached_ms = ?, ejected_ms = ?, away = ? \
             WHERE name = ? AND uuid = ? AND since_ms = ? AND ejected_ms IS ?",
        )
        .bind(news.attached.map(Timestamp::millis))
        .bind(news.ejected.map(Timestamp::millis))
        .bind(news.away)
        .bind(former.name.as_str())
        .bind(&former.uuid)
        .bind(former.since.millis())
        .bind(former.ejected.map(Timestamp::millis))
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// Forgets a target.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn forget_target(&self, name: &TargetName) -> Result<()> {
        sqlx::query("DELETE FROM targets WHERE name = ?")
            .bind(name.as_str())
            .execute(&self.pool)
            .await
            .map_err(writing)?;
        Ok(())
    }
}

fn known(row: &SqliteRow) -> Result<KnownTarget> {
    let name: String = row.try_get(0).map_err(reading)?;
    let name = name
        .parse()
        .map_err(|error: felhom_ids::InvalidName| JournalError::Row {
            what: "target name",
            source: serde::de::Error::custom(error),
        })?;
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    Ok(KnownTarget {
        name,
        uuid: row.try_get(1).map_err(reading)?,
        serial: row.try_get(2).map_err(reading)?,
        mount_point: row.try_get(3).map_err(reading)?,
        since: Timestamp::from_millis(row.try_get(4).map_err(reading)?),
        attached: time(row.try_get(5).map_err(reading)?),
        ejected: time(row.try_get(6).map_err(reading)?),
        away: row.try_get(7).map_err(reading)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_decided_meanwhile_stands() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path(), "test").await.unwrap();
        let adopted = KnownTarget {
            name: "usb1".parse().unwrap(),
            uuid: "6A1C-93D0".into(),
            serial: None,
            mount_point: "/mnt/felhom/usb1".into(),
            since: Timestamp::from_millis(1),
            attached: None,
            ejected: None,
            away: false,
        };
        journal.remember_target(&adopted).await.unwrap();
        let seen = KnownTarget {
            attached: Some(Timestamp::from_millis(2)),
            ..adopted.clone()
        };
        journal.note_target(&adopted, &seen).await.unwrap();
        assert_eq!(
            journal.targets().await.unwrap(),
            std::slice::from_ref(&seen)
        );
        let ejected = KnownTarget {
            ejected: Some(Timestamp::from_millis(3)),
            ..seen.clone()
        };
        journal.remember_target(&ejected).await.unwrap();
        journal.note_target(&adopted, &seen).await.unwrap();
        assert_eq!(
            journal.targets().await.unwrap(),
            std::slice::from_ref(&ejected)
        );
        journal.forget_target(&ejected.name).await.unwrap();
        journal.note_target(&ejected, &seen).await.unwrap();
        assert!(journal.targets().await.unwrap().is_empty());
    }
}
