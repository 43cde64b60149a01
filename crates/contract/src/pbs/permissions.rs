//! The table of permissions: every role of a backup server, given to a user and to its token, performs every call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::check::{Found, at};
use crate::evidence::Evidence;
use crate::question::{Expectation, Question, Table};
use crate::report::{Outcome, Report, Verdict};
use crate::runner::{Halt, Runner};

/// A call that every role performs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Call {
    pub(crate) name: String,
    evidence: Evidence,
    ask: String,
    #[serde(default)]
    with: Table,
    /// It starts a task when it is allowed.
    #[serde(default)]
    task: bool,
    /// By role: the status, and of a list how many entries are seen (`all` is what the admin sees).
    pub(crate) cells: BTreeMap<String, String>,
}

/// What came when a role performed a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Permission {
    /// The role, with where it was granted if not on the datastore.
    pub role: String,
    /// The call.
    pub call: String,
    /// The status, and of a list how many entries are seen (`all` is what the admin sees).
    pub known: String,
    /// What this server did; nothing where it was not asked.
    pub came: Option<String>,
}

/// Lets every role perform every call, as far as questions about it are selected.
pub(crate) async fn ask(runner: &mut Runner<'_>, report: &mut Report) {
    let catalogue = runner.catalogue;
    for role in &catalogue.columns {
        for call in &catalogue.calls {
            let Some(known) = call.cells.get(role) else {
                continue;
            };
            let cell = Cell { role, call, known };
            if runner.is_interrupted() || !runner.selected(&cell.name()) {
                continue;
            }
            let outcome = cell.outcome(runner).await;
            report.permissions.push(cell.permission(&outcome.verdict));
            report.outcomes.push(outcome);
        }
    }
}

struct Cell<'a> {
    role: &'a str,
    call: &'a Call,
    known: &'a str,
}

impl Cell<'_> {
    fn name(&self) -> String {
        format!("pbs-permissions/{}/{}", self.role, self.call.name)
    }

    async fn outcome(&self, runner: &mut Runner<'_>) -> Outcome {
        let entries = match self.entries(runner).await {
            Ok(entries) => entries,
            Err(halt) => {
                return Outcome::new(&self.name(), &self.call.evidence, Verdict::from(halt));
            }
        };
        runner.outcome(&self.question(entries)).await
    }

    /// How many entries are to be seen.
    async fn entries(&self, runner: &mut Runner<'_>) -> Result<Option<i64>, Halt> {
        let Some((_, count)) = self.known.split_once(' ') else {
            return Ok(None);
        };
        if count != "all" || runner.options.dry_run {
            return Ok(count.parse().ok());
        }
        let request = runner.request(&self.call.ask, &self.call.with)?;
        let answer = runner.send("admin", &request).await?;
        match at(&answer.data(), "#") {
            Some(Found::Count(count)) => Ok(i64::try_from(count).ok()),
            _ => Err(Halt::Broken(format!(
                "{}: {} {}",
                request.shown(),
                answer.status,
                answer.text()
            ))),
        }
    }

    fn question(&self, entries: Option<i64>) -> Question {
        let status = self
            .known
            .split(' ')
            .next()
            .and_then(|status| status.parse().ok());
        let allowed = status == Some(200);
        let entries = entries.map(|count| ("#".to_owned(), toml::Value::Integer(count)));
        Question {
            name: self.name(),
            evidence: self.call.evidence.clone(),
            by: self.role.to_owned(),
            ask: self.call.ask.clone(),
            with: self.call.with.clone(),
            json: false,
            raw: None,
            headers: BTreeMap::new(),
            expect: Expectation {
                status,
                exit: (allowed && self.call.task).then(|| "*".into()),
                data: entries.into_iter().collect(),
                ..Expectation::default()
            },
            effects: Vec::new(),
            before: Vec::new(),
            undo: Vec::new(),
            uses: Vec::new(),
            running: Vec::new(),
            stopped: Vec::new(),
            during: None,
            needs: BTreeSet::new(),
        }
    }

    fn permission(&self, verdict: &Verdict) -> Permission {
        let came = match verdict {
            Verdict::Agree => Some(self.known.to_owned()),
            Verdict::Differ { differences } => differences.first().map(|point| point.came.clone()),
            Verdict::NotApplicable { .. } => None,
        };
        Permission {
            role: self.role.to_owned(),
            call: self.call.name.clone(),
            known: self.known.to_owned(),
            came,
        }
    }
}

/// The table for people, as Markdown.
pub fn table(cells: &[Permission]) -> String {
    let mut text = String::from(
        "# What the roles of a backup server may call\n\nEach role is given to a user *and* to its token, on the datastore, on one namespace \
         (`ns-only`) or on everything (`root`).\nSomebody else owns the backups. A cell is the status and, of a list, how many entries are seen. \
         Written by\n`felhom-contract --may-edit-identities`; a test compares it with a run.\n\n",
    );
    let (mut roles, mut rows): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for cell in cells {
        if !roles.contains(&cell.role.as_str()) {
            roles.push(&cell.role);
        }
        if !rows.contains(&cell.call.as_str()) {
            rows.push(&cell.call);
        }
    }
    let _infallible = writeln!(text, "| call | {} |", roles.join(" | "));
    let _infallible = writeln!(text, "|---|{}", "---|".repeat(roles.len()));
    for call in rows {
        let _infallible = write!(text, "| {call} |");
        for role in &roles {
            let cell = cells
                .iter()
                .find(|cell| cell.call == call && cell.role == *role);
            let _infallible = write!(text, " {} |", cell.map(shown).unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

fn shown(cell: &Permission) -> String {
    match &cell.came {
        None => "–".into(),
        Some(came) if *came == cell.known => came.clone(),
        Some(came) => format!("**{came}**, not {}", cell.known),
    }
}
