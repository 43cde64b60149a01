//! Fields of a foreign object: there and of the right form, or named.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A field that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misshapen {
    /// `HostConfig.RestartPolicy`.
    pub(super) at: String,
    /// `a text`.
    pub(super) expected: &'static str,
}

impl Misshapen {
    fn new(at: &str, expected: &'static str) -> Self {
        Self {
            at: at.to_owned(),
            expected,
        }
    }

    /// The same, seen from the object that holds it.
    pub(super) fn within(mut self, outer: &str) -> Self {
        self.at = format!("{outer}.{}", self.at);
        self
    }
}

type Field<T> = Result<T, Misshapen>;

/// A foreign object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    pub(super) fn new(value: &'a Value) -> Field<Self> {
        let object = value.as_object();
        object
            .map(Self)
            .ok_or_else(|| Misshapen::new("it", "an object"))
    }

    /// What is there; Go prints an empty list or map as null.
    fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A text that must be there, though it may be empty.
    pub(super) fn text(self, key: &str) -> Field<&'a str> {
        self.get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| Misshapen::new(key, "a text"))
    }

    /// A text that may be missing or empty.
    pub(super) fn optional_text(self, key: &str) -> Field<Option<&'a str>> {
        if self.get(key).is_none() {
            return Ok(None);
        }
        Ok(Some(self.text(key)?).filter(|text| !text.is_empty()))
    }

    pub(super) fn optional_flag(self, key: &str) -> Field<Option<bool>> {
        let flag = |value: &Value| {
            value
                .as_bool()
                .ok_or_else(|| Misshapen::new(key, "true or false"))
        };
        self.get(key).map(flag).transpose()
    }

    pub(super) fn optional_number(self, key: &str) -> Field<Option<i64>> {
        let number = |value: &Value| {
            value
                .as_i64()
                .ok_or_else(|| Misshapen::new(key, "a whole number"))
        };
        self.get(key).map(number).transpose()
    }

    /// An object that may be missing.
    pub(super) fn optional_object(self, key: &str) -> Field<Option<Self>> {
        let object = |value: &'a Value| {
            value
                .as_object()
                .map(Self)
                .ok_or_else(|| Misshapen::new(key, "an object"))
        };
        self.get(key).map(object).transpose()
    }

    /// The members of a list, each read; a missing list is empty.
    pub(super) fn list<T>(
        self,
        key: &str,
        read: impl Fn(&'a Value) -> Result<T, Misshapen>,
    ) -> Field<Vec<T>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let members = value
            .as_array()
            .ok_or_else(|| Misshapen::new(key, "a list"))?;
        let numbered = members.iter().enumerate();
        numbered
            .map(|(index, member)| {
                read(member).map_err(|error| error.within(&format!("{key}[{index}]")))
            })
            .collect()
    }

    /// Texts by key; a missing map is empty.
    pub(super) fn texts(self, key: &str) -> Field<BTreeMap<String, String>> {
        let Some(object) = self.optional_object(key)? else {
            return Ok(BTreeMap::new());
        };
        let entries = object.0.iter().map(|(name, value)| {
            let text = value.as_str().map(str::to_owned);
            let text = text.ok_or_else(|| Misshapen::new(name, "a text").within(key))?;
            Ok((name.clone(), text))
        });
        entries.collect()
    }
}

/// The text of a list's member.
pub(super) fn member_text(value: &Value) -> Field<&str> {
    value.as_str().ok_or_else(|| Misshapen::new("it", "a text"))
}
