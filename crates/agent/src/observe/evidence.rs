//! Watching a booted copy: does it stay up, and does its own init do what only it can do?

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Trouble, remote_error};
use felhom_engine::{Evidence, EvidenceLevel};
use felhom_ids::{GuestKind, Vmid};
use felhom_proxmox::pve::guests::GuestStatus;
use felhom_proxmox::{Error, Pve};
use tokio::time::{Instant, sleep};

/// What to look for, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe<'a> {
    pub(crate) vmid: Vmid,
    /// Our addresses by interface name.
    pub(crate) nonces: &'a [(String, String)],
    pub(crate) wanted: EvidenceLevel,
    pub(crate) stable_for: Duration,
    pub(crate) timeout: Duration,
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Looks until the wanted level is reached and the copy has been stable for long enough, until it is down, or until time is up.
/// `node` reads the node's own uptime: a copy that is down after a reboot of the node says nothing.
pub(crate) async fn evidence(
    tester: &Pve,
    node: &Pve,
    probe: Probe<'_>,
) -> Result<Evidence, Trouble> {
    let began = Instant::now();
    let mut evidence = Evidence::default();
    let mut pause = FIRST_PAUSE;
    let mut first_pid = None;
    let mut same_since = began;
    loop {
        let (kind, status) = status(tester, probe.vmid).await?;
        let pid = status.pid.map(u64::from);
        evidence.uptime_s = status
            .uptime
            .and_then(|seconds| u64::try_from(seconds).ok())
            .unwrap_or(0);
        if !status.is_running() {
            evidence.stable = false;
            break;
        }
        if pid != first_pid {
            (first_pid, same_since) = (pid, Instant::now());
        }
        evidence.pid = pid;
        if kind == GuestKind::Qemu {
            ask_agent(tester, probe, &mut evidence, began).await;
        } else if evidence.nonces_seen.is_empty() {
            look_inside(tester, probe, &mut evidence, began).await?;
        }
        evidence.stable = same_since.elapsed() >= probe.stable_for;
        let reached = evidence.level().is_some_and(|level| level >= probe.wanted);
        if reached || began.elapsed() >= probe.timeout {
            break;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    let uptime = node.node_status().await?.uptime;
    evidence.node_uptime_s = u64::try_from(uptime).ok();
    Ok(evidence)
}

/// How the copy runs, of whichever kind it is.
async fn status(tester: &Pve, vmid: Vmid) -> Result<(GuestKind, GuestStatus), Trouble> {
    match tester.lxc_status(vmid).await {
        Err(error @ Error::NotFound { .. }) => match tester.qemu_status(vmid).await {
            Ok(status) => Ok((GuestKind::Qemu, status.guest)),
            Err(Error::NotFound { .. }) => Err(error.into()),
            Err(other) => Err(other.into()),
        },
        answer => Ok((GuestKind::Lxc, answer?)),
    }
}

/// A virtual machine has no init that PVE could give an address to: its agent is asked for a sign of life. One that does not
/// answer, or that we may not ask, is a fact and no trouble.
async fn ask_agent(tester: &Pve, probe: Probe<'_>, evidence: &mut Evidence, began: Instant) {
    if evidence.answered {
        return;
    }
    match tester.ping_agent(probe.vmid).await {
        Ok(_) => {
            evidence.answered = true;
            evidence.unanswered = None;
            evidence.booted_after_ms = u64::try_from(began.elapsed().as_millis()).ok();
        }
        Err(error) => evidence.unanswered = Some(remote_error(&error).text),
    }
}

async fn look_inside(
    tester: &Pve,
    probe: Probe<'_>,
    evidence: &mut Evidence,
    began: Instant,
) -> Result<(), Trouble> {
    let mut addresses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for interface in tester.lxc_interfaces(probe.vmid).await?.unwrap_or_default() {
        let seen = interface
            .addresses
            .iter()
            .map(|address| address.address.to_string())
            .collect();
        addresses.insert(interface.name, seen);
    }
    for (interface, nonce) in probe.nonces {
        if addresses
            .get(interface)
            .is_some_and(|seen| seen.contains(nonce))
        {
            evidence.nonces_seen.push(nonce.clone());
            evidence.booted_after_ms = u64::try_from(began.elapsed().as_millis()).ok();
        }
    }
    evidence.addresses = addresses;
    Ok(())
}
