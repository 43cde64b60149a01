//! Parameters as they arrive: form encoding with Perl's habits, JSON bodies, several values under one name.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Parameters by name before verification. `null` is a name without `=`: present, but without a value.
pub(crate) type Raw = BTreeMap<String, Value>;

/// Decodes a query or a form body. Pairs end at `&` and at `;`, and a value ends at a second `=`
/// (pve-http-server, `AnyEvent.pm` `decode_urlencoded`): `net0=name=eth0` arrives as `name`.
pub(crate) fn decode(text: &str) -> Raw {
    let mut params = Raw::new();
    for pair in text.split(['&', ';']).filter(|pair| !pair.is_empty()) {
        let mut parts = pair.split('=');
        let key = unescape(parts.next().unwrap_or_default());
        let value = parts
            .next()
            .map_or(Value::Null, |value| Value::String(unescape(value)));
        add(&mut params, key, value);
    }
    params
}

/// A name that comes again makes a list.
fn add(params: &mut Raw, key: String, value: Value) {
    match params.remove(&key) {
        None => params.insert(key, value),
        Some(Value::Array(mut list)) => {
            list.push(value);
            params.insert(key, Value::Array(list))
        }
        Some(first) => params.insert(key, Value::Array(vec![first, value])),
    };
}

fn unescape(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// Decodes a JSON body, which must be an object.
pub(crate) fn decode_json(body: &[u8]) -> Result<Raw, String> {
    if body.is_empty() {
        return Ok(Raw::new());
    }
    match serde_json::from_slice::<Map<String, Value>>(body) {
        Ok(object) => Ok(object.into_iter().collect()),
        Err(error) => Err(format!("malformed JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(text: &str, expect: &Value) {
        assert_eq!(json!(decode(text)), *expect, "{text}");
    }

    #[test]
    fn pairs_and_values_end_where_perl_ends_them() {
        check("a=1&b=2;c=3", &json!({"a": "1", "b": "2", "c": "3"}));
        check("net0=name=eth0,bridge=vmbr0", &json!({"net0": "name"}));
        check(
            "net0=name%3Deth0%2Cbridge%3Dvmbr0",
            &json!({"net0": "name=eth0,bridge=vmbr0"}),
        );
        check("a=x+y%2Bz", &json!({"a": "x y+z"}));
        check("a=&b", &json!({"a": "", "b": null}));
        check("a=1&a=2&a=3", &json!({"a": ["1", "2", "3"]}));
    }
}
