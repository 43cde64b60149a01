//! What several checks claim.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes as the text that a parser gets to see. What is no UTF-8 has been replaced by then.
pub(crate) fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// Reads a text. What was read prints as something that reads as the same and prints the same, and travels through JSON;
/// a refusal is one short line.
pub(crate) fn settles<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Display> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let value: T = match text.parse() {
        Ok(value) => value,
        Err(error) => {
            let error = error.to_string();
            short_line(&error);
            return None;
        }
    };
    let printed = value.to_string();
    let again: T = printed
        .parse()
        .unwrap_or_else(|error| panic!("{text:?} is printed as {printed:?}: {error}"));
    assert_eq!(again, value, "{text:?} is printed as {printed:?}");
    assert_eq!(again.to_string(), printed);
    let json = serde_json::to_string(&value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value, "{json}");
    Some(value)
}

/// The same for a value that is its own text.
pub(crate) fn keeps_its_text<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Display> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let value = settles::<T>(text)?;
    assert_eq!(value.to_string(), text);
    Some(value)
}

/// No foreign text makes an error long, or moves a cursor with it.
pub(crate) fn short_line(error: &str) {
    assert!(error.len() <= 2_000, "{} bytes: {error:.200}", error.len());
    harmless(error);
}

/// Nothing in it moves the cursor or colours the terminal.
pub(crate) fn harmless(error: &str) {
    assert!(!error.chars().any(char::is_control), "{error:?}");
}

/// Some beginnings of a text, all of them when it is short.
pub(crate) fn beginnings(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let step = text.len() / 64 + 1;
    let all = (0..text.len()).step_by(step);
    let nearly_whole = text.len().checked_sub(1);
    all.chain(nearly_whole).filter_map(|end| text.get(..end))
}
