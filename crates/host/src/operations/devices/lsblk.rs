//! What `lsblk --json` prints: a tree (`children`) or a list (`pkname`), with the columns of the table.
//!
//! Versions differ: booleans are `true` or `"1"` (util-linux before 2.33), sizes are numbers or text, mounts are `mountpoints`
//! or, before 2.37, one `mountpoint`. Labels and serial numbers come from the disks themselves, so their text is anybody's.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::report::BlockDevice;

/// More devices than that are on no host that is meant.
const MOST_DEVICES: usize = 512;
/// What is nested deeper is no block device.
const DEEPEST: usize = 16;
/// Longer texts are cut.
const LONGEST: usize = 512;
/// What is a part of something bigger, though nothing may be running on it now.
const MEMBERS: [&str; 3] = ["LVM2_member", "linux_raid_member", "zfs_member"];

/// The devices, each after the one that it is on.
pub(super) fn parse(text: &[u8]) -> Result<Vec<BlockDevice>, String> {
    let whole: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let list = whole.get("blockdevices").and_then(Value::as_array);
    let list = list.ok_or("it has no list `blockdevices`")?;
    let mut found = Vec::new();
    for value in list {
        walk(value, None, 0, &mut found)?;
    }
    Ok(connect(found))
}

/// A device, and the one that it is on.
struct Found {
    device: BlockDevice,
    parent: Option<String>,
}

fn walk(
    value: &Value,
    parent: Option<&str>,
    depth: usize,
    found: &mut Vec<Found>,
) -> Result<(), String> {
    if depth >= DEEPEST {
        return Err(format!("it is nested deeper than {DEEPEST}"));
    }
    if found.len() >= MOST_DEVICES {
        return Err(format!("it lists more than {MOST_DEVICES} devices"));
    }
    let name = text(value, "name").ok_or("a device has no name")?;
    let parent = parent.map(str::to_owned).or_else(|| text(value, "pkname"));
    let device = BlockDevice {
        disk: name.clone(),
        kind: text(value, "type").unwrap_or_default(),
        size: number(value, "size"),
        fstype: text(value, "fstype"),
        label: text(value, "label"),
        uuid: text(value, "uuid"),
        serial: text(value, "serial"),
        model: text(value, "model"),
        transport: text(value, "tran"),
        removable: flag(value, "rm") || flag(value, "hotplug"),
        read_only: flag(value, "ro"),
        mounts: mounts(value),
        in_use: false,
        name: name.clone(),
    };
    found.push(Found { device, parent });
    let children = value.get("children").and_then(Value::as_array);
    for child in children.into_iter().flatten() {
        walk(child, Some(&name), depth + 1, found)?;
    }
    Ok(())
}

/// Gives partitions what is known of their disks, and disks what is known of their partitions. A device that is on two others,
/// as a mirror is, is printed below each; it is told once.
fn connect(found: Vec<Found>) -> Vec<BlockDevice> {
    let mut devices: Vec<BlockDevice> = Vec::with_capacity(found.len());
    let mut places = BTreeMap::new();
    let mut parents = Vec::new();
    for Found { device, parent } in found {
        if let Some(parent) = parent {
            parents.push((device.name.clone(), parent));
        }
        if !places.contains_key(&device.name) {
            places.insert(device.name.clone(), devices.len());
            devices.push(device);
        }
    }
    for device in &mut devices {
        let fstype = device.fstype.as_deref().unwrap_or_default();
        device.in_use = MEMBERS.contains(&fstype);
    }
    for (child, parent) in &parents {
        let at = |name: &String| places.get(name).and_then(|place| devices.get(*place));
        let (Some(child), Some(parent)) = (at(child), at(parent)) else {
            continue;
        };
        if child.kind == "part" {
            let child = with_disk(child.clone(), parent);
            put(&mut devices, &places, child);
        }
    }
    // From the leaves upwards: a child stands after its parent, in a tree and in lsblk's list alike.
    for (child, parent) in parents.iter().rev() {
        let at = |name: &String| places.get(name).and_then(|place| devices.get(*place));
        let (Some(child), Some(parent)) = (at(child), at(parent)) else {
            continue;
        };
        let busy = child.kind != "part" || child.in_use || !child.mounts.is_empty();
        if busy && !parent.in_use {
            let mut parent = parent.clone();
            parent.in_use = true;
            put(&mut devices, &places, parent);
        }
    }
    devices
}

fn put(devices: &mut [BlockDevice], places: &BTreeMap<String, usize>, device: BlockDevice) {
    let place = places
        .get(&device.name)
        .and_then(|place| devices.get_mut(*place));
    if let Some(place) = place {
        *place = device;
    }
}

fn with_disk(mut part: BlockDevice, disk: &BlockDevice) -> BlockDevice {
    part.disk.clone_from(&disk.disk);
    part.serial = part.serial.or_else(|| disk.serial.clone());
    part.model = part.model.or_else(|| disk.model.clone());
    part.transport = part.transport.or_else(|| disk.transport.clone());
    part.removable |= disk.removable;
    part.read_only |= disk.read_only;
    part
}

/// A text without control characters, of a bounded length; `None` when there is none.
fn text(value: &Value, key: &str) -> Option<String> {
    clean(value.get(key)?.as_str()?)
}

fn clean(text: &str) -> Option<String> {
    let end = text
        .char_indices()
        .map(|(start, c)| start + c.len_utf8())
        .take_while(|end| *end <= LONGEST)
        .last()?;
    let plain = |c: char| if c.is_control() { '?' } else { c };
    let text: String = text.get(..end)?.trim().chars().map(plain).collect();
    (!text.is_empty()).then_some(text)
}

fn number(value: &Value, key: &str) -> u64 {
    match value.get(key) {
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        Some(Value::String(text)) => text.trim().parse().unwrap_or(0),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => 0,
    }
}

fn flag(value: &Value, key: &str) -> bool {
    match value.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text.trim() == "1",
        Some(Value::Number(number)) => number.as_u64() == Some(1),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

fn mounts(value: &Value) -> Vec<String> {
    let many = value.get("mountpoints").and_then(Value::as_array);
    let one = value.get("mountpoint");
    let all = many.into_iter().flatten().chain(one);
    let mut mounts: Vec<String> = all.filter_map(Value::as_str).filter_map(clean).collect();
    mounts.sort();
    mounts.dedup();
    mounts.truncate(MOST_DEVICES);
    mounts
}
