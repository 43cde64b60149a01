//! What the journal knows of one guest's backups and restore tests, in brief: a few rows, however long the history is.

use std::collections::BTreeSet;

use felhom_engine::{BackupReport, GuestFingerprint, Timestamp};
use felhom_ids::{Vmid, VolumeId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::records::record;
use super::{BackupRow, Journal, Result, TestRow, decode, encode, reading};

/// One guest's past.
#[derive(Debug, Clone, Default)]
pub struct GuestHistory {
    /// Our last backup of it.
    pub last_backup: Option<BackupRow>,
    /// When its first good backup ended.
    pub first_good: Option<Timestamp>,
    /// When its last good backup ended.
    pub last_good: Option<Timestamp>,
    /// The archive that it made.
    pub good_volid: Option<VolumeId>,
    /// Its last restore test that came to a verdict about the backup.
    pub last_proof: Option<TestRow>,
    /// Restore tests that could not run since then.
    pub errors: usize,
    /// Backups of this VMID that were refused since the last good one.
    pub refusals: usize,
    /// Why the last of them was.
    pub refused: Option<String>,
    /// The last of those tests.
    pub last_error: Option<TestRow>,
}

impl Journal {
    /// The past of the guest with this VMID while it was this guest: one that was given the same VMID later inherits nothing.
    /// What is dated after `until` was dated by a clock that was wrong, and is not the last of anything.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn guest_history(
        &self,
        vmid: Vmid,
        who: &GuestFingerprint,
        until: Timestamp,
    ) -> Result<GuestHistory> {
        let who = encode(&self.same_guest(vmid, who).await?, "fingerprints")?;
        let last_backup = self
            .one_of(
                "SELECT job, finished_ms, report FROM backups \
                 WHERE vmid = ?1 AND json_extract(report, '$.fingerprint') IN (SELECT value FROM json_each(?2)) AND finished_ms <= ?3 \
                 ORDER BY finished_ms DESC, job LIMIT 1",
                vmid,
                &who,
                until,
            )
            .await?;
        let good_row = self
            .one_of(
                "SELECT min(finished_ms) OVER (), finished_ms, json_extract(report, '$.volid') FROM backups \
                 WHERE vmid = ?1 AND verdict = '\"good\"' AND json_extract(report, '$.fingerprint') IN (SELECT value FROM json_each(?2)) \
                 AND finished_ms <= ?3 ORDER BY finished_ms DESC, job LIMIT 1",
                vmid,
                &who,
                until,
            )
            .await?;
        let last_proof = self
            .one_of(
                "SELECT job, finished_ms, report FROM restore_tests \
                 WHERE vmid = ?1 AND json_extract(report, '$.fingerprint') IN (SELECT value FROM json_each(?2)) AND verdict IN ('passed', 'failed') \
                 AND finished_ms <= ?3 ORDER BY finished_ms DESC, job LIMIT 1",
                vmid,
                &who,
                until,
            )
            .await?;
        let (errors, last_error) = self.not_run(vmid, until).await?;
        let (refusals, refused) = self.refusals(vmid, until).await?;
        let good = |column: usize| -> Result<Option<Timestamp>> {
            let Some(row) = &good_row else {
                return Ok(None);
            };
            let millis: i64 = row.try_get(column).map_err(reading)?;
            Ok(Some(Timestamp::from_millis(millis)))
        };
        let volid: Option<String> = match &good_row {
            Some(row) => row.try_get(2).map_err(reading)?,
            None => None,
        };
        Ok(GuestHistory {
            last_backup: told(last_backup.as_ref(), "backup")?,
            first_good: good(0)?,
            last_good: good(1)?,
            good_volid: volid.and_then(|text| text.parse().ok()),
            last_proof: told(last_proof.as_ref(), "restore test")?,
            errors,
            refusals,
            refused,
            last_error,
        })
    }

    /// The guests of which there is a backup of ours.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn guests_of_backups(&self) -> Result<BTreeSet<Vmid>> {
        let rows = sqlx::query("SELECT DISTINCT vmid FROM backups")
            .fetch_all(&self.pool)
            .await
            .map_err(reading)?;
        let number = |row: &SqliteRow| row.try_get::<u32, _>(0).map_err(reading);
        let numbers: Vec<u32> = rows.iter().map(number).collect::<Result<_>>()?;
        Ok(numbers
            .into_iter()
            .filter_map(|one| Vmid::new(one).ok())
            .collect())
    }

    /// The fingerprints under which the journal knows this guest: it may have been changed since.
    async fn same_guest(
        &self,
        vmid: Vmid,
        who: &GuestFingerprint,
    ) -> Result<Vec<GuestFingerprint>> {
        let rows = sqlx::query(
            "SELECT json_extract(report, '$.fingerprint') FROM backups WHERE vmid = ?1 \
             UNION SELECT json_extract(report, '$.fingerprint') FROM restore_tests WHERE vmid = ?1",
        )
        .bind(vmid.get())
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        let mut same = Vec::new();
        for row in &rows {
            let text: Option<String> = row.try_get(0).map_err(reading)?;
            let Some(text) = text else { continue };
            let found: GuestFingerprint = decode(&text, "fingerprint")?;
            if found.is_of_same_guest(who) {
                same.push(found);
            }
        }
        Ok(same)
    }

    /// How many restore tests of a VMID could not run since the last that came to a verdict, and the last of them: such a test may
    /// not have come to know who the guest is.
    async fn not_run(&self, vmid: Vmid, until: Timestamp) -> Result<(usize, Option<TestRow>)> {
        let row = sqlx::query(
            "SELECT job, finished_ms, report, count(*) OVER () FROM restore_tests \
             WHERE vmid = ?1 AND verdict = 'error' AND finished_ms > (SELECT coalesce(max(finished_ms), -1) FROM restore_tests \
                WHERE vmid = ?1 AND verdict IN ('passed', 'failed') AND finished_ms <= ?2) \
             AND finished_ms <= ?2 ORDER BY finished_ms DESC, job LIMIT 1",
        )
        .bind(vmid.get())
        .bind(until.millis())
        .fetch_optional(&self.pool)
        .await
        .map_err(reading)?;
        let count: i64 = match &row {
            Some(row) => row.try_get(3).map_err(reading)?,
            None => 0,
        };
        let last = told(row.as_ref(), "restore test")?;
        Ok((usize::try_from(count).unwrap_or_default(), last))
    }

    /// How many backups of a VMID were refused since the last good one, and why the last one was: of a backup that was refused
    /// early nobody noted who the guest was.
    async fn refusals(&self, vmid: Vmid, until: Timestamp) -> Result<(usize, Option<String>)> {
        let row = sqlx::query(
            "SELECT report, count(*) OVER () FROM backups WHERE vmid = ?1 AND verdict = '\"refused\"' \
             AND finished_ms > (SELECT coalesce(max(finished_ms), -1) FROM backups WHERE vmid = ?1 AND verdict = '\"good\"' \
                AND finished_ms <= ?2) AND finished_ms <= ?2 \
             ORDER BY finished_ms DESC, job LIMIT 1",
        )
        .bind(vmid.get())
        .bind(until.millis())
        .fetch_optional(&self.pool)
        .await
        .map_err(reading)?;
        let Some(row) = row else {
            return Ok((0, None));
        };
        let text: String = row.try_get(0).map_err(reading)?;
        let count: i64 = row.try_get(1).map_err(reading)?;
        let report: BackupReport = decode(&text, "backup")?;
        let why = report.reasons.into_iter().next();
        Ok((usize::try_from(count).unwrap_or_default(), why))
    }

    async fn one_of(
        &self,
        sql: &'static str,
        vmid: Vmid,
        who: &str,
        until: Timestamp,
    ) -> Result<Option<SqliteRow>> {
        sqlx::query(sql)
            .bind(vmid.get())
            .bind(who)
            .bind(until.millis())
            .fetch_optional(&self.pool)
            .await
            .map_err(reading)
    }
}

fn told<Report: serde::de::DeserializeOwned>(
    row: Option<&SqliteRow>,
    what: &'static str,
) -> Result<Option<super::Record<Report>>> {
    row.map(|row| record(row, what)).transpose()
}
