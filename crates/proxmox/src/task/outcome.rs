//! The four verdicts on a task.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a task's exit status means. Whether warnings are good enough depends on the type of task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// `OK`
    Succeeded,
    /// `WARNINGS: n`
    Warnings(u32),
    /// It failed, and this is what it said.
    Failed(String),
    /// Nobody knows: the worker vanished without saying. Look at the effect.
    Undetermined(String),
}

impl Outcome {
    /// Reads an exit status as the API gives it.
    pub fn parse(exit_status: &str) -> Self {
        let text = exit_status.trim();
        if text == "OK" {
            return Self::Succeeded;
        }
        let digits = |count: &&str| count.bytes().all(|b| b.is_ascii_digit());
        let count = text.strip_prefix("WARNINGS: ").filter(digits);
        if let Some(count) = count.and_then(|count| count.parse().ok()) {
            return Self::Warnings(count);
        }
        let vanished = matches!(
            text,
            "" | "unexpected status" | "interrupted by signal" | "unknown"
        ) || text.starts_with("unable to get last line from task log")
            || text.starts_with("unable to open file");
        let text = text.to_owned();
        if vanished {
            Self::Undetermined(text)
        } else {
            Self::Failed(text)
        }
    }

    /// Reads the last line of a task's log: the worker's own word, where the exit status may be
    /// another process' early guess.
    pub fn parse_last_line(line: &str) -> Option<Self> {
        let rest = line.trim_end().strip_prefix("TASK ")?;
        match rest.strip_prefix("ERROR: ") {
            // It says that it failed: an error whose words are `OK` is no success.
            Some(text) => Some(match Self::parse(text) {
                Self::Succeeded | Self::Warnings(_) => Self::Failed(text.trim().to_owned()),
                bad @ (Self::Failed(_) | Self::Undetermined(_)) => bad,
            }),
            None if rest.starts_with(char::is_whitespace) => None,
            None => Some(Self::parse(rest)).filter(Self::is_good),
        }
    }

    /// The same of a backup server's log, which has the time before each line:
    /// `2026-11-22T23:43:53+00:00: TASK OK`.
    pub fn parse_last_dated_line(line: &str) -> Option<Self> {
        let (time, text) = line.split_once(": ")?;
        let is_time = time.len() == "2026-11-22T23:43:53+00:00".len()
            && time
                .bytes()
                .all(|b| b.is_ascii_digit() || b"-+:T".contains(&b));
        if is_time {
            Self::parse_last_line(text)
        } else {
            None
        }
    }

    /// Succeeded, with warnings or without.
    pub fn is_good(&self) -> bool {
        match self {
            Self::Succeeded | Self::Warnings(_) => true,
            Self::Failed(_) | Self::Undetermined(_) => false,
        }
    }

    /// Whether nobody knows.
    pub fn is_undetermined(&self) -> bool {
        matches!(self, Self::Undetermined(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Warnings(1) => f.write_str("succeeded with 1 warning"),
            Self::Warnings(count) => write!(f, "succeeded with {count} warnings"),
            Self::Failed(text) => write!(f, "failed: {text}"),
            Self::Undetermined(text) => write!(f, "undetermined: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_four_verdicts() {
        assert_eq!(Outcome::parse("OK"), Outcome::Succeeded);
        assert_eq!(Outcome::parse("WARNINGS: 2"), Outcome::Warnings(2));
        for text in [
            "job errors",
            "WARNINGS: many",
            "ok",
            "403 Permission check failed (/vms/9010, VM.Backup)",
        ] {
            assert_eq!(Outcome::parse(text), Outcome::Failed(text.to_owned()));
        }
        for text in [
            "unexpected status",
            "interrupted by signal",
            "unable to get last line from task log - x",
            "",
        ] {
            assert_eq!(Outcome::parse(text), Outcome::Undetermined(text.to_owned()));
        }
    }

    #[test]
    fn a_signal_that_hit_a_child_is_a_failure_with_a_text() {
        let text = "command 'tar' failed: interrupted by signal";
        assert_eq!(Outcome::parse(text), Outcome::Failed(text.to_owned()));
    }

    #[test]
    fn a_backup_server_dates_the_last_word() {
        let line = |text: &str| {
            Outcome::parse_last_dated_line(&format!("2026-11-22T23:43:53+00:00: {text}"))
        };
        assert_eq!(line("TASK OK"), Some(Outcome::Succeeded));
        assert_eq!(line("TASK WARNINGS: 5"), Some(Outcome::Warnings(5)));
        assert_eq!(
            line("TASK ERROR: verification failed"),
            Some(Outcome::Failed("verification failed".to_owned()))
        );
        assert_eq!(line("SKIPPED: TASK OK"), None);
        assert_eq!(
            Outcome::parse_last_dated_line("somebody says it: TASK OK"),
            None
        );
    }

    #[test]
    fn the_log_has_the_last_word() {
        assert_eq!(
            Outcome::parse_last_line("TASK OK"),
            Some(Outcome::Succeeded)
        );
        assert_eq!(
            Outcome::parse_last_line("TASK WARNINGS: 1"),
            Some(Outcome::Warnings(1))
        );
        assert_eq!(
            Outcome::parse_last_line("TASK ERROR: job errors"),
            Some(Outcome::Failed("job errors".to_owned()))
        );
        assert_eq!(
            Outcome::parse_last_line("TASK ERROR: OK"),
            Some(Outcome::Failed("OK".to_owned()))
        );
        for line in [
            "INFO: OK",
            "TASK",
            "TASK  OK",
            "TASK WARNINGS: +1",
            "TASK FORCE",
            "ERROR: can't acquire lock",
        ] {
            assert_eq!(Outcome::parse_last_line(line), None, "{line}");
        }
    }
}
