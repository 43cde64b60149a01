//! One API call as a handler sees it: who asks, with which verified parameters, and what may be answered.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::access::Principal;
use crate::sim::Sim;

/// What a handler gets. Permission check and parameter verification of the route have passed.
pub(crate) struct Call<'a> {
    pub(crate) sim: &'a Arc<Sim>,
    pub(crate) auth: &'a Principal,
    /// Path variables, query and body in one map, as PVE merges them.
    pub(crate) params: &'a Params,
}

/// Verified parameters: `Value::String`, `Value::Number` (integers, numbers, and Booleans as 0/1) or `Value::Array`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Params(pub(crate) BTreeMap<String, Value>);

impl Params {
    /// The text of a parameter, also of a number (`vmid` as PVE's own code would interpolate it).
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        match self.0.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The text of a parameter that the schema made mandatory.
    pub(crate) fn need(&self, key: &str) -> String {
        self.text(key).unwrap_or_default()
    }

    pub(crate) fn int(&self, key: &str) -> Option<i64> {
        self.0.get(key)?.as_i64()
    }

    /// The VMID of the path or the parameter `vmid`.
    pub(crate) fn vmid(&self) -> u32 {
        self.int("vmid")
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or_default()
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.int(key) == Some(1)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }
}

/// A successful answer (HTTP 200).
pub(crate) enum Answer {
    /// `{"data": …}`
    Data(Value),
    /// `{"data": […], "total": n}`
    Total(Value, usize),
    /// `{"data": …, "changes": …}`: what is pending, in diff's form.
    Changes(Value, String),
    /// A file as it is (`download=1`).
    Raw(&'static str, Vec<u8>),
    /// Answers later: for the few synchronous calls that wait (stopping a task, deleting with a delay).
    Later(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

/// A refused call, in PVE's codes and words.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    /// Without the trailing newline; the server adds it where PVE has one.
    pub(crate) message: String,
    pub(crate) errors: BTreeMap<String, String>,
}

impl ApiError {
    /// A plain `die` of synchronous code: 500.
    pub(crate) fn die(message: impl Into<String>) -> Self {
        Self {
            status: 500,
            message: message.into(),
            errors: BTreeMap::new(),
        }
    }

    /// `raise_param_exc`: 400 with one field.
    pub(crate) fn param(field: &str, text: impl Into<String>) -> Self {
        Self {
            status: 400,
            message: "Parameter verification failed.".into(),
            errors: BTreeMap::from([(field.to_owned(), text.into())]),
        }
    }

    /// `raise_perm_exc`: 403; `detail` empty gives the bare text.
    pub(crate) fn forbidden(detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Permission check failed".to_owned()
        } else {
            format!("Permission check failed ({detail})")
        };
        Self {
            status: 403,
            message,
            errors: BTreeMap::new(),
        }
    }

    /// The text that an exception becomes when a worker dies of it: its code stands in front unless it is a plain die.
    pub(crate) fn in_task(&self) -> String {
        if self.status == 500 {
            self.message.clone()
        } else {
            format!("{} {}", self.status, self.message)
        }
    }
}

pub(crate) type Reply = Result<Answer, ApiError>;

/// The fields of an object literal, to be added to.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
