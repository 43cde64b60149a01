//! What the agent adds to the tasks of a restore test: the wall time of the command, less the time in which one of its
//! tasks ran, less the time for which the policy wants the copy to stay up.
//!
//! The world runs in real time and is looked at every few milliseconds. Prints one tab-separated line per run: guest,
//! wall, tasks, stable time and remainder in milliseconds.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use felhom_agent::cli::{self, Cli};
use felhom_agent::exit::Exit;
use felhom_agent::output::{Printed, Printer};
use felhom_demo::equip;
use felhom_simulator::{Options, Running, Simulator};
use serde_json::Value;
use tokio::time::Instant;

const STABLE_FOR: Duration = Duration::from_secs(1);
const CONFIG: &str = "[restore-test]\nstable_for = \"1s\"\nmemory_mib = 256\n\n[restore-test.floors]\nroot_mib = 256\n";
const RUNS: usize = 3;
const LOOK: Duration = Duration::from_millis(2);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let world = Simulator::start(Options::new(directory.path().join("world"))).await?;
    let config = equip::equip(&world, &directory.path().join("box"), CONFIG)?;
    for guest in ["9001", "9010"] {
        let (_, backup) = run(&config, &["backup", "run", guest]).await?;
        let volid = backup
            .get("volid")
            .and_then(Value::as_str)
            .context("no archive")?
            .to_owned();
        for _ in 0..RUNS {
            measure(&world, &config, guest, &volid).await?;
        }
    }
    world.stop().await?;
    Ok(())
}

async fn measure(world: &Running, config: &Path, guest: &str, volid: &str) -> anyhow::Result<()> {
    let args = ["restore-test", "run", volid];
    let work = run(config, &args);
    tokio::pin!(work);
    let began = Instant::now();
    let (mut busy, mut last) = (Duration::ZERO, began);
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = Instant::now();
        if is_busy(world) {
            busy += now.duration_since(last);
        }
        last = now;
    };
    let wall = began.elapsed();
    let (exit, report) = ended?;
    ensure!(
        exit == Exit::Done,
        "the restore test ended with {exit:?}: {report}"
    );
    let remainder = wall.saturating_sub(busy).saturating_sub(STABLE_FOR);
    let figures = [wall, busy, STABLE_FOR, remainder].map(|time| time.as_millis().to_string());
    writeln!(std::io::stdout(), "{guest}\t{}", figures.join("\t"))?;
    Ok(())
}

fn is_busy(world: &Running) -> bool {
    let state = world.state();
    state
        .get("running_tasks")
        .and_then(Value::as_array)
        .is_some_and(|tasks| !tasks.is_empty())
}

/// Runs a command of the agent in this process; its exit code and its document.
async fn run(config: &Path, args: &[&str]) -> anyhow::Result<(Exit, Value)> {
    let config = config.display().to_string();
    let line = ["felhom-agent", "--quiet", "--config", &config]
        .into_iter()
        .chain(args.iter().copied());
    let record = Arc::new(Mutex::new(Vec::new()));
    let printer = Printer {
        json: false,
        quiet: true,
        record: Some(Arc::clone(&record)),
    };
    let exit = Box::pin(cli::run_with(Cli::try_parse_from(line)?, printer)).await;
    let said = record
        .lock()
        .map(|mut kept| std::mem::take(&mut *kept))
        .unwrap_or_default();
    let document = said.into_iter().find_map(|one| match one {
        Printed::Document { data, .. } => Some(data),
        Printed::Narration(_) | Printed::Failure(..) => None,
    });
    Ok((exit, document.unwrap_or(Value::Null)))
}
