//! The `/_sim/` door: what a test or a demonstration does to the world from outside. The same commands are reachable
//! in-process through [`crate::Running`]; over HTTP they take and give JSON, need no credentials and are answered to
//! the machine itself only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::call::object;
use crate::faults::{Fault, simulated};
use crate::hostd;
use crate::pbs;
use crate::persist;
use crate::scenario;
use crate::scenario::machines;
use crate::server::Outcome;
use crate::sim::Sim;

/// A request below `/_sim/`.
pub(crate) async fn over_http(
    sim: &Arc<Sim>,
    peer: SocketAddr,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Outcome {
    if !peer.ip().is_loopback() {
        return Outcome::json(403, &json!({ "error": "only from the machine itself" }));
    }
    let name = path.trim_start_matches("/_sim").trim_matches('/');
    let body = match body {
        b"" => Value::Null,
        text => match serde_json::from_slice(text) {
            Ok(body) => body,
            Err(error) => return Outcome::json(400, &json!({ "error": error.to_string() })),
        },
    };
    if !is_readable(name) && *method == Method::GET {
        return Outcome::json(
            405,
            &json!({ "error": format!("`{name}` changes the world: use POST") }),
        );
    }
    match perform(sim, name, &body).await {
        Ok(value) => Outcome::json(200, &value),
        Err(error) => Outcome::json(400, &json!({ "error": error })),
    }
}

fn is_readable(name: &str) -> bool {
    ["", "state", "counts", "faults", "clock"].contains(&name)
}

/// Performs a command by name.
pub(crate) async fn perform(sim: &Arc<Sim>, name: &str, body: &Value) -> Result<Value, String> {
    match name {
        "" | "state" => Ok(state(sim)),
        "counts" => Ok(json!(sim.lock().counts)),
        "faults" => Ok(json!(sim.faults.list())),
        "clock" => Ok(json!({ "now": sim.clock.now_f64() })),
        "fault" | "clear-faults" | "release" => trouble(sim, name, body),
        "advance" => {
            sim.clock
                .advance(span(body, "seconds").ok_or("`seconds` is missing")?);
            Ok(json!({ "now": sim.clock.now_f64() }))
        }
        "shift-clock" => {
            let seconds = body.get("seconds").and_then(Value::as_i64);
            sim.clock.shift(seconds.ok_or("`seconds` is missing")?);
            Ok(json!({ "shown": sim.clock.shown() }))
        }
        "certificate-until" | "place-certificate" | "restart-proxy" | "renew-certificate" => {
            certificate(sim, name, body)
        }
        "power-cut" => {
            let cutting = Arc::clone(sim);
            let down = span(body, "down").unwrap_or_default();
            // The caller's own connection dies with the node: the node must boot whether or not anybody waits.
            let done = tokio::spawn(async move { cutting.power_cut(down).await });
            done.await.map_err(|error| error.to_string())?;
            Ok(json!({ "boots": sim.lock().node.boots }))
        }
        "put-qemu" => {
            let order = parsed::<machines::Order>(body)?;
            machines::put(sim, order)?;
            Ok(json!({}))
        }
        "rebuild-box" => scenario::rebuilt::rebuild(sim).await,
        "poke-qemu" => machines::poke(sim, parsed(body)?),
        "save" => persist::save(sim)
            .map(|()| json!({}))
            .map_err(|error| error.to_string()),
        other => {
            let done = scenario::control(sim, other, body);
            match done.or_else(|| pbs::control(sim, other, body)) {
                Some(done) => done,
                None => hostd::control(sim, other, body).await,
            }
        }
    }
}

/// Commands about injected faults.
fn trouble(sim: &Sim, name: &str, body: &Value) -> Result<Value, String> {
    match name {
        "fault" => {
            sim.faults.inject(parsed::<Fault>(body)?);
            Ok(json!({ "faults": sim.faults.list() }))
        }
        "clear-faults" => {
            sim.faults.clear();
            Ok(json!({}))
        }
        _ => {
            let held = sim.faults.held_answers();
            sim.faults.release();
            Ok(json!({ "released": held }))
        }
    }
}

/// Commands about what the node shows who connects.
fn certificate(sim: &Sim, name: &str, body: &Value) -> Result<Value, String> {
    let told = |made: std::io::Result<String>| {
        made.map(|fingerprint| json!({ "fingerprint": fingerprint }))
            .map_err(|error| error.to_string())
    };
    match name {
        "place-certificate" => told(sim.place_certificate()),
        "restart-proxy" => told(Ok(sim.restart_proxy())),
        "renew-certificate" => told(sim.renew_certificate()),
        _ => {
            let at = body.get("at").and_then(Value::as_i64);
            sim.lock().node.certificate_until = Some(at.ok_or("`at` is missing")?);
            Ok(json!({}))
        }
    }
}

/// What there is to see, beyond the API.
pub(crate) fn state(sim: &Sim) -> Value {
    let running: Vec<String> = sim
        .tasks
        .running()
        .iter()
        .map(ToString::to_string)
        .collect();
    let world = {
        let world = sim.lock();
        [
            ("counts", json!(world.counts)),
            ("node", json!(world.node)),
            ("pools", json!(world.pools)),
        ]
    };
    let mut state = object(json!({
        "now": sim.clock.now_f64(),
        "running_tasks": running,
        "faults": sim.faults.list(),
        "held_answers": sim.faults.held_answers(),
        "host": hostd::state(sim),
        "world": scenario::state(sim),
    }));
    state.extend(world.map(|(key, value)| (key.to_owned(), value)));
    Value::Object(state)
}

fn parsed<T: DeserializeOwned>(body: &Value) -> Result<T, String> {
    serde_json::from_value(body.clone()).map_err(|error| error.to_string())
}

fn span(body: &Value, field: &str) -> Option<Duration> {
    body.get(field).and_then(Value::as_f64).map(simulated)
}
