//! Looks at every container of a served world: status, configuration, snapshots. For measuring what an observation costs.
//!
//! Usage: `observe READY.json`, the line that `felhom-sim serve` prints. Prints how many of each were read.

use std::error::Error;
use std::io::Write;

use felhom_ids::{TokenId, Vmid};
use felhom_proxmox::{Client, Pve, Settings, Token, Trust};
use secrecy::SecretString;
use serde_json::Value;
use tokio::task::JoinSet;

const TOKEN: &str = "felhom-agent@pve!agent";
/// As many requests at once as the client keeps connections.
const WORKERS: usize = 2;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let ready = std::env::args().nth(1).ok_or("usage: observe READY.json")?;
    let pve = connect(&serde_json::from_str(&std::fs::read_to_string(ready)?)?)?;
    let guests: Vec<Vmid> = pve
        .lxc_list()
        .await?
        .iter()
        .map(|guest| guest.vmid)
        .collect();
    let mut workers = JoinSet::new();
    for part in guests.chunks(guests.len().div_ceil(WORKERS).max(1)) {
        workers.spawn(observe(pve.clone(), part.to_vec()));
    }
    let (mut running, mut keys, mut snapshots) = (0, 0, 0);
    while let Some(seen) = workers.join_next().await {
        let seen = seen??;
        running += seen.0;
        keys += seen.1;
        snapshots += seen.2;
    }
    writeln!(
        std::io::stdout(),
        "{} guests, {running} running, {keys} configuration keys, {snapshots} snapshots",
        guests.len()
    )?;
    Ok(())
}

/// Counts the running ones, the keys of their configurations, and their snapshots.
async fn observe(pve: Pve, guests: Vec<Vmid>) -> Result<(usize, usize, usize), Failure> {
    let (mut running, mut keys, mut snapshots) = (0, 0, 0);
    for vmid in guests {
        running += usize::from(pve.lxc_status(vmid).await?.is_running());
        keys += pve.lxc_config(vmid).await?.raw.len();
        snapshots += pve.lxc_snapshots(vmid).await?.list.len();
    }
    Ok((running, keys, snapshots))
}

fn connect(ready: &Value) -> Result<Pve, Failure> {
    let text = |pointer: &str| {
        let value = ready.pointer(pointer).and_then(Value::as_str);
        value.ok_or_else(|| format!("{pointer} is missing"))
    };
    let id: TokenId = TOKEN.parse()?;
    let secret = SecretString::from(text(&format!("/tokens/{TOKEN}"))?);
    let trust = Trust::PinnedLeaf(text("/pve/fingerprint")?.parse()?);
    let settings = Settings::new(text("/pve/url")?.parse()?, Token::new(id, &secret), trust);
    Ok(Pve::new(
        Client::new(settings)?,
        text("/pve/node")?.parse()?,
    ))
}
