//! What can go wrong once, at one step: which steps it can hit, and how it is brought about.

use std::time::Duration;

use felhom_engine::{Mutation, Step};
use felhom_ids::{GuestKind, Upid, Vmid};
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use crate::scene::request_of;
use crate::support::*;

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// Nobody listens.
    Refused,
    /// Accepted, never carried out, never answered.
    Hang,
    /// Carried out; the connection breaks instead of an answer.
    AnswerCut,
    /// The connection breaks, and the worker starts 20 s later.
    AnswerCutLateStart,
    /// Carried out; the proxy answers 596 while the worker runs on.
    GatewayTimeout,
    /// Not carried out: somebody else held a lock for too long.
    LockTimeout,
    /// Every request is answered 401, until that ends.
    UnauthorizedStorm,
    /// Carried out; a web page comes instead of JSON.
    WebPage,
    /// Carried out; the answer breaks off in its middle.
    Truncated,
    /// Somebody stops the task in its middle.
    TaskKilled,
    /// The task ends with warnings.
    TaskWarns,
    /// The task ends before it did anything, without a last line.
    UnexpectedStatus,
    /// The task ends after it did everything, without a last line.
    UnexpectedStatusAfterwards,
    /// The node loses power in the middle of the task, and boots again.
    Reboot,
    /// The server shows another certificate, until an admin pins that.
    CertificateSwap,
    /// Somebody's operation left a lock on the guest, until an admin removes it.
    StaleLock,
    /// Somebody else's vzdump runs and ends before our patience does.
    OtherVzdump,
    /// Somebody else's vzdump runs for hours.
    OtherVzdumpForHours,
    /// The node's clock jumps two hours ahead.
    ClockAhead,
    /// The node's clock jumps two hours back.
    ClockBack,
}

impl Trouble {
    pub(crate) const ALL: [Self; 20] = [
        Self::Refused,
        Self::Hang,
        Self::AnswerCut,
        Self::AnswerCutLateStart,
        Self::GatewayTimeout,
        Self::LockTimeout,
        Self::UnauthorizedStorm,
        Self::WebPage,
        Self::Truncated,
        Self::TaskKilled,
        Self::TaskWarns,
        Self::UnexpectedStatus,
        Self::UnexpectedStatusAfterwards,
        Self::Reboot,
        Self::CertificateSwap,
        Self::StaleLock,
        Self::OtherVzdump,
        Self::OtherVzdumpForHours,
        Self::ClockAhead,
        Self::ClockBack,
    ];

    /// Whether it can hit this step at all.
    pub(crate) fn hits(self, step: &Step) -> bool {
        let mutation = match step {
            Step::Mutate(mutation) => Some(mutation),
            _ => None,
        };
        match self {
            Self::Refused
            | Self::Hang
            | Self::GatewayTimeout
            | Self::LockTimeout
            | Self::UnauthorizedStorm
            | Self::WebPage
            | Self::Truncated
            | Self::CertificateSwap
            | Self::ClockAhead
            | Self::ClockBack => true,
            Self::AnswerCut => mutation.is_some(),
            Self::AnswerCutLateStart
            | Self::TaskKilled
            | Self::TaskWarns
            | Self::UnexpectedStatus
            | Self::UnexpectedStatusAfterwards
            | Self::Reboot => mutation.is_some_and(|mutation| mutation.task().is_some()),
            Self::StaleLock => mutation.and_then(guest_of).is_some(),
            Self::OtherVzdump | Self::OtherVzdumpForHours => {
                matches!(mutation, Some(Mutation::Backup { .. }))
            }
        }
    }

    /// What the next request, or the request of this step, meets.
    fn request(self) -> Option<FaultKind> {
        Some(match self {
            Self::Refused => FaultKind::Refuse,
            Self::Hang => FaultKind::Stall,
            Self::AnswerCut => FaultKind::CutAnswer,
            Self::AnswerCutLateStart => FaultKind::CutThenRun { seconds: 20.0 },
            Self::GatewayTimeout => FaultKind::AnswerStatus {
                code: 596,
                text: "Connection timed out".into(),
            },
            Self::LockTimeout => FaultKind::Status {
                code: 500,
                text: "can't lock file '/run/lock/lxc/pve-config.lock' - got timeout".into(),
            },
            Self::UnauthorizedStorm => FaultKind::Status {
                code: 401,
                text: "No ticket".into(),
            },
            Self::WebPage => FaultKind::Html,
            Self::Truncated => FaultKind::Truncated,
            _ => return None,
        })
    }

    /// What the task of this step meets: where, and what.
    fn task(self, kind: &str) -> Option<(String, FaultKind)> {
        let middle = match kind {
            "vzdump" => "vzdump:archive".to_owned(),
            "vzrestore" => "vzrestore:extract".to_owned(),
            "vzdestroy" => "vzdestroy:volumes".to_owned(),
            "qmrestore" => "qmrestore:extract".to_owned(),
            "qmdestroy" => "qmdestroy:volumes".to_owned(),
            other => other.to_owned(),
        };
        Some(match self {
            Self::TaskKilled | Self::Reboot => (middle, FaultKind::TaskHold),
            Self::TaskWarns => {
                let text = "simulated".into();
                (kind.to_owned(), FaultKind::TaskWarn { text })
            }
            Self::UnexpectedStatus => (kind.to_owned(), FaultKind::TaskVanish),
            Self::UnexpectedStatusAfterwards => (format!("{kind}:end"), FaultKind::TaskVanish),
            _ => return None,
        })
    }
}

/// Of what kind the guest is that a mutation works on, as far as its request depends on that.
fn kind_of(mutation: &Mutation) -> GuestKind {
    match mutation {
        Mutation::Restore(plan) => plan.kind,
        Mutation::StartMachine(_) | Mutation::StopMachine(_) | Mutation::DestroyMachine(_) => {
            GuestKind::Qemu
        }
        _ => GuestKind::Lxc,
    }
}

/// The guest that a mutation works on and that is there before.
fn guest_of(mutation: &Mutation) -> Option<Vmid> {
    match mutation {
        Mutation::Backup { vmid, .. }
        | Mutation::Start(vmid)
        | Mutation::Stop(vmid)
        | Mutation::Destroy(vmid)
        | Mutation::StartMachine(vmid)
        | Mutation::StopMachine(vmid)
        | Mutation::DestroyMachine(vmid)
        | Mutation::StartRestored(vmid)
        | Mutation::DestroyRestored(vmid)
        | Mutation::StartRestoredMachine(vmid)
        | Mutation::DestroyRestoredMachine(vmid)
        | Mutation::Snapshot { vmid, .. }
        | Mutation::DeleteSnapshot { vmid, .. }
        | Mutation::Rollback { vmid, .. } => Some(*vmid),
        _ => None,
    }
}

/// Brings a trouble about right before a step is performed. What goes on beside the job is done by [`Trouble::accompany`].
pub(crate) async fn begin(trouble: Trouble, step: &Step, bench: &Bench) {
    if let Some(kind) = trouble.request() {
        let bound = match step {
            Step::Mutate(mutation) => request_of(mutation.name(), kind_of(mutation)),
            _ => None,
        };
        let (method, path) = bound.unwrap_or(("*", "*"));
        let mut fault = Fault::request(method, path, kind);
        if trouble == Trouble::UnauthorizedStorm {
            fault = Fault {
                count: None,
                ..Fault::request("*", "*", fault.kind)
            };
        }
        bench.world.inject(fault);
    }
    let Step::Mutate(mutation) = step else {
        return begin_in_world(trouble, None, bench).await;
    };
    if let Some((kind, id)) = mutation.task()
        && let Some((point, fault)) = trouble.task(kind)
    {
        bench.world.inject(Fault {
            id: id.parse::<Vmid>().ok().map(|vmid| vmid.to_string()),
            ..Fault::task(&point, fault)
        });
    }
    begin_in_world(trouble, Some(mutation), bench).await;
}

async fn begin_in_world(trouble: Trouble, mutation: Option<&Mutation>, bench: &Bench) {
    match trouble {
        Trouble::CertificateSwap => drop(bench.world.renew_certificate().unwrap()),
        Trouble::StaleLock => {
            if let Some(vmid) = mutation.and_then(guest_of) {
                let change = json!({ "set": { "lock": "snapshot" } });
                poke(bench, vmid.get(), change).await;
            }
        }
        Trouble::OtherVzdump | Trouble::OtherVzdumpForHours => other_vzdump(bench).await,
        Trouble::ClockAhead => bench.world.shift_clock(7200),
        Trouble::ClockBack => bench.world.shift_clock(-7200),
        _ => {}
    }
}

/// Changes a guest of either kind behind everybody's back.
async fn poke(bench: &Bench, vmid: u32, change: serde_json::Value) {
    if bench.world.state()["world"]["guests"][vmid.to_string()].is_object() {
        return bench.poke(vmid, change).await;
    }
    let mut order = change;
    order["vmid"] = vmid.into();
    let poked = bench.world.control("poke-qemu", order).await;
    drop(poked.unwrap());
}

/// The guest that somebody else backs up.
const OTHER: u32 = 9001;

async fn other_vzdump(bench: &Bench) {
    bench.world.inject(Fault {
        id: Some(OTHER.to_string()),
        ..Fault::task("vzdump:archive", FaultKind::TaskHold)
    });
    let root = bench.root();
    let request = felhom_proxmox::pve::backup::Vzdump::new(vmid(OTHER), "local".parse().unwrap());
    drop(root.vzdump(&request).await.unwrap());
    eventually("the other vzdump works", || bench.world.held_answers() == 1).await;
}

/// What goes on beside the job once the trouble is there. Ends when it has nothing more to do.
pub(crate) async fn accompany(trouble: Trouble, bench: &Bench) {
    match trouble {
        Trouble::TaskKilled => {
            let Some(upid) = held_task(bench).await else {
                return;
            };
            drop(bench.root().stop_task(&upid).await);
        }
        Trouble::Reboot => {
            let held = held_task(bench).await;
            assert!(held.is_some(), "no task came to its point");
            bench.world.power_cut(Duration::from_secs(30)).await;
        }
        Trouble::OtherVzdump => {
            // Long enough for ours to stand in the queue.
            waiting_vzdump(bench).await;
            bench.world.release();
        }
        Trouble::OtherVzdumpForHours => {
            waiting_vzdump(bench).await;
            bench.world.advance(Duration::from_hours(3));
        }
        _ => {}
    }
}

/// The task that stands at its injected point.
async fn held_task(bench: &Bench) -> Option<Upid> {
    for _ in 0..1000 {
        if bench.world.held_answers() == 1 {
            let state = bench.world.state();
            let running = state["running_tasks"].as_array().unwrap();
            return running.first()?.as_str()?.parse().ok();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}

/// Returns when two vzdump tasks run.
async fn waiting_vzdump(bench: &Bench) {
    for _ in 0..1000 {
        let state = bench.world.state();
        if state["running_tasks"]
            .to_string()
            .matches(":vzdump:")
            .count()
            == 2
        {
            return tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An admin mends what does not end by itself.
pub(crate) async fn mend(trouble: Trouble, bench: &Bench) {
    bench.world.clear_faults();
    settled(bench).await;
    match trouble {
        Trouble::CertificateSwap => repinned(bench),
        Trouble::StaleLock => {
            for vmid in bench.world.guests() {
                // A stub that is half destroyed bears its own lock.
                let state = bench.world.state();
                let of = |kind: &str| state["world"][kind][vmid.to_string()]["config"].to_string();
                if (of("guests") + &of("machines")).contains("lock: snapshot") {
                    poke(bench, vmid, json!({ "delete": ["lock"] })).await;
                }
            }
        }
        _ => {}
    }
}

/// An admin pins the certificate that the server shows now.
pub(crate) fn repinned(bench: &Bench) {
    let now = format!("fingerprint = \"{}\"", bench.world.fingerprint());
    bench.reconfigure(|text| {
        let pinned = |line: &str| {
            line.split_once('=')
                .is_some_and(|(key, _)| key.trim() == "fingerprint")
        };
        let lines = text
            .lines()
            .map(|line| if pinned(line) { &now } else { line });
        lines.collect::<Vec<_>>().join("\n")
    });
}
