//! One request, in the order of `pveproxy`: protocol rules, credentials, route, parameters, permission, node,
//! verification, method.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::call::{Answer, ApiError, Call, Params, Reply};
use crate::control;
use crate::faults::{FaultKind, simulated};
use crate::route::Route;
use crate::server::auth::{self, Caller};
use crate::server::form::{self, Raw};
use crate::server::outcome::{Format, Outcome};
use crate::server::{Server, rule, verify};

/// `pveproxy` reads no longer bodies.
const LONGEST_BODY: usize = 512 * 1024;
/// The 64th header line is one too many; so is the byte after 8 KiB.
const MOST_HEADERS: usize = 63;
const LONGEST_HEADERS: usize = 8 * 1024;
/// Whoever fails to prove who they are waits so long for the answer.
const AUTH_DELAY: Duration = Duration::from_secs(3);
/// Methods that no token may call, whatever its rights.
const NOT_BY_TOKEN: [(&str, &str); 2] = [("POST", "/access/ticket"), ("PUT", "/access/password")];

/// The connection ends without an answer.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

/// Answers a request, injected faults included.
pub(crate) async fn answer(
    server: &Arc<Server>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Outcome, Cut> {
    if request.uri().path().starts_with("/_sim") {
        let sim = &server.sim;
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        return Ok(control::over_http(sim, peer, &parts.method, parts.uri.path(), &body).await);
    }
    if let Some(refused) = protocol_refusal(request.method(), request.headers()) {
        return refused;
    }
    let sim = &server.sim;
    let decoded = percent_decode_str(request.uri().path())
        .decode_utf8_lossy()
        .into_owned();
    let (_, path) = split_format(&decoded).unwrap_or((Ok(Format::Json), &decoded));
    let fault = sim.faults.on_request(request.method().as_str(), path);
    match &fault {
        Some(FaultKind::Refuse) => return Err(Cut),
        Some(FaultKind::Stall) => std::future::pending().await,
        Some(FaultKind::Status { code, text }) => return Ok(Outcome::bare(*code, text.clone())),
        Some(FaultKind::Delay { seconds }) => sim.clock.sleep(simulated(*seconds)).await,
        Some(FaultKind::CutThenRun { seconds }) => {
            return run_later(server, request, decoded, simulated(*seconds)).await;
        }
        _ => {}
    }
    let outcome = answer_soundly(server, request, &decoded).await?;
    match fault {
        Some(FaultKind::AnswerStatus { code, text }) => return Ok(Outcome::bare(code, text)),
        Some(FaultKind::HoldAnswer) => sim.faults.held().await,
        Some(FaultKind::CutAnswer) => return Err(Cut),
        Some(FaultKind::Html) => {
            return Ok(Outcome::document(
                "text/html; charset=utf-8",
                "<html><body>It works!</body></html>\n",
            ));
        }
        Some(FaultKind::Garbage) => {
            return Ok(Outcome {
                body: b"{\"data\":[{,".to_vec(),
                ..outcome
            });
        }
        Some(FaultKind::Truncated) => {
            return Ok(Outcome {
                is_truncated: true,
                ..outcome
            });
        }
        _ => {}
    }
    Ok(outcome)
}

/// The caller hears nothing; what it asked for happens after a while, unless the power goes before.
async fn run_later(
    server: &Arc<Server>,
    request: Request<Incoming>,
    decoded: String,
    after: Duration,
) -> Result<Outcome, Cut> {
    let (parts, body) = request.into_parts();
    let body = Full::new(body.collect().await.map_err(|_| Cut)?.to_bytes());
    let request = Request::from_parts(parts, body);
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let (power, stop) = (server.sim.power(), server.stop.clone());
        let running = async {
            server.sim.clock.sleep(after).await;
            drop(answer_soundly(&server, request, &decoded).await);
        };
        tokio::select! {
            () = power.cancelled() => {}
            () = stop.cancelled() => {}
            () = running => {}
        }
    });
    Err(Cut)
}

/// What is refused by the headers alone. `Err` is no answer at all.
fn protocol_refusal(method: &Method, headers: &HeaderMap) -> Option<Result<Outcome, Cut>> {
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if headers.len() > MOST_HEADERS || size > LONGEST_HEADERS {
        return Some(Err(Cut));
    }
    if ![Method::GET, Method::POST, Method::PUT, Method::DELETE].contains(method) {
        return Some(Ok(Outcome::bare(
            501,
            format!("method '{method}' not available"),
        )));
    }
    let coding = headers
        .get(header::TRANSFER_ENCODING)?
        .to_str()
        .unwrap_or("?");
    let text = if coding.eq_ignore_ascii_case("chunked") {
        "chunked transfer encoding not supported".to_owned()
    } else {
        format!("Unknown transfer encoding '{coding}'")
    };
    Some(Ok(Outcome::bare(501, text)))
}

/// `/api2/FORMAT/PATH`; the format may be one that cannot be served.
fn split_format(path: &str) -> Option<(Result<Format, &str>, &str)> {
    let rest = path.strip_prefix("/api2/")?;
    let (format, end) = rest.split_once('/').map_or((rest, ""), |(format, _)| {
        (format, rest.get(format.len()..).unwrap_or(""))
    });
    let format = match format {
        "json" => Ok(Format::Json),
        "extjs" => Ok(Format::ExtJs),
        other => Err(other),
    };
    Some((format, end))
}

async fn answer_soundly<B: Body>(
    server: &Arc<Server>,
    request: Request<B>,
    decoded: &str,
) -> Result<Outcome, Cut> {
    let sim = &server.sim;
    if !decoded.starts_with("/api2") {
        return Ok(Outcome::refusal(500, format!("no such file '{decoded}'")));
    }
    let Some((format, path)) = split_format(decoded) else {
        return Ok(Outcome::refusal(501, "no such uri"));
    };
    let caller = match auth::identify(sim, request.method().as_str(), path, request.headers()) {
        Ok(caller) => caller,
        Err(refusal) => {
            sim.clock.sleep(AUTH_DELAY).await;
            return Ok(Outcome::bare(401, refusal));
        }
    };
    let format = match format {
        Ok(format) => format,
        Err("") => return Ok(Outcome::refusal(501, "no such uri")),
        Err(unknown) => {
            return Ok(Outcome::refusal(
                501,
                format!("no formatter for uri {path}, {unknown}"),
            ));
        }
    };
    let method = request.method().clone();
    let sent = match sent_parameters(request).await? {
        Ok(sent) => sent,
        Err(refusal) => return Ok(refusal),
    };
    let reply = dispatch(server, &method, path, &caller, sent).await;
    Ok(match reply {
        Ok(answer) => Outcome::success(answer, format),
        Err(error) => {
            if error.status == 401 {
                sim.clock.sleep(AUTH_DELAY).await;
            }
            Outcome::failure(&error, format)
        }
    })
}

/// Query and body in one map; `Err` inside is a refusal of the HTTP layer.
async fn sent_parameters<B: Body>(request: Request<B>) -> Result<Result<Raw, Outcome>, Cut> {
    let (parts, body) = request.into_parts();
    let length: usize = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or_default();
    let mut params = Raw::new();
    if length > 0 {
        if ![Method::POST, Method::PUT].contains(&parts.method) {
            return Ok(Err(Outcome::refusal(
                501,
                format!("Unexpected content for method '{}'", parts.method),
            )));
        }
        if length > LONGEST_BODY {
            return Ok(Err(Outcome::refusal(501, "for data too large")));
        }
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content_type =
            content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        params = match content_type {
            None | Some("application/x-www-form-urlencoded") => {
                form::decode(&String::from_utf8_lossy(&body))
            }
            Some("application/json") => match form::decode_json(&body) {
                Ok(params) => params,
                Err(text) => return Ok(Err(Outcome::refusal(500, text))),
            },
            Some(other) => {
                return Ok(Err(Outcome::refusal(
                    506,
                    format!("upload 'Content-Type '{other}' not implemented"),
                )));
            }
        };
    }
    params.extend(form::decode(parts.uri.query().unwrap_or_default()));
    // A cache buster of the web interface.
    params.remove("_dc");
    Ok(Ok(params))
}

async fn dispatch(
    server: &Arc<Server>,
    method: &Method,
    path: &str,
    caller: &Caller,
    sent: Raw,
) -> Reply {
    let Some((route, variables)) = server.router.find(method.as_str(), path) else {
        let message = format!("Method '{method} {path}' not implemented");
        return Err(ApiError {
            status: 501,
            message,
            errors: BTreeMap::new(),
        });
    };
    let params = prepare(server, route, &variables, caller, sent)?;
    let call = Call {
        sim: &server.sim,
        auth: &caller.who,
        params: &params,
    };
    let mut reply = (route.handler)(&call);
    while let Ok(Answer::Later(later)) = reply {
        reply = later.await;
    }
    if reply.is_ok() && route.method != "GET" {
        let subject = params
            .text("vmid")
            .or_else(|| params.text("volume"))
            .unwrap_or_default();
        server
            .sim
            .count(&format!("{} {}", route.method, route.path), &subject);
    }
    reply
}

/// Everything between finding the method and running it.
fn prepare(
    server: &Server,
    route: &Route,
    variables: &Raw,
    caller: &Caller,
    sent: Raw,
) -> Result<Params, ApiError> {
    let mut raw = merged(variables, sent)?;
    if caller.by_token && NOT_BY_TOKEN.contains(&(route.method, route.path)) {
        let text = format!(
            "Permission check failed (URI '{}' not available with API token, need proper ticket.\n)",
            route.path
        );
        return Err(ApiError {
            status: 403,
            message: text,
            errors: BTreeMap::new(),
        });
    }
    let world = server.sim.lock();
    rule::check(&world, &caller.who, &route.rule, &raw)?;
    if let Some(Value::String(node)) = variables.get("node")
        && *node != world.node.name
    {
        if node != "localhost" {
            let text = format!(
                "hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known"
            );
            return Err(ApiError::die(text));
        }
        raw.insert("node".into(), Value::String(world.node.name.clone()));
    }
    drop(world);
    verify::verify(route, variables, &raw)
}

/// Path variables and sent parameters; the same name with another value is refused.
fn merged(variables: &Raw, sent: Raw) -> Result<Raw, ApiError> {
    let mut merged = variables.clone();
    for (name, value) in sent {
        let as_text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        if let Some(there) = variables.get(&name)
            && as_text(there) != as_text(&value)
        {
            return Err(ApiError::param(
                &name,
                "duplicate parameter (already defined in URI) with conflicting values!",
            ));
        }
        merged.entry(name).or_insert(value);
    }
    Ok(merged)
}
