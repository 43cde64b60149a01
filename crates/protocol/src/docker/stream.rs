//! The documents of a file: arrays, objects, JSON lines, one after the other, in any mixture.

use serde_json::{Deserializer, Value};

use crate::docker::Input;
use crate::docker::error::DockerError;
use crate::shown::shown;

/// One document, and the file it stands in.
pub(super) struct Told<'a> {
    pub(super) file: &'a str,
    pub(super) value: Value,
}

/// All documents of a file; an array is its members. `serde_json` refuses what is nested deeper than 128.
pub(super) fn documents<'a>(
    input: &Input<'a>,
) -> impl Iterator<Item = Result<Told<'a>, DockerError>> + use<'a> {
    let file = input.name;
    // A redirection of some shells begins with a byte-order mark.
    let bytes = input
        .bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(input.bytes);
    let values = Deserializer::from_slice(bytes).into_iter::<Value>();
    values.flat_map(move |value| {
        // What a guest sends may be an array of millions of zeros: it is not laid out a second time.
        let (members, single) = match value {
            Ok(Value::Array(members)) => (members, None),
            Ok(other) => (Vec::new(), Some(Ok(other))),
            Err(error) => (Vec::new(), Some(Err(not_json(file, &error)))),
        };
        let told = members.into_iter().map(Ok).chain(single);
        told.map(move |value: Result<Value, _>| value.map(|value| Told { file, value }))
    })
}

fn not_json(file: &str, error: &serde_json::Error) -> DockerError {
    DockerError::NotJson {
        file: shown(file),
        line: error.line(),
        why: shown(&error.to_string()),
    }
}
