//! What no token can do around a restore, and by which command root does it: the root helper keeps to scratch guests.

use felhom_ids::GuestKind;
use serde::{Deserialize, Serialize};

use crate::restore_run::features::Feature;
use crate::restore_run::machine::{self, Reach};
use crate::restore_run::plan::Missing;
use crate::restore_run::records::RestoreRunRequest;
use crate::restore_run::refusals::as_root;
use crate::restore_run::subject::WrittenConfig;

/// Something that no token can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beyond {
    /// What.
    pub what: String,
    /// What root types for it, where a command does it.
    pub command: Option<String>,
}

impl Beyond {
    fn of_root(what: impl Into<String>, command: Option<String>) -> Self {
        Self {
            what: what.into(),
            command,
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let command = match &self.command {
            Some(command) => format!("as root `{command}`"),
            None => "only root, by hand".to_owned(),
        };
        format!("{}: {command}", self.what)
    }
}

/// All that this restore leaves to root.
pub(super) fn beyond(
    request: &RestoreRunRequest,
    archived: &WrittenConfig,
    missing: &[Missing],
    features: &[Feature],
) -> Vec<Beyond> {
    let mut all = never_restored(request, archived);
    all.extend(
        missing.iter().filter(|one| one.root_only).map(|one| {
            Beyond::of_root(format!("bringing `{}` back", one.key), one.command.clone())
        }),
    );
    all.extend(never_changed(request, archived, features));
    let (to, tool) = (request.to, request.kind().tool());
    all.push(Beyond {
        what: format!("removing the stub that a power cut during the restore leaves under {to}"),
        command: Some(format!("{tool} unlock {to} && {tool} destroy {to}")),
    });
    all
}

/// Why no token restores this guest as it was.
fn never_restored(request: &RestoreRunRequest, archived: &WrittenConfig) -> Vec<Beyond> {
    let command = || Some(as_root(request).replace("as root on the node: ", ""));
    let container = request.kind() == GuestKind::Lxc;
    let mut all = Vec::new();
    if container && !archived.config.unprivileged {
        all.push(Beyond::of_root(
            "restoring a privileged container",
            command(),
        ));
    }
    if archived.raw_lxc.iter().any(|(key, _)| key == "lxc.idmap") {
        all.push(Beyond::of_root(
            "restoring with the archived `lxc.idmap`",
            command(),
        ));
    }
    for (key, what, reach) in machine::reaching(archived) {
        if reach == Reach::RootOnly {
            let what = format!("restoring with `{key}: {what}`, a device of the node");
            all.push(Beyond::of_root(what, command()));
        }
    }
    all
}

/// What comes back with the archive, and what a token may not set or take off afterwards.
fn never_changed(
    request: &RestoreRunRequest,
    archived: &WrittenConfig,
    features: &[Feature],
) -> Vec<Beyond> {
    let (config, to, tool) = (&archived.config, request.to, request.kind().tool());
    let mut all = Vec::new();
    let fixed: Vec<&str> = features
        .iter()
        .filter(|one| one.comes_back && !one.token_may_change)
        .map(|one| one.name.as_str())
        .collect();
    if !fixed.is_empty() {
        let what = format!("changing the features {} afterwards", fixed.join(", "));
        let command = format!("{tool} set {to} --features …");
        all.push(Beyond::of_root(what, Some(command)));
    }
    let devices = config.devices.iter().map(String::as_str);
    let script = config.hookscript.as_ref().map(|_| "hookscript");
    for key in script.into_iter().chain(devices) {
        // The root helper strips these from scratch guests only.
        all.push(Beyond::of_root(
            format!("taking `{key}` off afterwards"),
            Some(format!("{tool} set {to} --delete {key}")),
        ));
    }
    all
}
