//! `felhom-sim serve`: a world for outsiders.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::bail;
use felhom_simulator::{Options, Running, Scenario, Simulator, Time};
use serde_json::json;

use crate::equip;

/// Starts a world, prints one JSON line when it answers, and runs until it is told to stop.
///
/// # Errors
/// When the world cannot be started.
pub async fn serve(
    state: &Path,
    pve: SocketAddr,
    pbs: SocketAddr,
    scenario: &str,
    speed: f64,
) -> anyhow::Result<()> {
    let scenario = match scenario {
        "built-in" => Scenario::BuiltIn,
        "virgin" => Scenario::Virgin,
        other => bail!("no scenario `{other}`; there are `built-in` and `virgin`"),
    };
    if let Some(address) = [pve, pbs]
        .iter()
        .find(|address| !address.ip().is_loopback())
    {
        bail!(
            "{address} is not on the loopback: a simulated server with known passwords must not be reachable"
        );
    }
    let time = time(speed)?;
    let with_agent = scenario == Scenario::BuiltIn;
    let world = Simulator::start(Options {
        listen: pve,
        pbs_listen: pbs,
        scenario,
        time,
        ..Options::new(state)
    })
    .await?;
    let config = if with_agent {
        Some(equip::equip(&world, state, "")?)
    } else {
        None
    };
    let line = ready_line(&world, config.as_deref());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    drop(out);
    until_stopped().await?;
    world.stop().await?;
    Ok(())
}

/// How simulated time passes at a given speed.
pub(crate) fn time(speed: f64) -> anyhow::Result<Time> {
    if !(speed.is_finite() && speed > 0.0) {
        bail!("--speed takes a number above 0");
    }
    // Exactly one is real time.
    Ok(if (speed - 1.0).abs() < f64::EPSILON {
        Time::Real
    } else {
        Time::Scaled(speed)
    })
}

fn ready_line(world: &Running, config: Option<&Path>) -> serde_json::Value {
    json!({
        "pve": { "url": world.url(), "fingerprint": world.fingerprint(), "node": world.node() },
        "pbs": {
            "url": world.pbs_url(), "fingerprint": world.pbs_fingerprint(), "node": world.pbs_node(),
            "datastores": world.pbs_datastores(), "tokens": world.pbs_tokens(), "passwords": world.pbs_passwords(),
        },
        "tokens": world.tokens(),
        "passwords": world.passwords(),
        "config": config,
    })
}

async fn until_stopped() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
