//! Taking a property string apart and putting one together, by PVE's rules.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use super::{InvalidProperty, PropertyValue};
use crate::decode::truth;

/// The keys of one property string, taken out one by one.
pub(super) struct Fields {
    what: &'static str,
    values: BTreeMap<String, PropertyValue>,
}

impl Fields {
    /// Splits at commas; at most one part may stand without a key, for `default`.
    pub(super) fn parse(
        what: &'static str,
        default: Option<&str>,
        text: &str,
    ) -> Result<Self, InvalidProperty> {
        let mut values = BTreeMap::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (key, value) = match (part.split_once('='), default) {
                // A path may hold `=`; what stands before it is a key only if it looks like one.
                (Some((key, value)), _) if is_key(key) => (key, value),
                (_, Some(default)) => (default, part),
                (_, None) => {
                    return Err(InvalidProperty::new(what, format!("`{part}` has no key")));
                }
            };
            let value = value
                .parse()
                .map_err(|error| InvalidProperty::new(what, error))?;
            if values.insert(key.to_owned(), value).is_some() {
                return Err(InvalidProperty::new(
                    what,
                    format!("`{key}` stands there twice"),
                ));
            }
        }
        Ok(Self { what, values })
    }

    /// Takes a key that may be missing.
    pub(super) fn maybe<T>(&mut self, key: &str) -> Result<Option<T>, InvalidProperty>
    where
        T: FromStr<Err: Display>,
    {
        let Some(value) = self.values.remove(key) else {
            return Ok(None);
        };
        let refuse = |error| InvalidProperty::new(self.what, format!("{key}: {error}"));
        value.as_str().parse().map(Some).map_err(refuse)
    }

    /// Takes a key that must be there.
    pub(super) fn required<T>(&mut self, key: &str) -> Result<T, InvalidProperty>
    where
        T: FromStr<Err: Display>,
    {
        self.maybe(key)?
            .ok_or_else(|| InvalidProperty::new(self.what, format!("`{key}` is missing")))
    }

    /// Takes a truth value that may be missing.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, InvalidProperty> {
        let Some(value) = self.values.remove(key) else {
            return Ok(None);
        };
        let refuse =
            || InvalidProperty::new(self.what, format!("{key}: `{value}` is neither yes nor no"));
        truth(value.as_str()).map(Some).ok_or_else(refuse)
    }

    /// What nobody has taken.
    pub(super) fn rest(self) -> BTreeMap<String, PropertyValue> {
        self.values
    }
}

fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// Collects what is to be printed.
#[derive(Default)]
pub(super) struct Printer {
    leading: Vec<String>,
    optional: BTreeMap<String, String>,
}

impl Printer {
    /// The default key's value, which is printed bare.
    pub(super) fn default_key(mut self, value: &impl Display) -> Self {
        self.leading.push(value.to_string());
        self
    }

    /// A required key; call in alphabetical order.
    pub(super) fn required(mut self, key: &str, value: &impl Display) -> Self {
        self.leading.push(format!("{key}={value}"));
        self
    }

    pub(super) fn maybe(mut self, key: &str, value: Option<&impl Display>) -> Self {
        if let Some(value) = value {
            self.optional.insert(key.to_owned(), value.to_string());
        }
        self
    }

    pub(super) fn flag(self, key: &str, value: Option<bool>) -> Self {
        self.maybe(key, value.map(u8::from).as_ref())
    }

    pub(super) fn rest(mut self, rest: &BTreeMap<String, PropertyValue>) -> Self {
        for (key, value) in rest {
            self.optional.insert(key.clone(), value.to_string());
        }
        self
    }

    pub(super) fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional = self
            .optional
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"));
        let mut separator = "";
        for part in self.leading.into_iter().chain(optional) {
            write!(f, "{separator}{part}")?;
            separator = ",";
        }
        Ok(())
    }
}

/// Serde through `FromStr` and `Display`.
macro_rules! serde_as_property {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = crate::decode::text(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(super) use serde_as_property;
