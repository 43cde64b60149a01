//! The one way in which a name is refused: what it should have been, and what stood there instead.

use std::fmt;

/// How much of a refused text is repeated in the message; the rest helps nobody read it.
const SHOWN: usize = 120;

/// A text that is not the name it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidName {
    what: &'static str,
    expected: &'static str,
    input: String,
}

impl InvalidName {
    pub(crate) fn new(what: &'static str, expected: &'static str, input: &str) -> Self {
        Self {
            what,
            expected,
            input: input.chars().take(SHOWN).collect(),
        }
    }

    /// The kind of name that was wanted, as a person would say it ("VMID", "storage id").
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The form that would have been accepted.
    pub fn expected(&self) -> &'static str {
        self.expected
    }

    /// The refused text, cut to its beginning when it is long.
    pub fn input(&self) -> &str {
        &self.input
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `escape_debug` keeps control characters of a hostile peer out of a terminal.
        write!(
            f,
            "`{}` is not a valid {}: expected {}",
            self.input.escape_debug(),
            self.what,
            self.expected
        )
    }
}
