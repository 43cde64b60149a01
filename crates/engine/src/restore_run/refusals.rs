//! What a token cannot do, what must not be done, and which rights are missing.

use std::collections::{BTreeMap, BTreeSet};

use felhom_ids::{GuestKind, StorageId, Vmid};

use crate::refusal::Refusal;
use crate::restore_run::clashes::takes_an_address_in_use;
use crate::restore_run::drives;
use crate::restore_run::image;
use crate::restore_run::machine::{self, Reach};
use crate::restore_run::plan::{Lacking, RestoreRunPlan, RestoredVolume};
use crate::restore_run::records::{Identity, RestoreRunRequest};
use crate::restore_run::settings::name_key;
use crate::restore_run::space::node_shortages;
use crate::restore_run::subject::{
    Original, RestoreSubject, bridge_paths, guest_path, mapping_paths, net_values, storage_path,
};

/// The reasons so far.
struct Refusals(Vec<Refusal>);

impl Refusals {
    fn add(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Refusal {
            what: what.into(),
            hint: Some(hint.into()),
        });
    }
}

/// Why this restore must not be done; empty when it may.
pub(super) fn refusals(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    plan: &RestoreRunPlan,
) -> Vec<Refusal> {
    let mut refused = Refusals(Vec::new());
    match plan.kind {
        GuestKind::Lxc => of_the_guest(request, subject, &mut refused),
        GuestKind::Qemu => of_the_machine(request, subject, plan, &mut refused),
    }
    if request.golden {
        refused.0.extend(image::refusals(request, subject));
    }
    of_the_vmid(request, subject, plan, &mut refused);
    of_the_identity(request, subject, plan, &mut refused);
    of_the_start(request, subject, plan, &mut refused);
    of_the_storages(subject, plan, &mut refused);
    if subject.node.cluster_nodes != 1 {
        let what = format!(
            "the cluster has {} nodes; only single nodes are supported",
            subject.node.cluster_nodes
        );
        refused.add(what, "restore it in the web interface of the node");
    }
    let short = plan.space.iter().flat_map(|space| space.short.clone());
    for shortage in short.chain(node_shortages(request, subject)) {
        refused.add(
            shortage,
            "free space, or name another storage with `--storage`",
        );
    }
    for lacking in &plan.lacking {
        refused.0.push(Refusal {
            what: format!(
                "the token lacks {} on {}",
                lacking.missing.join(", "),
                lacking.path
            ),
            hint: None,
        });
    }
    refused.0
}

/// The command by which root restores what a token cannot.
pub(super) fn as_root(request: &RestoreRunRequest) -> String {
    let (to, volid) = (request.to, &request.volid);
    if request.kind() == GuestKind::Qemu {
        // Without a storage each drive goes where it was.
        let storage = request.storage.as_ref();
        let storage = storage.map_or_else(String::new, |one| format!(" --storage {one}"));
        let unique = match request.identity {
            Identity::Fresh => " --unique 1",
            Identity::Keep => "",
        };
        return format!("as root on the node: qmrestore {volid} {to}{storage}{unique}");
    }
    let storage = request
        .storage
        .as_ref()
        .map_or_else(|| "STORAGE".to_owned(), ToString::to_string);
    format!("as root on the node: pct restore {to} {volid} --storage {storage}")
}

fn of_the_machine(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    plan: &RestoreRunPlan,
    refused: &mut Refusals,
) {
    let (archived, to) = (&subject.archived, request.to);
    if archived.config.template {
        refused.add(
            "the guest is a template, and would be one again",
            as_root(request),
        );
    }
    for (key, what, reach) in machine::reaching(archived) {
        if reach == Reach::RootOnly {
            refused.add(
                format!("`{key}: {what}` is a device of the node: no token restores a guest that has one"),
                format!("{} && qm set {to} --delete {key}", as_root(request)),
            );
        }
    }
    for (key, volume) in drives::still_of_another(archived) {
        refused.add(
            format!("{key} is in no backup, and the restored guest would have `{volume}` itself, which is another guest's"),
            format!("{} && qm set {to} --delete {key}", as_root(request)),
        );
    }
    if !plan.volumes.iter().any(|volume| volume.filled) {
        refused.add("the archive holds no drive", as_root(request));
    }
}

fn of_the_guest(request: &RestoreRunRequest, subject: &RestoreSubject, refused: &mut Refusals) {
    let config = &subject.archived.config;
    if !config.unprivileged {
        refused.add(
            "the guest is privileged: no token restores it without Sys.Modify on `/`, which is as good as root",
            as_root(request),
        );
    }
    if config.template {
        refused.add(
            "the guest is a template, and would be one again",
            as_root(request),
        );
    }
    if let Some(lock) = &config.lock {
        refused.add(
            format!("the archived configuration is locked ({lock})"),
            "look at it with `pvesm extractconfig`",
        );
    }
    let remapped = |(key, _): &&(String, String)| key == "lxc.idmap";
    if subject.archived.raw_lxc.iter().any(|line| remapped(&line)) {
        refused.add(
            "`lxc.idmap` is dropped when a token restores: every file would belong to somebody else",
            as_root(request),
        );
    }
    if !config.mounts.iter().any(|mount| mount.key == "rootfs") {
        refused.add(
            "the archived configuration has no rootfs",
            "look at it with `pvesm extractconfig`",
        );
    }
}

fn of_the_vmid(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    plan: &RestoreRunPlan,
    refused: &mut Refusals,
) {
    let to = request.to;
    let policy = &request.policy;
    let mut there = subject.volumes.values().flatten().flatten();
    if subject.taken {
        refused.add(
            format!("there is a guest {to}; nothing is ever restored on top of one"),
            "name a free VMID with `--to`",
        );
    } else if let Some(volume) = there.next() {
        refused.add(
            format!("`{volume}` bears the VMID {to} and may be all that is left of a guest"),
            format!(
                "name another VMID, or look at it with `pvesm list {} --vmid {to}`",
                volume.storage()
            ),
        );
    } else {
        unseen(subject, plan, refused);
    }
    if (policy.first_scratch..=policy.last_scratch).contains(&to) {
        let (first, last) = (policy.first_scratch, policy.last_scratch);
        refused.add(
            format!("{to} lies in the scratch range {first} to {last}, whose guests are removed"),
            "name a VMID outside of it with `--to`",
        );
    }
}

/// A list that may be shortened proves nothing: what a failed restore leaves could not be told from what was there before.
/// Where a right is lacking, that is said already.
fn unseen(subject: &RestoreSubject, plan: &RestoreRunPlan, refused: &mut Refusals) {
    let looked_at = |id: &StorageId| {
        let facts = subject.storages.iter().find(|one| one.id == *id);
        facts.is_some_and(|facts| facts.active && facts.is_for_disks())
    };
    let of_storages = plan.storages().into_iter().filter(looked_at);
    for id in of_storages.filter(|id| !matches!(subject.volumes.get(id), Some(Some(_)))) {
        if plan.lacking.is_empty() {
            let to = plan.vmid;
            refused.add(
                format!("whether `{id}` holds volumes that bear the VMID {to} cannot be seen"),
                format!("as root on the node: pvesm list {id} --vmid {to}"),
            );
        }
    }
}

fn of_the_identity(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    plan: &RestoreRunPlan,
    refused: &mut Refusals,
) {
    let name = plan.set.get(name_key(request));
    if let Some(name) = name.filter(|name| !is_hostname(name)) {
        refused.add(
            format!("`{name}` is no host name"),
            "letters, digits and `-`, at most 63 between two dots",
        );
    }
    if request.identity == Identity::Fresh {
        return;
    }
    if request.hostname.is_some() {
        refused.add(
            "`keep` keeps the host name",
            "leave `--hostname` out, or take `--identity fresh`",
        );
    }
    let Some(source) = request.volid.guest() else {
        return;
    };
    match &subject.original {
        Original::Gone
        | Original::Guest {
            running: false,
            onboot: false,
            ..
        } => {}
        Original::Guest { kind, .. } => {
            let tool = kind.tool();
            refused.add(
                format!("guest {source} is there: two of one identity must never run"),
                format!(
                    "take `--identity fresh`, or first: {tool} shutdown {source} && {tool} set {source} --onboot 0"
                ),
            );
        }
        Original::Unreadable(why) => refused.add(
            format!("guest {source} is there and cannot be looked at: {why}"),
            "take `--identity fresh`",
        ),
    }
}

fn of_the_start(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    plan: &RestoreRunPlan,
    refused: &mut Refusals,
) {
    if !request.start {
        return;
    }
    let config = &subject.archived.config;
    let reaches = match plan.kind {
        GuestKind::Lxc => !config.devices.is_empty(),
        GuestKind::Qemu => machine::reaching(&subject.archived).next().is_some(),
    };
    if config.hookscript.is_some() || reaches {
        refused.add(
            "started, the guest would run its hookscript as root or take devices of the node",
            "leave `--start` out, look at it, and start it by hand",
        );
    }
    if takes_an_address_in_use(request, subject, &plan.set) {
        refused.add(
            "started, the guest would take a fixed address that the running original has",
            "add `--link-down`, or leave `--start` out",
        );
    }
    if request.identity == Identity::Keep && subject.original != Original::Gone {
        refused.add(
            "the original is there: which of the two is started is decided by a person",
            "leave `--start` out",
        );
    }
}

fn of_the_storages(subject: &RestoreSubject, plan: &RestoreRunPlan, refused: &mut Refusals) {
    let (content, guests) = match plan.kind {
        GuestKind::Lxc => ("rootdir", "containers"),
        GuestKind::Qemu => ("images", "virtual machines"),
    };
    let hint = &format!("name a storage that takes {guests} with `--storage`");
    for id in plan.storages() {
        match subject.storages.iter().find(|one| one.id == id) {
            None => refused.add(
                format!("storage `{id}` is not there, or hidden from the token"),
                hint,
            ),
            Some(facts) if !facts.active => {
                refused.add(format!("storage `{id}` is not active"), hint);
            }
            Some(facts) if !facts.content.contains(content) => refused.add(
                format!("storage `{id}` does not take {guests} (content `{content}` is missing)"),
                hint,
            ),
            Some(_) => {}
        }
    }
    let unsized_one = |one: &&RestoredVolume| one.size.bytes() == 0 && !one.generated;
    for volume in plan.volumes.iter().filter(unsized_one) {
        let hint = match plan.kind {
            GuestKind::Lxc => "as root on the node: pct restore, with the size given by hand",
            GuestKind::Qemu => "as root on the node: qmrestore, when the storage has room for it",
        };
        refused.add(
            format!("{} has no size in the archived configuration", volume.key),
            hint,
        );
    }
}

/// Rights that the restore needs and the principal lacks. Each is asked for by one check of the server's.
pub(super) fn lacking(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    plan: &RestoreRunPlan,
) -> Vec<Lacking> {
    let guest = guest_path(request.to);
    let mut wanted: Vec<(String, &str)> = [
        "VM.Allocate",
        "VM.Audit",
        "VM.Config.Disk",
        "VM.Config.Network",
        "VM.Config.Options",
    ]
    .map(|privilege| (guest.clone(), privilege))
    .to_vec();
    if request.start {
        wanted.push((guest, "VM.PowerMgmt"));
    }
    let source = request.volid.guest().map(Vmid::get);
    wanted.push((
        storage_path(request.volid.storage()),
        "Datastore.AllocateSpace",
    ));
    wanted.extend(source.map(|source| (format!("/vms/{source}"), "VM.Backup")));
    for storage in plan.storages() {
        let path = storage_path(&storage);
        wanted.push((path.clone(), "Datastore.AllocateSpace"));
        // Without it nobody sees whether volumes of a failed restore are left.
        wanted.push((path, "Datastore.Audit"));
    }
    for (_, net) in net_values(&plan.set) {
        wanted.extend(bridge_paths(net).into_iter().map(|path| (path, "SDN.Use")));
    }
    wanted.extend(mapping_paths(&subject.archived).map(|path| (path, "Mapping.Use")));
    let mut by_path: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (path, privilege) in wanted {
        by_path.entry(path).or_default().insert(privilege);
    }
    by_path
        .into_iter()
        .filter_map(|(path, wanted)| {
            let held = subject.rights.get(&path).cloned().unwrap_or_default();
            let wanted: BTreeSet<String> = wanted.into_iter().map(str::to_owned).collect();
            let missing: Vec<String> = wanted.difference(&held).cloned().collect();
            (!missing.is_empty()).then(|| Lacking {
                missing,
                grant: wanted.union(&held).cloned().collect(),
                path,
            })
        })
        .collect()
}

/// As PVE's format `dns-name` takes it (pve-common JSONSchema.pm).
fn is_hostname(name: &str) -> bool {
    let label = |label: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        label.len() <= 63
            && edge(label.chars().next())
            && edge(label.chars().next_back())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    !name.is_empty() && name.split('.').all(label)
}
