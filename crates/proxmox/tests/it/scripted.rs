//! A TLS server that answers each request with the bytes that a test has chosen.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use felhom_ids::{Fingerprint, NodeName};
use felhom_proxmox::{Address, Client, Pve, Settings, Token, Trust};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

pub(crate) const SECRET: &str = "5ec2e7f0-canary-0000-0000-000000000000";

/// A certificate and the key that the server signs with, which need not belong together.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn self_signed(names: &[&str]) -> Self {
        Self::made(names, |_| {}, None)
    }

    pub(crate) fn made(
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
        issuer: Option<&Issuer<'static, KeyPair>>,
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Self {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, &self.certificate);
        Fingerprint::from_bytes(digest.as_ref().try_into().unwrap())
    }
}

/// What to do with a request.
pub(crate) enum Reply {
    /// Send these bytes, and wait for the next request.
    Send(Vec<u8>),
    /// Send these bytes, then close the connection.
    SendAndClose(Vec<u8>),
    /// Send these bytes, then drop the connection without TLS' good-bye.
    SendAndDrop(Vec<u8>),
    /// Never answer.
    Hang,
}

/// An answer as pveproxy sends it.
pub(crate) fn json(status: u16, reason: &str, body: &str) -> Vec<u8> {
    let connection = if status >= 400 { "close" } else { "Keep-Alive" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nCache-Control: max-age=0\r\nConnection: {connection}\r\n\
         Server: pve-api-daemon/3.0\r\nContent-Length: {}\r\nContent-Type: application/json;charset=UTF-8\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Send(json(200, "OK", body))
}

pub(crate) struct Scripted {
    pub(crate) address: Address,
    pub(crate) fingerprint: Fingerprint,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Scripted {
    /// Answers with what `script` makes of a request (its whole text).
    pub(crate) async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_identity(Identity::self_signed(&["localhost"]), script).await
    }

    pub(crate) async fn with_identity(
        identity: Identity,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let fingerprint = identity.fingerprint();
        let acceptor = acceptor(identity);
        let script: Arc<dyn Fn(&str) -> Reply + Send + Sync> = Arc::new(script);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (log, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let running = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, script, log, count) = (
                    acceptor.clone(),
                    Arc::clone(&script),
                    Arc::clone(&log),
                    Arc::clone(&count),
                );
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        count.fetch_add(1, Ordering::SeqCst);
                        serve(stream, script.as_ref(), &log).await;
                    }
                });
            }
        });
        Self {
            address,
            fingerprint,
            seen,
            connections,
            running,
        }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Handshakes that came to an end.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn settings(&self, trust: Trust) -> Settings {
        settings(self.address.clone(), trust)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.settings(Trust::PinnedLeaf(self.fingerprint))).unwrap()
    }

    pub(crate) fn pve(&self) -> Pve {
        Pve::new(self.client(), node())
    }
}

pub(crate) fn node() -> NodeName {
    "demo-felhom".parse().unwrap()
}

pub(crate) fn settings(address: Address, trust: Trust) -> Settings {
    let token = Token::new(
        "felhom-agent@pve!agent".parse().unwrap(),
        &SecretString::from(SECRET.to_owned()),
    );
    let mut settings = Settings::new(address, token, trust);
    settings.timeouts.connect = Duration::from_secs(5);
    settings.timeouts.request = Duration::from_secs(5);
    settings
}

/// Takes certificate and key as they are; rustls' own ways refuse those that do not match.
#[derive(Debug)]
struct AsGiven(Arc<CertifiedKey>);

impl ResolvesServerCert for AsGiven {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn acceptor(identity: Identity) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = provider
        .key_provider
        .load_private_key(identity.key)
        .unwrap();
    let certified = Arc::new(CertifiedKey::new(vec![identity.certificate], key));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AsGiven(certified)));
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(
    mut stream: TlsStream<TcpStream>,
    script: &(dyn Fn(&str) -> Reply + Send + Sync),
    log: &Mutex<Vec<String>>,
) {
    while let Some(request) = read_request(&mut stream).await {
        log.lock().unwrap().push(request.clone());
        match script(&request) {
            Reply::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            Reply::SendAndClose(bytes) => {
                stream.write_all(&bytes).await.ok();
                stream.shutdown().await.ok();
                return;
            }
            Reply::SendAndDrop(bytes) => {
                stream.write_all(&bytes).await.ok();
                stream.flush().await.ok();
                return;
            }
            Reply::Hang => std::future::pending::<()>().await,
        }
    }
}

/// Head and body of the next request; none when the client has gone.
async fn read_request(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                })
                .find_map(|value| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(whole);
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => text.extend_from_slice(&chunk[..count]),
        }
    }
}
