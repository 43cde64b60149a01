//! What the journal keeps of findings that a person does not want to hear of for a while.

use felhom_engine::{Finding, Timestamp};
use serde::Serialize;
use sqlx::Row;

use super::{Journal, Result, reading, writing};

/// A finding that is known and accepted until a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// The finding's code.
    pub code: String,
    /// Only about this subject; `None` for all.
    pub subject: Option<String>,
    /// When it is heard of again.
    #[serde(rename = "until_ms")]
    pub until: Timestamp,
    /// Why somebody accepts it.
    pub reason: String,
}

impl Suppression {
    /// Whether it covers this finding.
    pub fn covers(&self, finding: &Finding) -> bool {
        let subject = self.subject.as_ref();
        self.code == finding.code && subject.is_none_or(|subject| *subject == finding.subject)
    }
}

impl Journal {
    /// Suppresses a finding; an older suppression of the same is replaced.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn suppress(&self, suppression: &Suppression, now: Timestamp) -> Result<()> {
        sqlx::query(
            "INSERT OR REPLACE INTO suppressions (code, subject, until_ms, reason, created_ms) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&suppression.code)
        .bind(suppression.subject.as_deref().unwrap_or_default())
        .bind(suppression.until.millis())
        .bind(&suppression.reason)
        .bind(now.millis())
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// The suppressions that hold now.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn suppressions(&self, now: Timestamp) -> Result<Vec<Suppression>> {
        // Who reads does not bring the tables up to date.
        let table = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'suppressions'")
            .fetch_optional(&self.pool)
            .await
            .map_err(reading)?;
        if table.is_none() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT code, subject, until_ms, reason FROM suppressions \
             WHERE until_ms > ? ORDER BY code, subject",
        )
        .bind(now.millis())
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter()
            .map(|row| {
                let subject: String = row.try_get(1).map_err(reading)?;
                Ok(Suppression {
                    code: row.try_get(0).map_err(reading)?,
                    subject: Some(subject).filter(|subject| !subject.is_empty()),
                    until: Timestamp::from_millis(row.try_get(2).map_err(reading)?),
                    reason: row.try_get(3).map_err(reading)?,
                })
            })
            .collect()
    }
}
