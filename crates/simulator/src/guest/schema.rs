//! The options of a container as API parameters, and how their values are verified and normalised.

use std::collections::BTreeMap;

use super::formats;
use super::props::{self, Props};
use crate::call::Params;
use crate::route::Param;

/// Values of `lock`.
pub(crate) const LOCKS: &[&str] = &[
    "backup",
    "create",
    "destroyed",
    "disk",
    "fstrim",
    "migrate",
    "mounted",
    "rollback",
    "snapshot",
    "snapshot-delete",
];

pub(crate) const OSTYPES: &[&str] = &[
    "debian",
    "devuan",
    "ubuntu",
    "centos",
    "fedora",
    "opensuse",
    "archlinux",
    "alpine",
    "gentoo",
    "nixos",
    "unmanaged",
];

pub(crate) const ARCHES: &[&str] = &["amd64", "i386", "arm64", "armhf", "riscv32", "riscv64"];

/// The parameters of a method that takes every option of a container, and more.
macro_rules! with_options {
    ($($more:expr),* $(,)?) => {
        &[
            $crate::route::may("arch", $crate::route::Kind::Enum($crate::guest::schema::ARCHES)),
            $crate::route::may("cmode", $crate::route::Kind::Enum(&["shell", "console", "tty"])),
            $crate::route::may("console", $crate::route::Kind::Bool),
            $crate::route::may("cores", $crate::route::Kind::Int(1, 8192)),
            $crate::route::may("cpulimit", $crate::route::Kind::Number(0, 8192)),
            $crate::route::may("cpuunits", $crate::route::Kind::Int(0, 500_000)),
            $crate::route::may("debug", $crate::route::Kind::Bool),
            $crate::route::may("description", $crate::route::Kind::Short(8192)),
            $crate::route::may("dev[n]", $crate::route::Kind::Properties(&$crate::guest::formats::DEV)),
            $crate::route::may("entrypoint", $crate::route::Kind::Pattern($crate::words::printable)),
            $crate::route::may("env", $crate::route::Kind::Pattern($crate::words::environment)),
            $crate::route::may("features", $crate::route::Kind::Properties(&$crate::guest::formats::FEATURES)),
            $crate::route::may("hookscript", $crate::route::Kind::Format($crate::words::volume_id)),
            $crate::route::may("hostname", $crate::route::Kind::Format($crate::words::dns_name)),
            $crate::route::may("lock", $crate::route::Kind::Enum($crate::guest::schema::LOCKS)),
            $crate::route::may("memory", $crate::route::Kind::Int(16, i64::MAX)),
            $crate::route::may("mp[n]", $crate::route::Kind::Properties(&$crate::guest::formats::MP)),
            $crate::route::may("nameserver", $crate::route::Kind::ListOf($crate::words::name_server)),
            $crate::route::may("net[n]", $crate::route::Kind::Properties(&$crate::guest::formats::NET)),
            $crate::route::may("onboot", $crate::route::Kind::Bool),
            $crate::route::may("ostype", $crate::route::Kind::Enum($crate::guest::schema::OSTYPES)),
            $crate::route::may("protection", $crate::route::Kind::Bool),
            $crate::route::may("rootfs", $crate::route::Kind::Properties(&$crate::guest::formats::ROOTFS)),
            $crate::route::may("searchdomain", $crate::route::Kind::ListOf($crate::words::dns_name)),
            $crate::route::may("startup", $crate::route::Kind::Format($crate::words::startup_order)),
            $crate::route::may("swap", $crate::route::Kind::Int(0, i64::MAX)),
            $crate::route::may("tags", $crate::route::Kind::ListOf($crate::words::tag)),
            $crate::route::may("template", $crate::route::Kind::Bool),
            $crate::route::may("timezone", $crate::route::Kind::Format($crate::words::timezone)),
            $crate::route::may("tty", $crate::route::Kind::Int(0, 6)),
            $crate::route::may("unprivileged", $crate::route::Kind::Bool),
            $crate::route::may("unused[n]", $crate::route::Kind::Properties(&$crate::guest::formats::UNUSED)),
            $($more),*
        ]
    };
}
pub(crate) use with_options;

const OPTIONS: &[Param] = with_options![];

/// Whether a name is an option of a container.
pub(crate) fn is_option(key: &str) -> bool {
    match formats::index(key) {
        Some(("net", number)) => number <= 31,
        Some((_, number)) => number <= 255,
        None => OPTIONS.iter().any(|option| option.name == key),
    }
}

/// The container's options among the parameters, as they were passed.
pub(crate) fn values(params: &Params) -> BTreeMap<String, String> {
    let options = params.0.keys().filter(|key| is_option(key));
    options
        .filter_map(|key| Some((key.clone(), params.text(key)?)))
        .collect()
}

/// A random address with the prefix that Proxmox owns.
pub(crate) fn random_mac() -> String {
    let mut raw = [0_u8; 3];
    if aws_lc_rs::rand::fill(&mut raw).is_err() {
        raw = [0, 0, 1];
    }
    let tail: Vec<String> = raw.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("BC:24:11:{}", tail.join(":"))
}

/// The stored form of `netN`: an address is made up where none is given, the type is named.
pub(crate) fn finish_net(mut net: Props) -> String {
    net.entry("hwaddr".into()).or_insert_with(random_mac);
    if let Some(mac) = net.get_mut("hwaddr") {
        mac.make_ascii_uppercase();
    }
    net.insert("type".into(), "veth".into());
    props::print(&formats::NET, &net)
}

/// The stored form of any option but mount points, which may have to be made first.
pub(crate) fn normal(key: &str, text: &str) -> String {
    match formats::index(key) {
        Some(("net", _)) => {
            return props::parse(&formats::NET, key, text).map_or_else(|_| text.into(), finish_net);
        }
        Some(("dev", _)) => {
            return props::parse(&formats::DEV, key, text)
                .map_or_else(|_| text.into(), |dev| props::print(&formats::DEV, &dev));
        }
        _ => {}
    }
    match key {
        "tags" => {
            let mut tags: Vec<String> = text
                .split([';', ',', ' '])
                .map(|tag| tag.trim().to_lowercase())
                .filter(|tag| !tag.is_empty())
                .collect();
            tags.sort();
            tags.dedup();
            tags.join(";")
        }
        "description" => text.trim_end_matches('\n').to_owned(),
        _ => text.to_owned(),
    }
}
