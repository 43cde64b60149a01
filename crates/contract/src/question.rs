//! What a question is made of: a call, what a real server answers, what it needs, and what is read afterwards.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::check::{at, differs};
use crate::evidence::Evidence;
use crate::runner::fill;

/// Values of parameters and expectations.
pub(crate) type Table = BTreeMap<String, toml::Value>;

/// One question: a call, what a real server answers, and what it changes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Question {
    /// Unique, `GROUP/NAME`.
    pub name: String,
    /// What the expectation rests on.
    pub evidence: Evidence,
    /// Which principal asks.
    pub(crate) by: String,
    /// `METHOD PATH`, with names in braces.
    pub(crate) ask: String,
    #[serde(default)]
    pub(crate) with: Table,
    /// Sent as JSON instead of as a form.
    #[serde(default)]
    pub(crate) json: bool,
    /// Content type and text, instead of parameters.
    pub(crate) raw: Option<(String, String)>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) expect: Expectation,
    /// Re-read afterwards.
    #[serde(default)]
    pub(crate) effects: Vec<Effect>,
    /// Done before, and must work.
    #[serde(default)]
    pub(crate) before: Vec<Step>,
    /// Done afterwards whatever came, where it can be done.
    #[serde(default)]
    pub(crate) undo: Vec<Step>,
    /// Fixtures it needs.
    #[serde(default)]
    pub(crate) uses: Vec<String>,
    /// Guests that must be running, by name.
    #[serde(default)]
    pub(crate) running: Vec<String>,
    /// Guests that must be stopped, by name.
    #[serde(default)]
    pub(crate) stopped: Vec<String>,
    /// The long task during which it is asked.
    pub(crate) during: Option<String>,
    /// Abilities, principals and names without which it makes no sense.
    #[serde(default)]
    pub(crate) needs: BTreeSet<String>,
}

/// What a real server answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Expectation {
    /// HTTP status; 200 where it is not given, 0 where the connection is closed without an answer.
    pub(crate) status: Option<u16>,
    /// Error text: the envelope's message, or the status line's where there is no envelope.
    pub(crate) text: Option<String>,
    /// Text of the status line.
    pub(crate) reason: Option<String>,
    /// What is wrong with each parameter.
    pub(crate) errors: BTreeMap<String, String>,
    /// Exit status of the task that it starts; a call without it must start none.
    pub(crate) exit: Option<String>,
    /// Lines of the task's log, in this order.
    pub(crate) log: Vec<String>,
    /// Lines that must not be in the log.
    pub(crate) log_lacks: Vec<String>,
    /// Values in the envelope's `data`, by path.
    pub(crate) data: Table,
    /// The whole body.
    pub(crate) body: Option<String>,
    /// `Content-Type`.
    pub(crate) content_type: Option<String>,
}

impl Expectation {
    pub(crate) fn status(&self) -> u16 {
        self.status.unwrap_or(200)
    }
}

/// The part of an expectation that a recording can be compared with; what differs from server to server is `*`.
#[derive(Debug, Clone)]
pub struct Expected {
    /// HTTP status.
    pub status: u16,
    /// Error text.
    pub text: Option<String>,
    /// What is wrong with each parameter.
    pub errors: BTreeMap<String, String>,
    /// Exit status of the task.
    pub exit: Option<String>,
    /// Lines of the task's log, in this order.
    pub log: Vec<String>,
    /// Lines that must not be in the log.
    pub log_lacks: Vec<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Option<String>,
    data: Table,
}

impl Expected {
    /// Every point in which an envelope's `data` is otherwise.
    pub fn data_differs(&self, data: &serde_json::Value) -> Vec<String> {
        let points = self.data.iter().filter_map(|(path, wanted)| {
            let came = differs(at(data, path), wanted)?;
            Some(format!("`{path}` is {came}, not {wanted}"))
        });
        points.collect()
    }
}

impl Question {
    /// Whether it expects what `root@pam` in person never meets: a refusal for want of a right, or a shortened list.
    pub(crate) fn forbids(&self) -> bool {
        let expect = &self.expect;
        let texts = [&expect.text, &expect.reason, &expect.exit];
        let texts = texts.into_iter().flatten().chain(expect.errors.values());
        let forbidden = |text: &String| {
            let text = text.to_lowercase();
            [
                "permission check failed",
                "only root",
                "only possible for root",
                "only allowed for root",
            ]
            .iter()
            .any(|part| text.contains(part))
        };
        expect.status() == 403 || texts.into_iter().any(forbidden)
    }

    /// What a real server is known to answer, on whatever guests.
    pub fn expected(&self) -> Expected {
        let anything = |text: &String| fill(text, &|_| Some("*".into())).unwrap_or_default();
        let errors = self.expect.errors.iter();
        let all = |texts: &[String]| texts.iter().map(anything).collect();
        let data = self.expect.data.iter().map(|(path, value)| {
            let text = value
                .as_str()
                .map(|text| toml::Value::String(anything(&text.to_owned())));
            (anything(path), text.unwrap_or_else(|| value.clone()))
        });
        Expected {
            status: self.expect.status(),
            text: self.expect.text.as_ref().map(anything),
            errors: errors
                .map(|(key, text)| (key.clone(), anything(text)))
                .collect(),
            exit: self.expect.exit.as_ref().map(anything),
            log: all(&self.expect.log),
            log_lacks: all(&self.expect.log_lacks),
            content_type: self.expect.content_type.clone(),
            body: self.expect.body.as_ref().map(anything),
            data: data.collect(),
        }
    }
}

/// A look at the world after a question.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Effect {
    #[serde(default = "observer")]
    pub(crate) by: String,
    pub(crate) ask: String,
    #[serde(default)]
    pub(crate) with: Table,
    #[serde(default)]
    pub(crate) expect: Expectation,
    /// Seconds to wait until it is so.
    #[serde(default)]
    pub(crate) within_s: u64,
}

fn observer() -> String {
    "observer".into()
}

/// A call that has to work, or else the question cannot be asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Step {
    #[serde(default = "maker")]
    pub(crate) by: String,
    pub(crate) ask: String,
    #[serde(default)]
    pub(crate) with: Table,
    /// Names for values of its answer, by path.
    #[serde(default)]
    pub(crate) save: BTreeMap<String, String>,
    /// A name for the one archive that it makes.
    pub(crate) archive: Option<String>,
    /// May fail.
    #[serde(default)]
    pub(crate) optional: bool,
}

fn maker() -> String {
    "maker".into()
}

/// Something that several questions need, made when the first of them comes, removed at the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Fixture {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) needs: BTreeSet<String>,
    #[serde(default)]
    pub(crate) uses: Vec<String>,
    /// Names of scratch VMIDs that it takes.
    #[serde(default)]
    pub(crate) vmids: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// A long task during which questions are asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct During {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) uses: Vec<String>,
    #[serde(default)]
    pub(crate) running: Vec<String>,
    pub(crate) start: Step,
    /// What shows that it is under way.
    pub(crate) until: Effect,
}

/// A principal made for the run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) grants: Vec<Grant>,
    /// Fixtures that its steps need.
    #[serde(default)]
    pub(crate) uses: Vec<String>,
    /// Done once, as itself, while it still has everything; what they save is kept.
    #[serde(default)]
    pub(crate) steps: Vec<Step>,
}

/// A set of privileges on a path, for the user, its token, or both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Grant {
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) privileges: Vec<String>,
    /// A role that the server brings along, instead of privileges: a backup server has no others.
    pub(crate) role: Option<String>,
    #[serde(default = "both")]
    pub(crate) sides: Vec<Side>,
}

/// Whose half of a privilege-separated token's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The user that owns the token.
    User,
    /// The token itself.
    Token,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::User, Self::Token];

    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Token => "token",
        }
    }
}

fn both() -> Vec<Side> {
    Side::ALL.to_vec()
}

/// An operation that a principal of the agent performs, with what happens without each privilege that it needs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Operation {
    pub(crate) name: String,
    /// The roles that perform it.
    pub(crate) roles: Vec<String>,
    /// That it works with everything.
    pub(crate) evidence: Evidence,
    /// Which privileges it needs and how it fails without them.
    pub(crate) rules: Evidence,
    pub(crate) ask: String,
    #[serde(default)]
    pub(crate) with: Table,
    #[serde(default)]
    pub(crate) expect: Expectation,
    #[serde(default)]
    pub(crate) effects: Vec<Effect>,
    #[serde(default)]
    pub(crate) before: Vec<Step>,
    #[serde(default)]
    pub(crate) undo: Vec<Step>,
    #[serde(default)]
    pub(crate) uses: Vec<String>,
    #[serde(default)]
    pub(crate) running: Vec<String>,
    #[serde(default)]
    pub(crate) stopped: Vec<String>,
    #[serde(default)]
    pub(crate) needs: BTreeSet<String>,
    /// By privilege (`VM.Audit`), or by role and privilege (`agent VM.Audit`) where it depends on the path.
    #[serde(default)]
    pub(crate) lack: BTreeMap<String, Expectation>,
}
