//! Parameters against their schema, with the refusals of a backup server (proxmox-schema): JSON must have the right
//! types, forms and queries are parsed.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::http::Error;

/// What a parameter may be.
pub(crate) enum Kind {
    Text,
    Bool,
    /// At least, at most.
    Int(i64, i64),
    Enum(&'static [&'static str]),
    /// At least and at most so many characters, all of which fit.
    Match(usize, usize, fn(&str) -> bool),
    /// A list of words.
    Words(&'static [&'static str]),
    /// A list of any texts.
    Texts,
}

pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
}

pub(crate) const fn need(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        optional: false,
    }
}

pub(crate) const fn may(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        optional: true,
    }
}

/// A name that needs no quoting anywhere.
pub(crate) fn is_safe_id(text: &str) -> bool {
    let mut letters = text.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
}

fn is_namespace(text: &str) -> bool {
    text.is_empty() || (text.split('/').count() <= 8 && text.split('/').all(is_safe_id))
}

/// A host name; an address is none.
pub(crate) fn is_host(text: &str) -> bool {
    let sound = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.split('.').all(sound) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_user_id(text: &str) -> bool {
    let realm = |realm: &str| is_safe_id(realm);
    text.rsplit_once('@').is_some_and(|(name, end)| {
        !name.is_empty() && !name.contains([':', '/', '@', ' ']) && realm(end)
    })
}

fn is_auth_id(text: &str) -> bool {
    match text.split_once('!') {
        Some((user, token)) => is_user_id(user) && is_safe_id(token),
        None => is_user_id(text),
    }
}

fn is_archive(text: &str) -> bool {
    is_safe_id(text)
        && [".blob", ".didx", ".fidx"]
            .iter()
            .any(|end| text.ends_with(end))
}

fn is_acl_path(text: &str) -> bool {
    text == "/" || (text.starts_with('/') && text.split('/').skip(1).all(is_safe_id))
}

pub(crate) const STORE: Kind = Kind::Match(3, 32, is_safe_id);
pub(crate) const NS: Kind = Kind::Match(0, 256, is_namespace);
pub(crate) const TYPE: Kind = Kind::Enum(&["vm", "ct", "host"]);
pub(crate) const ID: Kind = Kind::Match(0, usize::MAX, is_safe_id);
pub(crate) const TIME: Kind = Kind::Int(1, i64::MAX);
pub(crate) const NODE: Kind = Kind::Match(0, usize::MAX, is_host);
pub(crate) const JOB: Kind = Kind::Match(3, 32, is_safe_id);
pub(crate) const USER: Kind = Kind::Match(3, 64, is_user_id);
pub(crate) const AUTH: Kind = Kind::Match(3, 64, is_auth_id);
pub(crate) const TOKEN: Kind = Kind::Match(0, usize::MAX, is_safe_id);
pub(crate) const ARCHIVE: Kind = Kind::Match(0, usize::MAX, is_archive);
pub(crate) const ACL_PATH: Kind = Kind::Match(1, 128, is_acl_path);
pub(crate) const NAME: Kind = Kind::Match(1, 32, is_safe_id);
pub(crate) const KEEP: Kind = Kind::Int(1, i64::MAX);
pub(crate) const DEPTH: Kind = Kind::Int(0, 7);

fn bad_pattern() -> String {
    "value does not match the regex pattern".to_owned()
}

impl Kind {
    /// Checks a value of JSON.
    fn check(&self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Bool, Value::Bool(_)) | (Self::Text, Value::String(_)) => Ok(()),
            (Self::Bool, _) => Err("Expected boolean value.".into()),
            (Self::Int(least, most), value) => {
                let number = value.as_i64().ok_or("Expected integer value.")?;
                if number < *least {
                    return Err(format!(
                        "value must have a minimum value of {least} (got {number})"
                    ));
                }
                if number > *most {
                    return Err(format!(
                        "value must have a maximum value of {most} (got {number})"
                    ));
                }
                Ok(())
            }
            (Self::Enum(words), Value::String(text)) => {
                let known = words.contains(&text.as_str());
                known
                    .then_some(())
                    .ok_or_else(|| format!("value '{text}' is not defined in the enumeration."))
            }
            (Self::Match(least, most, fits), Value::String(text)) => {
                let length = text.chars().count();
                if length < *least {
                    return Err(format!("value must be at least {least} characters long"));
                }
                if length > *most {
                    return Err(format!("value may only be {most} characters long"));
                }
                fits(text).then_some(()).ok_or_else(bad_pattern)
            }
            (Self::Words(words), Value::Array(items)) => {
                let word = Self::Enum(words);
                items.iter().try_for_each(|item| word.check(item))
            }
            (Self::Texts, Value::Array(items)) => {
                items.iter().try_for_each(|item| Self::Text.check(item))
            }
            (Self::Words(_) | Self::Texts, _) => Err("Expected array - got scalar value.".into()),
            (Self::Text | Self::Enum(_) | Self::Match(..), _) => {
                Err("Expected string value.".into())
            }
        }
    }

    /// Reads a value of a form or a query.
    fn parse(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Bool => match text.to_ascii_lowercase().as_str() {
                "1" | "on" | "yes" | "true" => Ok(Value::Bool(true)),
                "0" | "off" | "no" | "false" => Ok(Value::Bool(false)),
                _ => Err("Unable to parse boolean option.".into()),
            },
            Self::Int(..) => {
                let number: i64 = text
                    .parse()
                    .map_err(|error: std::num::ParseIntError| error.to_string())?;
                Ok(number.into())
            }
            Self::Text | Self::Enum(_) | Self::Match(..) => Ok(text.into()),
            Self::Words(_) | Self::Texts => Ok(Value::Array(vec![text.into()])),
        }
    }
}

/// Complaints about parameters, told as the server tells them.
fn refusal(mut complaints: Vec<(String, String)>) -> Result<(), Error> {
    match complaints.as_slice() {
        [] => Ok(()),
        [(name, text)] => Err(Error::param(name, text)),
        _ => {
            complaints.dedup();
            let lines = complaints
                .iter()
                .map(|(name, text)| format!("- '{name}': {text}\n"));
            let text = format!(
                "parameter verification failed:\n{}",
                lines.collect::<String>()
            );
            Err(Error::plain(text.trim_end()))
        }
    }
}

fn verified(
    params: &[Param],
    sent: &Map<String, Value>,
    mut complaints: Vec<(String, String)>,
) -> Result<(), Error> {
    for (name, value) in sent {
        match params.iter().find(|param| param.name == *name) {
            None => {
                let text = "schema does not allow additional properties.";
                complaints.push((name.clone(), text.into()));
            }
            Some(param) => {
                if let Err(text) = param.kind.check(value) {
                    complaints.push((name.clone(), text));
                }
            }
        }
    }
    for param in params.iter().filter(|param| !param.optional) {
        let spoken_of = complaints.iter().any(|(name, _)| name == param.name);
        if !sent.contains_key(param.name) && !spoken_of {
            let text = "parameter is missing and it is not optional.";
            complaints.push((param.name.into(), text.into()));
        }
    }
    refusal(complaints)
}

/// Decodes a form or a query.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let unescape = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (unescape(name), unescape(value)))
        .collect()
}

/// Pairs of a form, a query and the path, as parameters.
pub(crate) fn from_pairs(
    params: &[Param],
    pairs: &[(String, String)],
) -> Result<Map<String, Value>, Error> {
    let (mut sent, mut complaints) = (Map::new(), Vec::new());
    for (name, text) in pairs {
        let kind = params
            .iter()
            .find(|param| param.name == *name)
            .map(|param| &param.kind);
        let value = kind.map_or_else(|| Ok(Value::from(text.as_str())), |kind| kind.parse(text));
        match (value, sent.get_mut(name)) {
            (Ok(Value::Array(more)), Some(Value::Array(there))) => there.extend(more),
            (Ok(_), Some(_)) => complaints.push((name.clone(), "duplicate parameter.".to_owned())),
            (Ok(value), None) => {
                sent.insert(name.clone(), value);
            }
            (Err(text), _) => complaints.push((name.clone(), text)),
        }
    }
    verified(params, &sent, complaints)?;
    Ok(sent)
}

/// A JSON object, with the variables of the path, as parameters.
pub(crate) fn from_json(
    params: &[Param],
    mut body: Map<String, Value>,
    path: &[(String, String)],
) -> Result<Map<String, Value>, Error> {
    for (name, text) in path {
        body.insert(name.clone(), text.as_str().into());
    }
    verified(params, &body, Vec::new())?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SOME: &[Param] = &[
        need("store", STORE),
        may("dry-run", Kind::Bool),
        may("keep-last", KEEP),
    ];

    fn json_text(body: &Value) -> String {
        let body = body.as_object().cloned().unwrap();
        from_json(SOME, body, &[]).unwrap_err().text
    }

    #[test]
    fn json_has_types_and_forms_are_parsed() {
        let path = [("store".to_owned(), "abc".to_owned())];
        let form =
            |name: &str, text: &str| [path.to_vec(), vec![(name.into(), text.into())]].concat();
        assert_eq!(
            from_pairs(SOME, &form("dry-run", "1")).unwrap()["dry-run"],
            true
        );
        assert_eq!(
            from_pairs(SOME, &form("keep-last", "3")).unwrap()["keep-last"],
            3
        );
        assert_eq!(
            json_text(&json!({ "store": "abc", "keep-last": "3" })),
            "parameter verification failed - 'keep-last': Expected integer value."
        );
        assert_eq!(
            json_text(&json!({ "store": "abc", "keep-last": 0 })),
            "parameter verification failed - 'keep-last': value must have a minimum value of 1 (got 0)"
        );
        assert_eq!(
            json_text(&json!({ "store": "abc", "keep": 0 })),
            "parameter verification failed - 'keep': schema does not allow additional properties."
        );
        assert!(
            json_text(&json!({ "dry-run": 1 })).starts_with("parameter verification failed:\n")
        );
    }

    #[test]
    fn an_address_is_no_host_name() {
        assert!(is_host("localhost") && is_host("VM") && is_host("a.b-c"));
        assert!(!is_host("127.0.0.1") && !is_host("not_a_host!") && !is_host(""));
    }
}
