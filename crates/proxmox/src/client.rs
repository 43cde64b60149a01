//! One server, one identity, one trust, and the single path on which requests travel.
//!
//! Mutations always go out on a fresh connection; only reads may use one that was idle, and only
//! reads are tried a second time. Connections are driven by the request that uses them, so there
//! is no task in the background, and dropping a request closes its connection.

mod address;
mod connection;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::credentials::{CSRF, Credentials};
use crate::decode;
use crate::encode::{Method, Request};
use crate::error::{Error, Phase};
use crate::tls::{self, Trust};

pub use address::{Address, InvalidAddress};
use connection::{Answer, Connection, Failure};

/// Idle connections kept. PVE has few workers and many clients.
const IDLE: usize = 2;

/// pveproxy drops an idle connection after 5 s; one that is nearly that old is not worth a try.
const IDLE_FOR: Duration = Duration::from_secs(4);

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection, and again for the handshake.
    pub connect: Duration,
    /// From sending a request to the end of its answer. pveproxy itself gives up after 30 s.
    pub request: Duration,
    /// The same for requests that look into a storage.
    pub slow_request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_mins(1),
            // Listing an encrypted store of thousands of backups takes PVE tens of seconds.
            slow_request: Duration::from_mins(3),
        }
    }
}

/// Everything that a [`Client`] is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the server is.
    pub address: Address,
    /// Who we are to it.
    pub credentials: Credentials,
    /// What makes it the right one.
    pub trust: Trust,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// The longest answer to accept.
    pub longest_answer: usize,
}

impl Settings {
    /// Settings with the usual limits.
    pub fn new(address: Address, credentials: impl Into<Credentials>, trust: Trust) -> Self {
        Self {
            address,
            credentials: credentials.into(),
            trust,
            timeouts: Timeouts::default(),
            longest_answer: 32 << 20,
        }
    }
}

/// A connection to one server as one identity. Cloning it is cheap and shares the idle connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    connector: TlsConnector,
    authorization: Option<(HeaderName, HeaderValue)>,
    csrf: Option<HeaderValue>,
    host: HeaderValue,
    idle: Mutex<Vec<Connection>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Checks the settings; connects to nothing yet.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let connector = settings.trust.connector()?;
        let authorization = settings.credentials.header()?;
        let csrf = settings.credentials.csrf()?;
        let host =
            HeaderValue::from_str(&settings.address.to_string()).map_err(|_| Error::Trust {
                what: "the address is no host name".to_owned(),
            })?;
        let idle = Mutex::new(Vec::with_capacity(IDLE));
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                connector,
                authorization,
                csrf,
                host,
                idle,
            }),
        })
    }

    /// What the client was made with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Sends a request and reads the `data` of its answer.
    pub async fn send<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Error> {
        let body = self.exchange(request).await?;
        decode::data(request, &body, &self.shared.settings.credentials)
    }

    /// Sends a request and returns the body of a successful answer, unread.
    pub async fn exchange(&self, request: &Request) -> Result<Bytes, Error> {
        let started = Instant::now();
        let result = self.attempt(request).await;
        let status = result.as_ref().map_or(0, |answer| answer.status.as_u16());
        tracing::debug!(
            method = request.method().as_str(),
            path = request.path(),
            http.status = status,
            duration_ms = started.elapsed().as_millis(),
            "request"
        );
        let answer = result?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(Error::refused(
            request,
            answer.status.as_u16(),
            answer.reason.as_deref(),
            &answer.body,
            &self.shared.settings.credentials,
        ))
    }

    /// On an idle connection if allowed and there is one, else, or if that one broke, on a fresh one.
    async fn attempt(&self, request: &Request) -> Result<Answer, Error> {
        let settings = &self.shared.settings;
        let timeouts = &settings.timeouts;
        let after = if request.is_slow() {
            timeouts.slow_request
        } else {
            timeouts.request
        };
        let late = |_| Error::Timeout {
            request: request.to_string(),
            phase: Phase::Answer,
            after,
        };
        if !request.needs_fresh_connection()
            && let Some(connection) = self.take_idle()
        {
            let tried = tokio::time::timeout(after, self.converse(connection, request));
            match tried.await.map_err(late)? {
                Err(Failure::Lost {
                    answering: false,
                    source,
                    ..
                }) => {
                    tracing::trace!(error = %source, "an idle connection was closed, using a fresh one");
                }
                other => return other.map_err(|failure| self.failed(request, failure)),
            }
        }
        let tls = tls::connect(&self.shared.connector, &settings.address, timeouts.connect).await?;
        let work = async { self.converse(Connection::open(tls).await?, request).await };
        tokio::time::timeout(after, work)
            .await
            .map_err(late)?
            .map_err(|failure| self.failed(request, failure))
    }

    async fn converse(
        &self,
        mut connection: Connection,
        request: &Request,
    ) -> Result<Answer, Failure> {
        let message = self.message(request).map_err(|source| Failure::Lost {
            sent: false,
            answering: false,
            source: source.into(),
        })?;
        let answer = connection
            .exchange(message, self.shared.settings.longest_answer)
            .await?;
        if connection.is_reusable() {
            self.keep(connection);
        }
        Ok(answer)
    }

    fn message(&self, request: &Request) -> Result<http::Request<Full<Bytes>>, http::Error> {
        let uri: Uri = format!("/api2/json{}", request.target()).try_into()?;
        let mut message = http::Request::builder()
            .method(request.method().as_str())
            .uri(uri)
            .header(HOST, &self.shared.host)
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = &self.shared.authorization {
            message = message.header(name, value);
        }
        if let Some(csrf) = &self.shared.csrf
            && request.method() != Method::Get
        {
            message = message.header(CSRF, csrf);
        }
        if !request.method().has_body() {
            return message.body(Full::default());
        }
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let body = Bytes::copy_from_slice(request.params().as_bytes());
        message.header(CONTENT_TYPE, form).body(Full::new(body))
    }

    fn failed(&self, request: &Request, failure: Failure) -> Error {
        let request = request.to_string();
        match failure {
            Failure::Lost { sent, source, .. } => Error::ConnectionLost {
                request,
                sent,
                source,
            },
            Failure::TooLong => Error::TooLong {
                request,
                limit: self.shared.settings.longest_answer,
            },
            Failure::NotHttp(source) => Error::Decode {
                request,
                what: "an HTTP/1.1 answer",
                kept: String::new(),
                source: source.into(),
            },
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self
            .shared
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| connection.idle_for() < IDLE_FOR);
        idle.pop()
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self
            .shared
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }
}
