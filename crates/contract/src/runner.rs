//! Asks the questions one after the other, and cleans up behind each.

mod archives;
mod ask;
mod guests;
mod names;
mod principals;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use tokio::task::JoinHandle;

pub(crate) use names::fill;

use crate::bounds::Bounds;
use crate::catalogue::{Catalogue, CatalogueError};
use crate::http::Request;
use crate::ledger::Ledger;
use crate::peer::{Client, Peer, PeerError};
use crate::question::Question;
use crate::report::{Difference, Outcome, Report, Verdict};
use crate::target::Target;

/// What to ask, and how far to go.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only the questions whose name is one of these, or begins with one and a slash; all where there is none.
    pub only: Vec<String>,
    /// Make users, tokens, roles and ACLs of our own.
    pub may_edit_identities: bool,
    /// Say what would be asked, and ask nothing.
    pub dry_run: bool,
    /// Told the name of every question before it is asked.
    pub progress: Option<fn(&str)>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The questions contradict each other.
    #[error("the catalogue of questions is broken")]
    Catalogue(#[from] CatalogueError),
    /// The server cannot be asked at all.
    #[error("the target can't be asked")]
    Peer(#[from] PeerError),
    /// Nothing is selected.
    #[error("no question is called `{0}`")]
    Nothing(String),
    /// The backup server lacks what the run rests on.
    #[error("{0}")]
    Unprepared(String),
    /// No random number for the run's mark.
    #[error("the system gives no random numbers")]
    Random,
}

/// Why something could not be done for a question.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It makes no sense on this target.
    NotApplicable(String),
    /// It should have worked.
    Broken(String),
    /// The connection ended before an answer.
    Closed(String),
}

impl From<Halt> for Verdict {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NotApplicable(why) => Self::NotApplicable { why },
            Halt::Broken(came) | Halt::Closed(came) => Self::Differ {
                differences: vec![Difference {
                    what: "could not be asked".into(),
                    expected: "its preconditions".into(),
                    came,
                }],
            },
        }
    }
}

impl From<PeerError> for Halt {
    fn from(error: PeerError) -> Self {
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        if matches!(error, PeerError::Broken(_)) {
            return Self::Closed(text);
        }
        Self::Broken(text)
    }
}

/// A fixture that was asked for once.
#[derive(Debug, Clone)]
pub(crate) enum Built {
    Ready,
    NotApplicable(String),
    Broken(String),
}

/// A run under way.
pub(crate) struct Runner<'a> {
    pub(crate) target: &'a Target,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) options: &'a Options,
    pub(crate) peer: Peer,
    pub(crate) clients: BTreeMap<String, Client>,
    pub(crate) bounds: Bounds,
    pub(crate) ledger: Ledger,
    /// Names for the whole run: the target's, and what fixtures made.
    pub(crate) names: BTreeMap<String, String>,
    /// Names of one question.
    pub(crate) local: BTreeMap<String, String>,
    pub(crate) fixtures: BTreeMap<String, Built>,
    /// The long task under way: its name in the catalogue, principal and UPID.
    pub(crate) during: Option<(String, String, String)>,
    /// VMIDs of the scratch range that may be handed out, the longest unused first.
    pub(crate) free: Vec<u32>,
    pub(crate) leftovers: BTreeSet<String>,
    /// Ends when the user wants to. The question under way is then finished and cleaned up behind.
    interrupt: JoinHandle<()>,
}

/// Asks a target everything that is selected.
pub async fn run(target: &Target, options: &Options) -> Result<Report, RunError> {
    let catalogue = Catalogue::of(target.product)?;
    let mut runner = Runner::new(target, &catalogue, options)?;
    let mut report = Report {
        target: target.url(),
        product: target.product,
        ..Report::default()
    };
    if !options.dry_run {
        report.version = runner.version().await?;
        runner.prepare().await?;
    }
    runner.everything(&mut report).await;
    let stopped = runner.is_interrupted();
    runner.interrupt.abort();
    if stopped {
        let text = "the run was interrupted: not everything was asked";
        report.leftovers.push(text.into());
    }
    runner.finish().await;
    report.leftovers.extend(runner.leftovers);
    if report.outcomes.is_empty() && !stopped {
        return Err(RunError::Nothing(options.only.join(", ")));
    }
    Ok(report)
}

impl<'a> Runner<'a> {
    fn new(
        target: &'a Target,
        catalogue: &'a Catalogue,
        options: &'a Options,
    ) -> Result<Self, RunError> {
        let mut random = [0; 4];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| RunError::Random)?;
        let run = format!("{:08x}", u32::from_be_bytes(random));
        let mut names = target.names.clone();
        names.insert("mark".into(), format!("felhom-contract run {run}"));
        let range = target
            .scratch
            .as_ref()
            .map(|scratch| scratch.first..=scratch.last);
        let bounds = Bounds {
            range: range.clone(),
            expendable: target.expendable.clone(),
            named: target.named.clone(),
            alone: target.abilities.contains("alone"),
            keeps_all: target.abilities.contains("keep-all"),
            identities: options.may_edit_identities,
            store: target.store.as_ref().map(|store| store.name.clone()),
            ..Bounds::default()
        };
        Ok(Self {
            target,
            catalogue,
            options,
            peer: Peer::new(target)?,
            clients: BTreeMap::new(),
            bounds,
            ledger: Ledger::default(),
            names,
            local: BTreeMap::new(),
            fixtures: BTreeMap::new(),
            during: None,
            free: range.map(Iterator::collect).unwrap_or_default(),
            leftovers: BTreeSet::new(),
            interrupt: tokio::spawn(async {
                if tokio::signal::ctrl_c().await.is_err() {
                    // Nobody can interrupt then.
                    std::future::pending::<()>().await;
                }
            }),
        })
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.target.patience_s)
    }

    /// Whether no more is to be asked.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.is_finished()
    }

    /// Whether a question of this name is wanted.
    pub(crate) fn selected(&self, name: &str) -> bool {
        let only = &self.options.only;
        only.is_empty()
            || only.iter().any(|only| {
                let rest = name.strip_prefix(only.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }

    async fn everything(&mut self, report: &mut Report) {
        for question in &self.catalogue.questions {
            if self.selected(&question.name) && !self.is_interrupted() {
                let outcome = self.outcome(question).await;
                report.outcomes.push(outcome);
            }
        }
        crate::privileges::ask(self, report).await;
        crate::pbs::ask_permissions(self, report).await;
    }

    /// The version that the server calls its own; an error when there is nobody, or not the pinned one.
    async fn version(&mut self) -> Result<String, RunError> {
        let observer = self.principal_name("observer");
        let mut client = match self.target.principals.get(&observer) {
            Some(who) => self.peer.client(who).await?,
            None => self.peer.with_headers(Vec::new()),
        };
        let answer = client.send(&Request::get("/version")).await?;
        let data = answer.data();
        let version = data.get("version").and_then(serde_json::Value::as_str);
        Ok(version.unwrap_or("unknown").to_owned())
    }

    /// Asks one question, or says why not.
    pub(crate) async fn outcome(&mut self, question: &Question) -> Outcome {
        if let Some(progress) = self.options.progress {
            progress(&question.name);
        }
        let verdict = if self.options.dry_run {
            Verdict::NotApplicable {
                why: self.rehearsed(question),
            }
        } else {
            self.verdict(question).await
        };
        Outcome::new(&question.name, &question.evidence, verdict)
    }

    /// What would be sent, with the names that are known beforehand.
    fn rehearsed(&self, question: &Question) -> String {
        let known = |name: &str| Some(self.lookup(name).unwrap_or_else(|| format!("<{name}>")));
        let filled = |text: &str| fill(text, &known).unwrap_or_else(|_| text.to_owned());
        let mut line = format!("as {}: {}", question.by, filled(&question.ask));
        for (key, value) in &question.with {
            let value = value.as_str().map_or_else(|| value.to_string(), filled);
            let _infallible = write!(line, " {key}={value}");
        }
        for step in question.before.iter().chain(&question.undo) {
            let _infallible = write!(line, "\n  around it, as {}: {}", step.by, filled(&step.ask));
        }
        if !question.uses.is_empty() {
            let _infallible = write!(line, "\n  needs {}", question.uses.join(", "));
        }
        line
    }

    /// Ends what runs, removes what was made.
    async fn finish(&mut self) {
        self.end_during().await;
        self.sweep(0).await;
    }
}
