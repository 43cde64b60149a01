//! What listing a backup server costs that holds 100 000 backups of 200 guests: time, and the most memory at any moment.
//!
//! The simulated server runs here, the client in a process of its own. Prints one tab-separated line per way of listing: one
//! element at a time, and all of them at once; backups, milliseconds, KiB at most.
#![expect(
    clippy::disallowed_types,
    reason = "a bench starts a process of its own"
)]

use std::io::Write;
use std::process::Command;

use anyhow::{Context, ensure};
use felhom_proxmox::pbs::Place;
use felhom_proxmox::pbs::snapshots::ListSnapshots;
use felhom_proxmox::{Address, Client, Pbs, Product, Settings, Token, Trust};
use felhom_simulator::{Options, Simulator};
use secrecy::SecretString;
use serde_json::json;
use tokio::time::Instant;

const BACKUPS: u64 = 100_000;
const STORE: &str = "felhom";
const TOKEN: &str = "felhom@pbs!n100";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let place = words.iter().position(|word| word == "--client");
    match place.map(|place| words.get(place + 1..)) {
        Some(Some([way, address, pin, secret, ..])) => client(way, address, pin, secret).await,
        _ => server().await,
    }
}

async fn server() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let world = Simulator::start(Options::new(directory.path().join("world"))).await?;
    let order = json!({ "store": STORE, "owner": TOKEN, "count": BACKUPS, "per_group": 500 });
    let made = world.control("pbs-bulk", order).await;
    made.map_err(anyhow::Error::msg)?;
    let secrets = world.pbs_tokens();
    let secret = secrets.get(TOKEN).context("the world has no such token")?;
    for way in ["each", "all"] {
        let mut child = Command::new(std::env::current_exe()?);
        let (address, pin) = (world.pbs_address().to_string(), world.pbs_fingerprint());
        child.args(["--client", way, &address, &pin, secret]);
        let ended = tokio::task::spawn_blocking(move || child.status()).await??;
        ensure!(ended.success(), "the client failed");
    }
    world.stop().await?;
    Ok(())
}

async fn client(way: &str, address: &str, pin: &str, secret: &str) -> anyhow::Result<()> {
    let token = Token::pbs(TOKEN.parse()?, &SecretString::from(secret.to_owned()));
    let address = Address::of(Product::BackupServer, address)?;
    let mut settings = Settings::new(address, token, Trust::PinnedLeaf(pin.parse()?));
    settings.longest_answer = 512 << 20;
    let server = Pbs::new(Client::new(settings)?);
    let list = ListSnapshots::all(Place::root(STORE.parse()?));
    let began = Instant::now();
    let mut count = 0_u64;
    if way == "each" {
        server.each_snapshot(&list, |_| count += 1).await?;
    } else {
        count = u64::try_from(server.snapshots(&list).await?.len())?;
    }
    let took = began.elapsed();
    ensure!(count >= BACKUPS, "only {count} backups were listed");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{way}\t{count}\t{}\t{}", took.as_millis(), peak()?)?;
    Ok(())
}

/// The most memory that this process ever had, in KiB.
fn peak() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.context("the kernel does not tell")?.parse()?)
}
