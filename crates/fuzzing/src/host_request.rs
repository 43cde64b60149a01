//! What the root helper is asked for.

use felhom_host::{Operation, Request, WireError};
use serde_json::Value;

/// The longest line that is looked into at all.
const LONGEST: usize = 4 * 1024;

/// A request is one of the closed list and says the same after a round trip; none of its names is an option, leaves a
/// directory, or begins another line.
pub fn host_request(data: &[u8]) {
    let request = match Request::parse(data) {
        Ok(request) => request,
        Err(error) => return refused(data, &error),
    };
    assert!(data.len() <= LONGEST);
    assert_eq!(
        request.version,
        Request::new(request.request.clone()).version
    );
    assert!(Operation::NAMES.contains(&request.request.name()));
    let line = serde_json::to_vec(&request).unwrap();
    assert!(!line.contains(&b'\n'), "it would be two lines");
    assert_eq!(Request::parse(&line).unwrap(), request);
    let value = serde_json::to_value(&request.request).unwrap();
    let name = value.get("operation").and_then(Value::as_str);
    assert_eq!(name, Some(request.request.name()));
    plain(&value);
    // It goes into messages and into the audit.
    for told in [request.request.to_string(), request.request.subject()] {
        assert!(!told.contains(char::is_control), "{told:?}");
    }
}

fn refused(data: &[u8], error: &WireError) {
    match error {
        WireError::TooLong(most) => assert!(data.len() > *most),
        // What else stands in it is not looked at, and may be anything.
        WireError::Version(version) => {
            let own = Request::new(Operation::ReadSensors {}).version;
            assert_ne!(*version, own);
        }
        WireError::Unreadable(why) => assert!(!why.is_empty() && data.len() <= LONGEST),
        WireError::Io(_) | WireError::CutShort => panic!("nothing was read from anywhere: {error}"),
    }
}

/// Holds of every text in it.
fn plain(value: &Value) {
    match value {
        Value::String(text) => {
            assert!(!text.is_empty() && !text.starts_with('-'), "{text:?}");
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(!text.contains(char::is_whitespace), "{text:?}");
            assert!(!text.split('/').any(|part| part == ".."), "{text:?}");
            assert!(!text.starts_with('/'), "{text:?}");
        }
        Value::Object(fields) => fields.values().for_each(plain),
        Value::Number(number) => assert!(number.is_u64(), "{number}"),
        Value::Bool(_) => {}
        Value::Null | Value::Array(_) => panic!("no field is made like that: {value}"),
    }
}
