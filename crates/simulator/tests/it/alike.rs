//! When two answers, or two logs, count as alike.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A log line without what differs from run to run: numbers, units of sizes, file systems' names, the order of a
/// job's options.
pub(crate) fn plain(line: &str) -> String {
    if let Some((before, _)) = line.split_once("Filesystem UUID: ") {
        return format!("{before}Filesystem UUID: …");
    }
    if line.starts_with("INFO: starting new backup job:") {
        let mut options: Vec<&str> = line.split(" --").collect();
        options.sort_unstable();
        return options.join(" --");
    }
    let mut out = String::new();
    for letter in line.chars() {
        let number = letter.is_ascii_digit() || (letter == '.' && out.ends_with('#'));
        match letter {
            '<' => {}
            _ if number && out.ends_with('#') => {}
            _ if number => out.push('#'),
            _ => out.push(letter),
        }
    }
    ["KiB", "MiB", "GiB"]
        .iter()
        .fold(out, |out, unit| out.replace(unit, "B"))
}

/// A value's JSON type.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Where keys or types differ. The elements of a list count together; they are not compared where one side has none.
pub(crate) fn shape_differs(recorded: &Value, got: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    compare("", &[recorded], &[got], &mut problems);
    problems
}

fn compare(at: &str, recorded: &[&Value], got: &[&Value], out: &mut Vec<String>) {
    let kinds = |values: &[&Value]| values.iter().map(|value| kind(value)).collect();
    let (wanted, seen): (BTreeSet<&str>, BTreeSet<&str>) = (kinds(recorded), kinds(got));
    let names = |set: BTreeSet<&str>| set.into_iter().collect::<Vec<_>>().join("|");
    if wanted != seen {
        out.push(format!(
            "{at} is {}, recorded {}",
            names(seen),
            names(wanted)
        ));
        return;
    }
    let elements = |values: &[&'_ Value]| -> Vec<Value> {
        let lists = values.iter().filter_map(|value| value.as_array());
        lists.flatten().cloned().collect()
    };
    let (wanted, seen) = (elements(recorded), elements(got));
    if !wanted.is_empty() && !seen.is_empty() {
        let wanted: Vec<&Value> = wanted.iter().collect();
        let seen: Vec<&Value> = seen.iter().collect();
        compare(&format!("{at}[]"), &wanted, &seen, out);
    }
    let fields = |values: &[&Value]| -> BTreeMap<String, Vec<Value>> {
        let mut fields: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (key, value) in values
            .iter()
            .filter_map(|value| value.as_object())
            .flatten()
        {
            fields.entry(key.clone()).or_default().push(value.clone());
        }
        fields
    };
    let (wanted, mut seen) = (fields(recorded), fields(got));
    for (key, wanted) in wanted {
        let Some(seen) = seen.remove(&key) else {
            out.push(format!("{at}.{key} is missing"));
            continue;
        };
        let (wanted, seen): (Vec<&Value>, Vec<&Value>) =
            (wanted.iter().collect(), seen.iter().collect());
        compare(&format!("{at}.{key}"), &wanted, &seen, out);
    }
    out.extend(seen.keys().map(|key| format!("{at}.{key} is additional")));
}
