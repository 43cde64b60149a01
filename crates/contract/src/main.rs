//! `felhom-contract`: ask a server, print what differs.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use felhom_contract::{Options, Product, Target, permission_table, privilege_table, run};

/// Asks a Proxmox VE or Proxmox Backup Server, or anything that speaks its API, the questions whose answers are known.
#[derive(Debug, Parser)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[command(name = "felhom-contract", version, about)]
struct Cli {
    /// The server: address, fingerprint, principals, guests, scratch range.
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// Only the question or the group of this name; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Make users, tokens, roles and ACLs (named felhom-contract…), and remove them afterwards.
    #[arg(long)]
    may_edit_identities: bool,
    /// Say what would be asked and ask nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write the table of privileges, of a backup server that of roles, as Markdown.
    #[arg(long, value_name = "FILE")]
    privileges: Option<PathBuf>,
    /// A file of differences that are known, with reasons; only others count.
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// Say each question's name while it is asked, and what was not asked and why.
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(perform(&cli)));
    match result {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(1)
        }
    }
}

async fn perform(cli: &Cli) -> anyhow::Result<ExitCode> {
    let target = Target::read(&cli.target)?;
    let options = Options {
        only: cli.only.clone(),
        may_edit_identities: cli.may_edit_identities,
        dry_run: cli.dry_run,
        progress: cli.verbose.then_some(say),
    };
    let mut report = run(&target, &options).await?;
    let mut unused = Vec::new();
    if let Some(path) = &cli.known {
        let known = felhom_contract::Known::read(path)?;
        unused = known.excuse(&mut report);
    }
    let out = if cli.json {
        serde_json::to_string_pretty(&report.json())?
    } else if cli.dry_run {
        report.not_asked()
    } else if cli.verbose {
        format!("{}\n{}", report.not_asked(), report.text())
    } else {
        report.text()
    };
    // A reader that went away is no failure.
    writeln!(std::io::stdout().lock(), "{}", out.trim_end()).ok();
    if let Some(path) = &cli.privileges {
        let table = match report.product {
            Product::Pve => privilege_table(&report.privileges),
            Product::Pbs => permission_table(&report.permissions),
        };
        std::fs::write(path, table)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    for name in &unused {
        say(&format!(
            "listed as known, but agrees or was not asked: {name}"
        ));
    }
    let fine = report.counts().differ == 0 && report.leftovers.is_empty() && unused.is_empty();
    Ok(ExitCode::from(if fine { 0 } else { 3 }))
}

fn say(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").ok();
}
