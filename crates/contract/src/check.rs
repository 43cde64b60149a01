//! Values inside an answer: where they are and what may stand there.

use serde_json::Value;

use crate::pattern::matches;

/// What stands at a path of `data`: keys and indices separated by ` > `; `[key=value]` picks a list's element by one of
/// its members, `#` stands for their number, and `*` in a key for anything. The empty path is the whole.
pub(crate) fn at<'a>(data: &'a Value, path: &str) -> Option<Found<'a>> {
    let mut here = data;
    for segment in path.split(" > ").filter(|segment| !segment.is_empty()) {
        if segment == "#" {
            let count = here
                .as_array()
                .map(Vec::len)
                .or_else(|| here.as_object().map(serde_json::Map::len));
            return count.map(Found::Count);
        }
        here = step(here, segment)?;
    }
    Some(Found::Value(here))
}

/// Something found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found<'a> {
    Value(&'a Value),
    Count(usize),
}

fn step<'a>(here: &'a Value, segment: &str) -> Option<&'a Value> {
    let picked = segment
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some((key, wanted)) = picked.and_then(|picked| picked.split_once('=')) {
        let fits = |element: &&Value| {
            element
                .get(key)
                .is_some_and(|value| matches(wanted, &plain(value)))
        };
        return here.as_array()?.iter().find(fits);
    }
    match here {
        Value::Array(list) => list.get(segment.parse::<usize>().ok()?),
        Value::Object(map) => map.get(segment).or_else(|| {
            let named = map.iter().find(|(key, _)| matches(segment, key));
            named.map(|(_, value)| value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// A value as text, a string without its quotes.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// What differs between a value and what is expected of it: `None` when it fits. `wanted` is already without names in
/// braces. Strings are patterns, or kinds: `@absent`, `@some`, `@string`, `@number`, `@numeric`, `@list`, `@object`,
/// `@null`, `@empty`, `@filled`; `@not PATTERN` is the opposite.
pub(crate) fn differs(found: Option<Found<'_>>, wanted: &toml::Value) -> Option<String> {
    let value = match found {
        None => return (wanted.as_str() != Some("@absent")).then(|| "nothing".to_owned()),
        Some(Found::Count(count)) => Value::from(count),
        Some(Found::Value(value)) => value.clone(),
    };
    (!fits(&value, wanted)).then(|| shown(&value))
}

fn fits(value: &Value, wanted: &toml::Value) -> bool {
    match wanted {
        toml::Value::String(text) => fits_text(value, text),
        toml::Value::Integer(number) => value.as_i64() == Some(*number),
        toml::Value::Float(number) => value.as_f64() == Some(*number),
        toml::Value::Boolean(wanted) => value.as_bool() == Some(*wanted),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => false,
    }
}

fn fits_text(value: &Value, text: &str) -> bool {
    let empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if let Some(pattern) = text.strip_prefix("@not ") {
        return !matches(pattern, &plain(value));
    }
    match text {
        "@absent" => false,
        "@some" => !value.is_null(),
        "@null" => value.is_null(),
        "@string" => value.is_string(),
        "@number" => value.is_number(),
        "@numeric" => plain(value).parse::<f64>().is_ok(),
        "@list" => value.is_array(),
        "@object" => value.is_object(),
        "@empty" => empty,
        "@filled" => !empty,
        pattern => value.is_string() && matches(pattern, &plain(value)),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 300 {
        return text;
    }
    text.chars().take(300).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{at, differs};

    #[test]
    fn paths_lead_into_lists_and_maps_with_slashes_in_their_keys() {
        let data =
            json!({"/vms/1": {"VM.Audit": 1}, "list": [{"name": "a"}, {"name": "b", "n": 7}]});
        for (path, wanted) in [
            ("/vms/1 > VM.Audit", toml::Value::Integer(1)),
            ("/vms/* > VM.Audit", toml::Value::Integer(1)),
            ("list > [name=b] > n", toml::Value::Integer(7)),
            ("list > [name=b] > n", toml::Value::String("@number".into())),
            ("list > 0 > name", toml::Value::String("a".into())),
            ("list > #", toml::Value::Integer(2)),
            ("list > [name=c]", toml::Value::String("@absent".into())),
            ("", toml::Value::String("@object".into())),
        ] {
            assert_eq!(differs(at(&data, path), &wanted), None, "{path}");
        }
        let wrong = differs(
            at(&data, "list > 0 > name"),
            &toml::Value::String("b*".into()),
        );
        assert_eq!(wrong.as_deref(), Some("\"a\""));
        let number = differs(at(&data, "list > 1 > n"), &toml::Value::String("7".into()));
        assert_eq!(number.as_deref(), Some("7"), "a number is no string");
    }
}
