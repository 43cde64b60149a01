//! A call to the backup server as a handler sees it, and what may be answered: successes in an envelope, refusals as
//! plain text that claims to be JSON.

use std::sync::Arc;

use hyper::Response;
use hyper::header;
use serde_json::{Map, Value, json};

use super::params::Param;
use super::state::SnapshotId;
use crate::server::{Payload, http_date};
use crate::sim::Sim;

pub(crate) const JSON: &str = "application/json;charset=UTF-8";

/// A refusal: status and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Error {
    pub(crate) fn new(status: u16, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, text }
    }

    /// Whatever goes wrong without a status of its own: 400.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(400, text)
    }

    /// A directory that is not there, in the words of the library that looked.
    pub(crate) fn missing() -> Self {
        Self::plain("ENOENT: No such file or directory")
    }

    /// A parameter that the schema refuses.
    pub(crate) fn param(name: &str, text: &str) -> Self {
        Self::plain(format!("parameter verification failed - '{name}': {text}"))
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self::plain(text)
    }
}

/// A success.
#[derive(Debug)]
pub(crate) enum Answer {
    /// `{"data": …}`
    Data(Value),
    /// `{"data": …}` with data that are text already.
    Text(String),
    /// `{"data": …}` with more beside it: `digest`, `total`.
    With(Value, Map<String, Value>),
    /// An answer that was put together by hand, envelope and all.
    Whole(Value),
    /// A file.
    Bytes(&'static str, Vec<u8>),
}

pub(crate) type Reply = Result<Answer, Error>;

/// Data alone.
pub(crate) fn data(value: Value) -> Reply {
    Ok(Answer::Data(value))
}

/// Data with the digest of the configuration that it was read from.
pub(crate) fn with_digest(value: Value, config: &str) -> Reply {
    let digest = crate::hex::lower(&super::crypt::sha256(&[config.as_bytes()]));
    let extra = Map::from_iter([("digest".to_owned(), Value::from(digest))]);
    Ok(Answer::With(value, extra))
}

/// What a handler gets: permission of the route and parameters have been checked.
pub(crate) struct Call<'a> {
    pub(crate) sim: &'a Arc<Sim>,
    /// User or token.
    pub(crate) auth: &'a str,
    pub(crate) params: &'a Map<String, Value>,
}

impl Call<'_> {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name)?.as_str()
    }

    /// A parameter that the schema made mandatory.
    pub(crate) fn need(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.params.get(name)?.as_i64()
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.params.get(name)?.as_bool()
    }

    /// The namespace; the root where none is named.
    pub(crate) fn ns(&self) -> &str {
        self.text("ns").unwrap_or_default()
    }

    /// The snapshot, or without a time the group, that the parameters name.
    pub(crate) fn snapshot(&self) -> SnapshotId {
        SnapshotId {
            store: self.need("store").to_owned(),
            ns: self.ns().to_owned(),
            kind: self.need("backup-type").to_owned(),
            id: self.need("backup-id").to_owned(),
            time: self.int("backup-time").unwrap_or_default(),
        }
    }
}

/// Who may call, decided before the parameters are looked at closely.
pub(crate) enum Rule {
    /// Anybody at all.
    World,
    /// Whoever is logged in; the handler checks the rest.
    User,
    /// All of the rights on a path in which `{name}` is filled in; with `true` any of them.
    Rights(&'static str, u32, bool),
    /// The user that the path names, or whoever has the rights.
    Self_(&'static str, u32),
    /// `root@pam` alone.
    Superuser,
}

pub(crate) type Handler = fn(&Call<'_>) -> Reply;

/// One method of the API.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) rule: Rule,
    pub(crate) params: &'static [Param],
    pub(crate) handler: Handler,
}

/// How an answer is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    ExtJs,
}

/// What goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Vec<u8>,
    /// The body breaks off in its middle.
    pub(crate) truncated: bool,
}

impl Outcome {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            body: body.into(),
            truncated: false,
        }
    }

    pub(crate) fn refusal(error: &Error, format: Format) -> Self {
        match format {
            Format::Json => Self::new(error.status, JSON, error.text.clone()),
            Format::ExtJs => {
                let body = json!({
                    "message": error.text, "status": error.status, "success": false, "errors": {},
                });
                Self::new(200, JSON, body.to_string())
            }
        }
    }

    pub(crate) fn success(answer: Answer, format: Format) -> Self {
        let (value, mut envelope) = match answer {
            Answer::Bytes(kind, bytes) => return Self::new(200, kind, bytes),
            Answer::Whole(value) => return Self::new(200, "application/json", value.to_string()),
            Answer::Text(text) if format == Format::Json => {
                return Self::new(200, JSON, format!("{{\"data\":{text}}}"));
            }
            Answer::Text(text) => (serde_json::from_str(&text).unwrap_or_default(), Map::new()),
            Answer::Data(value) => (value, Map::new()),
            Answer::With(value, extra) => (value, extra),
        };
        envelope.insert("data".into(), value);
        if format == Format::ExtJs {
            envelope.insert("status".into(), json!(200));
            envelope.insert("success".into(), json!(true));
        }
        Self::new(200, JSON, Value::Object(envelope).to_string())
    }

    /// With the date that the server's own clock shows.
    pub(crate) fn into_response(self, now: i64) -> Response<Payload> {
        let mut response = Response::new(Payload::new(self.body, self.truncated));
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        if let Some(kind) = self.content_type {
            let kind = header::HeaderValue::from_static(kind);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        if let Ok(date) = header::HeaderValue::try_from(http_date(now)) {
            response.headers_mut().insert(header::DATE, date);
        }
        response
    }
}
