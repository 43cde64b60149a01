//! API methods: containers.

mod config;
mod create;
mod power;
mod read;
mod snapshot;

use crate::guest::schema::with_options;
use crate::route::{Kind, Route, Rule, may, need};
use crate::words;

const AUDIT: Rule = Rule::All("/vms/{vmid}", &["VM.Audit"]);
const POWER: Rule = Rule::All("/vms/{vmid}", &["VM.PowerMgmt"]);
const SNAPSHOT: Rule = Rule::All("/vms/{vmid}", &["VM.Snapshot"]);
const CHANGE: Rule = Rule::Any(
    "/vms/{vmid}",
    &[
        "VM.Config.Disk",
        "VM.Config.CPU",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
    ],
);

const CLONE: Rule = Rule::And(&[
    Rule::All("/vms/{vmid}", &["VM.Clone"]),
    Rule::Or(&[
        Rule::All("/vms/{newid}", &["VM.Allocate"]),
        Rule::Given("pool", "/pool/{pool}", &["VM.Allocate"]),
    ]),
]);

macro_rules! route {
    ($method:literal, $path:literal, $rule:expr, $params:expr, $handler:expr) => {
        Route {
            method: $method,
            path: concat!("/nodes/{node}/lxc", $path),
            rule: $rule,
            params: $params,
            handler: $handler,
        }
    };
}

pub(crate) const ROUTES: &[Route] = &[
    route!("GET", "", Rule::User, &[], read::list),
    route!(
        "POST",
        "",
        Rule::User,
        with_options![
            need("vmid", Kind::Vmid),
            need("ostemplate", Kind::Short(255)),
            may("bwlimit", Kind::Number(0, i64::MAX)),
            may("force", Kind::Bool),
            may("ha-managed", Kind::Bool),
            may("ignore-unpack-errors", Kind::Bool),
            may("password", Kind::Long(5)),
            may("pool", Kind::Format(words::pool_id)),
            may("restore", Kind::Bool),
            may("ssh-public-keys", Kind::Text),
            may("start", Kind::Bool),
            may("storage", Kind::StorageId),
            create::UNIQUE,
        ],
        create::create
    ),
    route!("GET", "/{vmid}", Rule::User, &[], read::index),
    route!(
        "DELETE",
        "/{vmid}",
        Rule::All("/vms/{vmid}", &["VM.Allocate"]),
        &[
            may("destroy-unreferenced-disks", Kind::Bool),
            may("force", Kind::Bool),
            may("purge", Kind::Bool)
        ],
        create::destroy
    ),
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
            may("revert", Kind::List),
        ],
        config::put
    ),
    route!("GET", "/{vmid}/pending", AUDIT, &[], config::pending),
    route!("GET", "/{vmid}/interfaces", AUDIT, &[], read::interfaces),
    route!(
        "GET",
        "/{vmid}/feature",
        AUDIT,
        &[
            need("feature", Kind::Enum(&["snapshot", "clone", "copy"])),
            may("snapname", Kind::ConfigId)
        ],
        read::feature
    ),
    route!(
        "GET",
        "/{vmid}/rrddata",
        AUDIT,
        &[
            need(
                "timeframe",
                Kind::Enum(&["hour", "day", "week", "month", "year"])
            ),
            may("cf", Kind::Enum(&["AVERAGE", "MAX"])),
        ],
        read::rrd
    ),
    route!(
        "PUT",
        "/{vmid}/resize",
        Rule::Any("/vms/{vmid}", &["VM.Config.Disk"]),
        &[
            need("disk", Kind::Mount),
            need("size", Kind::Pattern(words::growth)),
            may("digest", Kind::Short(40))
        ],
        config::resize
    ),
    route!("GET", "/{vmid}/status/current", AUDIT, &[], read::current),
    route!(
        "POST",
        "/{vmid}/status/start",
        POWER,
        &[may("debug", Kind::Bool), may("skiplock", Kind::Bool)],
        power::start
    ),
    route!(
        "POST",
        "/{vmid}/status/stop",
        POWER,
        &[
            may("overrule-shutdown", Kind::Bool),
            may("skiplock", Kind::Bool)
        ],
        power::stop
    ),
    route!(
        "POST",
        "/{vmid}/status/shutdown",
        POWER,
        &[
            may("forceStop", Kind::Bool),
            may("timeout", Kind::Int(0, i64::MAX))
        ],
        power::shutdown
    ),
    route!(
        "POST",
        "/{vmid}/status/reboot",
        POWER,
        &[may("timeout", Kind::Int(0, i64::MAX))],
        power::reboot
    ),
    route!("GET", "/{vmid}/snapshot", AUDIT, &[], snapshot::list),
    route!(
        "POST",
        "/{vmid}/snapshot",
        SNAPSHOT,
        &[
            need("snapname", Kind::ConfigId),
            may("description", Kind::Text)
        ],
        snapshot::create
    ),
    route!(
        "DELETE",
        "/{vmid}/snapshot/{snapname}",
        SNAPSHOT,
        &[may("force", Kind::Bool)],
        snapshot::delete
    ),
    route!(
        "GET",
        "/{vmid}/snapshot/{snapname}/config",
        Rule::Any(
            "/vms/{vmid}",
            &["VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit"]
        ),
        &[],
        snapshot::config
    ),
    route!(
        "PUT",
        "/{vmid}/snapshot/{snapname}/config",
        SNAPSHOT,
        &[may("description", Kind::Text)],
        snapshot::describe
    ),
    route!(
        "POST",
        "/{vmid}/snapshot/{snapname}/rollback",
        Rule::Any("/vms/{vmid}", &["VM.Snapshot", "VM.Snapshot.Rollback"]),
        &[may("start", Kind::Bool)],
        snapshot::rollback
    ),
    route!(
        "POST",
        "/{vmid}/clone",
        CLONE,
        &[
            need("newid", Kind::Vmid),
            may("bwlimit", Kind::Number(0, i64::MAX)),
            may("description", Kind::Text),
            may("full", Kind::Bool),
            may("hostname", Kind::Format(words::dns_name)),
            may("pool", Kind::Format(words::pool_id)),
            may("snapname", Kind::ConfigId),
            may("storage", Kind::StorageId),
            may("target", Kind::Node),
        ],
        create::clone
    ),
    route!(
        "POST",
        "/{vmid}/migrate",
        Rule::All("/vms/{vmid}", &["VM.Migrate"]),
        &[
            need("target", Kind::Node),
            may("bwlimit", Kind::Number(0, i64::MAX)),
            may("online", Kind::Bool),
            may("restart", Kind::Bool),
            may("target-storage", Kind::Text),
            may("timeout", Kind::Int(i64::MIN, i64::MAX)),
        ],
        power::migrate
    ),
    route!(
        "POST",
        "/{vmid}/vncproxy",
        Rule::All("/vms/{vmid}", &["VM.Console"]),
        &[
            may("height", Kind::Int(16, 2160)),
            may("websocket", Kind::Bool),
            may("width", Kind::Int(16, 4096)),
        ],
        power::vncproxy
    ),
];
