//! What came of the questions: counts, a table for people, a document for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::evidence::Evidence;
use crate::pbs::Permission;
use crate::privileges::Finding;
use crate::product::Product;

/// One point in which a server answered otherwise than expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Status, text, exit status, an effect, ….
    pub what: String,
    /// What a real server is known to answer.
    pub expected: String,
    /// What this one answered.
    pub came: String,
}

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// As expected in every point.
    Agree,
    /// Otherwise in these points.
    Differ {
        /// The points.
        differences: Vec<Difference>,
    },
    /// Not asked.
    NotApplicable {
        /// Why.
        why: String,
    },
}

/// A question and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The question's name.
    pub name: String,
    /// What the expectation rests on.
    pub evidence: String,
    #[serde(skip)]
    pub(crate) kind: &'static str,
    /// What came.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Outcome {
    pub(crate) fn new(name: &str, evidence: &Evidence, verdict: Verdict) -> Self {
        Self {
            name: name.to_owned(),
            evidence: evidence.to_string(),
            kind: evidence.kind(),
            verdict,
        }
    }
}

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Asked and answered as expected.
    pub agree: usize,
    /// Asked and answered otherwise.
    pub differ: usize,
    /// Not asked.
    pub not_applicable: usize,
    /// Expectations that rest on a recorded answer.
    pub recorded: usize,
    /// Expectations that rest on Proxmox's source.
    pub source: usize,
    /// Expectations that rest on the written account of a running server.
    pub facts: usize,
    /// Expectations that rest on nothing.
    pub assumed: usize,
}

/// Everything that came of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The server.
    pub target: String,
    /// What kind of server it is.
    #[serde(skip)]
    pub product: Product,
    /// Its version, as far as it says.
    pub version: String,
    /// Question by question.
    pub outcomes: Vec<Outcome>,
    /// What happened without each privilege.
    pub privileges: Vec<Finding>,
    /// What each role of a backup server may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
    /// What we made and could not remove.
    pub leftovers: Vec<String>,
}

impl Report {
    /// Counts all outcomes.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for outcome in &self.outcomes {
            let verdict = match outcome.verdict {
                Verdict::Agree => &mut counts.agree,
                Verdict::Differ { .. } => &mut counts.differ,
                Verdict::NotApplicable { .. } => &mut counts.not_applicable,
            };
            *verdict += 1;
            let evidence = match outcome.kind {
                "recorded" => &mut counts.recorded,
                "source" => &mut counts.source,
                "facts" => &mut counts.facts,
                _ => &mut counts.assumed,
            };
            *evidence += 1;
        }
        counts
    }

    /// The questions that were answered otherwise.
    pub fn differing(&self) -> impl Iterator<Item = (&str, &[Difference])> {
        self.outcomes
            .iter()
            .filter_map(|outcome| match &outcome.verdict {
                Verdict::Differ { differences } => {
                    Some((outcome.name.as_str(), differences.as_slice()))
                }
                Verdict::Agree | Verdict::NotApplicable { .. } => None,
            })
    }

    /// For programs.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "schema": "felhom-contract/report", "version": 1, "counts": self.counts(), "data": self,
        })
    }

    /// For people: what was not asked, and why.
    pub fn not_asked(&self) -> String {
        let mut text = String::new();
        for outcome in &self.outcomes {
            if let Verdict::NotApplicable { why } = &outcome.verdict {
                let _infallible = writeln!(text, "{}: {why}", outcome.name);
            }
        }
        text
    }

    /// For people: counts by group, then every difference.
    pub fn text(&self) -> String {
        let mut groups: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        for outcome in &self.outcomes {
            let group = outcome.name.split('/').next().unwrap_or_default();
            let [agree, differ, not] = groups.entry(group).or_default();
            let count = match outcome.verdict {
                Verdict::Agree => agree,
                Verdict::Differ { .. } => differ,
                Verdict::NotApplicable { .. } => not,
            };
            *count += 1;
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["questions", "agree", "differ", "not applicable"]);
        for (group, [agree, differ, not]) in groups {
            table.add_row([
                group.to_owned(),
                agree.to_string(),
                differ.to_string(),
                not.to_string(),
            ]);
        }
        let counts = self.counts();
        let mut text = format!(
            "{} ({} {})\n{table}\n",
            self.target,
            self.product.name(),
            self.version
        );
        let _infallible = writeln!(
            text,
            "{} agree, {} differ, {} not applicable; evidence: {} recorded, {} source, {} facts, {} assumed",
            counts.agree,
            counts.differ,
            counts.not_applicable,
            counts.recorded,
            counts.source,
            counts.facts,
            counts.assumed
        );
        for (name, differences) in self.differing() {
            let _infallible = writeln!(text, "\n{name}");
            for point in differences {
                let _infallible = writeln!(
                    text,
                    "  {}\n    expected {}\n    came     {}",
                    point.what, point.expected, point.came
                );
            }
        }
        for left in &self.leftovers {
            let _infallible = writeln!(text, "left behind: {left}");
        }
        text
    }
}
