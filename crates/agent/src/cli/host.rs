//! `host`: what root sees of the box for us, and the configuration that root writes for its helper.

mod config;
pub(super) mod devices;

use clap::Subcommand;
use felhom_host::{Operation, Report, Sensors, Temperature};

use super::context::{Context, journal_failure};
use crate::exit::{Exit, Failure};
use crate::fence::{self, Fence};
use crate::output::table;

#[derive(Debug, Subcommand)]
pub(super) enum HostCommand {
    /// The block devices, and which of them could become a target.
    Devices,
    /// Temperatures, fans, and how often the processor was throttled.
    Sensors,
    /// Print the configuration of the root helper that fits ours, for root to write to
    /// /etc/felhom/hostd.toml.
    Config,
}

pub(super) async fn run(context: &Context, command: HostCommand) -> Result<Exit, Failure> {
    match command {
        HostCommand::Devices => list_devices(context).await,
        HostCommand::Sensors => sensors(context).await,
        HostCommand::Config => config::print(context),
    }
}

/// A report that does not belong to what was asked for.
pub(super) fn odd_report() -> Failure {
    Failure::new(
        Exit::Unexpected,
        "root-helper-odd",
        "the root helper answered something else than it was asked for",
    )
    .hint("the agent and the helper are of different versions: install both of one package")
}

async fn list_devices(context: &Context) -> Result<Exit, Failure> {
    let config = context.config()?;
    let found = devices::ask(&Fence::new(&config), &Operation::ListBlockDevices {}).await?;
    let targets = match context.read_journal(&config).await? {
        Some(journal) => journal
            .targets()
            .await
            .map_err(|error| journal_failure(&error))?,
        None => Vec::new(),
    };
    let judged = devices::judge(&found, &targets);
    context
        .printer
        .document("felhom.block-devices", &judged, || devices::text(&judged));
    Ok(Exit::Done)
}

async fn sensors(context: &Context) -> Result<Exit, Failure> {
    let config = context.config()?;
    let answer = Fence::new(&config)
        .ask(Operation::ReadSensors {}, fence::LOOK)
        .await
        .map_err(|error| error.failure())?;
    let Report::Sensors(sensors) = answer else {
        return Err(odd_report());
    };
    context
        .printer
        .document("felhom.sensors", &sensors, || sensors_text(&sensors));
    Ok(Exit::Done)
}

fn sensors_text(sensors: &Sensors) -> String {
    let mut rows: Vec<Vec<String>> = sensors.temperatures.iter().map(warmth).collect();
    rows.extend(sensors.fans.iter().map(|fan| {
        let turns = format!("{} rpm", fan.rpm);
        vec![fan.chip.clone(), fan.label.clone(), turns, "-".into()]
    }));
    let mut lines = if rows.is_empty() {
        vec!["the kernel tells of no sensor".to_owned()]
    } else {
        vec![table(&["CHIP", "SENSOR", "READS", "LIMIT"], &rows)]
    };
    if let Some(throttling) = sensors.throttling {
        let (core, package) = (throttling.core, throttling.package);
        lines.push(format!(
            "throttled since the start: a core {core} times, the package {package} times"
        ));
    }
    let unread = sensors.unread.iter();
    lines.extend(unread.map(|(sensor, why)| format!("{sensor} could not be read: {why}")));
    lines.join("\n")
}

fn warmth(one: &Temperature) -> Vec<String> {
    let limit = one.critical.or(one.high);
    let alarm = if one.alarm { ", ALARM" } else { "" };
    vec![
        one.chip.clone(),
        one.label.clone(),
        format!("{:.1} °C{alarm}", one.celsius),
        limit.map_or_else(|| "-".to_owned(), |limit| format!("{limit:.1} °C")),
    ]
}
