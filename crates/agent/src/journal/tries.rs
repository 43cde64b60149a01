//! What the journal knows of tries: how the last jobs about each guest ended, and how those that made certain archives
//! did, and what could not begin.

use std::collections::BTreeMap;

use felhom_engine::{BackupVerdict, GuestFingerprint, RefusedWork, Timestamp, Verdict};
use felhom_ids::{Vmid, VolumeId};
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Journal, Result, decode, encode, reading, writing};

/// Of how many of a guest's last jobs a plan takes notice, whatever became of them.
const KEPT_TRIES: i64 = 20;

/// How a job about a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried<V> {
    /// The guest.
    pub vmid: Vmid,
    /// The verdict.
    pub verdict: V,
    /// The archive, where there is one.
    pub volid: Option<VolumeId>,
    /// When it ended.
    pub ended: Timestamp,
    /// Which guest had the VMID then.
    pub fingerprint: GuestFingerprint,
}

impl Journal {
    /// How the last backups of each guest ended that are not dated after a time; the last good one is among them, however many
    /// others came after it.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn backups_tried(&self, until: Timestamp) -> Result<Vec<Tried<BackupVerdict>>> {
        self.tried(BACKUPS, until).await
    }

    /// How the last restore tests of each guest ended that are not dated after a time; the last that passed and the last that
    /// failed are among them, however many others came after them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn tests_tried(&self, until: Timestamp) -> Result<Vec<Tried<Verdict>>> {
        self.tried(TESTS, until).await
    }

    async fn tried<V: DeserializeOwned>(
        &self,
        query: &'static str,
        until: Timestamp,
    ) -> Result<Vec<Tried<V>>> {
        let rows = sqlx::query(query)
            .bind(until.millis())
            .bind(KEPT_TRIES)
            .fetch_all(&self.pool)
            .await
            .map_err(reading)?;
        let all: Vec<Option<Tried<V>>> = rows.iter().map(tried).collect::<Result<_>>()?;
        Ok(all.into_iter().flatten().collect())
    }

    /// How the backups ended that made these archives, as far as they were ours.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn backups_of(
        &self,
        archives: impl Iterator<Item = &VolumeId>,
    ) -> Result<BTreeMap<VolumeId, Tried<BackupVerdict>>> {
        let names: Vec<String> = archives.map(ToString::to_string).collect();
        let rows = sqlx::query(MADE)
            .bind(encode(&names, "list of archives")?)
            .fetch_all(&self.pool)
            .await
            .map_err(reading)?;
        let mut made = BTreeMap::new();
        for row in &rows {
            let Some(one) = tried(row)? else { continue };
            if let Some(volid) = one.volid.clone() {
                // Oldest first: what was said last counts.
                made.insert(volid, one);
            }
        }
        Ok(made)
    }

    /// Writes down that a pass could not begin something.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn note_refused(&self, refused: &RefusedWork) -> Result<()> {
        sqlx::query("INSERT OR REPLACE INTO refused_work (work, ended_ms, why) VALUES (?, ?, ?)")
            .bind(encode(&refused.work, "work")?)
            .bind(refused.at.millis())
            .bind(&refused.why)
            .execute(&self.pool)
            .await
            .map_err(writing)?;
        Ok(())
    }

    /// What passes could not begin, each with the last time that is not dated after another one.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn refused_work(&self, until: Timestamp) -> Result<Vec<RefusedWork>> {
        if !self.has_table("refused_work").await? {
            return Ok(Vec::new());
        }
        // Of a group SQLite takes the row that has the greatest (sqlite.org/lang_select.html#bareagg).
        let rows = sqlx::query(
            "SELECT work, max(ended_ms), why FROM refused_work WHERE ended_ms <= ? GROUP BY work",
        )
        .bind(until.millis())
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        let mut all = Vec::new();
        for row in &rows {
            let work: String = row.try_get(0).map_err(reading)?;
            all.push(RefusedWork {
                work: decode(&work, "work")?,
                at: Timestamp::from_millis(row.try_get(1).map_err(reading)?),
                why: row.try_get(2).map_err(reading)?,
            });
        }
        Ok(all)
    }
}

fn tried<V: DeserializeOwned>(row: &SqliteRow) -> Result<Option<Tried<V>>> {
    let number: u32 = row.try_get(0).map_err(reading)?;
    let Ok(vmid) = Vmid::new(number) else {
        return Ok(None);
    };
    let verdict: String = row.try_get(1).map_err(reading)?;
    let volid: Option<String> = row.try_get(2).map_err(reading)?;
    let who: Option<String> = row.try_get(4).map_err(reading)?;
    Ok(Some(Tried {
        vmid,
        verdict: decode(&verdict, "verdict")?,
        volid: volid.and_then(|volid| volid.parse().ok()),
        ended: Timestamp::from_millis(row.try_get(3).map_err(reading)?),
        fingerprint: who
            .map(|who| decode(&who, "fingerprint"))
            .transpose()?
            .unwrap_or_default(),
    }))
}

// The verdicts of tests are kept as words, those of backups as JSON. What was last said in favour or against is looked for by
// fingerprint, since a VMID may have been of another guest meanwhile.
const BACKUPS: &str = "SELECT vmid, verdict, volid, finished_ms, who FROM ( \
     SELECT *, row_number() OVER (PARTITION BY vmid ORDER BY finished_ms DESC) AS nth, \
       row_number() OVER (PARTITION BY vmid, verdict, who ORDER BY finished_ms DESC) AS nth_of_these \
     FROM (SELECT vmid, verdict, volid, finished_ms, json_extract(report, '$.fingerprint') AS who \
       FROM backups WHERE finished_ms <= ?1)) \
     WHERE nth <= ?2 OR (nth_of_these = 1 AND verdict = '\"good\"') ORDER BY vmid, nth";
const TESTS: &str = "SELECT vmid, json_quote(verdict), volid, finished_ms, who FROM ( \
     SELECT *, row_number() OVER (PARTITION BY vmid ORDER BY finished_ms DESC) AS nth, \
       row_number() OVER (PARTITION BY vmid, verdict, who ORDER BY finished_ms DESC) AS nth_of_these \
     FROM (SELECT vmid, verdict, volid, finished_ms, json_extract(report, '$.fingerprint') AS who \
       FROM restore_tests WHERE vmid IS NOT NULL AND finished_ms <= ?1)) \
     WHERE nth <= ?2 OR (nth_of_these = 1 AND verdict IN ('passed', 'failed')) ORDER BY vmid, nth";
const MADE: &str = "SELECT vmid, verdict, volid, finished_ms, json_extract(report, '$.fingerprint') AS who \
     FROM backups WHERE volid IN (SELECT value FROM json_each(?1)) ORDER BY finished_ms";
