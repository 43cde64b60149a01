//! API methods: the node's disks and its thin pool.

use serde_json::{Value, json};

use crate::call::{Answer, ApiError, Call, Reply};
use crate::route::{Kind, Route, Rule, may, need};
use crate::words;

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

/// `GET …/disks/list`: a system disk and the disk of the volume group.
#[expect(clippy::unnecessary_wraps, reason = "a handler")]
fn list(call: &Call<'_>) -> Reply {
    if call.params.text("type").as_deref() == Some("unused") {
        return Ok(Answer::Data(json!([])));
    }
    let root = call.sim.lock().node.rootfs_total;
    let smart = !call.params.flag("skipsmart");
    let health = if smart { "PASSED" } else { "UNKNOWN" };
    Ok(Answer::Data(json!([
        {
            "devpath": "/dev/sda", "size": root.next_multiple_of(1 << 30), "vendor": "ATA     ", "model": "SIM_HARDDISK",
            "serial": "SIM00001", "wwn": "unknown", "type": "ssd", "rpm": 0, "gpt": 1, "used": "ext4", "mounted": 1,
            "health": health, "wearout": "N/A", "osdid": -1, "osdid-list": null,
            "by_id_link": "/dev/disk/by-id/ata-SIM_HARDDISK_SIM00001",
        },
        {
            "devpath": "/dev/vdb", "size": 21_474_836_480_u64, "vendor": "0x1af4", "model": "unknown",
            "serial": "unknown", "wwn": "unknown", "type": "unknown", "rpm": -1, "gpt": 0, "used": "LVM",
            "health": "UNKNOWN", "wearout": "N/A", "osdid": -1, "osdid-list": null,
        },
    ])))
}

fn attribute(id: &str, name: &str, threshold: u32, raw: &str, flags: &str) -> Value {
    json!({
        "id": id, "name": name, "value": 100, "normalized": 100, "worst": 100, "threshold": threshold, "fail": "-",
        "raw": raw, "flags": flags,
    })
}

/// `GET …/disks/smart`
fn smart(call: &Call<'_>) -> Reply {
    match call.params.need("disk").as_str() {
        "/dev/vdb" => Ok(Answer::Data(json!({ "health": "UNKNOWN" }))),
        "/dev/sda" if call.params.flag("healthonly") => {
            Ok(Answer::Data(json!({ "health": "PASSED" })))
        }
        "/dev/sda" => Ok(Answer::Data(json!({
            "health": "PASSED",
            "type": "ata",
            "attributes": [
                attribute("  5", "Reallocated_Sector_Ct", 36, "0", "PO----"),
                attribute("  9", "Power_On_Hours", 0, "1", "PO----"),
                attribute(" 12", "Power_Cycle_Count", 0, "4", "PO----"),
                attribute("190", "Airflow_Temperature_Cel", 50, "31 (Min/Max 31/31)", "-O----"),
                attribute("194", "Temperature_Celsius", 0, "31 (Min/Max 31/31)", "-O----"),
            ],
        }))),
        _ => Err(ApiError::die("not a valid block device")),
    }
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
