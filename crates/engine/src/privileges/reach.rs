//! What whoever has a secret could do with it today, counted on what is there.
//!
//! What each privilege opens is told in `docs/reference/privileges.md` by measurement, and in pve-container and pve-storage
//! where it is not measured: a backup is deleted with `VM.Backup` on its guest and `Datastore.AllocateSpace` on its storage
//! (pve-storage `Content.pm`, `delete`), its protection is cleared with the same (`updateattributes`), and a stopped guest is
//! restored over with `VM.Backup` on it (pve-container `API2/LXC.pm`, `create_vm`).

use std::collections::{BTreeMap, BTreeSet};

use felhom_ids::{NodeName, StorageId, Vmid};
use serde::Serialize;

use super::excess::{DANGEROUS, topmost};
use super::{HeldAt, has};

/// What there is on the box, as far as it can be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Every guest, scratch guests included.
    pub guests: BTreeSet<Vmid>,
    /// Every archive.
    pub archives: Vec<ArchiveSeen>,
    /// How many disks lie on each storage.
    pub disks: BTreeMap<StorageId, usize>,
}

/// An archive on a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSeen {
    /// Where.
    pub storage: StorageId,
    /// Of whom; `None` for one that bears no number.
    pub guest: Option<Vmid>,
    /// Its bytes.
    pub size: u64,
    /// Whether it is protected from deletion.
    pub protected: bool,
}

/// One thing that a secret opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What could be done, in words that stand before a number.
    pub deed: &'static str,
    /// To how many.
    pub count: usize,
    /// To whom or what.
    pub subjects: Vec<String>,
    /// How many bytes are lost by it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// By which privileges.
    pub by: Vec<&'static str>,
    /// Whether it takes all of them together; else each opens some of it.
    pub together: bool,
    /// What else is to be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Inventory {
    /// Every ACL path that [`reach`] asks about.
    pub fn paths(&self, node: &NodeName) -> BTreeSet<String> {
        let guests = self.guests.iter().copied().map(guest_path);
        let archived = self.archives.iter().filter_map(|archive| archive.guest);
        let archived: Vec<String> = archived.map(guest_path).collect();
        let storages = self.disks.keys().map(storage_path);
        let holding = self
            .archives
            .iter()
            .map(|archive| storage_path(&archive.storage));
        let fixed = ["/", "/access", "/storage"].map(str::to_owned);
        guests
            .chain(archived)
            .chain(storages)
            .chain(holding)
            .chain(fixed)
            .chain([format!("/nodes/{node}")])
            .collect()
    }
}

fn guest_path(vmid: Vmid) -> String {
    format!("/vms/{vmid}")
}

fn storage_path(storage: &StorageId) -> String {
    format!("/storage/{storage}")
}

/// What somebody who holds this could do, the worst first. `held` is what the server answered for [`Inventory::paths`].
pub fn reach(held: &HeldAt, inventory: &Inventory) -> Vec<Damage> {
    let mut found = vec![
        guests("destroy guests", &["VM.Allocate"], held, inventory),
        disks(held, inventory),
        archives(held, inventory),
        over(held, inventory),
        guests(
            "roll guests back, if they have snapshots",
            &["VM.Snapshot", "VM.Snapshot.Rollback"],
            held,
            inventory,
        ),
        guests("stop guests", &["VM.PowerMgmt"], held, inventory),
        guests("change guests' configuration", CONFIGURE, held, inventory),
        guests("open consoles of guests", &["VM.Console"], held, inventory),
    ];
    found.retain(|damage| damage.count > 0);
    found.extend(elsewhere(held));
    found
}

const CONFIGURE: &[&str] = &[
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
];

/// Any of the privileges on a guest is enough.
fn guests(
    deed: &'static str,
    any: &'static [&'static str],
    held: &HeldAt,
    inventory: &Inventory,
) -> Damage {
    let mut by = BTreeSet::new();
    let mut subjects = Vec::new();
    for vmid in &inventory.guests {
        let opens = any
            .iter()
            .filter(|privilege| has(held, &guest_path(*vmid), privilege));
        let opens: Vec<&'static str> = opens.copied().collect();
        if !opens.is_empty() {
            subjects.push(vmid.to_string());
            by.extend(opens);
        }
    }
    Damage {
        deed,
        count: subjects.len(),
        subjects,
        bytes: None,
        by: by.into_iter().collect(),
        together: false,
        note: None,
    }
}

fn disks(held: &HeldAt, inventory: &Inventory) -> Damage {
    let open = |storage: &StorageId| has(held, &storage_path(storage), "Datastore.Allocate");
    let open: Vec<_> = inventory
        .disks
        .iter()
        .filter(|(storage, count)| **count > 0 && open(storage))
        .collect();
    Damage {
        deed: "delete guests' disks",
        count: open.iter().map(|(_, count)| **count).sum(),
        subjects: open
            .iter()
            .map(|(storage, _)| storage.to_string())
            .collect(),
        bytes: None,
        by: vec!["Datastore.Allocate"],
        together: true,
        note: None,
    }
}

fn archives(held: &HeldAt, inventory: &Inventory) -> Damage {
    let opens = |archive: &&ArchiveSeen| {
        let storage = storage_path(&archive.storage);
        match &archive.guest {
            Some(vmid) => {
                has(held, &guest_path(*vmid), "VM.Backup")
                    && has(held, &storage, "Datastore.AllocateSpace")
            }
            None => has(held, &storage, "Datastore.Allocate"),
        }
    };
    let open: Vec<&ArchiveSeen> = inventory.archives.iter().filter(opens).collect();
    let of: BTreeSet<String> = open
        .iter()
        .filter_map(|archive| archive.guest)
        .map(|vmid| vmid.to_string())
        .collect();
    let protected = open.iter().filter(|archive| archive.protected).count();
    Damage {
        deed: "delete backups",
        count: open.len(),
        subjects: of.into_iter().collect(),
        bytes: Some(open.iter().map(|archive| archive.size).sum()),
        by: vec!["VM.Backup", "Datastore.AllocateSpace"],
        together: true,
        note: (protected > 0).then(|| {
            format!("{protected} of them are protected, and the same privileges clear that")
        }),
    }
}

fn over(held: &HeldAt, inventory: &Inventory) -> Damage {
    let room = |storage: &StorageId| has(held, &storage_path(storage), "Datastore.AllocateSpace");
    let open: &[&str] = if inventory.disks.keys().any(room) {
        &["VM.Backup"]
    } else {
        &[]
    };
    let mut damage = guests(
        "restore over guests while they are stopped",
        open,
        held,
        inventory,
    );
    damage.by.push("Datastore.AllocateSpace");
    damage.together = true;
    damage
}

/// What is dangerous and was not counted by guest or storage.
fn elsewhere(held: &HeldAt) -> Vec<Damage> {
    let mut found = Vec::new();
    for (privilege, power) in DANGEROUS {
        // Told above, by guest and by storage.
        let is_counted = ["Datastore.Allocate", "VM.Console"].contains(privilege);
        let at: BTreeSet<&str> = held
            .iter()
            .filter(|(_, privileges)| privileges.contains_key(*privilege))
            .map(|(path, _)| path.as_str())
            .collect();
        let at: Vec<String> = topmost(&at).into_iter().map(str::to_owned).collect();
        if !is_counted && !at.is_empty() {
            found.push(Damage {
                deed: power,
                count: at.len(),
                subjects: at,
                bytes: None,
                by: vec![privilege],
                together: true,
                note: None,
            });
        }
    }
    found
}
