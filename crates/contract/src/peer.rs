//! Speaking to the server: one pinned connection at a time, credentials of one principal, every answer whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::CONTENT_TYPE;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::http::{Answer, Request};
use crate::place::Place;
use crate::product::Product;
use crate::target::{Principal, Target};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Nobody there.
    #[error("can't reach {0}")]
    Connect(String, #[source] std::io::Error),
    /// Not the pinned server, or no TLS at all.
    #[error("no TLS with {0}")]
    Tls(String, #[source] std::io::Error),
    /// The pin cannot be set up.
    #[error("TLS can't be set up")]
    Setup(#[source] rustls::Error),
    /// A request that cannot be written.
    #[error("this is no request")]
    Request(#[source] hyper::http::Error),
    /// The connection broke.
    #[error("the connection broke before the answer was whole")]
    Broken(#[source] hyper::Error),
    /// Nothing came.
    #[error("no answer within {0:?}")]
    Silence(Duration),
    /// Not let in.
    #[error("`{user}` can't log in: {text}")]
    Login {
        /// Who.
        user: String,
        /// What the server said.
        text: String,
    },
}

/// A synchronous call of PVE may take the 30 s that pveproxy waits for pvedaemon, and a 401 another three.
const PATIENCE: Duration = Duration::from_secs(45);
const CSRF: &str = "CSRFPreventionToken";
/// pveproxy closes connections that were idle for 5 s.
const FRESH: Duration = Duration::from_secs(3);

/// The server.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) product: Product,
    place: Place,
    tls: TlsConnector,
}

impl Peer {
    pub(crate) fn new(target: &Target) -> Result<Self, PeerError> {
        let config =
            crate::pin::pinned(*target.fingerprint.as_bytes()).map_err(PeerError::Setup)?;
        Ok(Self {
            product: target.product,
            place: target.place.clone(),
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, PeerError> {
        let (host, port) = (self.place.host.clone(), self.place.port);
        let url = self.place.url();
        let stream = TcpStream::connect((host.as_str(), port))
            .await
            .map_err(|error| PeerError::Connect(url.clone(), error))?;
        let name = ServerName::try_from(host)
            .map_err(|error| PeerError::Tls(url.clone(), std::io::Error::other(error)))?;
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.map_err(|error| PeerError::Tls(url, error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(PeerError::Broken)?;
        drop(tokio::spawn(async move {
            // Its trouble shows in the request that uses it.
            connection.await.ok()
        }));
        Ok(sender)
    }

    /// Somebody with fixed headers.
    pub(crate) fn with_headers(&self, headers: Vec<(String, SecretString)>) -> Client {
        Client {
            peer: self.clone(),
            headers,
            renewal: None,
            open: None,
        }
    }

    /// A principal, logged in where it needs that.
    pub(crate) async fn client(&self, who: &Principal) -> Result<Client, PeerError> {
        match who {
            Principal::Token { id, secret } => {
                Ok(self.with_headers(vec![self.product.token_header(id, secret)]))
            }
            Principal::Ticket { user, password } => self.login(user, password).await,
        }
    }

    async fn login(&self, user: &str, password: &SecretString) -> Result<Client, PeerError> {
        let mut client = self.with_headers(Vec::new());
        client.headers = self.ticket(user, password).await?;
        client.renewal = Some((user.to_owned(), password.clone()));
        Ok(client)
    }

    /// The headers of a new ticket.
    async fn ticket(
        &self,
        user: &str,
        password: &SecretString,
    ) -> Result<Vec<(String, SecretString)>, PeerError> {
        let form = vec![
            ("username".to_owned(), user.to_owned()),
            ("password".to_owned(), password.expose_secret().to_owned()),
        ];
        let request = Request::new("POST", "/access/ticket", form);
        let mut sender = self.connect().await?;
        let answer = self
            .with_headers(Vec::new())
            .on(&mut sender, &request)
            .await?;
        let data = answer.data();
        let text = |name: &str| data.get(name).and_then(serde_json::Value::as_str);
        match (text("ticket"), text("CSRFPreventionToken")) {
            (Some(ticket), Some(csrf)) => {
                // As browsers send it. A server would also undo percent-encoding, others do not.
                let cookie = self.product.cookie(ticket);
                let csrf = SecretString::from(csrf.to_owned());
                Ok(vec![
                    ("Cookie".into(), SecretString::from(cookie)),
                    (CSRF.into(), csrf),
                ])
            }
            _ => Err(PeerError::Login {
                user: user.to_owned(),
                text: answer.text(),
            }),
        }
    }
}

/// One principal's voice.
pub(crate) struct Client {
    peer: Peer,
    headers: Vec<(String, SecretString)>,
    /// User and password, where the headers are a ticket, which ends after two hours.
    renewal: Option<(String, SecretString)>,
    open: Option<(SendRequest<Full<Bytes>>, Instant)>,
}

impl Client {
    /// Sends a request and reads the whole answer. Nothing that changes the world is ever sent twice, but for a request
    /// that was turned away because its ticket had ended.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<Answer, PeerError> {
        let answer = self.send_once(request).await?;
        let Some((user, password)) = self.renewal.clone().filter(|_| answer.status == 401) else {
            return Ok(answer);
        };
        self.headers = self.peer.ticket(&user, &password).await?;
        self.send_once(request).await
    }

    /// A request that only looks is tried on a new connection when a used one broke.
    async fn send_once(&mut self, request: &Request) -> Result<Answer, PeerError> {
        let reused = self.open.take().filter(|(sender, used)| {
            request.is_read() && !sender.is_closed() && used.elapsed() < FRESH
        });
        if let Some((mut sender, _)) = reused
            && let Ok(answer) = self.on(&mut sender, request).await
        {
            self.keep(sender, &answer);
            return Ok(answer);
        }
        let mut sender = self.peer.connect().await?;
        let answer = self.on(&mut sender, request).await?;
        self.keep(sender, &answer);
        Ok(answer)
    }

    /// The same without the token that protects a ticket against forged requests.
    pub(crate) fn without_csrf(mut self) -> Self {
        self.headers.retain(|(name, _)| name != CSRF);
        self.renewal = None;
        self
    }

    fn keep(&mut self, sender: SendRequest<Full<Bytes>>, answer: &Answer) {
        // PVE closes the connection after every answer that is an error.
        if answer.status < 400 {
            self.open = Some((sender, Instant::now()));
        }
    }

    async fn on(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        request: &Request,
    ) -> Result<Answer, PeerError> {
        let (uri, body) = request.wire();
        let mut built = hyper::Request::builder()
            .method(request.method.as_str())
            .uri(uri)
            .header(
                "Host",
                format!("{}:{}", self.peer.place.host, self.peer.place.port),
            );
        for (name, value) in &self.headers {
            built = built.header(name.as_str(), value.expose_secret());
        }
        for (name, value) in &request.headers {
            built = built.header(name.as_str(), value.as_str());
        }
        let text = body.map(|(kind, text)| (kind, Bytes::from(text)));
        let built = match text {
            Some((kind, text)) => built.header(CONTENT_TYPE, kind).body(Full::new(text)),
            None => built.body(Full::default()),
        };
        let built = built.map_err(PeerError::Request)?;
        let exchange = async {
            let response = sender
                .send_request(built)
                .await
                .map_err(PeerError::Broken)?;
            whole(self.peer.product, response).await
        };
        timeout(PATIENCE, exchange)
            .await
            .unwrap_or(Err(PeerError::Silence(PATIENCE)))
    }
}

async fn whole(
    product: Product,
    response: hyper::Response<hyper::body::Incoming>,
) -> Result<Answer, PeerError> {
    let (parts, body) = response.into_parts();
    let phrase = parts.extensions.get::<hyper::ext::ReasonPhrase>();
    let reason = match phrase {
        Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
        None => parts
            .status
            .canonical_reason()
            .unwrap_or_default()
            .to_owned(),
    };
    let kind = parts.headers.get(CONTENT_TYPE);
    let content_type = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let body = body.collect().await.map_err(PeerError::Broken)?.to_bytes();
    Ok(Answer {
        product,
        status: parts.status.as_u16(),
        reason,
        content_type,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
