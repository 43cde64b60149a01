//! The exit codes, documented and never reused, and the failure that every command ends with when it does not succeed.

use std::fmt;
use std::process::ExitCode;

use felhom_engine::ErrorClass;

/// How a command ended. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Something nobody foresaw.
    Unexpected = 1,
    /// The command line made no sense.
    Usage = 2,
    /// Done, with findings.
    Findings = 3,
    /// Refused by preflight or policy.
    Refused = 4,
    /// No such thing.
    NoSuchThing = 5,
    /// A Proxmox task failed.
    TaskFailed = 6,
    /// The remote is unreachable, or not the pinned one.
    Remote = 7,
    /// Nobody can say whether it happened.
    Undetermined = 8,
    /// Verdict *failed*: the backup is bad.
    VerdictFailed = 10,
    /// Verdict *error*: the test could not run.
    VerdictError = 11,
    /// Busy, or a target is absent by design: try again later.
    Busy = 75,
    /// No permission.
    Permission = 77,
    /// The configuration is not usable.
    Configuration = 78,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Findings => 3,
            Self::Refused => 4,
            Self::NoSuchThing => 5,
            Self::TaskFailed => 6,
            Self::Remote => 7,
            Self::Undetermined => 8,
            Self::VerdictFailed => 10,
            Self::VerdictError => 11,
            Self::Busy => 75,
            Self::Permission => 77,
            Self::Configuration => 78,
        }
    }

    /// What to do next where nothing better is known.
    const fn next_step(self) -> Option<&'static str> {
        Some(match self {
            Self::Done | Self::Findings | Self::VerdictFailed | Self::VerdictError => return None,
            Self::Unexpected => "run it again with `-v`; what it says then is worth a report",
            Self::Usage => "`--help` behind the command says what it takes",
            Self::Refused => {
                "mend what stands in the way and run it again; `felhom-agent doctor` looks at the box and the rights"
            }
            Self::NoSuchThing => {
                "`felhom-agent guests` and `felhom-agent backup list` show what the token sees"
            }
            Self::TaskFailed => "the task's log on the node says why",
            Self::Remote => {
                "see that the node is up (there: `systemctl status pveproxy`) and is the one of the configuration: \
                 `felhom-agent trust show`"
            }
            Self::Undetermined => {
                "look at the node's tasks; the next command that changes something goes on with what is in the journal"
            }
            Self::Busy => "try again when the other one is done",
            Self::Permission => "`felhom-agent doctor` names the rights that lack",
            Self::Configuration => "`felhom-agent config check` says what to mend",
        })
    }

    /// The code that a remote's trouble ends with.
    pub fn of(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Unreachable | ErrorClass::Untrusted | ErrorClass::Garbage => Self::Remote,
            ErrorClass::Unauthorized | ErrorClass::Forbidden => Self::Permission,
            ErrorClass::NotFound => Self::NoSuchThing,
            ErrorClass::Locked => Self::Busy,
            ErrorClass::Refused => Self::Refused,
            ErrorClass::Local => Self::Unexpected,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not succeed, with what to do next.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// A stable code for programs.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// What caused it, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without causes, with the next step that its exit code knows.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            message: message.into(),
            causes: Vec::new(),
            hint: exit.next_step().map(str::to_owned),
        }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the chain of causes of an error.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
