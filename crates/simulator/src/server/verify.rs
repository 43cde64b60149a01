//! Verification of parameters against a route's schema, with PVE's texts (pve-common, `JSONSchema.pm`).

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use crate::call::{ApiError, Params};
use crate::guest::props;
use crate::route::{Kind, Param, Route};
use crate::server::form::Raw;
use crate::words;

/// The highest index of each indexed key; `mp[n]`, `dev[n]` and `unused[n]` go to 255.
const LAST_NET: u32 = 31;
const LAST_OTHER: u32 = 255;

const UNKNOWN: &str =
    "property is not defined in schema and the schema does not allow additional properties";
const NO_VMID: &str = "value does not look like a valid VM ID";
const MISSING: &str = "property is missing and it is not optional";

/// Turns raw parameters into verified ones, or names everything that is wrong with them.
pub(crate) fn verify(route: &Route, path_variables: &Raw, raw: &Raw) -> Result<Params, ApiError> {
    let mut errors = BTreeMap::new();
    let mut verified = BTreeMap::new();
    for (name, value) in raw {
        let param = route.params.iter().find(|param| names(param, name));
        let of_path = path_variables.contains_key(name).then(|| path_kind(name));
        let Some(kind) = param.map(|param| &param.kind).or(of_path.as_ref()) else {
            errors.insert(name.clone(), UNKNOWN.to_owned());
            continue;
        };
        if value.is_null() {
            continue;
        }
        match check(name, kind, value) {
            Ok(value) => {
                verified.insert(name.clone(), value);
            }
            Err(text) => {
                errors.insert(name.clone(), text);
            }
        }
    }
    for param in route.params {
        let is_present = raw.get(param.name).is_some_and(|value| !value.is_null());
        if !is_present && !param.optional {
            errors.insert(param.name.to_owned(), MISSING.to_owned());
        }
        if is_present
            && let Some(required) = param.requires
            && raw.get(required).is_none_or(Value::is_null)
        {
            errors.insert(
                required.to_owned(),
                format!("missing property required by '{}'", param.name),
            );
        }
    }
    if errors.is_empty() {
        return Ok(Params(verified));
    }
    Err(ApiError {
        status: 400,
        message: "Parameter verification failed.".into(),
        errors,
    })
}

/// Whether a schema entry, perhaps an indexed one (`net[n]`), is meant by a name.
fn names(param: &Param, name: &str) -> bool {
    let Some(stem) = param.name.strip_suffix("[n]") else {
        return param.name == name;
    };
    let last = if stem == "net" { LAST_NET } else { LAST_OTHER };
    name.strip_prefix(stem).is_some_and(|index| {
        let is_plain = index == "0" || !index.starts_with('0');
        is_plain
            && index.bytes().all(|byte| byte.is_ascii_digit())
            && index.parse().is_ok_and(|index: u32| index <= last)
    })
}

fn path_kind(name: &str) -> Kind {
    match name {
        "node" => Kind::Node,
        "vmid" => Kind::Vmid,
        "storage" => Kind::StorageId,
        "snapname" => Kind::ConfigId,
        _ => Kind::Text,
    }
}

fn check(name: &str, kind: &Kind, value: &Value) -> Result<Value, String> {
    match kind {
        Kind::Array => Ok(match value {
            Value::Array(_) => value.clone(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => Value::Array(vec![value.clone()]),
        }),
        Kind::List => joined(value).map(Value::String),
        Kind::VmidList => list_of(value, |id| {
            if is_vmid(id) {
                Ok(())
            } else {
                Err(NO_VMID.into())
            }
        }),
        Kind::ListOf(check) => list_of(value, check),
        Kind::Properties(format) => {
            let text = text(value, "string")?;
            match props::parse(format, name, &text) {
                Ok(_) => Ok(Value::String(text)),
                Err(words) => Err(format!("invalid format - {words}")),
            }
        }
        Kind::Bool => match value {
            Value::Bool(flag) => Ok(i32::from(*flag).into()),
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => match text(value, "boolean")?.as_str() {
                "0" => Ok(0.into()),
                "1" => Ok(1.into()),
                other => Err(format!("type check ('boolean') failed - got '{other}'")),
            },
        },
        Kind::Int(least, most) => integer(&text(value, "integer")?, *least, *most),
        Kind::Number(least, most) => number(&text(value, "number")?, *least, *most),
        Kind::Vmid => vmid(&text(value, "integer")?),
        Kind::Mount => mount(text(value, "string")?).map(Value::String),
        Kind::Text
        | Kind::Short(_)
        | Kind::Long(_)
        | Kind::Enum(_)
        | Kind::Node
        | Kind::StorageId
        | Kind::ConfigId
        | Kind::Pattern(_)
        | Kind::Format(_) => string(kind, text(value, "string")?).map(Value::String),
    }
}

/// A scalar's text; lists are no scalars.
fn text(value: &Value, wanted: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(i32::from(*flag).to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) => Err(format!("type check ('{wanted}') failed - got ARRAY")),
        Value::Object(_) => Err(format!("type check ('{wanted}') failed - got HASH")),
    }
}

/// A list in one string: values that came one by one are joined.
fn joined(value: &Value) -> Result<String, String> {
    let Value::Array(values) = value else {
        return text(value, "string");
    };
    let values: Result<Vec<String>, String> =
        values.iter().map(|value| text(value, "string")).collect();
    Ok(values?.join(","))
}

/// A list in one string, each of its elements in a format.
fn list_of(value: &Value, check: impl Fn(&str) -> Result<(), String>) -> Result<Value, String> {
    let list = joined(value)?;
    let checked = split_list(&list).try_for_each(check);
    checked.map_err(|words| format!("invalid format - {words}\n"))?;
    Ok(Value::String(list))
}

/// The parts of a list: split at commas, semicolons and white space.
fn split_list(list: &str) -> impl Iterator<Item = &str> {
    list.split(|letter: char| letter == ',' || letter == ';' || letter.is_whitespace())
        .filter(|part| !part.is_empty())
}

fn integer(text: &str, least: i64, most: i64) -> Result<Value, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number: Option<i64> = text
        .parse()
        .ok()
        .filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(number) = number else {
        return Err(format!("type check ('integer') failed - got '{text}'"));
    };
    if number > most {
        return Err(format!("value must have a maximum value of {most}"));
    }
    if number < least {
        return Err(format!("value must have a minimum value of {least}"));
    }
    Ok(number.into())
}

fn vmid(text: &str) -> Result<Value, String> {
    let number = integer(text, i64::MIN, i64::MAX)?;
    if is_vmid(text) {
        return Ok(number);
    }
    Err(format!("invalid format - {NO_VMID}\n"))
}

fn number(text: &str, least: i64, most: i64) -> Result<Value, String> {
    let Some(number) = text.parse().ok().and_then(Number::from_f64) else {
        return Err(format!("type check ('number') failed - got '{text}'"));
    };
    let beyond = |end: i64| number.as_f64().is_some_and(|number| number > from(end));
    if most != i64::MAX && beyond(most) {
        return Err(format!("value must have a maximum value of {most}"));
    }
    if number.as_f64().is_some_and(|number| number < from(least)) {
        return Err(format!("value must have a minimum value of {least}"));
    }
    Ok(Value::Number(number))
}

/// A bound, all of which are small.
fn from(bound: i64) -> f64 {
    f64::from(i32::try_from(bound).unwrap_or_default())
}

fn mount(text: String) -> Result<String, String> {
    let points = (0..=LAST_OTHER).map(|index| format!("mp{index}"));
    let keys: Vec<String> = std::iter::once("rootfs".to_owned()).chain(points).collect();
    if keys.contains(&text) {
        return Ok(text);
    }
    Err(not_in_enumeration(&text, &keys.join(", ")))
}

fn not_in_enumeration(text: &str, values: &str) -> String {
    format!("value '{text}' does not have a value in the enumeration '{values}'")
}

fn is_vmid(text: &str) -> bool {
    (3..=9).contains(&text.len())
        && !text.starts_with('0')
        && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn string(kind: &Kind, text: String) -> Result<String, String> {
    let problem = match kind {
        Kind::Short(most) if text.chars().count() > *most => {
            return Err(format!("value may only be {most} characters long"));
        }
        Kind::Enum(values) if !values.contains(&text.as_str()) => {
            return Err(not_in_enumeration(&text, &values.join(", ")));
        }
        Kind::Node if !is_node(&text) => "value does not look like a valid node name".to_owned(),
        Kind::StorageId => match words::storage_id(&text) {
            Ok(()) => return Ok(text),
            Err(problem) => problem,
        },
        Kind::Long(least) if text.chars().count() < *least => {
            return Err(format!("value must be at least {least} characters long"));
        }
        Kind::Pattern(matches) if !matches(&text) => {
            return Err("value does not match the regex pattern".into());
        }
        Kind::ConfigId if !is_config_id(&text) => format!("invalid configuration ID '{text}'"),
        Kind::Format(check) => match check(&text) {
            Ok(()) => return Ok(text),
            Err(problem) => problem,
        },
        Kind::Text
        | Kind::Short(_)
        | Kind::Long(_)
        | Kind::Enum(_)
        | Kind::Node
        | Kind::ConfigId
        | Kind::Pattern(_)
        | Kind::Properties(_)
        | Kind::ListOf(_)
        | Kind::Int(..)
        | Kind::Number(..)
        | Kind::Bool
        | Kind::Vmid
        | Kind::Mount
        | Kind::VmidList
        | Kind::Array
        | Kind::List => return Ok(text),
    };
    let problem = problem.trim_end();
    Err(format!("invalid format - {problem}\n"))
}

fn is_node(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(is_inner)
}

fn is_config_id(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    text.len() >= 2
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refuses(kind: &Kind, value: &Value, expect: &str) {
        assert_eq!(check("x", kind, value), Err(expect.to_owned()));
    }

    #[test]
    fn refusals_have_the_words_of_a_real_node() {
        refuses(
            &Kind::Int(0, 10),
            &json!("x"),
            "type check ('integer') failed - got 'x'",
        );
        refuses(
            &Kind::Int(0, 10),
            &json!("11"),
            "value must have a maximum value of 10",
        );
        refuses(
            &Kind::Int(1, 10),
            &json!("0"),
            "value must have a minimum value of 1",
        );
        refuses(
            &Kind::Bool,
            &json!("yes"),
            "type check ('boolean') failed - got 'yes'",
        );
        refuses(
            &Kind::Text,
            &json!(["a", "b"]),
            "type check ('string') failed - got ARRAY",
        );
        refuses(
            &Kind::Vmid,
            &json!("42"),
            "invalid format - value does not look like a valid VM ID\n",
        );
        refuses(
            &Kind::VmidList,
            &json!("abc"),
            "invalid format - value does not look like a valid VM ID\n",
        );
        refuses(
            &Kind::StorageId,
            &json!("a b"),
            "invalid format - storage ID 'a b' contains illegal characters\n",
        );
        refuses(
            &Kind::Enum(&["stop", "snapshot"]),
            &json!("x"),
            "value 'x' does not have a value in the enumeration 'stop, snapshot'",
        );
    }

    #[test]
    fn accepted_values_have_one_shape_each() {
        assert_eq!(check("x", &Kind::Bool, &json!(true)), Ok(json!(1)));
        assert_eq!(check("x", &Kind::Int(0, 9), &json!("+7")), Ok(json!(7)));
        assert_eq!(check("x", &Kind::Vmid, &json!(9001)), Ok(json!(9001)));
        assert_eq!(
            check("x", &Kind::List, &json!(["a", "b"])),
            Ok(json!("a,b"))
        );
        assert_eq!(check("x", &Kind::Array, &json!("a")), Ok(json!(["a"])));
    }
}
