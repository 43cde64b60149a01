//! What the journal keeps of the Docker volumes of a guest: the latest report, and of which guest it is.

use felhom_engine::{GuestFingerprint, Timestamp};
use felhom_ids::Vmid;
use felhom_protocol::volumes::VolumeReport;
use sqlx::Row;

use super::{Journal, JournalError, Result, decode, encode, reading, writing};

/// A volume report that was taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// When it was taken up.
    pub taken: Timestamp,
    /// Whom it is of.
    pub fingerprint: GuestFingerprint,
    /// What it says.
    pub report: VolumeReport,
}

impl Journal {
    /// Keeps a report; an older one on the same VMID is replaced.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn keep_volume_report(&self, vmid: Vmid, kept: &KeptReport) -> Result<()> {
        sqlx::query(
            "INSERT OR REPLACE INTO volume_reports (vmid, taken_ms, fingerprint, report) VALUES (?, ?, ?, ?)",
        )
        .bind(vmid.get())
        .bind(kept.taken.millis())
        .bind(encode(&kept.fingerprint, "fingerprint")?)
        .bind(felhom_protocol::write(&kept.report))
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// The latest report on a VMID, whichever guest had it then.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn volume_report(&self, vmid: Vmid) -> Result<Option<KeptReport>> {
        // Who reads does not bring the tables up to date.
        let table = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'volume_reports'")
            .fetch_optional(&self.pool)
            .await
            .map_err(reading)?;
        if table.is_none() {
            return Ok(None);
        }
        let row =
            sqlx::query("SELECT taken_ms, fingerprint, report FROM volume_reports WHERE vmid = ?")
                .bind(vmid.get())
                .fetch_optional(&self.pool)
                .await
                .map_err(reading)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let fingerprint: String = row.try_get(1).map_err(reading)?;
        let report: String = row.try_get(2).map_err(reading)?;
        let report =
            felhom_protocol::read(report.as_bytes()).map_err(|error| JournalError::Row {
                what: "volume report",
                source: serde::de::Error::custom(error),
            })?;
        Ok(Some(KeptReport {
            taken: Timestamp::from_millis(row.try_get(0).map_err(reading)?),
            fingerprint: decode(&fingerprint, "fingerprint")?,
            report,
        }))
    }
}
