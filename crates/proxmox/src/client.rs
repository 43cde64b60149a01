//! One server, one identity, one trust, and the single path on which requests travel.
//!
//! Mutations always go out on a fresh connection; only reads may use one that was idle, and only
//! reads are tried a second time. Connections are driven by the request that uses them, so there
//! is no task in the background, and dropping a request closes its connection.

mod address;
mod connection;
pub(crate) mod elements;

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
use connection::{Answer, Connection, Failure, Intake};
use elements::Elements;

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
    /// The longest answer to accept, in bytes, where the request itself sets no other limit.
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

/// The beginning of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its first bytes.
    pub bytes: Bytes,
    /// Whether there was no more.
    pub is_whole: bool,
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

    /// The same, with what the server's clock showed when it answered, in seconds since 1970, where it told.
    pub async fn send_dated<T: DeserializeOwned>(
        &self,
        request: &Request,
    ) -> Result<(T, Option<i64>), Error> {
        let mut intake = Intake::Whole(self.longest(request));
        let answer = self.answer(request, &mut intake).await?;
        let data = decode::data(request, &answer.body, &self.shared.settings.credentials)?;
        Ok((data, answer.date))
    }

    /// Sends a request and returns the body of a successful answer, unread.
    pub async fn exchange(&self, request: &Request) -> Result<Bytes, Error> {
        let mut intake = Intake::Whole(self.longest(request));
        self.answer(request, &mut intake)
            .await
            .map(|answer| answer.body)
    }

    /// Sends a request and returns the beginning of a successful answer's body: at most `most`
    /// bytes. What lies behind them is not read; the connection is given up instead.
    pub async fn head(&self, request: &Request, most: usize) -> Result<Head, Error> {
        let answer = self.answer(request, &mut Intake::Head(most)).await?;
        Ok(Head {
            bytes: answer.body,
            is_whole: answer.is_whole,
        })
    }

    /// Sends a request whose answer is a list, and hands on each element as it comes, in the
    /// server's order. No more than one element is in memory, however long the list is; all of it
    /// is at most as long as the request allows. Returns how many there were.
    ///
    /// # Errors
    /// Those of [`Client::send`]. Elements that came before were handed on: an error means that
    /// they are not all.
    pub async fn each<T: DeserializeOwned>(
        &self,
        request: &Request,
        mut each: impl FnMut(T) + Send,
    ) -> Result<u64, Error> {
        let credentials = &self.shared.settings.credentials;
        let unreadable = |kept: &[u8], source: &serde_json::Error| {
            decode::unreadable_list(request, kept, source, credentials)
        };
        let (mut elements, mut count) = (Elements::default(), 0_u64);
        let mut take = |piece: &[u8]| {
            // What cannot be cut is told by its beginning, what cannot be read by itself.
            let mut failed = None;
            let cut = elements.feed::<serde_json::Error>(piece, &mut |element| {
                match serde_json::from_slice(element) {
                    Ok(value) => each(value),
                    Err(source) => {
                        let error = unreadable(element, &source);
                        failed = Some(error);
                        return Err(source);
                    }
                }
                count += 1;
                Ok(())
            });
            cut.map_err(|source| failed.unwrap_or_else(|| unreadable(piece, &source)))
        };
        self.answer(
            request,
            &mut Intake::Pieces(self.longest(request), &mut take),
        )
        .await?;
        elements
            .finish()
            .map_err(|source| unreadable(b"", &source))?;
        Ok(count)
    }

    fn longest(&self, request: &Request) -> usize {
        request
            .longest_answer()
            .unwrap_or(self.shared.settings.longest_answer)
    }

    async fn answer(&self, request: &Request, intake: &mut Intake<'_>) -> Result<Answer, Error> {
        let started = Instant::now();
        let result = self.attempt(request, intake).await;
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
            return Ok(answer);
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
    async fn attempt(&self, request: &Request, intake: &mut Intake<'_>) -> Result<Answer, Error> {
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
            let tried = tokio::time::timeout(after, self.converse(connection, request, intake));
            match tried.await.map_err(late)? {
                Err(Failure::Lost {
                    answering: false,
                    source,
                    ..
                }) => {
                    tracing::trace!(error = %source, "an idle connection was closed, using a fresh one");
                }
                other => return other.map_err(|failure| Self::failed(request, failure)),
            }
        }
        let tls = tls::connect(&self.shared.connector, &settings.address, timeouts.connect).await?;
        let work = async {
            self.converse(Connection::open(tls).await?, request, intake)
                .await
        };
        tokio::time::timeout(after, work)
            .await
            .map_err(late)?
            .map_err(|failure| Self::failed(request, failure))
    }

    async fn converse(
        &self,
        mut connection: Connection,
        request: &Request,
        intake: &mut Intake<'_>,
    ) -> Result<Answer, Failure> {
        let message = self.message(request).map_err(|source| Failure::Lost {
            sent: false,
            answering: false,
            source: source.into(),
        })?;
        let answer = connection.exchange(message, intake).await?;
        if answer.is_whole && connection.is_reusable() {
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

    fn failed(request: &Request, failure: Failure) -> Error {
        let request = request.to_string();
        match failure {
            Failure::Lost { sent, source, .. } => Error::ConnectionLost {
                request,
                sent,
                source,
            },
            Failure::TooLong(limit) => Error::TooLong { request, limit },
            Failure::Unreadable(error) => error,
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
