//! One request and its whole answer, as they stand on the wire: nothing is interpreted that a question may ask about.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::product::Product;

/// Everything but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes a value for a path segment, a query or a form.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// What to send besides method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// Nothing.
    None,
    /// A form; in the query where the method has no body.
    Form(Vec<(String, String)>),
    /// Literal text under a content type.
    Raw {
        /// `Content-Type`.
        kind: String,
        /// The text.
        text: String,
    },
}

/// A request of the API, without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Below `/api2/json`, percent-encoded.
    pub(crate) path: String,
    pub(crate) body: Body,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path, Vec::new())
    }

    pub(crate) fn new(method: &str, path: &str, form: Vec<(String, String)>) -> Self {
        let body = if form.is_empty() {
            Body::None
        } else {
            Body::Form(form)
        };
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            body,
            headers: Vec::new(),
        }
    }

    /// Whether it only looks.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    /// The value of a form parameter.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        let Body::Form(form) = &self.body else {
            return None;
        };
        let found = form.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Path and query as sent, and the body with its content type.
    pub(crate) fn wire(&self) -> (String, Option<(String, String)>) {
        let uri = format!("/api2/json{}", self.path);
        match &self.body {
            Body::None => (uri, None),
            Body::Raw { kind, text } => (uri, Some((kind.clone(), text.clone()))),
            Body::Form(form) => {
                let pairs: Vec<String> = form
                    .iter()
                    .map(|(key, value)| format!("{}={}", encoded(key), encoded(value)))
                    .collect();
                let pairs = pairs.join("&");
                if matches!(self.method.as_str(), "POST" | "PUT") {
                    let kind = "application/x-www-form-urlencoded".to_owned();
                    return (uri, Some((kind, pairs)));
                }
                let join = if uri.contains('?') { '&' } else { '?' };
                (format!("{uri}{join}{pairs}"), None)
            }
        }
    }

    /// For people: method, path and parameters.
    pub(crate) fn shown(&self) -> String {
        let mut text = format!("{} {}", self.method, self.path);
        match &self.body {
            Body::None => {}
            Body::Raw { text: raw, .. } => {
                let _infallible = write!(text, " body {raw:?}");
            }
            Body::Form(form) => {
                for (key, value) in form {
                    let hidden = key.contains("password");
                    let value = if hidden { "…" } else { value.as_str() };
                    let _infallible = write!(text, " {key}={value:?}");
                }
            }
        }
        text
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Whose answer it is.
    pub(crate) product: Product,
    pub(crate) status: u16,
    /// Text of the status line.
    pub(crate) reason: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    /// What came when the connection was closed instead.
    pub(crate) fn none(product: Product) -> Self {
        Self {
            product,
            status: 0,
            reason: "no answer".into(),
            content_type: None,
            body: String::new(),
        }
    }

    /// The body, where it is JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }

    /// The envelope's `data`.
    pub(crate) fn data(&self) -> Value {
        let body = self.json().unwrap_or(Value::Null);
        body.get("data").cloned().unwrap_or(Value::Null)
    }

    /// The error text, wherever this server puts it.
    pub(crate) fn text(&self) -> String {
        self.product.error_text(self)
    }

    /// The envelope's `errors`.
    pub(crate) fn errors(&self) -> Option<Value> {
        self.json()?.get("errors").cloned()
    }

    /// The UPID it answers, if it is one.
    pub(crate) fn upid(&self) -> Option<String> {
        let data = self.data();
        let text = data.as_str()?;
        text.starts_with("UPID:").then(|| text.to_owned())
    }
}
