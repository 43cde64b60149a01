//! Why something that was asked for is not done.

use serde::{Deserialize, Serialize};

/// A reason not to restore at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What stands in the way.
    pub what: String,
    /// What can be done.
    pub hint: Option<String>,
}
