//! One connection: TLS or a redirect, then requests until somebody closes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::server::Server;
use crate::server::outcome::{Outcome, Payload};
use crate::server::request::{self, Cut};

/// An idle connection, or one that does not finish its headers, is closed after this time.
const IDLE: Duration = Duration::from_secs(5);
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// `pveproxy` answers so many requests on one connection.
const KEEP_ALIVE_REQUESTS: u32 = 100;

/// Serves a connection until it ends, the power goes or the server stops.
pub(crate) async fn serve(server: Arc<Server>, stream: TcpStream, peer: SocketAddr) {
    let power = server.sim.power();
    let lines = server.sim.lines();
    let stop = server.stop.clone();
    tokio::select! {
        () = lines.cancelled() => {}
        () = power.cancelled() => {}
        () = stop.cancelled() => {}
        () = serve_until_closed(server, stream, peer) => {}
    }
}

async fn serve_until_closed(server: Arc<Server>, stream: TcpStream, peer: SocketAddr) {
    let _nodelay = stream
        .set_nodelay(true)
        .inspect_err(|error| tracing::debug!(%error, "no TCP_NODELAY"));
    let mut first = [0];
    match tokio::time::timeout(IDLE, stream.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return,
    }
    if first != [TLS_HANDSHAKE] {
        redirect(stream).await;
        return;
    }
    let acceptor = TlsAcceptor::from(server.sim.identity().config);
    let Ok(Ok(tls)) = tokio::time::timeout(IDLE, acceptor.accept(stream)).await else {
        return;
    };
    let requests = AtomicU32::new(0);
    let answering = service_fn(|request: Request<Incoming>| {
        let is_last = requests.fetch_add(1, Ordering::Relaxed) + 1 >= KEEP_ALIVE_REQUESTS;
        let server = Arc::clone(&server);
        async move {
            Ok::<_, Cut>(
                request::answer(&server, request, peer)
                    .await?
                    .into_response(&server.sim, is_last),
            )
        }
    });
    let connection = protocol().serve_connection(TokioIo::new(tls), answering);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}

fn protocol() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .auto_date_header(false);
    builder
}

/// Plain HTTP on the TLS port: one redirect, then the end.
async fn redirect(stream: TcpStream) {
    let port = stream
        .local_addr()
        .map(|address| address.port())
        .unwrap_or_default();
    let service = service_fn(move |request: Request<Incoming>| async move {
        Ok::<Response<Payload>, Infallible>(Outcome::redirect_to_tls(&request, port))
    });
    if let Err(error) = protocol()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
    {
        tracing::debug!(%error, "plain connection ended");
    }
}
