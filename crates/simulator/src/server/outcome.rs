//! What is answered, apart from how it goes over the wire: status line, headers, envelopes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::call::{Answer, ApiError};
use crate::sim::Sim;

const JSON: &str = "application/json;charset=UTF-8";

/// An answer before it is put on the wire.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    /// The text behind the status; only its first line is sent. None gives the usual phrase.
    pub(crate) reason: Option<String>,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Vec<u8>,
    /// The body breaks off in its middle.
    pub(crate) is_truncated: bool,
}

/// How API answers are wrapped: `/api2/json`, `/api2/extjs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    ExtJs,
}

impl Outcome {
    /// An answer without a body.
    pub(crate) fn bare(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: Some(reason.into()),
            content_type: None,
            body: Vec::new(),
            is_truncated: false,
        }
    }

    /// A refusal of the HTTP layer whose text is the untyped body as well.
    pub(crate) fn refusal(status: u16, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            body: reason.clone().into_bytes(),
            ..Self::bare(status, reason)
        }
    }

    pub(crate) fn document(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            reason: None,
            content_type: Some(content_type),
            body: body.into(),
            is_truncated: false,
        }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            ..Self::document(JSON, value.to_string())
        }
    }

    /// The envelope round a successful answer.
    pub(crate) fn success(answer: Answer, format: Format) -> Self {
        let mut envelope = Map::new();
        match answer {
            Answer::Data(data) => {
                envelope.insert("data".into(), data);
            }
            Answer::Total(data, total) => {
                envelope.insert("data".into(), data);
                // A total of zero is left out, as every false value is.
                if total > 0 {
                    envelope.insert("total".into(), total.into());
                }
            }
            Answer::Changes(data, changes) => {
                envelope.insert("data".into(), data);
                envelope.insert("changes".into(), changes.into());
            }
            Answer::Raw(content_type, body) => return Self::document(content_type, body),
            // The request handler waits for late answers before it wraps them.
            Answer::Later(_) => return Self::failure(&ApiError::die("late answer"), format),
        }
        if format == Format::ExtJs {
            envelope.insert("success".into(), 1.into());
        }
        Self::json(200, &Value::Object(envelope))
    }

    /// The envelope round a refused call.
    pub(crate) fn failure(error: &ApiError, format: Format) -> Self {
        let mut message = error.message.clone();
        // Unknown methods are the one text that is not built with a newline.
        if error.status != 501 && !message.ends_with('\n') {
            message.push('\n');
        }
        let mut envelope = json!({ "data": null, "message": message });
        if let Value::Object(fields) = &mut envelope {
            if !error.errors.is_empty() {
                fields.insert("errors".into(), json!(error.errors));
            }
            if format == Format::ExtJs {
                fields.insert("success".into(), 0.into());
                fields.insert("status".into(), error.status.into());
            }
        }
        match format {
            Format::ExtJs => Self::json(200, &envelope),
            Format::Json => Self {
                reason: Some(error.message.clone()),
                ..Self::json(error.status, &envelope)
            },
        }
    }

    /// The answer to plain HTTP: 301 for GET, 308 for methods whose body must be sent again.
    pub(crate) fn redirect_to_tls(request: &Request<Incoming>, port: u16) -> Response<Payload> {
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.map_or_else(|| format!("localhost:{port}"), str::to_owned);
        let status = if request.method() == Method::GET {
            StatusCode::MOVED_PERMANENTLY
        } else {
            StatusCode::PERMANENT_REDIRECT
        };
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let mut response = Response::new(Payload::new(Vec::new(), false));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Ok(location) = HeaderValue::try_from(format!("https://{host}{path}")) {
            headers.insert(header::LOCATION, location);
        }
        response
    }

    /// Status line and headers as `pveproxy` writes them.
    pub(crate) fn into_response(mut self, sim: &Sim, is_last: bool) -> Response<Payload> {
        let reason = self
            .reason
            .as_deref()
            .map(|reason| reason.lines().next().unwrap_or_default());
        let phrase = reason.map(|reason| ReasonPhrase::try_from(reason.as_bytes()));
        // A text that does not fit into a status line makes the whole answer a bare 400.
        let phrase = match phrase {
            Some(Err(_)) => {
                self = Self::bare(400, "");
                None
            }
            Some(Ok(phrase)) => Some(phrase),
            None => None,
        };
        let length = self.body.len();
        let mut response = Response::new(Payload::new(self.body, self.is_truncated));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(phrase) = phrase {
            response.extensions_mut().insert(phrase);
        }
        let keeps_alive = self.status < 400 && !is_last && !self.is_truncated;
        let headers = response.headers_mut();
        common_headers(headers, sim);
        headers.insert(
            header::CONNECTION,
            HeaderValue::from_static(if keeps_alive { "Keep-Alive" } else { "close" }),
        );
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if length > 0 {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }
}

fn common_headers(headers: &mut HeaderMap, sim: &Sim) {
    headers.insert(
        header::SERVER,
        HeaderValue::from_static("pve-api-daemon/3.0"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    // A node's `Date` shows its own clock, wrong or not.
    if let Ok(date) = HeaderValue::try_from(http_date(sim.clock.shown())) {
        headers.insert(header::DATE, date.clone());
        headers.insert(header::EXPIRES, date);
    }
}

pub(crate) fn http_date(now: i64) -> String {
    let time = jiff::Timestamp::from_second(now).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A body that is sent whole, or breaks off.
#[derive(Debug)]
pub(crate) struct Payload {
    rest: Option<Bytes>,
    is_truncated: bool,
}

impl Payload {
    pub(crate) fn new(body: Vec<u8>, is_truncated: bool) -> Self {
        let mut body = Bytes::from(body);
        if is_truncated {
            body.truncate(body.len() / 2);
        }
        Self {
            rest: (!body.is_empty()).then_some(body),
            is_truncated,
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = self.rest.take().map(|bytes| Ok(Frame::data(bytes)));
        if next.is_none() && self.is_truncated {
            return Poll::Ready(Some(Err(io::Error::other(
                "the answer is cut in its middle",
            ))));
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && !self.is_truncated
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.rest.as_ref().map_or(0, Bytes::len);
        if self.is_truncated {
            SizeHint::new()
        } else {
            SizeHint::with_exact(u64::try_from(left).unwrap_or_default())
        }
    }
}
