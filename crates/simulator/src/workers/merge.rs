//! How an archived configuration and the given options become a restored container's configuration.

use std::collections::BTreeMap;

use crate::guest::config::{Config, Section};
use crate::guest::formats;
use crate::guest::{props, schema};

/// Everything that decides about the result.
pub(crate) struct Merge<'a> {
    pub(crate) vmid: u32,
    pub(crate) archived: &'a Section,
    /// Options of the request, without mount points.
    pub(crate) given: &'a BTreeMap<String, String>,
    /// Mount points as they now stand.
    pub(crate) mounts: &'a BTreeMap<String, String>,
    pub(crate) unprivileged: bool,
    pub(crate) unique: bool,
    /// The user literally named root@pam.
    pub(crate) root: bool,
}

/// The configuration, and what was left out with a warning.
pub(crate) struct Merged {
    pub(crate) config: Config,
    pub(crate) skipped_raw: Vec<(String, String)>,
    pub(crate) skipped_features: bool,
}

/// Archived keys that a restore never takes over.
fn left_behind(key: &str) -> bool {
    matches!(
        key,
        "digest"
            | "rootfs"
            | "snapshots"
            | "parent"
            | "unprivileged"
            | "template"
            | "lock"
            | "snaptime"
            | "snapstate"
    ) || matches!(formats::index(key), Some(("mp" | "unused", _)))
}

pub(crate) fn merge(merge: &Merge<'_>) -> Merged {
    let mut section = Section::default();
    let was_unprivileged = merge.archived.flag("unprivileged");
    let mut skipped_features = false;
    for (key, value) in merge
        .archived
        .values
        .iter()
        .filter(|(key, _)| !left_behind(key))
    {
        if key == "features" && was_unprivileged && !merge.unprivileged && !merge.root {
            skipped_features = true;
            continue;
        }
        if let Some(("net", _)) = formats::index(key)
            && let Some(net) = archived_net(merge, key, value)
        {
            section.values.insert(key.clone(), net);
        } else if !key.starts_with("net") {
            section.values.insert(key.clone(), value.clone());
        }
    }
    for (key, value) in merge.given {
        let net = matches!(formats::index(key), Some(("net", _)));
        // `unique` makes a new device of every archived one, also of those that the request overrides.
        if !(net && merge.unique && merge.archived.values.contains_key(key)) {
            section
                .values
                .insert(key.clone(), schema::normal(key, value));
        }
    }
    section.values.extend(merge.mounts.clone());
    if merge.unprivileged {
        section.values.insert("unprivileged".into(), "1".into());
    } else {
        section.values.remove("unprivileged");
    }
    let defaults = [
        ("arch", "amd64".to_owned()),
        ("hostname", format!("CT{}", merge.vmid)),
    ];
    let sizes = [("memory", "512".to_owned()), ("swap", "512".to_owned())];
    for (key, value) in defaults.into_iter().chain(sizes) {
        section.values.entry(key.into()).or_insert(value);
    }
    let mut skipped_raw = Vec::new();
    if merge.root {
        section.raw.clone_from(&merge.archived.raw);
    } else {
        skipped_raw.clone_from(&merge.archived.raw);
    }
    Merged {
        config: Config {
            current: section,
            ..Config::default()
        },
        skipped_raw,
        skipped_features,
    }
}

/// An archived device as it is restored; without a bridge it is lost to anybody but root (seen on PVE 9.2).
fn archived_net(merge: &Merge<'_>, key: &str, value: &str) -> Option<String> {
    let mut net = props::parse(&formats::NET, key, value).ok()?;
    if !merge.root && !net.contains_key("bridge") {
        return None;
    }
    if !merge.unique {
        return Some(value.to_owned());
    }
    net.remove("hwaddr");
    Some(schema::finish_net(net))
}
