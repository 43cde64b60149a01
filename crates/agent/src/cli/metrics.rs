//! `metrics`: the last host report as metrics, once or for whoever asks.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use felhom_engine::PostureLimits;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::context::{Context, journal_failure};
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, JournalError};
use crate::metrics::serve::{self, Limits, ListenError, Scrape};
use crate::metrics::{Format, Kept, render};

/// One that systemd starts ends after so long without a scrape, and is started again by its socket.
const IDLE: Duration = Duration::from_secs(90);

#[derive(Debug, Subcommand)]
pub(super) enum MetricsCommand {
    /// Print the metrics of the last host report; asks the node for nothing.
    Print {
        /// OpenMetrics, instead of the text format 0.0.4.
        #[arg(long)]
        openmetrics: bool,
    },
    /// Serve them to the machine itself, at /metrics.
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Where to listen: an address of the machine itself. A socket that systemd hands over as standard input
    /// goes before the default.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = DEFAULT)]
    listen: SocketAddr,
}

/// Where nothing else of the Prometheus world listens.
const DEFAULT: &str = "127.0.0.1:9221";

pub(super) async fn run(context: &Context, command: MetricsCommand) -> Result<Exit, Failure> {
    match command {
        MetricsCommand::Print { openmetrics } => print(context, openmetrics).await,
        MetricsCommand::Serve(args) => serve_until_told(context, &args).await,
    }
}

async fn print(context: &Context, openmetrics: bool) -> Result<Exit, Failure> {
    let config = context.config()?;
    let kept = match context.read_journal(&config).await? {
        Some(journal) => Kept::read(&journal, crate::metrics::limits(&config))
            .await
            .map_err(|error| journal_failure(&error))?,
        None => Kept::default(),
    };
    if kept.report.is_none() {
        let none = Failure::new(
            Exit::NoSuchThing,
            "no-report",
            "there is no host report yet",
        );
        return Err(none.hint(
            "`felhom-agent report` makes one, and so does every pass of `felhom-agent run --once`",
        ));
    }
    let format = if openmetrics {
        Format::OpenMetrics
    } else {
        Format::Text
    };
    let text = render(&kept.told(), format);
    let data = json!({ "content_type": format.content_type(), "text": text });
    context.printer.document("felhom.metrics", &data, || text);
    Ok(Exit::Done)
}

/// Reads the journal anew for each that asks.
struct FromJournal {
    state_dir: PathBuf,
    limits: PostureLimits,
}

impl Scrape for FromJournal {
    fn scrape(
        &self,
        format: Format,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>> {
        Box::pin(async move {
            let kept = match Journal::read(&self.state_dir).await {
                Ok(journal) => Kept::read(&journal, self.limits).await,
                // A box on which nothing was done yet is there all the same.
                Err(JournalError::Absent(_)) => Ok(Kept::default()),
                Err(error) => Err(error),
            };
            let kept = kept.map_err(|error| journal_failure(&error).to_string())?;
            Ok(render(&kept.told(), format))
        })
    }
}

async fn serve_until_told(context: &Context, args: &ServeArgs) -> Result<Exit, Failure> {
    let config = context.config()?;
    let asked_for = args.listen.to_string() != DEFAULT;
    let handed = if asked_for {
        None
    } else {
        serve::handed_over().map_err(|error| failure(&error))?
    };
    let idle = handed.as_ref().map(|_| IDLE);
    let listener = match handed {
        Some(listener) => listener,
        None => serve::listen(args.listen)
            .await
            .map_err(|error| failure(&error))?,
    };
    if let Ok(address) = listener.local_addr() {
        let line = format!("metrics at http://{address}/metrics");
        context.printer.narrate(&line);
    }
    let limits = Limits {
        idle,
        ..Limits::default()
    };
    let scrape = Arc::new(FromJournal {
        limits: crate::metrics::limits(&config),
        state_dir: config.state_dir,
    });
    serve::serve(listener, limits, scrape, told_to_stop()).await;
    Ok(Exit::Done)
}

/// Waits for the signals that end a service, and a command.
async fn told_to_stop() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(error) => {
                tracing::warn!(%error, "a signal cannot be waited for");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}

fn failure(error: &ListenError) -> Failure {
    let (exit, hint) = match error {
        ListenError::Outside(_) => (
            Exit::Refused,
            "listen on 127.0.0.1 or [::1]; a Prometheus elsewhere reads through its node_exporter (`metrics.textfile`) or a tunnel",
        ),
        ListenError::Bind(..) => (
            Exit::Busy,
            "another program has the port: name another one with `--listen`",
        ),
        ListenError::Socket(_) => (
            Exit::Configuration,
            "the socket unit must listen on a TCP port of the machine itself, with `Accept=no`",
        ),
    };
    let failure = Failure::new(exit, "metrics-listen", error.to_string());
    let failure = match std::error::Error::source(error) {
        Some(source) => failure.caused_by(source),
        None => failure,
    };
    failure.hint(hint)
}
