//! Why the output of Docker's commands makes no report, and which command helps.

use crate::docker::LARGEST;
use crate::docker::object::Misshapen;
use crate::document::DocumentError;
use crate::shown::shown;

/// What was given makes no volume report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerError {
    /// Too much of it.
    #[error("there are {bytes} bytes, at most {LARGEST} are read")]
    Large {
        /// How much.
        bytes: usize,
    },
    /// No JSON.
    #[error("{file} is not the JSON that docker prints, from line {line}: {why}")]
    NotJson {
        /// Which file.
        file: String,
        /// Where.
        line: usize,
        /// What the JSON parser says.
        why: String,
    },
    /// JSON that none of the commands prints.
    #[error("{file} holds {what}")]
    Foreign {
        /// Which file.
        file: String,
        /// What it looks like.
        what: &'static str,
        /// What would tell it instead.
        instead: &'static str,
    },
    /// The commands ran where no engine answers.
    #[error("{file}: `docker info` did not reach the engine: {said}")]
    Unreachable {
        /// Which file.
        file: String,
        /// What it said.
        said: String,
    },
    /// One of the documents lacks something, or has it in another form.
    #[error("{file}: {document} cannot be read: `{at}` is not {expected}")]
    Malformed {
        /// Which file.
        file: String,
        /// `a volume`, `a container`.
        document: &'static str,
        /// The field.
        at: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Two documents say different things of one.
    #[error("{0} is told twice, and differently")]
    Contradiction(String),
    /// A report beside other documents.
    #[error("a volume report stands among other documents")]
    Mixed,
    /// Nothing says which volumes there are.
    #[error("nothing in it tells which volumes there are")]
    Nothing,
    /// The whole breaks what every report has to keep.
    #[error(transparent)]
    Report(#[from] DocumentError),
}

impl DockerError {
    pub(super) fn foreign(file: &str, (what, instead): (&'static str, &'static str)) -> Self {
        Self::Foreign {
            file: shown(file),
            what,
            instead,
        }
    }

    pub(super) fn malformed(file: &str, document: &'static str, misshapen: &Misshapen) -> Self {
        Self::Malformed {
            file: shown(file),
            document,
            at: shown(&misshapen.at),
            expected: misshapen.expected,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Large { .. } => {
                "give it the output of the documented commands only, or the report of the controller"
            }
            Self::NotJson { .. } => {
                "save what `docker volume inspect …` and the others print to standard output, unchanged; `--format` takes \
                 \"{{json .}}\""
            }
            Self::Foreign { instead, .. } => instead,
            Self::Unreachable { .. } => {
                "run the commands inside the guest, as a user who may use docker, while its engine runs"
            }
            Self::Malformed { .. } => {
                "save the output again, unchanged; if it stays so, the engine's version is one that this program does not know"
            }
            Self::Contradiction(_) => {
                "take all documents at one time, from the engine of one guest"
            }
            Self::Mixed => "import a report by itself, or what docker's commands print",
            Self::Nothing => {
                "add what `docker volume ls -q | xargs -r docker volume inspect` and `docker system df -v --format \
                 \"{{json .}}\"` print"
            }
            Self::Report(_) => {
                "take the report again; if it stays so, look at what the guest's engine has"
            }
        }
    }
}
