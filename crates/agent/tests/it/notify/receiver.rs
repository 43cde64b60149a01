//! A receiver on loopback that answers by a script, and remembers what it was sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How one request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Status(u16),
    /// With a header.
    With(u16, String),
    /// The connection is closed when the request was read.
    Cut,
    /// Nothing is ever answered.
    Silence,
    /// What is answered is no HTTP, and quotes the request.
    Garbage,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The notice that a webhook got.
    pub(crate) fn notice(&self) -> Value {
        let document = self.json();
        assert_eq!(document["schema"], "felhom.notice");
        assert_eq!(document["version"], 1);
        document["data"].clone()
    }
}

#[derive(Default)]
struct Script {
    seen: Vec<Seen>,
    replies: VecDeque<Reply>,
}

pub(crate) struct Receiver {
    port: u16,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub(crate) async fn new() -> Self {
        Self::with(None).await
    }

    pub(crate) async fn with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, script, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it answers next; after that it takes everything.
    pub(crate) fn answer(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().replies.extend(replies);
    }

    /// Is well again: what it was told to answer is forgotten.
    pub(crate) fn heal(&self) {
        self.script.lock().unwrap().replies.clear();
    }

    /// What it was sent since somebody asked last.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.script.lock().unwrap().seen)
    }

    /// What was not asked for is answered as usual.
    pub(crate) fn forget(&self) {
        self.script.lock().unwrap().replies.clear();
    }

    pub(crate) fn count(&self) -> usize {
        self.script.lock().unwrap().seen.len()
    }
}

/// A port that takes no connection, as one whose packets are lost: its queue is full, and stays so.
pub(crate) struct Dead {
    pub(crate) port: u16,
    _queue: Vec<TcpStream>,
    _listener: TcpListener,
}

impl Dead {
    pub(crate) async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let patience = std::time::Duration::from_millis(100);
        let mut queue = Vec::new();
        while let Ok(stream) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            queue.push(stream.unwrap());
        }
        Self {
            port: address.port(),
            _queue: queue,
            _listener: listener,
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, script: &Mutex<Script>) {
    let Some((seen, raw)) = read(&mut stream).await else {
        return;
    };
    let reply = {
        let mut script = script.lock().unwrap();
        script.seen.push(seen);
        script.replies.pop_front().unwrap_or(Reply::Status(200))
    };
    let answer = match reply {
        Reply::Status(status) => format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n"),
        Reply::With(status, header) => {
            format!("HTTP/1.1 {status} Told\r\n{header}\r\ncontent-length: 0\r\n\r\n")
        }
        Reply::Cut => return,
        Reply::Silence => std::future::pending().await,
        Reply::Garbage => raw,
    };
    drop(stream.write_all(answer.as_bytes()).await);
    drop(stream.shutdown().await);
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<(Seen, String)> {
    let mut raw = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 {
            return None;
        }
        raw.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&raw).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let mut lines = head.lines();
        let line = lines.next()?.to_owned();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let length: usize = headers
            .get("content-length")
            .map_or(0, |l| l.parse().unwrap());
        if body.len() >= length {
            let body = body.to_owned();
            return Some((
                Seen {
                    line,
                    headers,
                    body,
                },
                text,
            ));
        }
    }
}

/// A certificate for loopback, and the authority that vouches for it as PEM.
pub(crate) fn certified() -> (TlsAcceptor, String) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), pem)
}
