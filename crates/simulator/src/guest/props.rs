//! Property strings: comma-separated `key=value` lists with a schema, as every Proxmox product writes them.
//! Parsing refuses in the server's words; printing is canonical, so that printed forms compare byte by byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The parsed keys; values keep their text, Booleans are `0` or `1`.
pub(crate) type Props = BTreeMap<String, String>;

/// What a value may be.
#[derive(Clone, Copy)]
pub(crate) enum Type {
    Bool,
    Int(i64, i64),
    Number,
    /// Refused with the words behind `invalid format - `.
    Format(fn(&str) -> Result<(), String>),
    /// Refused as no match of a regular expression.
    Pattern(fn(&str) -> bool),
    Enum(&'static [&'static str]),
}

pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) kind: Type,
}

pub(crate) const fn required(name: &'static str, kind: Type) -> Key {
    Key {
        name,
        required: true,
        kind,
    }
}

pub(crate) const fn optional(name: &'static str, kind: Type) -> Key {
    Key {
        name,
        required: false,
        kind,
    }
}

/// One schema. The default key is the one that may stand without `key=`.
pub(crate) struct Format {
    pub(crate) default: Option<&'static str>,
    pub(crate) keys: &'static [Key],
}

/// Reads `on`, `yes`, `true` and their opposites as property strings allow them.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

fn check(kind: Type, value: &str) -> Result<String, String> {
    match kind {
        Type::Bool => boolean(value)
            .map(|on| if on { "1" } else { "0" }.to_owned())
            .ok_or_else(|| format!("type check ('boolean') failed - got '{value}'")),
        Type::Int(least, most) => {
            let number = value
                .parse::<i64>()
                .map_err(|_| format!("type check ('integer') failed - got '{value}'"))?;
            if number > most {
                Err(format!("value must have a maximum value of {most}"))
            } else if number < least {
                Err(format!("value must have a minimum value of {least}"))
            } else {
                Ok(value.to_owned())
            }
        }
        Type::Number => value
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .map(|_| value.to_owned())
            .ok_or_else(|| format!("type check ('number') failed - got '{value}'")),
        Type::Format(check) => match check(value) {
            Ok(()) => Ok(value.to_owned()),
            Err(words) => Err(format!("invalid format - {words}\n")),
        },
        Type::Pattern(good) => {
            if good(value) {
                Ok(value.to_owned())
            } else {
                Err("value does not match the regex pattern".to_owned())
            }
        }
        Type::Enum(values) => {
            if values.contains(&value) {
                Ok(value.to_owned())
            } else {
                Err(format!(
                    "value '{value}' does not have a value in the enumeration '{}'",
                    values.join(", ")
                ))
            }
        }
    }
}

fn split(format: &Format, text: &str) -> Result<Props, String> {
    let mut found = Props::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        match part.split_once('=') {
            Some((key, value)) if !value.is_empty() && !key.is_empty() => {
                let key = key.trim();
                if found.contains_key(key) {
                    return Err(format!(
                        "duplicate key in comma-separated list property: {key}\n"
                    ));
                }
                if !format.keys.iter().any(|known| known.name == key) {
                    return Err(format!(
                        "invalid key in comma-separated list property: {key}\n"
                    ));
                }
                found.insert(key.to_owned(), value.to_owned());
            }
            Some(_) => return Err("missing key in comma-separated list property\n".into()),
            None => {
                let key = format.default.ok_or(
                    "value without key, but schema does not define a default key\n".to_owned(),
                )?;
                if found
                    .insert(key.to_owned(), part.trim().to_owned())
                    .is_some()
                {
                    return Err(format!(
                        "duplicate key in comma-separated list property: {key}\n"
                    ));
                }
            }
        }
    }
    Ok(found)
}

/// Parses and normalises. The error is the text behind `invalid format - `; `name` is the option it stands in.
pub(crate) fn parse(format: &Format, name: &str, text: &str) -> Result<Props, String> {
    let mut found = split(format, text)?;
    let mut errors = BTreeMap::new();
    for key in format.keys {
        match found.get(key.name) {
            Some(value) => match check(key.kind, value) {
                Ok(normal) => {
                    found.insert(key.name.to_owned(), normal);
                }
                Err(words) => {
                    errors.insert(key.name, words);
                }
            },
            None if key.required => {
                errors.insert(
                    key.name,
                    "property is missing and it is not optional".to_owned(),
                );
            }
            None => {}
        }
    }
    if errors.is_empty() {
        return Ok(found);
    }
    let mut out = String::from("format error\n");
    for (key, words) in errors {
        out.push_str(&format_line(name, key, &words));
    }
    Err(out)
}

fn format_line(name: &str, key: &str, words: &str) -> String {
    let mut line = String::new();
    if write!(line, "{name}.{key}: {words}").is_ok() {
        line.push('\n');
    }
    line
}

/// Canonical text: the default key bare, then required keys by name, then optional ones by name.
pub(crate) fn print(format: &Format, props: &Props) -> String {
    let mut parts = Vec::new();
    if let Some(value) = format.default.and_then(|key| props.get(key)) {
        parts.push(value.clone());
    }
    for required in [true, false] {
        for (name, value) in props {
            let key = format.keys.iter().find(|key| key.name == name);
            let fits = key.is_some_and(|key| key.required == required);
            if fits && format.default != Some(name.as_str()) {
                parts.push(format!("{name}={value}"));
            }
        }
    }
    parts.join(",")
}

/// A disk size as property strings write it; no unit means bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.strip_suffix("iB").unwrap_or(text);
    let unit = text.chars().last()?;
    let shift = match unit {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => 0,
    };
    let digits = if shift == 0 {
        text
    } else {
        text.get(..text.len() - 1)?
    };
    scaled(digits, shift)
}

/// `digits` times 2^shift, a decimal fraction truncated.
pub(crate) fn scaled(digits: &str, shift: u32) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let unit = 1_u64.checked_shl(shift)?;
    let mut bytes = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() && fraction.len() <= 9 {
        let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / u128::from(scale);
        bytes = bytes.checked_add(u64::try_from(part).ok()?)?;
    }
    Some(bytes)
}

/// The largest unit that divides the size exactly, else plain bytes.
pub(crate) fn print_size(bytes: u64) -> String {
    for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
        let size = 1_u64 << shift;
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}
