//! A machine's options: shown and changed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::power::skip_lock;
use crate::access::Principal;
use crate::call::{Answer, ApiError, Call, Params, Reply};
use crate::guest::{formats, schema};
use crate::qemu::drives::{self, Drive};
use crate::qemu::options::{self, with_mac};
use crate::qemu::permissions::Change;
use crate::world::World;

/// `GET …/config`
pub(super) fn get(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let config = &world.machine(call.params.vmid())?.config;
    if let Some(snapshot) = call.params.text("snapshot") {
        return Err(ApiError::die(format!(
            "snapshot '{snapshot}' does not exist"
        )));
    }
    let section = if call.params.flag("current") {
        config.current.clone()
    } else {
        config.merged()
    };
    let mut row = options::json(&section);
    row.insert("digest".into(), json!(config.digest()));
    Ok(Answer::Data(Value::Object(row)))
}

/// A change that passed the schema.
struct Wish {
    vmid: u32,
    set: BTreeMap<String, String>,
    delete: Vec<String>,
    digest: Option<String>,
    skip_lock: bool,
}

const NOT_OPTIONS: &[&str] = &[
    "node",
    "vmid",
    "delete",
    "digest",
    "skiplock",
    "archive",
    "bwlimit",
    "force",
    "live-restore",
    "pool",
    "start",
    "storage",
    "unique",
];

/// The options among the parameters.
pub(super) fn given(params: &Params) -> BTreeMap<String, String> {
    let keys = params
        .0
        .keys()
        .filter(|key| !NOT_OPTIONS.contains(&key.as_str()));
    keys.map(|key| (key.clone(), params.need(key))).collect()
}

fn wish(call: &Call<'_>) -> Result<Wish, ApiError> {
    let list = call.params.text("delete").unwrap_or_default();
    let parts = list.split(|c: char| c == ',' || c == ';' || c == '\0' || c.is_whitespace());
    Ok(Wish {
        vmid: call.params.vmid(),
        set: given(call.params),
        delete: parts
            .filter(|part| !part.is_empty())
            .map(ToOwned::to_owned)
            .collect(),
        digest: call
            .params
            .text("digest")
            .filter(|digest| !digest.is_empty()),
        skip_lock: skip_lock(call)?,
    })
}

impl World {
    /// What is asked before anything changes.
    fn judge_machine(&self, who: &Principal, wish: &Wish) -> Result<(), ApiError> {
        let change = Change {
            who,
            vmid: wish.vmid,
            pool: None,
        };
        self.check_machine_drives(change, &wish.set)?;
        self.check_machine_options(change, &wish.set)?;
        for key in &wish.delete {
            self.check_machine_key(change, key, None)?;
        }
        Ok(())
    }

    fn change_machine(&mut self, wish: &Wish, now: i64) -> Result<(), ApiError> {
        let guest = self.machine(wish.vmid)?;
        if wish
            .digest
            .as_ref()
            .is_some_and(|digest| *digest != guest.config.digest())
        {
            return Err(ApiError::die(
                "detected modified configuration - file changed by other user? Try again.",
            ));
        }
        if !wish.skip_lock {
            guest.check_lock().map_err(ApiError::die)?;
        }
        let running = guest.run.is_some();
        for (key, text) in wish.set.iter().filter(|(key, text)| is_order(key, text)) {
            let old = guest.config.merged().get(key).map(ToOwned::to_owned);
            let old = old.and_then(|old| Drive::parse(key, &old));
            if running || old.is_some_and(|old| old.volume().is_some()) {
                return Err(ApiError::die(format!(
                    "this node makes no disk `{text}` for a machine that runs, or in the place of another"
                )));
            }
        }
        let made = self.make_drives(wish, now)?;
        let Some(guest) = self.qemu.get_mut(&wish.vmid) else {
            return Ok(());
        };
        for key in &wish.delete {
            if running && !options::is_hot(key) {
                let list = guest.config.pending.entry("delete".into()).or_default();
                *list = if list.is_empty() {
                    key.clone()
                } else {
                    format!("{list},{key}")
                };
            } else {
                guest.config.current.values.remove(key);
            }
        }
        for (key, value) in &wish.set {
            let value = match drives::index(key) {
                Some(("net", _)) => with_mac(value, schema::random_mac),
                _ => made.get(key).unwrap_or(value).clone(),
            };
            let section = if running && !options::is_hot(key) {
                &mut guest.config.pending
            } else {
                &mut guest.config.current.values
            };
            section.insert(key.clone(), value);
        }
        Ok(())
    }

    /// Makes the volumes that a change orders (`create_disks`): all of them or none.
    fn make_drives(&mut self, wish: &Wish, now: i64) -> Result<BTreeMap<String, String>, ApiError> {
        let (mut drives, mut volumes, mut lines) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (key, text) in wish.set.iter().filter(|(key, text)| is_order(key, text)) {
            match self.make_drive(wish.vmid, key, text, now, &mut lines, &mut volumes) {
                Ok(drive) => drop(drives.insert(key.clone(), drive)),
                Err(error) => {
                    for volid in &volumes {
                        self.free_volume(volid, &mut lines).map_err(ApiError::die)?;
                    }
                    return Err(ApiError::die(error));
                }
            }
        }
        Ok(drives)
    }
}

/// Whether an option orders a new volume.
fn is_order(key: &str, text: &str) -> bool {
    let drive = drives::is_drive(key).then(|| Drive::parse(key, text));
    drive
        .flatten()
        .is_some_and(|drive| formats::new_volume(&drive.file).is_some())
}

/// `PUT …/config`: done when it answers.
pub(super) fn put(call: &Call<'_>) -> Reply {
    let wish = wish(call)?;
    let mut world = call.sim.lock();
    world.reap(call.sim.clock.now_f64());
    world.machine(wish.vmid)?;
    world.judge_machine(call.auth, &wish)?;
    world.change_machine(&wish, call.sim.clock.now())?;
    Ok(Answer::Data(Value::Null))
}

/// `POST …/config`: the same in a task.
pub(super) fn post(call: &Call<'_>) -> Reply {
    let wish = wish(call)?;
    {
        let world = call.sim.lock();
        world.machine(wish.vmid)?;
        world.judge_machine(call.auth, &wish)?;
    }
    let id = wish.vmid.to_string();
    let upid = call
        .sim
        .start_task(call.auth, "qmconfig", &id, move |worker| async move {
            let now = worker.sim.clock.now();
            let result = worker.sim.lock().change_machine(&wish, now);
            result.map_err(|error| error.in_task())
        });
    Ok(Answer::Data(json!(upid)))
}
