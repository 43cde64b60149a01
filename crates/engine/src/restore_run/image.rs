//! A golden archive as what a guest is made from: what it has to be, and what all guests of it share.

use felhom_ids::GuestKind;

use crate::mark::golden_container;
use crate::refusal::Refusal;
use crate::restore_run::property;
use crate::restore_run::records::RestoreRunRequest;
use crate::restore_run::subject::RestoreSubject;
use crate::world::GuestConfig;

/// What a container lacks in which Docker can run: unprivileged, with `nesting` and `keyctl`.
pub(crate) fn golden_features_missing(config: &GuestConfig) -> Vec<&'static str> {
    let text = config.features.as_deref().unwrap_or_default();
    let mut missing = Vec::new();
    if config.kind != GuestKind::Lxc || !config.unprivileged {
        missing.push("unprivileged=1");
    }
    for (feature, told) in [("nesting", "nesting=1"), ("keyctl", "keyctl=1")] {
        if !property::is_on(text, feature) {
            missing.push(told);
        }
    }
    missing
}

/// Only what was taken of a golden container is its image, and only with its features.
pub(super) fn refusals(request: &RestoreRunRequest, subject: &RestoreSubject) -> Vec<Refusal> {
    let config = &subject.archived.config;
    let of = config.description.as_deref().and_then(golden_container);
    let mut refused = Vec::new();
    let mut add = |what: String, hint: &str| {
        let hint = Some(hint.to_owned());
        refused.push(Refusal { what, hint });
    };
    if of.is_none() || of != request.volid.guest() {
        add(
            format!("{} was not taken of a golden container", request.volid),
            "`felhom-agent golden list` shows the images; `restore run` restores any other backup",
        );
    }
    let missing = golden_features_missing(config);
    if !missing.is_empty() {
        add(
            format!("the archived container lacks {}", missing.join(", ")),
            "make the image anew: `felhom-agent golden create TEMPLATE --vmid N`",
        );
    }
    refused
}

/// What is inside the archive and stays. An image is of a container that was never started: `pct create` has emptied its
/// machine-id, and has made its SSH host keys (pve-container LXC/Setup/Base.pm `post_create_hook`, LXC/Setup.pm
/// `rewrite_ssh_host_keys`); a restore does neither.
pub(super) fn shared(request: &RestoreRunRequest) -> &'static str {
    if request.golden {
        "SSH host keys were made with the image: every guest of it has the same until they are made anew inside it \
         (`rm /etc/ssh/ssh_host_* && dpkg-reconfigure openssh-server`); the machine-id is empty in an image, and each guest \
         makes one of its own with its first start"
    } else {
        "machine-id and SSH host keys are inside the archive and stay: a DHCP server that goes by the machine-id gives \
         both guests one address"
    }
}
