//! What metrics are told of, as the journal has it now.

use felhom_engine::PostureLimits;
use felhom_protocol::host::HostReport;

use super::{Pass, PublishError, Told, publish_told};
use crate::config::Config;
use crate::journal::{Journal, JournalError};

/// What is kept.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// The last host report.
    pub report: Option<HostReport>,
    /// The last pass.
    pub pass: Option<Pass>,
    /// How many incidents are open.
    pub open_incidents: Option<u64>,
    /// What is old, by the configuration.
    pub limits: PostureLimits,
}

impl Kept {
    /// Reads it. What the journal has no table for yet is not told of.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn read(journal: &Journal, limits: PostureLimits) -> Result<Self, JournalError> {
        let pass = journal.last_ended_pass().await?;
        Ok(Self {
            report: journal.last_report().await?,
            pass: pass.and_then(|(ended, exit)| {
                Some(Pass {
                    ended_s: ended.secs(),
                    exit: u8::try_from(exit).ok()?,
                })
            }),
            open_incidents: journal.open_incidents().await?,
            limits,
        })
    }

    /// The same, to be told.
    pub fn told(&self) -> Told<'_> {
        Told {
            report: self.report.as_ref(),
            limits: self.limits,
            pass: self.pass,
            open_incidents: self.open_incidents,
        }
    }
}

/// What is old, by the configuration.
pub fn limits(config: &Config) -> PostureLimits {
    config.posture_limits()
}

/// Writes everything that is kept to the file that the configuration names, if it names one.
///
/// # Errors
/// When the journal cannot be read, or the file cannot be written; the former one stays then.
pub async fn publish_kept(config: &Config, journal: &Journal) -> Result<(), PublishError> {
    if config.metrics_textfile.is_none() {
        return Ok(());
    }
    let kept = Kept::read(journal, limits(config)).await?;
    publish_told(config, &kept.told())
}
