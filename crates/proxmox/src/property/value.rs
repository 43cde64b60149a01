//! A text that can stand as a value inside a property string.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidProperty;

/// Not empty, one line, no comma: everything else would end the value or begin another key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PropertyValue(String);

impl PropertyValue {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PropertyValue {
    type Err = InvalidProperty;

    fn from_str(text: &str) -> Result<Self, InvalidProperty> {
        if text.is_empty() || text.contains(',') || text.chars().any(char::is_control) {
            let problem = format!(
                "`{}` is empty, has a comma or a line end",
                text.escape_debug()
            );
            return Err(InvalidProperty::new("property value", problem));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PropertyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PropertyValue {
    type Error = InvalidProperty;

    fn try_from(text: String) -> Result<Self, InvalidProperty> {
        text.parse()
    }
}

impl From<PropertyValue> for String {
    fn from(value: PropertyValue) -> Self {
        value.0
    }
}
