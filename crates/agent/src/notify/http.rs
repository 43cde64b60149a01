//! One request to somebody on the web: a connection of its own, nothing followed, and of the answer only what it says of success.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use super::error::SendError;
use super::reach::{self, Patience};
use super::trust;
use super::url::WebUrl;

/// What is sent.
pub(super) struct Letter {
    pub(super) method: Method,
    pub(super) headers: Vec<(&'static str, HeaderValue)>,
    pub(super) body: Bytes,
}

/// A header whose value is shown nowhere.
pub(super) fn secret_header(value: &str) -> Result<HeaderValue, SendError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SendError::unsent("the secret has characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A header of our own making.
pub(super) fn header(value: &str) -> Result<HeaderValue, SendError> {
    HeaderValue::from_str(value).map_err(|_| SendError::unsent("a header cannot be written"))
}

/// Sends it, and waits until it is taken.
pub(super) async fn send(
    url: &WebUrl,
    ca_file: Option<&Path>,
    letter: Letter,
    patience: Patience,
) -> Result<(), SendError> {
    let place = url.place();
    let request = request(url, letter)?;
    // Before anything is connected: a bad file is told without asking anybody.
    let connector = url.secure.then(|| trust::connector(ca_file)).transpose()?;
    let reaching = async {
        let addresses = reach::addresses(&url.host, url.port, &place).await?;
        reach::first_of(&addresses, patience.share(), &place).await
    };
    let stream = patience.before(&place, reaching).await?;
    let Some(connector) = connector else {
        let asking = exchange(stream, request, &place);
        return patience.after(&place, asking).await;
    };
    let name = ServerName::try_from(url.host.clone())
        .map_err(|_| SendError::unsent(format!("{place} is no name that a certificate is for")))?;
    let trusting = async {
        connector.connect(name, stream).await.map_err(|error| {
            SendError::unsent(format!(
                "{place} is not trusted or does not speak TLS: {error}"
            ))
            .because("a certificate of your own making is trusted by `ca_file`")
        })
    };
    let stream = patience.before(&place, trusting).await?;
    let asking = exchange(stream, request, &place);
    patience.after(&place, asking).await
}

fn request(url: &WebUrl, letter: Letter) -> Result<Request<Full<Bytes>>, SendError> {
    let mut request = Request::builder()
        .method(letter.method)
        .uri(url.path.as_str())
        .header(HOST, host(url))
        .header(
            USER_AGENT,
            concat!("felhom-agent/", env!("CARGO_PKG_VERSION")),
        );
    for (name, value) in letter.headers {
        request = request.header(name, value);
    }
    request
        .body(Full::new(letter.body))
        .map_err(|_| SendError::unsent("the request cannot be written"))
}

fn host(url: &WebUrl) -> String {
    let place = url.place();
    let usual = if url.secure { ":443" } else { ":80" };
    place
        .strip_suffix(usual)
        .map(str::to_owned)
        .unwrap_or(place)
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>, place: &str) -> Result<(), SendError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let cut = |error: hyper::Error| SendError::unsure(format!("{place} did not answer: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(cut)?;
    let asked = sender.send_request(request);
    tokio::pin!(connection, asked);
    // The connection is driven beside the request; when it ends first, the request ends with it.
    let answer = tokio::select! {
        answer = &mut asked => answer,
        driven = &mut connection => match driven {
            Ok(()) => asked.await,
            Err(error) => Err(error),
        },
    };
    let answer = answer.map_err(cut)?;
    let status = answer.status().as_u16();
    if answer.status().is_success() {
        return Ok(());
    }
    let wait = answer.headers().get(RETRY_AFTER);
    let wait = wait.and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
    Err(SendError::status(
        place,
        status,
        wait.map(Duration::from_secs),
    ))
}
