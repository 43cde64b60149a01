//! What becomes of a container's `features`, one by one, and of being unprivileged.

use felhom_ids::GuestKind;
use serde::{Deserialize, Serialize};

use crate::restore_run::property;
use crate::restore_run::subject::WrittenConfig;

/// One of the `features` of an archived container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// `nesting`, `keyctl`, `mount`, …
    pub name: String,
    /// As it is archived.
    pub value: String,
    /// Whether a restore by a token brings it back.
    pub comes_back: bool,
    /// Whether a token may change it afterwards; otherwise root alone.
    pub token_may_change: bool,
}

/// The features in the order of the archive. A restore that names no `features` carries all of them over, also for a token; in a
/// request, and afterwards, `nesting` alone is let through, and of a privileged container nothing (pve-container LXC.pm
/// `check_ct_modify_config_perm`, LXC/Create.pm `sanitize_and_merge_config`).
pub(super) fn features(archived: &WrittenConfig) -> Vec<Feature> {
    let container = archived.config.kind == GuestKind::Lxc;
    let text = archived.values.get("features").filter(|_| container);
    let unprivileged = archived.config.unprivileged;
    property::pairs(text.map(String::as_str).unwrap_or_default())
        .map(|(name, value)| Feature {
            name: name.to_owned(),
            value: value.to_owned(),
            comes_back: unprivileged,
            token_may_change: unprivileged && name == "nesting",
        })
        .collect()
}

impl Feature {
    /// One line for people.
    pub(super) fn line(&self) -> String {
        let (name, value) = (&self.name, &self.value);
        if !self.comes_back {
            return format!(
                "{name}={value}: of a privileged container, which no token restores; a restore by root brings it back"
            );
        }
        let later = if self.token_may_change {
            "a token with VM.Allocate may change it afterwards"
        } else {
            "afterwards only root may change it"
        };
        format!("{name}={value} comes back as it is; {later}")
    }
}

/// Whether the guest is as privileged as it was, for people; of a machine nothing.
pub(super) fn privilege(archived: &WrittenConfig) -> Option<String> {
    let container = archived.config.kind == GuestKind::Lxc;
    let line = if archived.config.unprivileged {
        "unprivileged, as archived: that never changes with a restore by a token"
    } else {
        "privileged, as archived: no token restores it, neither so nor as an unprivileged one"
    };
    container.then(|| line.to_owned())
}
