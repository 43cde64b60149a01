//! `prune-backups` of a storage.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::fields::{Fields, Printer, serde_as_property};
use super::{InvalidProperty, PropertyValue};

/// How many backups of a guest a storage keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneBackups {
    /// Keep everything.
    pub keep_all: Option<bool>,
    /// The newest N.
    pub keep_last: Option<u32>,
    /// One for each of N hours.
    pub keep_hourly: Option<u32>,
    /// One for each of N days.
    pub keep_daily: Option<u32>,
    /// One for each of N weeks.
    pub keep_weekly: Option<u32>,
    /// One for each of N months.
    pub keep_monthly: Option<u32>,
    /// One for each of N years.
    pub keep_yearly: Option<u32>,
    /// Keys that we do not know.
    pub other: BTreeMap<String, PropertyValue>,
}

impl PruneBackups {
    /// Whether nothing is ever pruned: said so, or no number above zero stands there.
    pub fn keeps_all(&self) -> bool {
        self.keep_all == Some(true) || (self.kept() == 0 && self.other.is_empty())
    }

    /// The most that can be kept: above this vzdump with `remove=0` refuses to start.
    pub fn limit(&self) -> Option<u32> {
        if self.keeps_all() {
            None
        } else {
            Some(self.kept())
        }
    }

    /// Whether both mean the same, written out or not.
    pub fn same(&self, other: &Self) -> bool {
        let some = |count: Option<u32>| count.filter(|&count| count > 0);
        let normal = |prune: &Self| {
            if prune.keeps_all() {
                return Self::default();
            }
            Self {
                keep_all: None,
                keep_last: some(prune.keep_last),
                keep_hourly: some(prune.keep_hourly),
                keep_daily: some(prune.keep_daily),
                keep_weekly: some(prune.keep_weekly),
                keep_monthly: some(prune.keep_monthly),
                keep_yearly: some(prune.keep_yearly),
                other: prune.other.clone(),
            }
        };
        normal(self) == normal(other)
    }

    fn kept(&self) -> u32 {
        [
            self.keep_last,
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ]
        .into_iter()
        .flatten()
        .fold(0, u32::saturating_add)
    }
}

impl FromStr for PruneBackups {
    type Err = InvalidProperty;

    fn from_str(text: &str) -> Result<Self, InvalidProperty> {
        let mut fields = Fields::parse("prune-backups", None, text)?;
        let prune = Self {
            keep_all: fields.flag("keep-all")?,
            keep_last: fields.maybe("keep-last")?,
            keep_hourly: fields.maybe("keep-hourly")?,
            keep_daily: fields.maybe("keep-daily")?,
            keep_weekly: fields.maybe("keep-weekly")?,
            keep_monthly: fields.maybe("keep-monthly")?,
            keep_yearly: fields.maybe("keep-yearly")?,
            other: fields.rest(),
        };
        if prune.keep_all == Some(true) && prune.kept() > 0 {
            let problem = "`keep-all` stands beside other numbers";
            return Err(InvalidProperty::new("prune-backups", problem));
        }
        Ok(prune)
    }
}

impl fmt::Display for PruneBackups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer::default()
            .flag("keep-all", self.keep_all)
            .maybe("keep-last", self.keep_last.as_ref())
            .maybe("keep-hourly", self.keep_hourly.as_ref())
            .maybe("keep-daily", self.keep_daily.as_ref())
            .maybe("keep-weekly", self.keep_weekly.as_ref())
            .maybe("keep-monthly", self.keep_monthly.as_ref())
            .maybe("keep-yearly", self.keep_yearly.as_ref())
            .rest(&self.other)
            .write(f)
    }
}

serde_as_property!(PruneBackups);

#[cfg(test)]
mod tests {
    use super::*;

    fn prune(text: &str) -> PruneBackups {
        text.parse().unwrap()
    }

    #[test]
    fn is_printed_sorted() {
        let text = "keep-weekly=4,keep-last=3,keep-daily=7";
        assert_eq!(
            prune(text).to_string(),
            "keep-daily=7,keep-last=3,keep-weekly=4"
        );
    }

    #[test]
    fn zeros_keep_everything() {
        for text in [
            "",
            "keep-all=1",
            "keep-last=0",
            "keep-last=0,keep-daily=0",
            "keep-all=0",
        ] {
            assert!(prune(text).keeps_all(), "{text}");
            assert_eq!(prune(text).limit(), None);
            assert!(prune(text).same(&PruneBackups::default()));
        }
        assert_eq!(prune("keep-last=2,keep-daily=3").limit(), Some(5));
        assert!(prune("keep-last=2,keep-daily=0").same(&prune("keep-last=2")));
        assert!("keep-all=1,keep-last=1".parse::<PruneBackups>().is_err());
        assert!("keep-last=-1".parse::<PruneBackups>().is_err());
    }
}
