//! API methods: virtual machines.

mod config;
mod create;
mod power;
mod read;

use crate::route::{Kind, Route, Rule, may, need, with};
use crate::words;

const AUDIT: Rule = Rule::All("/vms/{vmid}", &["VM.Audit"]);
const POWER: Rule = Rule::All("/vms/{vmid}", &["VM.PowerMgmt"]);
const CHANGE: Rule = Rule::Any(
    "/vms/{vmid}",
    &[
        "VM.Config.Disk",
        "VM.Config.CDROM",
        "VM.Config.CPU",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.HWType",
        "VM.Config.Options",
        "VM.Config.Cloudinit",
    ],
);
const PING: Rule = Rule::Any(
    "/vms/{vmid}",
    &["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"],
);

macro_rules! route {
    ($method:literal, $path:literal, $rule:expr, $params:expr, $handler:expr) => {
        Route {
            method: $method,
            path: concat!("/nodes/{node}/qemu", $path),
            rule: $rule,
            params: $params,
            handler: $handler,
        }
    };
}

/// The options of a machine that this node knows, with more parameters in front.
macro_rules! with_options {
    [$($more:expr),* $(,)?] => {
        &[
            $($more,)*
            may("acpi", Kind::Bool),
            may("agent", Kind::Text),
            may("args", Kind::Text),
            may("balloon", Kind::Int(0, i64::MAX)),
            may("bios", Kind::Enum(&["seabios", "ovmf"])),
            may("boot", Kind::Text),
            may("cores", Kind::Int(1, i64::MAX)),
            may("cpu", Kind::Text),
            may("cpulimit", Kind::Number(0, 128)),
            may("cpuunits", Kind::Int(1, 262_144)),
            may("description", Kind::Short(8192)),
            may("efidisk0", Kind::Text),
            may("hookscript", Kind::Format(words::volume_id)),
            may("hostpci[n]", Kind::Text),
            may("ide[n]", Kind::Text),
            may("kvm", Kind::Bool),
            may("lock", Kind::Enum(LOCKS)),
            may("memory", Kind::Text),
            may("name", Kind::Format(words::dns_name)),
            may("net[n]", Kind::Text),
            may("numa", Kind::Bool),
            may("onboot", Kind::Bool),
            may("ostype", Kind::Enum(SYSTEMS)),
            may("parallel[n]", Kind::Pattern(words::parallel_port)),
            may("protection", Kind::Bool),
            may("sata[n]", Kind::Text),
            may("scsi[n]", Kind::Text),
            may("scsihw", Kind::Enum(CONTROLLERS)),
            may("serial[n]", Kind::Pattern(words::serial_port)),
            may("smbios1", Kind::Short(512)),
            may("sockets", Kind::Int(1, i64::MAX)),
            may("startup", Kind::Text),
            may("tags", Kind::Text),
            may("template", Kind::Bool),
            may("tpmstate0", Kind::Text),
            may("usb[n]", Kind::Text),
            may("vga", Kind::Text),
            may("virtio[n]", Kind::Text),
            may("vmgenid", Kind::Pattern(words::generation)),
        ]
    };
}

const LOCKS: &[&str] = &[
    "backup",
    "clone",
    "create",
    "migrate",
    "rollback",
    "snapshot",
    "snapshot-delete",
    "suspending",
    "suspended",
];
const SYSTEMS: &[&str] = &[
    "other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24",
    "l26", "solaris",
];
const CONTROLLERS: &[&str] = &[
    "lsi",
    "lsi53c810",
    "virtio-scsi-pci",
    "virtio-scsi-single",
    "megasas",
    "pvscsi",
];

pub(crate) const ROUTES: &[Route] = &[
    route!(
        "GET",
        "",
        Rule::User,
        &[may("full", Kind::Bool)],
        read::list
    ),
    route!(
        "POST",
        "",
        Rule::User,
        with_options![
            need("vmid", Kind::Vmid),
            may("archive", Kind::Short(255)),
            may("bwlimit", Kind::Int(0, i64::MAX)),
            with("force", Kind::Bool, "archive"),
            may("live-restore", Kind::Bool),
            may("pool", Kind::Format(words::pool_id)),
            may("start", Kind::Bool),
            may("storage", Kind::StorageId),
            with("unique", Kind::Bool, "archive"),
        ],
        create::create
    ),
    route!(
        "DELETE",
        "/{vmid}",
        Rule::All("/vms/{vmid}", &["VM.Allocate"]),
        &[
            may("purge", Kind::Bool),
            may("destroy-unreferenced-disks", Kind::Bool),
            may("skiplock", Kind::Bool),
        ],
        create::destroy
    ),
    route!("GET", "/{vmid}/status/current", AUDIT, &[], read::current),
    route!(
        "GET",
        "/{vmid}/config",
        AUDIT,
        &[may("current", Kind::Bool), may("snapshot", Kind::ConfigId)],
        config::get
    ),
    route!(
        "PUT",
        "/{vmid}/config",
        CHANGE,
        with_options![
            may("delete", Kind::List),
            may("digest", Kind::Short(40)),
            may("skiplock", Kind::Bool),
        ],
        config::put
    ),
    route!(
        "POST",
        "/{vmid}/config",
        CHANGE,
        with_options![
            may("delete", Kind::List),
            may("digest", Kind::Short(40)),
            may("skiplock", Kind::Bool),
        ],
        config::post
    ),
    route!("POST", "/{vmid}/agent/ping", PING, &[], read::ping),
    route!(
        "POST",
        "/{vmid}/status/start",
        POWER,
        &[
            may("skiplock", Kind::Bool),
            may("timeout", Kind::Int(0, i64::MAX)),
        ],
        power::start
    ),
    route!(
        "POST",
        "/{vmid}/status/stop",
        POWER,
        &[
            may("overrule-shutdown", Kind::Bool),
            may("skiplock", Kind::Bool),
            may("timeout", Kind::Int(0, i64::MAX)),
        ],
        power::stop
    ),
    route!(
        "POST",
        "/{vmid}/status/shutdown",
        POWER,
        &[
            may("forceStop", Kind::Bool),
            may("skiplock", Kind::Bool),
            may("timeout", Kind::Int(0, i64::MAX)),
        ],
        power::shutdown
    ),
];
