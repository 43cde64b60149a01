//! Differences of a target that are known, each with its reason: listed, they are excused; not listed, they count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::pattern::matches;
use crate::report::{Report, Verdict};
use crate::target::TargetError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Reasons.
    #[serde(default)]
    difference: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    reason: String,
    /// Names of questions; `*` stands for anything.
    questions: Vec<String>,
}

/// The list of one target.
#[derive(Debug, Default)]
pub struct Known {
    reasons: BTreeMap<String, String>,
}

impl Known {
    /// Reads a list.
    pub fn read(path: &Path) -> Result<Self, TargetError> {
        let text = std::fs::read_to_string(path).map_err(|source| TargetError::Read {
            path: path.to_owned(),
            source,
        })?;
        let file: File = toml::from_str(&text).map_err(|source| TargetError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let mut reasons = BTreeMap::new();
        for entry in file.difference {
            for name in entry.questions {
                reasons.insert(name, entry.reason.clone());
            }
        }
        Ok(Self { reasons })
    }

    /// Takes the listed differences out of a report; answers the entries that excused nothing.
    pub fn excuse(&self, report: &mut Report) -> Vec<String> {
        let mut used = BTreeSet::new();
        for outcome in &mut report.outcomes {
            if !matches!(outcome.verdict, Verdict::Differ { .. }) {
                continue;
            }
            let listed = self
                .reasons
                .iter()
                .find(|(name, _)| matches(name, &outcome.name));
            if let Some((name, reason)) = listed {
                used.insert(name.clone());
                outcome.verdict = Verdict::NotApplicable {
                    why: format!("known to differ: {reason}"),
                };
            }
        }
        self.reasons
            .keys()
            .filter(|name| !used.contains(*name))
            .cloned()
            .collect()
    }
}
