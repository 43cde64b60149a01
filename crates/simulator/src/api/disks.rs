//! API methods: the node's disks and its thin pool.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::call::{Answer, ApiError, Call, Reply};
use crate::route::{Kind, Route, Rule, may, need};
use crate::words;
use crate::world::Disk;

const AUDIT: Rule = Rule::All("/", &["Sys.Audit"]);

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/nodes/{node}/disks/list",
        rule: Rule::Or(&[
            Rule::All("/", &["Sys.Audit"]),
            Rule::All("/nodes/{node}", &["Sys.Audit"]),
        ]),
        params: &[
            may("include-partitions", Kind::Bool),
            may("skipsmart", Kind::Bool),
            may("type", Kind::Enum(&["unused", "journal_disks"])),
        ],
        handler: list,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/disks/smart",
        rule: AUDIT,
        params: &[
            need("disk", Kind::Pattern(words::device)),
            may("healthonly", Kind::Bool),
        ],
        handler: smart,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/disks/lvmthin",
        rule: AUDIT,
        params: &[],
        handler: lvmthin,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/disks/directory",
        rule: AUDIT,
        params: &[],
        handler: directory,
    },
];

/// `GET …/disks/list`: a system disk, the disk of the volume group, and what was put in.
#[expect(clippy::unnecessary_wraps, reason = "a handler")]
fn list(call: &Call<'_>) -> Reply {
    if call.params.text("type").as_deref() == Some("unused") {
        return Ok(Answer::Data(json!([])));
    }
    let world = call.sim.lock();
    let root = world.node.rootfs_total;
    let smart = !call.params.flag("skipsmart");
    let health = if smart { "PASSED" } else { "UNKNOWN" };
    let mut disks = BTreeMap::from([
        (
            "/dev/sda".to_owned(),
            json!({
                "devpath": "/dev/sda", "size": root.next_multiple_of(1 << 30), "vendor": "ATA     ", "model": "SIM_HARDDISK",
                "serial": "SIM00001", "wwn": "unknown", "type": "ssd", "rpm": 0, "gpt": 1, "used": "ext4", "mounted": 1,
                "health": health, "wearout": "N/A", "osdid": -1, "osdid-list": null,
                "by_id_link": "/dev/disk/by-id/ata-SIM_HARDDISK_SIM00001",
            }),
        ),
        (
            "/dev/vdb".to_owned(),
            json!({
                "devpath": "/dev/vdb", "size": 21_474_836_480_u64, "vendor": "0x1af4", "model": "unknown",
                "serial": "unknown", "wwn": "unknown", "type": "unknown", "rpm": -1, "gpt": 0, "used": "LVM",
                "health": "UNKNOWN", "wearout": "N/A", "osdid": -1, "osdid-list": null,
            }),
        ),
    ]);
    let put = world.node.disks.iter();
    disks.extend(put.map(|(device, disk)| (device.clone(), listed(device, disk, smart))));
    Ok(Answer::Data(disks.into_values().collect()))
}

/// A disk that was put in (pve-storage `Diskmanage.pm` `get_disks`: wear is told of what does not turn only).
fn listed(device: &str, disk: &Disk, smart: bool) -> Value {
    let turns = disk.kind == "hdd";
    let wearout = disk.left.filter(|_| smart && !turns);
    json!({
        "devpath": device, "size": disk.size, "vendor": "ATA     ", "model": disk.model, "serial": "unknown",
        "wwn": "unknown", "type": disk.kind, "rpm": if turns { 5400 } else { 0 }, "gpt": 0,
        "health": if smart { disk.health.as_str() } else { "UNKNOWN" },
        "wearout": wearout.map_or_else(|| json!("N/A"), |left| json!(left)), "osdid": -1, "osdid-list": null,
    })
}

fn attribute(id: &str, name: &str, value: i32, threshold: u32, raw: &str) -> Value {
    json!({
        "id": id, "name": name, "value": value, "normalized": value, "worst": value, "threshold": threshold, "fail": "-",
        "raw": raw, "flags": if id == "  4" || id == " 12" { "-O----" } else { "PO----" },
    })
}

/// The table of an ATA disk, as QEMU's has it.
fn table(celsius: i32) -> Value {
    json!([
        attribute("  1", "Raw_Read_Error_Rate", 100, 6, "0"),
        attribute("  3", "Spin_Up_Time", 100, 0, "16"),
        attribute("  4", "Start_Stop_Count", 100, 20, "100"),
        attribute("  5", "Reallocated_Sector_Ct", 100, 36, "0"),
        attribute("  9", "Power_On_Hours", 100, 0, "1"),
        attribute(" 12", "Power_Cycle_Count", 100, 0, "0"),
        attribute(
            "190",
            "Airflow_Temperature_Cel",
            100 - celsius,
            50,
            &format!("{celsius} (Min/Max {celsius}/{celsius})")
        ),
    ])
}

/// What an `NVMe` disk says, in smartctl's layout.
fn nvme(disk: &Disk) -> Value {
    let used = 100 - disk.left.unwrap_or(100);
    let lines = [
        ("Critical Warning:", "0x00".to_owned()),
        ("Temperature:", format!("{} Celsius", disk.celsius)),
        ("Available Spare:", "100%".to_owned()),
        ("Available Spare Threshold:", "10%".to_owned()),
        ("Percentage Used:", format!("{used}%")),
        ("Power Cycles:", "12".to_owned()),
        (
            "Temperature Sensor 1:",
            format!("{} Celsius", disk.celsius + 9),
        ),
    ];
    let lines = lines.map(|(key, value)| format!("{key:<36}{value}\n"));
    let text = format!(
        "SMART/Health Information (NVMe Log 0x02)\n{}",
        lines.concat()
    );
    json!({ "health": disk.health, "type": "text", "text": text, "wearout": 100 - used })
}

/// `GET …/disks/smart`
fn smart(call: &Call<'_>) -> Reply {
    let device = call.params.need("disk");
    let world = call.sim.lock();
    let said = match (device.as_str(), world.node.disks.get(device.as_str())) {
        (_, Some(disk)) if disk.kind == "nvme" => nvme(disk),
        (_, Some(disk)) => {
            json!({ "health": disk.health, "type": "ata", "attributes": table(disk.celsius) })
        }
        ("/dev/vdb", None) => json!({ "health": "UNKNOWN" }),
        ("/dev/sda", None) => json!({ "health": "PASSED", "type": "ata", "attributes": table(31) }),
        _ => return Err(ApiError::die("not a valid block device")),
    };
    Ok(Answer::Data(if call.params.flag("healthonly") {
        json!({ "health": said.get("health") })
    } else {
        said
    }))
}

/// `GET …/disks/lvmthin`: data and metadata of the pool, as its percentages tell them.
#[expect(clippy::unnecessary_wraps, reason = "a handler")]
fn lvmthin(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    world.settle(call.sim.clock.now_f64());
    let (used, metadata_used) = (world.pool_data_seen(), world.pool_metadata_seen());
    let pool = &world.storage.pool;
    Ok(Answer::Data(json!([{
        "lv": pool.lv, "vg": pool.vg, "lv_size": pool.size, "used": used, "metadata_size": pool.metadata_size,
        "metadata_used": metadata_used,
    }])))
}

/// `GET …/disks/directory`: the mount units of file systems that were made through the API (pve-storage
/// `API2/Disks/Directory.pm`).
#[expect(clippy::unnecessary_wraps, reason = "a handler")]
fn directory(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let units = world.storage.mounts.iter();
    let units = units.map(|(name, uuid)| {
        let escaped = name.replace('-', "\\x2d");
        json!({
            "unitfile": format!("/etc/systemd/system/mnt-pve-{escaped}.mount"), "path": format!("/mnt/pve/{name}"),
            "device": format!("/dev/disk/by-uuid/{uuid}"), "type": "ext4", "options": "defaults",
        })
    });
    Ok(Answer::Data(units.collect()))
}
