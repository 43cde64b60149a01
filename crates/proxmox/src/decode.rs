//! Reading what Perl leaks into JSON: numbers as strings, `""` for nothing, `0`, `1` and `true`,
//! `null` where nothing was found. For use with `#[serde(deserialize_with = …)]`.
//!
//! A value that is *there* but makes no sense is still an error: lenient about the writing, not
//! about the meaning.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::credentials::Credentials;
use crate::encode::Request;
use crate::error::Error;
use crate::error::answer::unreadable;

/// The `data` of a successful answer.
///
/// # Errors
/// [`Error::Decode`] when the body is no object with `data` of this shape. Its text is bounded and holds neither the
/// secrets of `credentials` nor, when the request is confidential, anything of the body.
pub fn data<T: DeserializeOwned>(
    request: &Request,
    body: &[u8],
    credentials: &Credentials,
) -> Result<T, Error> {
    serde_json::from_slice::<Envelope<T>>(body)
        .map(|envelope| envelope.data)
        .map_err(|source| {
            let what = "a JSON object with `data` of the expected shape";
            unreadable(request, what, body, &source, credentials)
        })
}

/// A list of which an element cannot be read, or which is none; `kept` is what stood there.
pub(crate) fn unreadable_list(
    request: &Request,
    kept: &[u8],
    source: &serde_json::Error,
    credentials: &Credentials,
) -> Error {
    let what = "a JSON object with a list of the expected things as `data`";
    unreadable(request, what, kept, source, credentials)
}

/// The outer object of every answer. `data` must be there, though it may be `null`.
#[derive(Debug)]
struct Envelope<T> {
    data: T,
}

/// By hand, because a derived reader takes an array for an object, and an absent `data` for an `Option`'s `None`.
impl<'de, T: DeserializeOwned> Deserialize<'de> for Envelope<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: DeserializeOwned> Visitor<'de> for Object<T> {
            type Value = Envelope<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `data`")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Envelope<T>, M::Error> {
                let mut data = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key != "data" {
                        map.next_value::<IgnoredAny>()?;
                    } else if data.is_some() {
                        return Err(de::Error::duplicate_field("data"));
                    } else {
                        data = Some(map.next_value()?);
                    }
                }
                data.map(|data| Envelope { data })
                    .ok_or_else(|| de::Error::missing_field("data"))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// The answer of a call that only says whether it worked; whatever stands in it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done;

impl<'de> Deserialize<'de> for Done {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IgnoredAny).map(|_| Self)
    }
}

/// One scalar as it came.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Nothing,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
}

/// Calls `read` with whatever scalar stands there.
struct Reader<F, T>(&'static str, F, PhantomData<T>);

impl<F, T> Visitor<'_> for Reader<F, T>
where
    F: FnOnce(Scalar<'_>) -> Option<T>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        (self.1)(Scalar::Nothing).ok_or_else(|| E::invalid_type(de::Unexpected::Unit, &self.0))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        (self.1)(Scalar::Bool(value))
            .ok_or_else(|| E::invalid_value(de::Unexpected::Bool(value), &self.0))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        (self.1)(Scalar::Int(value.into()))
            .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(value), &self.0))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        (self.1)(Scalar::Int(value.into()))
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self.0))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        (self.1)(Scalar::Float(value))
            .ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self.0))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<T, E> {
        (self.1)(Scalar::Text(value))
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self.0))
    }
}

fn read<'de, D, T>(
    deserializer: D,
    expected: &'static str,
    read: impl FnOnce(Scalar<'_>) -> Option<T>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Reader(expected, read, PhantomData))
}

/// A whole number, as number or text.
pub fn number<'de, D: Deserializer<'de>, T: TryFrom<i128>>(from: D) -> Result<T, D::Error> {
    read(from, "a whole number", whole)
}

/// A whole number, or nothing (`null`, `""`). Combine with `#[serde(default)]`.
pub fn maybe_number<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128>,
{
    read(from, "a whole number or nothing", |scalar| {
        if scalar.is_nothing() {
            Some(None)
        } else {
            whole(scalar).map(Some)
        }
    })
}

impl Scalar<'_> {
    fn is_nothing(self) -> bool {
        matches!(self, Scalar::Nothing | Scalar::Text(""))
    }
}

fn whole<T: TryFrom<i128>>(scalar: Scalar<'_>) -> Option<T> {
    let value = match scalar {
        Scalar::Int(value) => value,
        Scalar::Text(text) => text.trim().parse().ok()?,
        // RRD hands out averages: `"maxdisk": 1073741824.0`. Printed without a fraction, a float
        // of this size is exact, and needs no cast.
        Scalar::Float(value) if value.abs() < 9e15 => format!("{value:.0}").parse().ok()?,
        Scalar::Float(_) | Scalar::Nothing | Scalar::Bool(_) => return None,
    };
    T::try_from(value).ok()
}

/// A number with a fraction, as number or text.
pub fn float<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    read(from, "a number", decimal)
}

/// A number with a fraction, or nothing.
pub fn maybe_float<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    read(from, "a number or nothing", |scalar| {
        if scalar.is_nothing() {
            Some(None)
        } else {
            decimal(scalar).map(Some)
        }
    })
}

fn decimal(scalar: Scalar<'_>) -> Option<f64> {
    let value = match scalar {
        Scalar::Float(value) => value,
        // Through text, because there is no lossless conversion and no need for one.
        Scalar::Int(value) => value.to_string().parse().ok()?,
        Scalar::Text(text) => text.trim().parse().ok()?,
        Scalar::Nothing | Scalar::Bool(_) => return None,
    };
    Some(value).filter(|value: &f64| value.is_finite())
}

/// For what holds unless it is said otherwise.
pub(crate) fn yes() -> bool {
    true
}

/// A truth value in any of its writings; nothing is false. Combine with `#[serde(default)]`.
pub fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    read(from, "a truth value", |scalar| match scalar {
        Scalar::Nothing => Some(false),
        Scalar::Bool(value) => Some(value),
        Scalar::Int(value) => Some(value != 0),
        Scalar::Text(text) => truth(text),
        Scalar::Float(_) => None,
    })
}

/// The words that PVE takes inside property strings, and the empty string of Perl.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "" | "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Yes or no, or nothing (`null`, which is neither). Combine with `#[serde(default)]`.
pub fn maybe_flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Flag(#[serde(deserialize_with = "flag")] bool);
    Ok(Option::<Flag>::deserialize(from)?.map(|Flag(set)| set))
}

/// A text, which may have been written as a number.
pub fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read(from, "a text", written)
}

/// A text, or nothing (`null`, `""`). Combine with `#[serde(default)]`.
pub fn maybe_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    read(from, "a text or nothing", |scalar| {
        if scalar.is_nothing() {
            Some(None)
        } else {
            written(scalar).map(Some)
        }
    })
}

fn written(scalar: Scalar<'_>) -> Option<String> {
    match scalar {
        Scalar::Text(text) => Some(text.to_owned()),
        Scalar::Int(value) => Some(value.to_string()),
        Scalar::Float(value) => Some(value.to_string()),
        Scalar::Bool(value) => Some(u8::from(value).to_string()),
        Scalar::Nothing => None,
    }
}

/// A parsed name, or nothing (`null`, `""`). Combine with `#[serde(default)]`.
pub fn maybe_name<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: fmt::Display>,
{
    match maybe_text(from)? {
        Some(text) => text.parse().map(Some).map_err(de::Error::custom),
        None => Ok(None),
    }
}

/// A list, which `null` leaves empty. Combine with `#[serde(default)]`.
pub fn list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<Vec<T>>::deserialize(from).map(Option::unwrap_or_default)
}

/// A comma separated text as its parts; PVE's order is random, so they come sorted.
pub fn csv<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let text = maybe_text(from)?.unwrap_or_default();
    let mut parts: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    parts.sort_unstable();
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Odd {
        #[serde(default, deserialize_with = "maybe_number")]
        number: Option<u64>,
        #[serde(default, deserialize_with = "maybe_float")]
        float: Option<f64>,
        #[serde(default, deserialize_with = "flag")]
        flag: bool,
        #[serde(default, deserialize_with = "maybe_text")]
        text: Option<String>,
        #[serde(default, deserialize_with = "csv")]
        csv: Vec<String>,
        #[serde(default, deserialize_with = "list")]
        list: Vec<u8>,
    }

    fn odd(json: &str) -> Result<Odd, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn all_writings_of_the_same_thing_are_the_same() {
        let want =
            odd(r#"{"number":7,"float":1.5,"flag":1,"text":"9","csv":"b,a","list":[1]}"#).unwrap();
        assert_eq!(want.csv, ["a", "b"]);
        for json in [
            r#"{"number":"7","float":"1.5","flag":"1","text":9,"csv":"a,b,","list":[1]}"#,
            r#"{"number":7.0,"float":1.5,"flag":true,"text":"9","csv":"a, b","list":[1],"more":{}}"#,
        ] {
            assert_eq!(odd(json).unwrap(), want, "{json}");
        }
    }

    #[test]
    fn all_writings_of_nothing_are_nothing() {
        let want = odd("{}").unwrap();
        for json in [
            r#"{"number":null,"float":null,"flag":null,"text":null,"csv":null,"list":null}"#,
            r#"{"number":"","float":"","flag":"","text":"","csv":""}"#,
            r#"{"flag":0}"#,
            r#"{"flag":"0"}"#,
        ] {
            assert_eq!(odd(json).unwrap(), want, "{json}");
        }
    }

    #[test]
    fn nonsense_stays_an_error() {
        for json in [
            r#"{"number":"x"}"#,
            r#"{"number":-1}"#,
            r#"{"number":[]}"#,
            r#"{"number":true}"#,
            r#"{"number":1e300}"#,
            r#"{"float":"nan"}"#,
            r#"{"flag":"perhaps"}"#,
            r#"{"text":{}}"#,
            r#"{"list":{}}"#,
        ] {
            assert!(odd(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_envelope_without_data_is_none() {
        for json in ["{}", "[null]", r#"{"data":1,"data":null}"#] {
            assert!(serde_json::from_str::<Envelope<Option<u8>>>(json).is_err());
        }
        assert_eq!(
            serde_json::from_str::<Envelope<Option<u8>>>(r#"{"data":null}"#)
                .unwrap()
                .data,
            None
        );
        assert_eq!(
            serde_json::from_str::<Envelope<Done>>(r#"{"data":{"a":[1]}}"#)
                .unwrap()
                .data,
            Done
        );
    }
}
