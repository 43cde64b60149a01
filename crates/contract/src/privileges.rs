//! The table of privileges: for every role of the agent's, each privilege is taken away on one side, and every operation
//! is performed. What fails then is what needs it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::evidence::Evidence;
use crate::fixture::{MadeIdentity, identity, set_privileges};
pub use crate::question::Side;
use crate::question::{Expectation, Identity, Operation, Question};
use crate::report::{Outcome, Report, Verdict};
use crate::runner::{Halt, Runner};

/// A role that is taken apart.
pub type Role = String;

/// An operation that fails without a privilege, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lack {
    /// The operation.
    pub operation: String,
    /// With the request, in the task, or by an answer from which something is missing.
    pub how: String,
}

/// What happened without one privilege.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Whose.
    pub role: Role,
    /// Where it was granted; names in capitals stand for the target's.
    pub path: String,
    /// Which.
    pub privilege: String,
    /// Taken from whom.
    pub side: Side,
    /// What failed; nothing where it is not needed.
    pub fails: Vec<Lack>,
    /// How many operations were performed.
    pub asked: usize,
}

/// Takes every role apart, as far as questions about it are selected.
pub(crate) async fn ask(runner: &mut Runner<'_>, report: &mut Report) {
    runner.end_during().await;
    let catalogue = runner.catalogue;
    for role in &catalogue.roles {
        let operations: Vec<&Operation> = catalogue
            .operations
            .iter()
            .filter(|operation| operation.roles.contains(&role.name))
            .collect();
        let trial = Trial { role, operations };
        if runner.is_interrupted() {
            return;
        }
        if trial
            .cells()
            .iter()
            .any(|cell| runner.selected(&cell.name()))
        {
            trial.run(runner, report).await;
        }
    }
}

/// One privilege of one grant taken from one side; `None`: everything there.
#[derive(Debug, Clone)]
struct Cell<'a> {
    role: &'a str,
    removed: Option<(usize, Side, &'a str)>,
    operation: &'a Operation,
}

impl Cell<'_> {
    fn name(&self) -> String {
        let (role, operation) = (self.role, &self.operation.name);
        match self.removed {
            None => format!("privileges/{role}/complete/{operation}"),
            Some((grant, side, privilege)) => {
                format!(
                    "privileges/{role}/{}/{grant}-{privilege}/{operation}",
                    side.name()
                )
            }
        }
    }

    /// What is known to happen.
    fn lack(&self) -> Option<&Expectation> {
        let (grant, _, privilege) = self.removed?;
        let lack = &self.operation.lack;
        let exact = lack.get(&format!("{} {grant} {privilege}", self.role));
        let of_role = || lack.get(&format!("{} {privilege}", self.role));
        exact.or_else(of_role).or_else(|| lack.get(privilege))
    }

    fn evidence(&self) -> &Evidence {
        match self.removed {
            None => &self.operation.evidence,
            Some(_) => &self.operation.rules,
        }
    }

    fn question(&self) -> Question {
        let operation = self.operation;
        let lack = self.lack();
        Question {
            name: self.name(),
            evidence: self.evidence().clone(),
            by: format!("role:{}", self.role),
            ask: operation.ask.clone(),
            with: operation.with.clone(),
            json: false,
            raw: None,
            headers: BTreeMap::new(),
            expect: lack.unwrap_or(&operation.expect).clone(),
            effects: if lack.is_some() {
                Vec::new()
            } else {
                operation.effects.clone()
            },
            before: operation.before.clone(),
            undo: operation.undo.clone(),
            uses: operation.uses.clone(),
            running: operation.running.clone(),
            stopped: operation.stopped.clone(),
            during: None,
            needs: operation.needs.clone(),
        }
    }
}

struct Trial<'a> {
    role: &'a Identity,
    operations: Vec<&'a Operation>,
}

impl<'a> Trial<'a> {
    fn removals(&self) -> Vec<Option<(usize, Side, &'a str)>> {
        let mut all = vec![None];
        for side in Side::ALL {
            for (place, grant) in self.role.grants.iter().enumerate() {
                all.extend(
                    grant
                        .privileges
                        .iter()
                        .map(|privilege| Some((place, side, privilege.as_str()))),
                );
            }
        }
        all
    }

    fn cells(&self) -> Vec<Cell<'a>> {
        self.removals()
            .into_iter()
            .flat_map(|removed| self.row(removed))
            .collect()
    }

    fn row(&self, removed: Option<(usize, Side, &'a str)>) -> Vec<Cell<'a>> {
        let cell = |operation: &&'a Operation| Cell {
            role: &self.role.name,
            removed,
            operation,
        };
        self.operations.iter().map(cell).collect()
    }

    async fn run(&self, runner: &mut Runner<'_>, report: &mut Report) {
        if runner.options.dry_run {
            for cell in self.cells() {
                if runner.selected(&cell.name()) {
                    let outcome = runner.outcome(&cell.question()).await;
                    report.outcomes.push(outcome);
                }
            }
            return;
        }
        let made = match identity(runner, self.role).await {
            Ok(made) => made,
            Err(halt) => return self.skip(runner, report, halt),
        };
        let client = runner.peer.with_headers(vec![
            runner.peer.product.token_header(&made.token, &made.secret),
        ]);
        runner
            .clients
            .insert(format!("role:{}", self.role.name), client);
        if let Err(halt) = runner.set_up(self.role).await {
            return self.skip(runner, report, halt);
        }
        for removed in self.removals() {
            self.round(runner, report, &made, removed).await;
        }
    }

    fn skip(&self, runner: &Runner<'_>, report: &mut Report, halt: Halt) {
        let verdict = Verdict::from(halt);
        for cell in self.cells() {
            let name = cell.name();
            if runner.selected(&name) {
                let outcome = Outcome::new(&name, cell.evidence(), verdict.clone());
                report.outcomes.push(outcome);
            }
        }
    }

    async fn round(
        &self,
        runner: &mut Runner<'_>,
        report: &mut Report,
        made: &MadeIdentity,
        removed: Option<(usize, Side, &'a str)>,
    ) {
        let cells: Vec<Cell<'a>> = self
            .row(removed)
            .into_iter()
            .filter(|cell| runner.selected(&cell.name()))
            .collect();
        if cells.is_empty() || runner.is_interrupted() {
            return;
        }
        if let Err(halt) = self.take_away(runner, made, removed, true).await {
            runner.leftovers.insert(format!("{halt:?}"));
        }
        let mut fails = Vec::new();
        for cell in &cells {
            if runner.is_interrupted() {
                break;
            }
            let outcome = runner.outcome(&cell.question()).await;
            if let Some(how) = how(cell, &outcome.verdict) {
                fails.push(Lack {
                    operation: cell.operation.name.clone(),
                    how: how.to_owned(),
                });
            }
            report.outcomes.push(outcome);
        }
        if let Some((grant, side, privilege)) = removed {
            report.privileges.push(Finding {
                role: self.role.name.clone(),
                path: self.path(grant),
                privilege: privilege.to_owned(),
                side,
                fails,
                asked: cells.len(),
            });
        }
        if let Err(halt) = self.take_away(runner, made, removed, false).await {
            runner.leftovers.insert(format!("{halt:?}"));
        }
    }

    async fn take_away(
        &self,
        runner: &mut Runner<'_>,
        made: &MadeIdentity,
        removed: Option<(usize, Side, &'a str)>,
        away: bool,
    ) -> Result<(), Halt> {
        let Some((place, side, privilege)) = removed else {
            return Ok(());
        };
        let Some(grant) = self.role.grants.get(place) else {
            return Ok(());
        };
        let left: Vec<&str> = grant
            .privileges
            .iter()
            .map(String::as_str)
            .filter(|one| !away || *one != privilege)
            .collect();
        set_privileges(runner, made, place, side, &left).await
    }

    fn path(&self, grant: usize) -> String {
        let path = self
            .role
            .grants
            .get(grant)
            .map(|grant| grant.path.as_str())
            .unwrap_or_default();
        let mut shown = String::new();
        for (place, part) in path.split(['{', '}']).enumerate() {
            // Every other part stood in braces.
            shown.push_str(&if place % 2 == 1 {
                part.to_uppercase()
            } else {
                part.to_owned()
            });
        }
        shown
    }
}

/// How an operation failed, by what came of it.
fn how(cell: &Cell<'_>, verdict: &Verdict) -> Option<&'static str> {
    let expected = cell.lack().map(|lack| {
        if lack.status() >= 400 {
            "request"
        } else if lack.exit.is_some() {
            "task"
        } else {
            "shortened"
        }
    });
    match (verdict, expected) {
        // As foreseen: it works, or fails as it must.
        (Verdict::Agree, expected) => expected,
        // It was foreseen to work.
        (Verdict::Differ { .. }, None) => Some("unforeseen"),
        (Verdict::Differ { .. } | Verdict::NotApplicable { .. }, _) => None,
    }
}

/// The table for people, as Markdown.
pub fn table(findings: &[Finding]) -> String {
    let mut text = String::from(
        "# Privileges\n\nWhat stops working when one privilege is taken from one side of a privilege-separated token: \
         from the user that owns it,\nor from the token itself. Written by `felhom-contract --may-edit-identities`; a test \
         compares it with a run.\n\n**These are measured roles, not recommended ones.** They hold all that any operation could \
         want, so that each privilege can be\ntaken away and missed. `felhom-agent enroll pve` grants less: only what the chosen \
         abilities need, on the paths that they need\nit on (docs/operations/setup.md has the table). `felhom-agent doctor` \
         says what a token on your node lacks and has in excess.\n\nAn operation fails with the request unless it says *task* (the request is accepted \
         and the task fails) or *shortened*\n(the answer is a success from which something is missing).\n",
    );
    let mut role = "";
    for finding in findings {
        if finding.role != role {
            role = &finding.role;
            let _infallible = write!(
                text,
                "\n## `{role}`\n\n| path | privilege | side | operations that fail |\n|---|---|---|---|\n"
            );
        }
        let shown: Vec<String> = finding
            .fails
            .iter()
            .map(|lack| match lack.how.as_str() {
                "request" => lack.operation.clone(),
                how => format!("{} *{how}*", lack.operation),
            })
            .collect();
        let shown = if shown.is_empty() {
            format!("not needed by any of {} operations", finding.asked)
        } else {
            shown.join(", ")
        };
        let _infallible = writeln!(
            text,
            "| `{}` | `{}` | {} | {shown} |",
            finding.path,
            finding.privilege,
            finding.side.name()
        );
    }
    text
}
