//! What root does about guests: a golden container is made, a scratch guest stripped, an unfinished restore released.

use std::collections::BTreeMap;
use std::sync::Arc;

use felhom_host::{Code, Refusal};

use super::rules::{Golden, Scratch};
use crate::access::Principal;
use crate::guest::Lxc;
use crate::guest::config::Config;
use crate::sim::Sim;
use crate::storage::access;
use crate::tasks::Upid;
use crate::workers::create::{self, Order};
use crate::workers::{destroy, seconds};
use crate::world::World;

/// Size of a golden container's root file system, in GiB.
const ROOTFS: u32 = 8;
/// What a restore, the making of a guest and its removal are called in task lists.
const TASKS: [&str; 6] = [
    "vzrestore",
    "vzcreate",
    "vzdestroy",
    "qmrestore",
    "qmcreate",
    "qmdestroy",
];

/// What came of making a golden container.
pub(super) struct Made {
    pub(super) existed: bool,
    pub(super) features: String,
}

fn refuse(code: Code, text: impl Into<String>) -> Refusal {
    Refusal::new(code, text)
}

fn mark(vmid: u32) -> String {
    format!("felhom: golden container {vmid}")
}

fn features(config: &Config) -> Option<String> {
    let text = config.current.get("features")?;
    let has = |wanted: &str| text.split(',').any(|one| one == wanted);
    (has("nesting=1") && has("keyctl=1") && config.current.flag("unprivileged"))
        .then(|| text.to_owned())
}

/// A container that an earlier request for the same made, if it is there.
fn existing(world: &World, vmid: u32) -> Result<Option<Made>, Refusal> {
    let Some(kind) = world.vmid_taken(vmid) else {
        return Ok(None);
    };
    let config = world.guests.lxc.get(&vmid).map(|guest| &guest.config);
    let ours = config.filter(|config| {
        let description = config.current.get("description").unwrap_or_default();
        description.lines().any(|line| line == mark(vmid)) && config.lock().is_none()
    });
    if let Some(features) = ours.and_then(features) {
        let existed = true;
        return Ok(Some(Made { existed, features }));
    }
    if config.and_then(Config::lock) == Some("create") {
        let text = format!(
            "CT {vmid} is locked (create): it is being made, or a crash left it: pct unlock {vmid}; pct destroy {vmid}"
        );
        return Err(refuse(Code::Exists, text));
    }
    let text = format!("{kind} {vmid} exists already, and is no golden container of ours");
    Err(refuse(Code::Exists, text))
}

fn check_template(world: &World, golden: &Golden, template: &str) -> Result<(), Refusal> {
    let storage = template.split(':').next().unwrap_or_default();
    if !golden.templates.iter().any(|one| one == storage) {
        let text = format!(
            "templates come from {}, not from {storage}",
            golden.templates.join(", ")
        );
        return Err(refuse(Code::NotConfigured, text));
    }
    let missing = || refuse(Code::NotFound, format!("there is no template {template}"));
    access::parse(world, template).map_err(|_| missing())?;
    world
        .volume_attributes(template)
        .map(drop)
        .map_err(|_| missing())
}

fn order(golden: &Golden, vmid: u32, template: &str) -> Order {
    let mut given: BTreeMap<String, String> = [
        ("features", "nesting=1,keyctl=1"),
        ("hostname", "felhom-golden"),
        ("memory", "1024"),
        ("swap", "0"),
        ("cores", "1"),
        ("onboot", "0"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    given.insert("description".into(), mark(vmid));
    if let Some(bridge) = &golden.bridge {
        given.insert("net0".into(), format!("name=eth0,bridge={bridge},ip=dhcp"));
    }
    let rootfs = format!("{}:{ROOTFS}", golden.storage);
    Order {
        vmid,
        source: template.to_owned(),
        storage: golden.storage.clone(),
        pool: golden.pool.clone(),
        given,
        mounts: [("rootfs".to_owned(), rootfs)].into(),
        unprivileged: Some(true),
        ..Order::default()
    }
}

/// `create-golden-container`: `pct create`, which is a task of `root@pam`.
pub(super) async fn create_golden(
    sim: &Arc<Sim>,
    vmid: u32,
    template: &str,
) -> Result<Made, Refusal> {
    let order = {
        let mut world = sim.lock();
        let golden = world.rules.golden(vmid)?.clone();
        if let Some(made) = existing(&world, vmid)? {
            return Ok(made);
        }
        check_template(&world, &golden, template)?;
        let usable = world.storage.usable(&golden.storage).map(drop);
        usable.map_err(|error| refuse(Code::Failed, error.message))?;
        let config = destroy::stub("create");
        let guest = Lxc {
            config,
            ..Lxc::default()
        };
        world.guests.lxc.insert(vmid, guest);
        order(&golden, vmid, template)
    };
    let root = Principal::new("root@pam");
    let upid = sim.start_task(&root, "vzcreate", &vmid.to_string(), move |worker| {
        create::run(worker, order)
    });
    let status = ended(sim, &upid).await;
    let world = sim.lock();
    let config = world.guests.lxc.get(&vmid).map(|guest| &guest.config);
    match config.and_then(features) {
        Some(features) if status == "OK" => Ok(Made {
            existed: false,
            features,
        }),
        _ => Err(refuse(Code::Failed, format!("pct create failed: {status}"))),
    }
}

/// Waits for a task and answers its exit status.
async fn ended(sim: &Sim, upid: &str) -> String {
    let Some(upid) = Upid::parse(upid) else {
        return "unknown".into();
    };
    while sim.tasks.is_running(&upid) {
        sim.clock.sleep(seconds(0.1)).await;
    }
    sim.tasks.exit_status(&upid).unwrap_or_default()
}

/// Whether a description bears the agent's mark for this guest.
fn is_marked(config: &Config, vmid: u32) -> bool {
    let description = config.current.get("description").unwrap_or_default();
    description.split_whitespace().any(|word| {
        let rest = word.strip_prefix("felhom-mark:v1:");
        rest.and_then(|rest| rest.rsplit_once(':'))
            .is_some_and(|(_, whom)| whom == vmid.to_string())
    })
}

/// The last task on a guest, running or not.
fn last_task(sim: &Sim, vmid: u32) -> Option<Upid> {
    let id = vmid.to_string();
    let running = sim.tasks.running().into_iter();
    let finished = sim.tasks.finished().into_iter().map(|entry| entry.upid);
    running.chain(finished).find(|upid| upid.id == id)
}

/// `strip-scratch-guest`
pub(super) fn strip(sim: &Sim, vmid: u32) -> Result<Vec<String>, Refusal> {
    let last = last_task(sim, vmid);
    let running = last.as_ref().is_some_and(|upid| sim.tasks.is_running(upid));
    let mut world = sim.lock();
    let scratch = world.rules.scratch(vmid)?.clone();
    let absent = || refuse(Code::NotFound, format!("there is no container {vmid}"));
    let guest = world.guests.lxc.get(&vmid).ok_or_else(absent)?;
    if guest.run.is_some() {
        return Err(refuse(Code::InUse, format!("CT {vmid} is running")));
    }
    let unproven = |why: &str| refuse(Code::NotProven, format!("CT {vmid} {why}"));
    if let Some(lock) = guest.config.lock() {
        return Err(unproven(&format!("is locked ({lock})")));
    }
    if !guest.config.snapshots.is_empty() {
        return Err(unproven("has snapshots"));
    }
    if !is_marked(&guest.config, vmid) {
        return Err(unproven("does not bear our mark"));
    }
    let restored = last.is_some_and(|upid| {
        upid.kind == "vzrestore" && scratch.tokens.contains(&upid.user) && !running
    });
    if !restored {
        return Err(unproven("was not restored last by a token of ours"));
    }
    let Some(guest) = world.guests.lxc.get_mut(&vmid) else {
        return Err(absent());
    };
    Ok(take(&mut guest.config))
}

/// Takes out what would act on the host, and answers it.
fn take(config: &mut Config) -> Vec<String> {
    let section = &mut config.current;
    let acts = |key: &str| {
        let device = key.strip_prefix("dev").unwrap_or_default();
        let is_device = !device.is_empty() && device.bytes().all(|byte| byte.is_ascii_digit());
        key == "hookscript" || is_device
    };
    let mut taken = Vec::new();
    section.values.retain(|key, value| {
        let goes = acts(key);
        if goes {
            taken.push(format!("{key}: {value}"));
        }
        !goes
    });
    let raw = section.raw.drain(..);
    taken.extend(raw.map(|(key, value)| format!("{key}: {value}")));
    taken
}

/// Whether a configuration is what a cut off task left: nothing but its lock, if that has not gone since.
fn is_stub(config: &Config) -> bool {
    config.current.raw.is_empty()
        && config.pending.is_empty()
        && config.snapshots.is_empty()
        && config.current.values.keys().all(|key| key == "lock")
        && matches!(config.lock(), None | Some("create" | "destroyed"))
}

/// The task, when it is one that may have left a stub of this guest on this node.
fn cut_off(world: &World, scratch: &Scratch, vmid: u32, upid: &str) -> Result<Upid, Refusal> {
    let unproven = |why: &str| refuse(Code::NotProven, format!("guest {vmid}: {why}"));
    let task = Upid::parse(upid).ok_or_else(|| unproven("that is no task's name"))?;
    if !TASKS.contains(&task.kind.as_str()) || task.id != vmid.to_string() {
        return Err(unproven("the task does not make or remove it"));
    }
    if !scratch.tokens.contains(&task.user) {
        return Err(unproven(&format!(
            "the task is of {}, which is not in `scratch.tokens` of /etc/felhom/hostd.toml",
            task.user
        )));
    }
    if task.node != world.node.name {
        return Err(unproven("the task is another node's"));
    }
    Ok(task)
}

/// `release-unfinished-restore`: the lock that was taken, if there was one.
pub(super) fn release(sim: &Sim, vmid: u32, upid: &str) -> Result<Option<String>, Refusal> {
    let unproven = |why: &str| refuse(Code::NotProven, format!("guest {vmid}: {why}"));
    let last = last_task(sim, vmid);
    let mut world = sim.lock();
    let scratch = world.rules.scratch(vmid)?.clone();
    let task = cut_off(&world, &scratch, vmid, upid)?;
    let container = world.guests.lxc.get(&vmid);
    let machine = world.qemu.get(&vmid);
    let running = container.is_some_and(|guest| guest.run.is_some())
        || machine.is_some_and(|guest| guest.run.is_some());
    let config = container
        .map(|guest| &guest.config)
        .or(machine.map(|guest| &guest.config));
    let absent = || refuse(Code::NotFound, format!("there is no guest {vmid}"));
    let config = config.ok_or_else(absent)?;
    if running {
        return Err(refuse(Code::InUse, format!("guest {vmid} is running")));
    }
    if !is_stub(config) {
        return Err(unproven(
            "its configuration is no stub of an unfinished task",
        ));
    }
    let lock = config.lock().map(str::to_owned);
    if last.as_ref() != Some(&task) {
        return Err(unproven("the task is not the last one on it"));
    }
    if sim.tasks.is_running(&task) {
        return Err(unproven("the task still runs"));
    }
    if lock.is_some() {
        world.unlock_guest(vmid);
        if let Some(guest) = world.qemu.get_mut(&vmid) {
            guest.config.current.values.remove("lock");
        }
    }
    if let Some(pool) = scratch.pool.and_then(|name| world.pools.get_mut(&name)) {
        pool.vms.insert(vmid);
    }
    Ok(lock)
}
