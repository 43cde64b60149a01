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
    // A label may be of any bytes, and lsblk prints them as they are.
    let text = String::from_utf8_lossy(text);
    let whole: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// See `tests/it/lsblk/README.md` for where each comes from.
    macro_rules! recorded {
        ($name:literal) => {
            parse(include_bytes!(concat!("../../../tests/it/lsblk/", $name))).unwrap()
        };
    }

    fn named<'a>(devices: &'a [BlockDevice], name: &str) -> &'a BlockDevice {
        let mut found = devices.iter().filter(|device| device.name == name);
        let device = found.next().unwrap();
        assert!(found.next().is_none(), "{name} is told twice");
        device
    }

    #[test]
    fn recordings_are_read() {
        for devices in [recorded!("2.38-tree.json"), recorded!("2.38-all.json")] {
            let looped = named(&devices, "loop0");
            assert_eq!((looped.kind.as_str(), looped.size), ("loop", 67_108_864));
            assert_eq!(looped.serial.as_deref(), Some("0123456789AB"));
            assert_eq!((&looped.transport, &looped.fstype), (&None, &None));
            let disk = named(&devices, "vda");
            assert_eq!(disk.mounts, ["/", "/mnt/m2"]);
            assert_eq!((disk.size, disk.in_use), (274_877_906_944, false));
            assert_eq!(named(&devices, "zram0").size, 0);
        }
        // Sizes for people are no sizes.
        let devices = recorded!("2.38-human.json");
        assert_eq!(named(&devices, "vda").size, 0);
        assert_eq!(named(&devices, "vda").mounts.len(), 1);
    }

    #[test]
    fn a_host_with_lvm_a_mirror_and_a_usb_disk_is_read() {
        let devices = recorded!("hand-pve.json");
        let part = named(&devices, "sdc1");
        assert_eq!(part.disk, "sdc");
        assert_eq!(part.serial.as_deref(), Some("WX12A34"));
        assert_eq!(part.transport.as_deref(), Some("usb"));
        assert!(part.removable && !part.in_use && part.mounts.is_empty());
        assert!(!named(&devices, "sdc").in_use);
        for used in ["sda", "sda3", "sdb", "sdb1", "sdd", "sdd1"] {
            assert!(named(&devices, used).in_use, "{used}");
        }
        assert!(!named(&devices, "sda1").in_use);
        assert_eq!(named(&devices, "pve-root").disk, "pve-root");
        assert_eq!(named(&devices, "pve-root").transport, None);
        assert_eq!(named(&devices, "md0").mounts, ["/srv"]);
    }

    #[test]
    fn a_list_and_an_old_list_say_the_same() {
        let of_tree = recorded!("hand-pve.json");
        let mut of_old = recorded!("hand-old.json");
        for name in ["sdc", "sdc1"] {
            let of_list = recorded!("hand-pve-list.json");
            assert_eq!(named(&of_list, name), named(&of_tree, name));
        }
        assert_eq!(named(&of_old, "sdc1").mounts, ["/media/old"]);
        assert!(named(&of_old, "sdc").in_use);
        for device in &mut of_old {
            device.mounts.clear();
            device.in_use = false;
            assert_eq!(device, named(&of_tree, &device.name));
        }
    }

    #[test]
    fn what_is_hostile_is_cut_or_refused() {
        let label = "a\nb\u{7}\u{1b}[0m".to_owned() + &"é".repeat(600);
        let label = serde_json::to_string(&label).unwrap();
        let text = format!(r#"{{"blockdevices":[{{"name":"sdx","label":{label}}}]}}"#);
        let devices = parse(text.as_bytes()).unwrap();
        let label = named(&devices, "sdx").label.clone().unwrap();
        assert!(label.len() <= LONGEST && !label.chars().any(char::is_control));
        assert!(label.starts_with("a?b??[0m"));

        let deep = (0..20).fold(r#"{"name":"x"}"#.to_owned(), |inner, count| {
            format!(r#"{{"name":"d{count}","children":[{inner}]}}"#)
        });
        let many = vec![r#"{"name":"x"}"#; MOST_DEVICES + 1].join(",");
        for (list, why) in [
            (deep.as_str(), "deeper"),
            (many.as_str(), "more than"),
            (r#"{"size":1}"#, "no name"),
        ] {
            let text = format!(r#"{{"blockdevices":[{list}]}}"#);
            assert!(parse(text.as_bytes()).unwrap_err().contains(why));
        }
        for nothing in [
            "",
            "[]",
            "{}",
            r#"{"blockdevices":{}}"#,
            "\0",
            "{\"blockdevices\":[",
        ] {
            assert!(parse(nothing.as_bytes()).is_err(), "{nothing:?}");
        }
        let label = b"{\"blockdevices\":[{\"name\":\"sdx\",\"label\":\"\xff\xfe!\"}]}";
        let devices = parse(label).unwrap();
        assert_eq!(
            named(&devices, "sdx").label.as_deref(),
            Some("\u{fffd}\u{fffd}!")
        );
        // A device that is its own parent, and one that is its parent's.
        let ring = r#"{"blockdevices":[{"name":"a","pkname":"a","type":"part"},
            {"name":"b","pkname":"c","type":"part"},{"name":"c","pkname":"b","type":"part"}]}"#;
        assert_eq!(parse(ring.as_bytes()).unwrap().len(), 3);
    }

    fn value() -> impl Strategy<Value = Value> {
        let key = "name|pkname|type|size|rm|ro|mountpoints|mountpoint|children|label";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::String),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::btree_map(key, inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(value in value(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _odd = parse(&bytes);
            let whole = serde_json::json!({ "blockdevices": value });
            let list = serde_json::json!({ "blockdevices": [value] });
            for text in [whole, list] {
                if let Ok(devices) = parse(&serde_json::to_vec(&text).unwrap()) {
                    for device in devices {
                        prop_assert!(device.name.len() <= LONGEST);
                        prop_assert!(!device.name.chars().any(char::is_control));
                    }
                }
            }
        }
    }
}
