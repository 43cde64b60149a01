//! What a server that goes by the schema would say to a request: the words of PVE's own checks, one for each mistake.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::document::{Asked, Schema, is_set};
use super::value;

/// How many of each there may be, which the schema does not tell (pve-container, `PVE::LXC::Config`).
const NUMBERED: &[(&str, u16)] = &[("net", 32), ("mp", 256), ("unused", 256), ("dev", 256)];

/// What was found, and what nobody could look at.
#[derive(Default)]
pub(super) struct Found {
    /// What is wrong, by place.
    pub(super) problems: Vec<String>,
    /// Formats and patterns that are not understood here.
    pub(super) passed_over: BTreeSet<String>,
    /// Values that were looked at.
    pub(super) values: usize,
}

impl Found {
    pub(super) fn problem(&mut self, place: &str, what: &str) {
        self.problems.push(format!("{place}: {what}"));
    }
}

/// Checks one request.
pub(super) fn request(schema: &Schema, asked: &Asked, found: &mut Found) {
    let (operation, in_path) = match schema.find(asked) {
        Ok(operation) => operation,
        Err(problem) => return found.problem("path", &problem),
    };
    let mut given = BTreeMap::<&str, Vec<&str>>::new();
    for (name, text) in asked.params.iter().chain(&in_path) {
        given.entry(name).or_default().push(text);
    }
    for (name, texts) in &given {
        let Some(entry) = entry(&operation.parameters, name) else {
            if !operation.is_open {
                found.problem(name, "not in the schema");
            }
            continue;
        };
        check(schema, name, entry, texts, found);
        if let Some(needed) = entry["requires"].as_str()
            && !given.contains_key(needed)
        {
            found.problem(name, &format!("requires {needed}"));
        }
    }
    for (name, entry) in &operation.parameters {
        if !is_set(&entry["optional"]) && !given.contains_key(name.as_str()) {
            found.problem(name, "missing and not optional");
        }
    }
}

fn check(schema: &Schema, name: &str, entry: &Value, texts: &[&str], found: &mut Found) {
    if entry["type"] == "array" {
        for text in texts {
            value::check(schema, name, &entry["items"], text, found);
        }
    } else if let [text] = texts {
        value::check(schema, name, entry, text, found);
    } else {
        found.problem(name, "given more than once");
    }
}

/// The parameter of this name, or the numbered one that it is one of.
fn entry<'a>(parameters: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let plain = parameters.get(name).filter(|_| !name.ends_with("[n]"));
    plain.or_else(|| {
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = name.strip_prefix(prefix)?;
        let (_, most) = NUMBERED.iter().find(|(numbered, _)| *numbered == prefix)?;
        // Written as PVE writes it, without leading zeros.
        let is_one = (0..*most).any(|one| one.to_string() == number);
        parameters.get(&format!("{prefix}[n]")).filter(|_| is_one)
    })
}
