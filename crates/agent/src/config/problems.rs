//! What is wrong with the values of a configuration, all of it at once.

use std::str::FromStr;

/// Collects every problem instead of stopping at the first.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<String>);

impl Problems {
    pub(super) fn parse<T>(&mut self, key: &str, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        text.parse()
            .map_err(|error| self.0.push(format!("{key}: {error}")))
            .ok()
    }

    pub(super) fn parse_or<T>(&mut self, key: &str, text: Option<&str>, default: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        self.parse(key, text.unwrap_or(default))
    }

    pub(super) fn require<T>(&mut self, holds: bool, problem: &str, value: T) -> Option<T> {
        if holds {
            return Some(value);
        }
        self.0.push(problem.to_owned());
        None
    }

    /// So many MiB. One that wrapped around would be no floor at all.
    pub(super) fn bytes(&mut self, key: &str, mebibytes: u64) -> Option<u64> {
        let bytes = mebibytes.checked_mul(1 << 20);
        if bytes.is_none() {
            self.0
                .push(format!("{key}: {mebibytes} MiB are more than there can be"));
        }
        bytes
    }
}
