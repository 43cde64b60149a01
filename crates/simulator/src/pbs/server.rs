//! HTTP as `proxmox-backup-proxy` speaks it (proxmox-rest-server): credentials, route, permission, parameters, method;
//! and the time it takes to refuse.

mod auth;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api;
use super::http::{Call, Error, Format, Outcome, Route, Rule};
use super::params;
use crate::faults::{FaultKind, simulated};
use crate::sim::Sim;

const IDLE: Duration = Duration::from_secs(30);
const TLS_HANDSHAKE: u8 = 0x16;
const UNAUTHORIZED: Duration = Duration::from_secs(3);
const FORBIDDEN: Duration = Duration::from_millis(500);
const LONGEST_BODY: usize = 512 * 1024;

/// The connection ends without an answer.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

/// What every connection shares.
pub(crate) struct Server {
    sim: Arc<Sim>,
    stop: CancellationToken,
}

impl Server {
    pub(crate) fn new(sim: Arc<Sim>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { sim, stop })
    }

    /// Accepts connections until told to stop; then closes them all.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        let connections = TaskTracker::new();
        while let Some(accepted) = self.stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    if self.sim.lock().pbs.off {
                        continue;
                    }
                    connections.spawn(serve(Arc::clone(&self), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::task::yield_now().await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

async fn serve(server: Arc<Server>, stream: TcpStream) {
    let (lines, stop) = (server.sim.pbs.lines(), server.stop.clone());
    tokio::select! {
        () = lines.cancelled() => {}
        () = stop.cancelled() => {}
        () = serve_until_closed(server, stream) => {}
    }
}

fn protocol() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .auto_date_header(false);
    builder
}

async fn serve_until_closed(server: Arc<Server>, stream: TcpStream) {
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
    let Some(identity) = server.sim.pbs.identity() else {
        return;
    };
    let acceptor = TlsAcceptor::from(identity.config);
    let Ok(Ok(tls)) = tokio::time::timeout(IDLE, acceptor.accept(stream)).await else {
        return;
    };
    let answering = service_fn(|request: Request<Incoming>| {
        let server = Arc::clone(&server);
        async move {
            let outcome = answer(&server, request).await?;
            Ok::<_, Cut>(outcome.into_response(server.sim.pbs_now()))
        }
    });
    if let Err(error) = protocol()
        .serve_connection(TokioIo::new(tls), answering)
        .await
    {
        tracing::debug!(%error, "connection ended");
    }
}

/// Plain HTTP on the TLS port: one redirect, then the end.
async fn redirect(stream: TcpStream) {
    let address = stream.local_addr().ok();
    let service = service_fn(move |request: Request<Incoming>| async move {
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.map_or_else(
            || {
                address
                    .map(|at: SocketAddr| at.to_string())
                    .unwrap_or_default()
            },
            str::to_owned,
        );
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = hyper::StatusCode::MOVED_PERMANENTLY;
        if let Ok(target) = format!("https://{host}{}", request.uri()).parse() {
            response.headers_mut().insert(header::LOCATION, target);
        }
        Ok::<_, Infallible>(response)
    });
    if let Err(error) = protocol()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
    {
        tracing::debug!(%error, "plain connection ended");
    }
}

/// Answers a request, injected faults included: their paths begin with `/pbs`.
async fn answer(server: &Arc<Server>, request: Request<Incoming>) -> Result<Outcome, Cut> {
    let sim = &server.sim;
    let decoded = percent_decode_str(request.uri().path())
        .decode_utf8_lossy()
        .into_owned();
    let known = decoded.strip_prefix("/api2/json").unwrap_or(&decoded);
    let fault = sim
        .faults
        .on_request(request.method().as_str(), &format!("/pbs{known}"));
    match &fault {
        Some(FaultKind::Refuse) => return Err(Cut),
        Some(FaultKind::Stall) => std::future::pending().await,
        Some(FaultKind::Status { code, text }) => {
            return Ok(Outcome::refusal(
                &Error::new(*code, text.clone()),
                Format::Json,
            ));
        }
        Some(FaultKind::Delay { seconds }) => sim.clock.sleep(simulated(*seconds)).await,
        Some(FaultKind::CutThenRun { seconds }) => {
            let (server, after) = (Arc::clone(server), simulated(*seconds));
            let request = whole(request).await?;
            tokio::spawn(async move {
                server.sim.clock.sleep(after).await;
                drop(answer_soundly(&server, request, &decoded).await);
            });
            return Err(Cut);
        }
        _ => {}
    }
    let request = whole(request).await?;
    let outcome = answer_soundly(server, request, &decoded).await?;
    match fault {
        Some(FaultKind::AnswerStatus { code, text }) => {
            Ok(Outcome::refusal(&Error::new(code, text), Format::Json))
        }
        Some(FaultKind::HoldAnswer) => {
            sim.faults.held().await;
            Ok(outcome)
        }
        Some(FaultKind::CutAnswer) => Err(Cut),
        Some(FaultKind::Html) => Ok(Outcome::new(
            200,
            "text/html",
            "<html><body>It works!</body></html>\n",
        )),
        Some(FaultKind::Garbage) => Ok(Outcome {
            body: b"{\"data\":[{,".to_vec(),
            ..outcome
        }),
        Some(FaultKind::Truncated) => Ok(Outcome {
            truncated: true,
            ..outcome
        }),
        _ => Ok(outcome),
    }
}

async fn whole(request: Request<Incoming>) -> Result<Request<Bytes>, Cut> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    Ok(Request::from_parts(parts, body))
}

/// `/api2/FORMAT/PATH`
fn split_format(path: &str) -> Option<(Format, String)> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    if parts.next() != Some("api2") {
        return None;
    }
    let format = match parts.next()? {
        "json" => Format::Json,
        "extjs" => Format::ExtJs,
        _ => return None,
    };
    Some((format, format!("/{}", parts.collect::<Vec<_>>().join("/"))))
}

async fn answer_soundly(
    server: &Server,
    request: Request<Bytes>,
    decoded: &str,
) -> Result<Outcome, Cut> {
    let sim = &server.sim;
    let Some((format, path)) = split_format(decoded) else {
        return Ok(Outcome::refusal(
            &Error::new(404, format!("Path '{decoded}' not found.")),
            Format::Json,
        ));
    };
    let method = request.method().clone();
    let found = api::find(&method, &path);
    let is_open = found
        .as_ref()
        .is_some_and(|(route, _)| matches!(route.rule, Rule::World));
    let auth = match auth::identify(sim, &method, request.headers()) {
        Ok(auth) => auth,
        Err(_) if is_open => String::new(),
        Err(text) => {
            wait(sim, UNAUTHORIZED).await;
            let error = Error::new(401, format!("authentication failed - {text}"));
            return Ok(Outcome::refusal(&error, format));
        }
    };
    let Some((route, variables)) = found else {
        let path = decoded.replace("//", "/");
        return Ok(Outcome::refusal(
            &Error::new(404, format!("Path '{path}' not found.")),
            format,
        ));
    };
    if !auth::is_allowed(sim, route, &auth, &variables) {
        wait(sim, FORBIDDEN).await;
        return Ok(Outcome::refusal(
            &Error::new(403, "permission check failed"),
            format,
        ));
    }
    let reply = match sent(route, &request, &variables)? {
        Ok(params) => {
            let call = Call {
                sim,
                auth: &auth,
                params: &params,
            };
            (route.handler)(&call)
        }
        Err(error) => Err(error),
    };
    match reply {
        Ok(answer) => Ok(Outcome::success(answer, format)),
        Err(error) => {
            if error.status == 401 {
                wait(sim, UNAUTHORIZED).await;
            }
            Ok(Outcome::refusal(&error, format))
        }
    }
}

async fn wait(sim: &Sim, span: Duration) {
    let delays = sim.lock().pbs.delays;
    if delays {
        sim.clock.sleep(span).await;
    }
}

/// The parameters, verified. An array as body makes the server's own code panic: no answer at all.
fn sent(
    route: &Route,
    request: &Request<Bytes>,
    variables: &[(String, String)],
) -> Result<Result<Map<String, Value>, Error>, Cut> {
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if request.body().len() > LONGEST_BODY {
        return Ok(Err(Error::plain("request body too large")));
    }
    match kind {
        Some("application/json") => {
            let body = request.body();
            let body = if body.is_empty() {
                b"{}".as_slice()
            } else {
                body
            };
            match serde_json::from_slice(body) {
                Ok(Value::Object(body)) => Ok(params::from_json(route.params, body, variables)),
                Ok(_) => Err(Cut),
                Err(error) => Ok(Err(Error::plain(error.to_string()))),
            }
        }
        None | Some("application/x-www-form-urlencoded") => {
            let text = String::from_utf8_lossy(request.body());
            let mut pairs = params::pairs(&text);
            pairs.extend(params::pairs(request.uri().query().unwrap_or_default()));
            pairs.extend(variables.iter().cloned());
            Ok(params::from_pairs(route.params, &pairs))
        }
        Some(other) => Ok(Err(Error::plain(format!(
            "unsupported content type {other:?}"
        )))),
    }
}
