//! The program, its report, and the node with its hardware.

use std::collections::BTreeMap;

use felhom_protocol::host::{Disk, DiskHealth, HostReport, Node, Usage};

use super::Told;
use super::text::{Family, Rows, Value};

const HEALTHS: [&str; 3] = ["passed", "failed", "unknown"];
const DEVICE: &[&str] = &["device"];
const SENSOR: &[&str] = &["chip", "sensor"];

pub(super) const PROGRAM: &[Family] = &[
    Family::new(
        "felhom_build_info",
        "The program that speaks.",
        &["version"],
        |_, rows| rows.put(&[env!("CARGO_PKG_VERSION")], true),
    ),
    Family::new(
        "felhom_report_sequence",
        "The number of the last host report; a gap is a report that was lost.",
        &[],
        |told, rows| rows.maybe(&[], told.report.map(|report| report.sequence)),
    ),
    Family::new(
        "felhom_report_timestamp_seconds",
        "When the last host report was made, of which everything here is told. An old one means that the agent is silent.",
        &[],
        |told, rows| rows.maybe(&[], told.report.map(|report| report.taken_s)),
    ),
    Family::new(
        "felhom_report_unknown_parts",
        "Parts of the last host report that could not be looked at; `felhom-agent status` names them.",
        &[],
        |told, rows| rows.maybe(&[], told.report.and_then(unknown)),
    ),
    Family::new(
        "felhom_pass_timestamp_seconds",
        "When the last pass of `run` ended.",
        &[],
        |told, rows| rows.maybe(&[], told.pass.map(|pass| pass.ended_s)),
    ),
    Family::new(
        "felhom_pass_exit_code",
        "How the last pass of `run` ended: its exit code.",
        &[],
        |told, rows| rows.maybe(&[], told.pass.map(|pass| u64::from(pass.exit))),
    ),
    Family::new(
        "felhom_job_timestamp_seconds",
        "When a job of this kind last ended with this verdict; of the last fifty jobs.",
        &["kind", "verdict"],
        jobs,
    ),
];

pub(super) const NODE: &[Family] = &[
    Family::new(
        "felhom_node_info",
        "The node, its version of Proxmox VE and its kernel.",
        &["node", "pve_version", "kernel"],
        |told, rows| {
            of_node(told, |_, node| {
                let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
                let (version, kernel) = (or_none(&node.pve_version), or_none(&node.kernel));
                rows.put(&[&node.name, &version, &kernel], true);
            });
        },
    ),
    Family::new(
        "felhom_node_boot_timestamp_seconds",
        "When the node was started; the time since then is its uptime.",
        &[],
        |told, rows| {
            of_node(told, |report, node| {
                let boot = node.uptime_s.map(|up| report.taken_s.saturating_sub(up));
                rows.maybe(&[], boot);
            });
        },
    ),
    Family::new(
        "felhom_node_load",
        "Load average over so many minutes.",
        &["minutes"],
        |told, rows| {
            of_node(told, |_, node| {
                for (minutes, load) in ["1", "5", "15"].iter().zip(&node.load) {
                    rows.put(&[minutes], Value::Float(*load));
                }
            });
        },
    ),
    Family::new(
        "felhom_node_cpus",
        "Logical processors.",
        &[],
        |told, rows| of_node(told, |_, node| rows.maybe(&[], node.cpus.map(u64::from))),
    ),
    Family::new(
        "felhom_node_memory_size_bytes",
        "Main memory.",
        &[],
        |told, rows| of_node(told, |_, node| rows.maybe(&[], node.memory.map(size))),
    ),
    Family::new(
        "felhom_node_memory_used_bytes",
        "Main memory that is used.",
        &[],
        |told, rows| of_node(told, |_, node| rows.maybe(&[], node.memory.map(used))),
    ),
    Family::new("felhom_node_swap_size_bytes", "Swap.", &[], |told, rows| {
        of_node(told, |_, node| rows.maybe(&[], node.swap.map(size)));
    }),
    Family::new(
        "felhom_node_swap_used_bytes",
        "Swap that is used.",
        &[],
        |told, rows| of_node(told, |_, node| rows.maybe(&[], node.swap.map(used))),
    ),
    Family::new(
        "felhom_node_root_size_bytes",
        "The root file system.",
        &[],
        |told, rows| of_node(told, |_, node| rows.maybe(&[], node.root.map(size))),
    ),
    Family::new(
        "felhom_node_root_used_bytes",
        "What is used of the root file system.",
        &[],
        |told, rows| of_node(told, |_, node| rows.maybe(&[], node.root.map(used))),
    ),
    Family::new(
        "felhom_node_updates_pending",
        "Packages of Proxmox VE that an update would renew, as the node last heard. Others of Debian are not counted.",
        &[],
        |told, rows| {
            of_node(told, |_, node| {
                rows.maybe(&[], node.updates.as_ref().map(|updates| updates.packages));
            });
        },
    ),
    Family::new(
        "felhom_disk_info",
        "A disk, by its model and kind: hdd, ssd, nvme, usb.",
        &["device", "model", "kind"],
        |told, rows| {
            disks(told, |disk| {
                let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
                rows.put(
                    &[&disk.device, &or_none(&disk.model), &or_none(&disk.kind)],
                    true,
                );
            });
        },
    ),
    Family::new(
        "felhom_disk_size_bytes",
        "How large the disk is.",
        DEVICE,
        |told, rows| disks(told, |disk| rows.put(&[&disk.device], disk.size)),
    ),
    Family::new(
        "felhom_disk_health",
        "What the disk says of itself (SMART): 1 at the state that holds (passed, failed, unknown).",
        &["device", "state"],
        |told, rows| {
            disks(told, |disk| {
                rows.states(&disk.device, &HEALTHS, health(disk.health));
            });
        },
    ),
    Family::new(
        "felhom_disk_worn_ratio",
        "How much of its life the disk has used up, where it tells; more than 1 when it outlived that.",
        DEVICE,
        |told, rows| {
            disks(told, |disk| {
                let worn = disk.worn_percent.map(u64::from);
                let worn = worn.map(|percent| Value::Thousandths(percent.saturating_mul(10)));
                rows.maybe(&[&disk.device], worn);
            });
        },
    ),
    Family::new(
        "felhom_disk_temperature_celsius",
        "How warm the disk is, where it tells.",
        DEVICE,
        |told, rows| {
            disks(told, |disk| {
                rows.maybe(&[&disk.device], disk.celsius.map(i64::from));
            });
        },
    ),
    Family::new(
        "felhom_temperature_celsius",
        "What a sensor shows; of several of one name the warmest.",
        SENSOR,
        |told, rows| sensors(told, rows, |one| Some(one.celsius)),
    ),
    Family::new(
        "felhom_temperature_critical_celsius",
        "Above this the box protects itself, by the word of the sensor.",
        SENSOR,
        |told, rows| sensors(told, rows, |one| one.critical),
    ),
];

fn of_node(told: &Told<'_>, mut tell: impl FnMut(&HostReport, &Node)) {
    if let Some(report) = told.report {
        tell(report, &report.node);
    }
}

fn disks(told: &Told<'_>, tell: impl FnMut(&Disk)) {
    let report = told.report.into_iter();
    report.flat_map(|report| &report.disks).for_each(tell);
}

fn sensors(
    told: &Told<'_>,
    rows: &mut Rows,
    shown: impl Fn(&felhom_protocol::host::Temperature) -> Option<f64>,
) {
    let report = told.report.into_iter();
    for one in report.flat_map(|report| &report.temperatures) {
        rows.maybe(&[&one.chip, &one.label], shown(one).map(Value::Float));
    }
}

fn jobs(told: &Told<'_>, rows: &mut Rows) {
    let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for job in told.report.into_iter().flat_map(|report| &report.jobs) {
        let at = last.entry((&job.kind, &job.verdict)).or_insert(job.ended_s);
        *at = job.ended_s.max(*at);
    }
    for ((kind, verdict), ended) in last {
        rows.put(&[kind, verdict], ended);
    }
}

fn unknown(report: &HostReport) -> Option<u64> {
    u64::try_from(report.unknown.len()).ok()
}

fn size(usage: Usage) -> Value {
    usage.total.into()
}

fn used(usage: Usage) -> Value {
    usage.used.into()
}

fn health(health: DiskHealth) -> &'static str {
    match health {
        DiskHealth::Passed => "passed",
        DiskHealth::Failed => "failed",
        DiskHealth::Unknown => "unknown",
    }
}
