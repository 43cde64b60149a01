//! Whether a value is one that its entry in the schema takes.

use serde_json::Value;

use super::check::Found;
use super::document::Schema;
use super::{format, pattern, property};

/// Checks type, bounds, length, enumeration, pattern and format.
pub(super) fn check(schema: &Schema, place: &str, entry: &Value, text: &str, found: &mut Found) {
    found.values += 1;
    if !has_type(entry, text) {
        return found.problem(place, &format!("`{text}` is no {}", entry["type"]));
    }
    bounds(place, entry, text, found);
    if let Some(values) = entry["enum"].as_array()
        && !values.iter().any(|one| one == text)
    {
        found.problem(place, &format!("`{text}` is none of {}", entry["enum"]));
    }
    if let Some(wanted) = entry["pattern"].as_str() {
        match pattern::matches(wanted, text) {
            Ok(true) => {}
            Ok(false) => found.problem(place, &format!("`{text}` does not match {wanted}")),
            Err(error) => drop(found.passed_over.insert(error)),
        }
    }
    match &entry["format"] {
        Value::Null => {}
        Value::String(name) => match (property::named(name), format::is_in(schema, name, text)) {
            (Some(keys), _) => property::check(schema, place, &keys, text, found),
            (None, Some(true)) => {}
            (None, Some(false)) => {
                found.problem(place, &format!("`{text}` is not in format {name}"));
            }
            (None, None) => drop(found.passed_over.insert(format!("format {name}"))),
        },
        Value::Object(keys) => property::check(schema, place, keys, text, found),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            found.passed_over.insert(format!("format {other}"));
        }
    }
}

/// What the REST server takes for each type; of a boolean only `1` and `0`, though property strings know words for them.
fn has_type(entry: &Value, text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match entry["type"].as_str() {
        None | Some("string") => true,
        Some("boolean") => matches!(text, "0" | "1"),
        Some("integer") => digits(unsigned),
        Some("number") => match unsigned.split_once('.') {
            Some((whole, fraction)) => digits(whole) && digits(fraction),
            None => digits(unsigned),
        },
        Some(_) => false,
    }
}

fn bounds(place: &str, entry: &Value, text: &str, found: &mut Found) {
    let length = text.chars().count().to_string();
    for (name, measured, is_least) in [
        ("minimum", text, true),
        ("maximum", text, false),
        ("minLength", &length, true),
        ("maxLength", &length, false),
    ] {
        // Some limits are written as text.
        let Some(limit) = entry.get(name).map(ToString::to_string) else {
            continue;
        };
        let limit = limit.trim_matches('"').parse::<f64>().unwrap();
        let holds = |number: f64| {
            if is_least {
                number >= limit
            } else {
                number <= limit
            }
        };
        if !measured.parse().is_ok_and(holds) {
            found.problem(place, &format!("{measured} against {name} {limit}"));
        }
    }
}
