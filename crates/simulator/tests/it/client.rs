//! A small HTTPS client that trusts one certificate by its fingerprint, and a world to point it at.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use felhom_simulator::{Options, Running, Scenario, Simulator, Time};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A world in a directory of its own.
pub(crate) struct World {
    pub(crate) running: Running,
    pub(crate) dir: TempDir,
}

/// How much faster than life test worlds run, so that the delay of a 401 is three hundredths of a second.
pub(crate) const SPEED: Time = Time::Scaled(100.0);

impl World {
    pub(crate) async fn start(scenario: Scenario, time: Time) -> Self {
        let dir = TempDir::new().unwrap();
        let running = Simulator::start(Options {
            scenario,
            time,
            ..Options::new(dir.path())
        })
        .await
        .unwrap();
        Self { running, dir }
    }

    /// A node without guests, at test speed.
    pub(crate) async fn virgin() -> Self {
        Self::start(Scenario::Virgin, SPEED).await
    }

    /// Nobody in particular.
    pub(crate) fn anonymous(&self) -> Client {
        Client {
            address: self.running.address(),
            fingerprint: self.running.fingerprint(),
            headers: Vec::new(),
        }
    }

    /// With a token.
    pub(crate) fn token(&self, id: &str, secret: &str) -> Client {
        let mut client = self.anonymous();
        client
            .headers
            .push(("Authorization", format!("PVEAPIToken={id}={secret}")));
        client
    }

    /// With a token that exists.
    pub(crate) fn as_token(&self, id: &str) -> Client {
        self.token(id, &self.running.tokens()[id])
    }

    /// Logged in as `root@pam`.
    pub(crate) async fn root(&self) -> Client {
        let password = self.running.passwords()["root@pam"].clone();
        self.login("root@pam", &password).await
    }

    pub(crate) async fn login(&self, user: &str, password: &str) -> Client {
        let mut client = self.anonymous();
        let answer = client
            .post(
                "/access/ticket",
                &[("username", user), ("password", password)],
            )
            .await;
        let data = answer.data();
        client.headers.push((
            "Cookie",
            format!("PVEAuthCookie={}", data["ticket"].as_str().unwrap()),
        ));
        client.headers.push((
            "CSRFPreventionToken",
            data["CSRFPreventionToken"].as_str().unwrap().to_owned(),
        ));
        client
    }

    /// A user with a token, neither granted anything; answers a client with the token.
    pub(crate) async fn principal(&self, user: &str, token: &str) -> Client {
        let root = self.root().await;
        root.post("/access/users", &[("userid", user)]).await.ok();
        let answer = root
            .post(&format!("/access/users/{user}/token/{token}"), &[])
            .await;
        self.token(
            &format!("{user}!{token}"),
            answer.data()["value"].as_str().unwrap(),
        )
    }
}

/// Sends requests with fixed credentials.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) fingerprint: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    #[track_caller]
    pub(crate) fn ok(&self) {
        assert_eq!(self.status, 200, "{} {:?}", self.reason, self.body);
    }

    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        self.ok();
        self.json()["data"].clone()
    }

    /// Asserts status and reason phrase.
    #[track_caller]
    pub(crate) fn says(&self, status: u16, reason: &str) {
        assert_eq!(
            (self.status, self.reason.as_str()),
            (status, reason),
            "{:?}",
            self.body
        );
    }
}

pub(crate) fn form(params: &[(&str, &str)]) -> String {
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = params
        .iter()
        .map(|(key, value)| format!("{}={}", escape(key), escape(value)))
        .collect();
    pairs.join("&")
}

impl Client {
    pub(crate) fn with(&self, header: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(name, _)| *name != header);
        other.headers.push((header, value.to_owned()));
        other
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", &format!("/api2/json{path}"), "").await
    }

    pub(crate) async fn post(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        self.send("POST", &format!("/api2/json{path}"), &form(params))
            .await
    }

    pub(crate) async fn put(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        self.send("PUT", &format!("/api2/json{path}"), &form(params))
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", &format!("/api2/json{path}"), "").await
    }

    /// Sends a form, or no body where it is empty.
    pub(crate) async fn send(&self, method: &str, uri: &str, body: &str) -> Answer {
        self.try_send(method, uri, "application/x-www-form-urlencoded", body)
            .await
            .unwrap()
    }

    pub(crate) async fn try_send(
        &self,
        method: &str,
        uri: &str,
        kind: &str,
        body: &str,
    ) -> Result<Answer, hyper::Error> {
        let mut connection = self.connect().await;
        self.on(&mut connection, method, uri, kind, body).await
    }

    /// Sends on a connection that is open already.
    pub(crate) async fn on(
        &self,
        connection: &mut SendRequest<Full<Bytes>>,
        method: &str,
        uri: &str,
        kind: &str,
        body: &str,
    ) -> Result<Answer, hyper::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("Host", "localhost");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if !body.is_empty() {
            request = request.header("Content-Type", kind);
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        whole(connection.send_request(request).await?).await
    }

    pub(crate) async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pin = Arc::new(Pin {
            fingerprint: self.fingerprint.clone(),
            provider: Arc::clone(&provider),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(pin)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        sender
    }
}

pub(crate) async fn whole(
    response: Response<hyper::body::Incoming>,
) -> Result<Answer, hyper::Error> {
    let (parts, body) = response.into_parts();
    let reason = match parts.extensions.get::<hyper::ext::ReasonPhrase>() {
        Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
        None => parts
            .status
            .canonical_reason()
            .unwrap_or_default()
            .to_owned(),
    };
    let body = body.collect().await?.to_bytes();
    Ok(Answer {
        status: parts.status.as_u16(),
        reason,
        headers: parts.headers,
        body,
    })
}

#[derive(Debug)]
struct Pin {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let sum = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, leaf);
        let seen: Vec<String> = sum
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        if seen.join(":") == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("another certificate".into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
