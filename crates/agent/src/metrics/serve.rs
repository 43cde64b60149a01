//! The metrics over HTTP, for whoever is on the machine itself. Nothing can be changed through it, and no scrape asks the node for anything.
//!
//! Everybody who can reach the port may be hostile: few connections at a time, each short, with a small head, of one request.

mod answer;
mod listener;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use answer::Scrape;
pub use listener::{ListenError, handed_over, listen};

/// How much the endpoint bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many connections are served at a time; those beyond are closed.
    pub connections: usize,
    /// How long the head of a request may take to come in.
    pub head: Duration,
    /// How long a connection may last.
    pub connection: Duration,
    /// After so long without a connection it ends; never where nobody would start it again.
    pub idle: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8,
            head: Duration::from_secs(5),
            connection: Duration::from_secs(20),
            idle: None,
        }
    }
}

/// The longest head of a request; the least that the library takes.
const LONGEST_HEAD: usize = 8192;
const MOST_HEADERS: usize = 32;
/// A listener that has nothing left to give a connection with is asked again after so long.
const BREATH: Duration = Duration::from_millis(200);

/// Serves until `stop` comes, or nobody has come for as long as `limits.idle`.
pub async fn serve(
    listener: TcpListener,
    limits: Limits,
    scrape: Arc<dyn Scrape>,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = next(&listener, limits.idle) => accepted,
        };
        let stream = match accepted {
            Next::Caller(stream) => stream,
            Next::Nobody if places.available_permits() == limits.connections => return,
            Next::Nobody => continue,
            Next::Trouble(error) => {
                tracing::debug!(%error, "a connection was lost before it was there");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        // Without a place it is dropped, and closed with that.
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let scrape = Arc::clone(&scrape);
            tokio::spawn(async move {
                converse(stream, limits, scrape).await;
                drop(place);
            });
        }
    }
}

enum Next {
    Caller(TcpStream),
    Nobody,
    Trouble(std::io::Error),
}

async fn next(listener: &TcpListener, idle: Option<Duration>) -> Next {
    let accepted = match idle {
        None => listener.accept().await,
        Some(idle) => match timeout(idle, listener.accept()).await {
            Ok(accepted) => accepted,
            Err(_) => return Next::Nobody,
        },
    };
    match accepted {
        Ok((stream, _)) => Next::Caller(stream),
        Err(error) => Next::Trouble(error),
    }
}

/// One request, one answer.
async fn converse(stream: TcpStream, limits: Limits, scrape: Arc<dyn Scrape>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let scrape = Arc::clone(&scrape);
        async move {
            let (parts, body) = request.into_parts();
            // Nobody has anything to say besides.
            drop(body);
            Ok::<Response<Full<Bytes>>, std::convert::Infallible>(
                answer::answer(&parts, scrape.as_ref()).await,
            )
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .keep_alive(false);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    match timeout(limits.connection, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a scrape was broken off"),
        Err(_) => tracing::debug!("a scrape took too long"),
    }
}
