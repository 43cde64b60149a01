//! `notify`: what is open and was told, and whether notices arrive.

use felhom_engine::Timestamp;
use felhom_engine::incident::Incident;
use serde_json::{Value, json};

use super::context::{Context, journal_failure};
use crate::clock;
use crate::config::{Concern, Config};
use crate::exit::{Exit, Failure};
use crate::journal::ChannelRecord;
use crate::notify::{Message, Pinged, SendError, Sender, ping};
use crate::output::table;

#[derive(Debug, clap::Subcommand)]
pub(super) enum NotifyCommand {
    /// Send a test notice through each channel, and print what became of it.
    Test(TestArgs),
    /// The incidents that are open, and how each channel did.
    List,
}

#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// Only through this channel.
    channel: Option<String>,
    /// Give every sign of life that is set up, too. Whoever waits for it takes it for a real one.
    #[arg(long)]
    pings: bool,
    /// Only say what would be sent, and where.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, command: NotifyCommand) -> Result<Exit, Failure> {
    match command {
        NotifyCommand::Test(args) => test(context, &args).await,
        NotifyCommand::List => list(context).await,
    }
}

/// What stands in the way when nobody would be told.
const NO_CHANNEL: &str =
    "set one up as [[notify.channels]]: /usr/share/doc/felhom-agent/operations/notifications.md";

fn senders<'a>(config: &'a Config, args: &TestArgs) -> Result<Vec<Sender<'a>>, Failure> {
    let all = config.notify.channels.iter();
    let all = all.map(|channel| Sender::new(config, channel));
    let Some(name) = &args.channel else {
        let all: Vec<Sender<'_>> = all.collect();
        let pings = args.pings && !config.notify.ping.is_empty();
        let nothing = all.is_empty() && !pings;
        return if nothing {
            let message = "no channel is set up, so nobody is told when something is wrong";
            Err(Failure::new(Exit::Configuration, "no-channel", message).hint(NO_CHANNEL))
        } else {
            Ok(all)
        };
    };
    let one: Vec<Sender<'_>> = all.filter(|sender| sender.name() == name).collect();
    if one.is_empty() {
        let message = format!("there is no channel `{name}`");
        let failure = Failure::new(Exit::NoSuchThing, "no-such-channel", message);
        return Err(failure.hint("`felhom-agent notify list` lists them"));
    }
    Ok(one)
}

async fn test(context: &Context, args: &TestArgs) -> Result<Exit, Failure> {
    let config = context.config()?;
    let senders = senders(&config, args)?;
    let journal = context.read_journal(&config).await?;
    let installation = journal
        .as_ref()
        .map(|journal| journal.installation().as_str());
    let now = clock::now();
    let node = config.node.as_str();
    let message = Message::test(installation.unwrap_or("not-installed-yet"), node, now);
    if args.dry_run {
        return Ok(rehearse(context, &config, args, &senders, &message));
    }
    let (mut lines, mut channels, mut failed) = (Vec::new(), Vec::new(), false);
    for sender in &senders {
        let sent = sender.send(&message, now).await;
        failed |= sent.is_err();
        let error = sent.as_ref().err().map(ToString::to_string);
        let hint = sent.as_ref().err().and_then(SendError::hint);
        lines.push(line("channel", sender.name(), error.as_deref(), hint));
        channels.push(json!({ "channel": sender.name(), "error": error, "hint": hint }));
    }
    let pinged = if args.pings {
        ping(&config, &Concern::ALL).await
    } else {
        Vec::new()
    };
    for Pinged { concern, error } in &pinged {
        failed |= error.is_some();
        lines.push(line("sign of life", concern.name(), error.as_deref(), None));
    }
    let data =
        json!({ "dry_run": false, "id": message.id(), "channels": channels, "pings": pinged });
    context
        .printer
        .document("felhom.notify-test", &data, || lines.join("\n"));
    Ok(if failed { Exit::Remote } else { Exit::Done })
}

fn line(what: &str, name: &str, error: Option<&str>, hint: Option<&str>) -> String {
    match (error, hint) {
        (None, _) => format!("ok   {what} {name}: taken"),
        (Some(error), None) => format!("BAD  {what} {name}: {error}"),
        (Some(error), Some(hint)) => format!("BAD  {what} {name}: {error}\n     {hint}"),
    }
}

fn rehearse(
    context: &Context,
    config: &Config,
    args: &TestArgs,
    senders: &[Sender<'_>],
    message: &Message,
) -> Exit {
    let each = senders.iter();
    let channels: Vec<Value> = each
        .map(|sender| json!({ "channel": sender.name(), "to": sender.place() }))
        .collect();
    let pings: Vec<&str> = config.notify.ping.keys().map(|one| one.name()).collect();
    let pings = if args.pings { pings } else { Vec::new() };
    let (title, body) = (message.title(), message.body());
    let data = json!({
        "dry_run": true, "title": title, "body": body, "channels": channels, "pings": pings,
    });
    context.printer.document("felhom.notify-test", &data, || {
        let to = senders.iter();
        let to =
            to.map(|sender| format!("would go through {} to {}", sender.name(), sender.place()));
        let life = pings
            .iter()
            .map(|name| format!("would give the sign of life `{name}`"));
        let lines: Vec<String> = to.chain(life).chain([title, body]).collect();
        lines.join("\n")
    });
    Exit::Done
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    let config = context.config()?;
    let journal = context.read_journal(&config).await?;
    let (open, records) = match &journal {
        Some(journal) => {
            let (open, _) = journal
                .incidents()
                .await
                .map_err(|error| journal_failure(&error))?;
            let records = journal.channel_records().await;
            (open, records.map_err(|error| journal_failure(&error))?)
        }
        None => (Vec::new(), Vec::new()),
    };
    let channels: Vec<(String, ChannelRecord)> = config
        .notify
        .channels
        .iter()
        .map(|channel| {
            let record = records.iter().find(|one| one.channel == channel.name);
            let fresh = ChannelRecord {
                channel: channel.name.clone(),
                ..ChannelRecord::default()
            };
            (
                channel.kind.name().to_owned(),
                record.cloned().unwrap_or(fresh),
            )
        })
        .collect();
    let pings: Vec<&str> = config.notify.ping.keys().map(|one| one.name()).collect();
    let told: Vec<Value> = channels
        .iter()
        .map(|(kind, record)| json!({ "kind": kind, "record": record }))
        .collect();
    let data = json!({ "incidents": open, "channels": told, "pings": pings });
    context.printer.document("felhom.notifications", &data, || {
        [incidents(&open), of_channels(&channels), life(&pings)].join("\n\n")
    });
    Ok(Exit::Done)
}

fn incidents(open: &[Incident]) -> String {
    if open.is_empty() {
        return "no incident is open".to_owned();
    }
    let rows: Vec<Vec<String>> = open
        .iter()
        .map(|incident| {
            vec![
                clock::local(incident.opened),
                incident.severity.to_string(),
                incident.headline.clone(),
                incident.detail.clone(),
            ]
        })
        .collect();
    table(&["SINCE", "SEVERITY", "INCIDENT", "SEEN LAST"], &rows)
}

fn of_channels(channels: &[(String, ChannelRecord)]) -> String {
    if channels.is_empty() {
        return format!("no channel is set up, so nobody is told: {NO_CHANNEL}");
    }
    let last = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), clock::local);
    let rows: Vec<Vec<String>> = channels
        .iter()
        .map(|(kind, record)| {
            vec![
                record.channel.clone(),
                kind.clone(),
                last(record.last_delivered),
                record.waiting.to_string(),
                record.given_up.to_string(),
                record.error.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    table(
        &[
            "CHANNEL",
            "KIND",
            "LAST ARRIVED",
            "WAITING",
            "GIVEN UP",
            "LAST ERROR",
        ],
        &rows,
    )
}

fn life(pings: &[&str]) -> String {
    if pings.is_empty() {
        "no sign of life is set up, so nobody notices when the box falls silent".to_owned()
    } else {
        format!("signs of life: {}", pings.join(", "))
    }
}
