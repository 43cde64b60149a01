//! Why a message did not arrive.

use std::time::Duration;

use crate::credentials::CredentialError;

/// What is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The channel: the next message would fare no better.
    Channel,
    /// This message alone.
    Message,
}

/// A message was not taken, or nobody can say. Where it was to go is told by host and port only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SendError {
    text: String,
    pub(crate) blame: Blame,
    /// Whether it may have arrived all the same.
    pub(crate) unsure: bool,
    /// For how long the receiver wants to be left alone.
    pub(crate) wait: Option<Duration>,
    hint: Option<&'static str>,
}

/// Nobody is believed who wants to be left alone for longer.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// More of an error is not told.
const TOLD: usize = 300;

impl SendError {
    /// It surely did not arrive.
    pub(crate) fn unsent(text: impl AsRef<str>) -> Self {
        let text = text.as_ref().chars().take(TOLD).collect::<String>();
        Self {
            text: text.replace(char::is_control, " "),
            blame: Blame::Channel,
            unsure: false,
            wait: None,
            hint: None,
        }
    }

    /// It left, and what became of it is not known.
    pub(crate) fn unsure(text: impl AsRef<str>) -> Self {
        Self {
            unsure: true,
            ..Self::unsent(text)
        }
    }

    /// The time was over before it left.
    pub(crate) fn unreached(place: &str, deadline: Duration) -> Self {
        Self::unsent(format!(
            "{place} cannot be reached: nothing was ready for the message within {} s",
            deadline.as_secs()
        ))
    }

    /// The time was over after it had left, or may have.
    pub(crate) fn late(place: &str, deadline: Duration) -> Self {
        Self::unsure(format!(
            "{place} did not answer within {} s",
            deadline.as_secs()
        ))
    }

    pub(crate) fn because(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    pub(crate) fn of_the_message(mut self) -> Self {
        self.blame = Blame::Message;
        self
    }

    /// The secret is not there, or may not be used.
    pub(crate) fn secret(error: &CredentialError) -> Self {
        Self::unsent(format!("{error}; {}", error.hint()))
    }

    /// An answer that is no success.
    pub(crate) fn status(place: &str, status: u16, retry_after: Option<Duration>) -> Self {
        let text = format!("{place} answered {status}");
        let error = Self::unsent(text);
        match status {
            300..=399 => {
                error.because("redirects are not followed: name the address that it leads to")
            }
            401 | 403 => error.because("the secret is not accepted, or it may not do that"),
            404 | 410 => error.because("there is nothing at this address"),
            408 | 425 | 429 | 500.. => Self {
                wait: retry_after.map(|wait| wait.min(LONGEST_WAIT)),
                // A server that broke down may have taken it before.
                unsure: matches!(status, 408 | 500 | 502 | 504),
                ..error
            },
            _ => error.of_the_message(),
        }
    }

    /// The same told of another message, which was not sent because of it.
    pub(crate) fn shared(&self) -> Self {
        Self {
            unsure: false,
            ..self.clone()
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }
}
