//! What root does about guests: a golden container is made, a scratch guest stripped, an unfinished restore released.

use std::collections::BTreeMap;
use std::sync::Arc;

use felhom_host::{Code, Refusal};

use super::rules::{Golden, Scratch};
use crate::access::Principal;
use crate::guest::Lxc;
use crate::guest::config::Config;
use crate::sim::Sim;
use crate::tasks::Upid;
use crate::workers::create::{self, Order};
use crate::workers::{destroy, seconds};
use crate::world::World;

/// Size of a golden container's root file system, in GiB.
const ROOTFS: u32 = 8;
/// The lock that a task leaves when it is cut off: a restore begins with one, a removal ends with another.
fn left_by(task: &str) -> Option<&'static str> {
    match task {
        "vzrestore" | "qmrestore" => Some("create"),
        "vzdestroy" | "qmdestroy" => Some("destroyed"),
        _ => None,
    }
}

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

fn check_template(golden: &Golden, template: &str) -> Result<(), Refusal> {
    let storage = template.split(':').next().unwrap_or_default();
    if golden.templates.iter().any(|one| one == storage) {
        return Ok(());
    }
    let text =
        format!("the storage `{storage}` is not in `golden.templates` of /etc/felhom/hostd.toml");
    Err(refuse(Code::NotConfigured, text))
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
        check_template(&golden, template)?;
        if let Some(made) = existing(&world, vmid)? {
            return Ok(made);
        }
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

/// Whether a description bears the agent's mark for this guest, and none for another.
fn is_marked(config: &Config, vmid: u32) -> bool {
    let description = config.current.get("description").unwrap_or_default();
    let mut marks = description
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("felhom-mark:v1:"))
        .peekable();
    marks.peek().is_some() && marks.all(|mark| is_mark(mark, vmid))
}

fn is_mark(mark: &str, vmid: u32) -> bool {
    let hexadecimal = |text: &str, digits| {
        text.len() == digits
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match mark.split(':').collect::<Vec<_>>().as_slice() {
        [installation, job, number] => {
            hexadecimal(installation, 32) && hexadecimal(job, 16) && *number == vmid.to_string()
        }
        _ => false,
    }
}

/// The last task on a guest with its exit status; none of one that runs.
fn last_task(sim: &Sim, vmid: u32) -> Option<(Upid, Option<String>)> {
    let id = vmid.to_string();
    let running = sim.tasks.running().into_iter().map(|upid| (upid, None));
    let finished = sim.tasks.finished().into_iter();
    let finished = finished.map(|entry| (entry.upid, Some(entry.status)));
    running.chain(finished).find(|(upid, _)| upid.id == id)
}

fn ended_well(status: Option<&str>) -> bool {
    let status = status.unwrap_or_default();
    status == "OK" || status.starts_with("WARNINGS")
}

/// `strip-scratch-guest`
pub(super) fn strip(sim: &Sim, vmid: u32) -> Result<Vec<String>, Refusal> {
    let last = last_task(sim, vmid);
    let mut world = sim.lock();
    let scratch = world.rules.scratch(vmid)?.clone();
    let absent = || refuse(Code::NotFound, format!("there is no container {vmid}"));
    let guest = world.guests.lxc.get(&vmid).ok_or_else(absent)?;
    let unproven = |why: &str| refuse(Code::NotProven, format!("{vmid} {why}"));
    if let Some(lock) = guest.config.lock() {
        return Err(unproven(&format!("is locked (`{lock}`)")));
    }
    if !guest.config.snapshots.is_empty() || !guest.config.pending.is_empty() {
        return Err(unproven("has snapshots or pending changes"));
    }
    if !is_marked(&guest.config, vmid) {
        return Err(unproven(
            "does not carry felhom-agent's mark for this number",
        ));
    }
    let restored = last.is_some_and(|(upid, end)| {
        upid.kind == "vzrestore"
            && scratch.tokens.contains(&upid.user)
            && ended_well(end.as_deref())
    });
    if !restored {
        return Err(unproven("was not restored last by one of `scratch.tokens`"));
    }
    if guest.run.is_some() {
        return Err(refuse(
            Code::InUse,
            format!("guest {vmid} runs; stop it first"),
        ));
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
    section.raw.retain(|(key, value)| {
        let stays = key == "lxc.environment.runtime";
        if !stays {
            taken.push(format!("{key}: {value}"));
        }
        stays
    });
    taken
}

/// Whether a configuration is what a cut off task left: nothing but this lock, if that has not gone since.
fn is_stub(config: &Config, kind: &str, lock: &str) -> bool {
    // A machine's restore writes a memory that stands in for the archived one.
    let stands_in = |key: &str, value: &str| kind == "VM" && (key, value) == ("memory", "128");
    let mut values = config.current.values.iter();
    config.current.raw.is_empty()
        && config.pending.is_empty()
        && config.snapshots.is_empty()
        && values.all(|(key, value)| key == "lock" || stands_in(key, value))
        && config.lock().is_none_or(|found| found == lock)
}

/// The task and the lock that it leaves, when it is one that may have left a stub of this guest on this node.
fn cut_off(
    world: &World,
    scratch: &Scratch,
    vmid: u32,
    upid: &str,
) -> Result<(Upid, &'static str), Refusal> {
    let unproven = |why: &str| refuse(Code::NotProven, why);
    let task = Upid::parse(upid).ok_or_else(|| unproven("that is no task's name"))?;
    let Some(lock) = left_by(&task.kind) else {
        let kind = &task.kind;
        let text = format!(
            "a task `{kind}` leaves nothing that is released; only restores and removals do"
        );
        return Err(unproven(&text));
    };
    if task.id != vmid.to_string() {
        return Err(unproven(&format!("the task is not one on {vmid}")));
    }
    if !scratch.tokens.contains(&task.user) {
        let user = &task.user;
        let text = format!(
            "the task is of {user}, which is not in `scratch.tokens` of /etc/felhom/hostd.toml"
        );
        return Err(unproven(&text));
    }
    let node = &world.node.name;
    if task.node != *node {
        let text = format!("the task ran on {}, and this is {node}", task.node);
        return Err(unproven(&text));
    }
    Ok((task, lock))
}

/// Whether the task is the last one on the guest, has ended, and not well.
fn check_last(last: Option<(Upid, Option<String>)>, vmid: u32, task: &Upid) -> Result<(), Refusal> {
    let unproven = |text: String| refuse(Code::NotProven, text);
    let Some((last, end)) = last else {
        return Err(unproven(format!("PVE knows of no task on {vmid}")));
    };
    if last != *task {
        return Err(unproven(format!(
            "the last task on {vmid} is another one: {last}"
        )));
    }
    if end.is_none() {
        let text = format!("the task still runs, as process {}", task.pid);
        return Err(refuse(Code::Busy, text));
    }
    if ended_well(end.as_deref()) {
        let text = format!("the task ended well; what {vmid} is locked for is something else");
        return Err(unproven(text));
    }
    Ok(())
}

/// `release-unfinished-restore`: the lock that was taken, if there was one.
pub(super) fn release(sim: &Sim, vmid: u32, upid: &str) -> Result<Option<String>, Refusal> {
    let last = last_task(sim, vmid);
    let mut world = sim.lock();
    let scratch = world.rules.scratch(vmid)?.clone();
    let (task, left) = cut_off(&world, &scratch, vmid, upid)?;
    let container = world.guests.lxc.get(&vmid);
    let machine = world.qemu.get(&vmid);
    let runs = container.is_some_and(|guest| guest.run.is_some())
        || machine.is_some_and(|guest| guest.run.is_some());
    let found = container.map(|guest| ("CT", &guest.config));
    let found = found.or(machine.map(|guest| ("VM", &guest.config)));
    let absent = || refuse(Code::NotFound, format!("there is no guest {vmid}"));
    let (kind, config) = found.ok_or_else(absent)?;
    if !is_stub(config, kind, left) {
        let text = format!(
            "the configuration of {vmid} holds more than such a task leaves, which is `lock: {left}` alone"
        );
        return Err(refuse(Code::NotProven, text));
    }
    let lock = config.lock().map(str::to_owned);
    check_last(last, vmid, &task)?;
    if runs {
        return Err(refuse(Code::InUse, format!("guest {vmid} runs")));
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
