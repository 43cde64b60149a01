//! One HTTP/1.1 connection, driven by whoever uses it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, DATE, HeaderMap, TRANSFER_ENCODING};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::error::Error;

type Driver = http1::Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>>;

/// A body is seldom longer than this, so there is no point in reserving more before it comes.
const RESERVE: usize = 64 << 10;

/// So much of a refusal is read, however long a success may be: more than anybody reads.
const REFUSAL: usize = 1 << 20;

pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// None once it has ended.
    driver: Option<Box<Driver>>,
    idle_since: Instant,
}

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The status line's text where it is not the standard one.
    pub(super) reason: Option<Bytes>,
    pub(super) body: Bytes,
    /// The server's clock when it answered, in seconds since 1970.
    pub(super) date: Option<i64>,
    /// Whether the body is all there was.
    pub(super) is_whole: bool,
}

/// What becomes of the body of a success. Of a refusal's the beginning is kept.
pub(super) enum Intake<'a> {
    /// All of it is kept; more than this many bytes are an error.
    Whole(usize),
    /// At most this many bytes are kept, and the rest is not waited for.
    Head(usize),
    /// It is handed on as it comes; more than this many bytes are an error.
    Pieces(
        usize,
        &'a mut (dyn FnMut(&[u8]) -> Result<(), Error> + Send),
    ),
}

impl Intake<'_> {
    fn most(&self) -> usize {
        match self {
            Self::Whole(most) | Self::Head(most) | Self::Pieces(most, _) => *most,
        }
    }
}

/// Why there is no answer.
pub(super) enum Failure {
    /// The connection broke.
    Lost {
        /// Whether any of the request may have left.
        sent: bool,
        /// Whether an answer had begun.
        answering: bool,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is longer than this.
    TooLong(usize),
    /// Whoever takes the pieces cannot read them.
    Unreadable(Error),
    /// What came is not HTTP/1.
    NotHttp(hyper::Error),
}

impl Failure {
    fn unsent(source: hyper::Error) -> Self {
        Self::Lost {
            sent: false,
            answering: false,
            source: source.into(),
        }
    }

    fn after_sending(error: hyper::Error, answering: bool) -> Self {
        if error.is_parse() {
            Self::NotHttp(error)
        } else {
            Self::Lost {
                sent: true,
                answering,
                source: error.into(),
            }
        }
    }
}

impl Connection {
    /// Makes HTTP of a TLS stream; nothing is sent yet.
    pub(super) async fn open(stream: TlsStream<TcpStream>) -> Result<Self, Failure> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Failure::unsent)?;
        Ok(Self {
            sender,
            driver: Some(Box::new(driver)),
            idle_since: Instant::now(),
        })
    }

    /// Sends a request and reads its answer.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        intake: &mut Intake<'_>,
    ) -> Result<Answer, Failure> {
        let Self {
            sender,
            driver,
            idle_since,
        } = self;
        let work = async {
            sender.ready().await.map_err(Failure::unsent)?;
            let response = sender
                .try_send_request(request)
                .await
                .map_err(|mut refused| {
                    // Handed back whole: not a byte of it was written.
                    let sent = refused.take_message().is_none();
                    let error = refused.into_error();
                    if sent {
                        Failure::after_sending(error, false)
                    } else {
                        Failure::unsent(error)
                    }
                })?;
            read(response, intake).await
        };
        let answer = drive(driver, work).await;
        // One more look lets the connection notice that the answer is through, and whether the
        // server closes; nobody waits for it.
        drive(driver, std::future::ready(())).await;
        *idle_since = Instant::now();
        answer
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }
}

/// Polls the connection along with the work that waits for it.
async fn drive<F: Future>(driver: &mut Option<Box<Driver>>, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Some(running) = driver.as_mut()
            && let std::task::Poll::Ready(ended) = Pin::new(running).poll(context)
        {
            // What went wrong also reaches the work, through the channel between the two.
            if let Err(error) = ended {
                tracing::trace!(%error, "connection ended");
            }
            *driver = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

async fn read(
    response: http::Response<Incoming>,
    intake: &mut Intake<'_>,
) -> Result<Answer, Failure> {
    let (head, mut incoming) = response.into_parts();
    let mut refusal = Intake::Head(REFUSAL);
    let intake = if head.status.is_success() {
        intake
    } else {
        &mut refusal
    };
    let longest = intake.most();
    let is_chunked = head.headers.contains_key(TRANSFER_ENCODING);
    let announced = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > longest) && !matches!(intake, Intake::Head(_)) {
        return Err(Failure::TooLong(longest));
    }
    let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(RESERVE).min(longest));
    let (mut length, mut is_whole) = (0_usize, true);
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    length = length.saturating_add(data.len());
                    match intake {
                        Intake::Head(most) if length > *most => {
                            let rest = most.saturating_sub(body.len());
                            body.extend_from_slice(data.get(..rest).unwrap_or(data));
                            is_whole = false;
                            break;
                        }
                        Intake::Whole(most) | Intake::Pieces(most, _) if length > *most => {
                            return Err(Failure::TooLong(*most));
                        }
                        Intake::Whole(_) | Intake::Head(_) => body.extend_from_slice(data),
                        Intake::Pieces(_, take) => take(data).map_err(Failure::Unreadable)?,
                    }
                }
            }
            // A refusal is one even when its body broke off. And pveproxy ends bodies without a
            // length by closing the connection, at times without TLS' good-bye: that is no
            // truncation, and if it is one, the JSON has no end. What comes in chunks says itself
            // where it ends.
            Err(_) if head.status.as_u16() >= 400 => break,
            Err(error) if announced.is_none() && !is_chunked && is_abrupt_end(&error) => break,
            Err(error) => return Err(Failure::after_sending(error, true)),
        }
    }
    let reason = head.extensions.get::<ReasonPhrase>();
    let reason = reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes()));
    Ok(Answer {
        status: head.status,
        reason,
        body: body.freeze(),
        date: date(&head.headers),
        is_whole,
    })
}

/// The `Date` of an answer: `Sun, 22 Nov 2026 23:35:35 GMT`.
fn date(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    parsed.ok().map(jiff::Timestamp::as_second)
}

fn is_abrupt_end(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_read_where_it_is_one() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, http::HeaderValue::from_static(text));
            date(&headers)
        };
        assert_eq!(of("Sun, 22 Nov 2026 23:35:35 GMT"), Some(1_795_390_535));
        assert_eq!(of("yesterday"), None);
        assert_eq!(date(&HeaderMap::new()), None);
    }
}
