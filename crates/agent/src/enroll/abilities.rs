//! What each ability needs: roles pared to it, and where they are granted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use felhom_ids::{TokenId, Vmid};

use super::{Identity, Principal, Privileges, Roles, Wanted};

/// Something that the agent can be enabled to do. Observing needs no choice: it is always granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// Back guests up.
    Backup,
    /// Restore to scratch guests, boot, look, remove.
    RestoreTest,
    /// Snapshot guests and roll them back.
    Snapshot,
    /// A token for a guest that backs itself up.
    SelfBackup,
}

/// The guests to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guests {
    /// All, also those that come later.
    All,
    /// These.
    These(BTreeSet<Vmid>),
}

/// The everyday role, on `/` or on single guests.
pub const AGENT: &str = "FelhomAgent";
/// What the everyday principal sees of the rest when it works on single guests.
pub const OBSERVE: &str = "FelhomAgentObserve";
/// The same on the backup storage.
pub const STORAGE: &str = "FelhomAgentStorage";
/// On the scratch pool.
pub const RESTORE_TEST: &str = "FelhomRestoreTest";
/// On the guests whose backups are tested.
pub const TEST_SOURCE: &str = "FelhomTestSource";
/// On the storages of backups and scratch guests.
pub const TEST_STORAGE: &str = "FelhomTestStorage";
/// On the isolated bridge.
pub const TEST_BRIDGE: &str = "FelhomTestBridge";
/// For a guest that backs itself up.
pub const SELF_BACKUP: &str = "FelhomSelfBackup";

const OBSERVING: [&str; 4] = ["VM.Audit", "Datastore.Audit", "Sys.Audit", "SDN.Audit"];
const SCRATCH: [&str; 10] = [
    "VM.Allocate",
    "VM.Audit",
    "VM.Config.Disk",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    AGENT_AUDIT,
    "Pool.Audit",
];
/// Asking a virtual machine's guest agent whether it answers (qemu-server API2/Qemu/Agent.pm). Roles that were made before
/// virtual machines were tested lack it.
const AGENT_AUDIT: &str = "VM.GuestAgent.Audit";
const OWN_BACKUP: [&str; 5] = [
    "VM.Audit",
    "VM.Snapshot",
    "VM.Backup",
    "Datastore.AllocateSpace",
    "Datastore.Audit",
];

impl Ability {
    /// All there are.
    pub const ALL: [Self; 4] = [
        Self::Backup,
        Self::RestoreTest,
        Self::Snapshot,
        Self::SelfBackup,
    ];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::RestoreTest => "restore-test",
            Self::Snapshot => "snapshot",
            Self::SelfBackup => "self-backup",
        }
    }

    /// What a person should know before granting it.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::Backup => Some(
                "backup: a token that may back a guest up may also delete that guest's backups, clear their protection, \
                 and restore over the guest while it is stopped",
            ),
            Self::RestoreTest => Some(
                "restore-test: the token of the restore test holds VM.Backup on the guests it tests, and with it all that \
                 the backup token may do to their backups",
            ),
            Self::Snapshot => {
                Some("snapshot: this also permits deleting snapshots and rolling guests back")
            }
            Self::SelfBackup => Some(
                "self-backup: the guest gets a token with which whoever takes the guest over can delete its backups and \
                 roll it back; with an agent on the box no guest needs one",
            ),
        }
    }

    /// What the everyday principal needs for it on a guest, and on the backup storage.
    fn everyday(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            // A restore test's archives are listed, and its verdict is written into their notes.
            Self::Backup | Self::RestoreTest => (&["VM.Backup"], &["Datastore.AllocateSpace"]),
            // Rolling back asks for either this or `VM.Snapshot.Rollback` (pve-container API2/LXC/Snapshot.pm).
            Self::Snapshot => (&["VM.Snapshot"], &[]),
            Self::SelfBackup => (&[], &[]),
        }
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Ability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|ability| ability.word() == text)
            .ok_or_else(|| {
                format!("`{text}` is none of backup, restore-test, snapshot, self-backup")
            })
    }
}

impl FromStr for Guests {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.split(',')
            .map(|one| one.trim().parse().map_err(|error| format!("{error}")))
            .collect::<Result<_, _>>()
            .map(Self::These)
    }
}

impl Guests {
    fn paths(&self) -> Vec<String> {
        match self {
            Self::All => vec!["/vms".to_owned()],
            Self::These(guests) => guests.iter().map(|vmid| format!("/vms/{vmid}")).collect(),
        }
    }
}

fn set(names: &[&str]) -> Privileges {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The roles of the everyday principal for these abilities.
fn everyday(abilities: &BTreeSet<Ability>, all_guests: bool) -> Roles {
    let (mut on_guest, mut on_storage) = (BTreeSet::new(), BTreeSet::new());
    for ability in abilities {
        let (guest, storage) = ability.everyday();
        on_guest.extend(set(guest));
        on_storage.extend(set(storage));
    }
    if all_guests {
        let role = [on_guest, on_storage, set(&OBSERVING)]
            .into_iter()
            .flatten()
            .collect();
        return BTreeMap::from([(AGENT, role)]);
    }
    // A grant deeper in the tree replaces what is inherited, so what is inherited is said again.
    let mut roles = BTreeMap::from([(OBSERVE, set(&OBSERVING))]);
    if !on_guest.is_empty() {
        on_guest.insert("VM.Audit".to_owned());
        roles.insert(AGENT, on_guest);
    }
    if !on_storage.is_empty() {
        on_storage.insert("Datastore.Audit".to_owned());
        roles.insert(STORAGE, on_storage);
    }
    roles
}

/// All sets of privileges that a role of this name has or had for some choice of abilities: by this a role is known as ours.
pub fn variants(role: &str) -> Vec<Privileges> {
    let mut found = Vec::new();
    for bits in 0..1_u8 << Ability::ALL.len() {
        let abilities: BTreeSet<Ability> = Ability::ALL
            .into_iter()
            .enumerate()
            .filter(|(place, _)| bits >> place & 1 == 1)
            .map(|(_, ability)| ability)
            .collect();
        for all in [true, false] {
            found.extend(roles(&abilities, all).remove(role));
        }
    }
    let mut earlier = found.clone();
    earlier.retain_mut(|privileges| privileges.remove(AGENT_AUDIT));
    found.extend(earlier);
    found
}

/// The names of all roles that enrolling may make.
pub const ROLES: [&str; 8] = [
    AGENT,
    OBSERVE,
    STORAGE,
    RESTORE_TEST,
    TEST_SOURCE,
    TEST_STORAGE,
    TEST_BRIDGE,
    SELF_BACKUP,
];

/// The roles for these abilities.
pub fn roles(abilities: &BTreeSet<Ability>, all_guests: bool) -> Roles {
    let mut roles = everyday(abilities, all_guests);
    if abilities.contains(&Ability::RestoreTest) {
        roles.insert(RESTORE_TEST, set(&SCRATCH));
        roles.insert(TEST_SOURCE, set(&["VM.Backup"]));
        roles.insert(
            TEST_STORAGE,
            set(&["Datastore.AllocateSpace", "Datastore.Audit"]),
        );
        roles.insert(TEST_BRIDGE, set(&["SDN.Use"]));
    }
    if abilities.contains(&Ability::SelfBackup) {
        roles.insert(SELF_BACKUP, set(&OWN_BACKUP));
    }
    roles
}

impl Wanted {
    /// Whether this ability is among the chosen.
    pub fn has(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }

    /// The roles.
    pub fn roles(&self) -> Roles {
        roles(&self.abilities, self.guests == Guests::All)
    }

    /// The principals with their grants.
    pub fn principals(&self) -> Vec<Principal> {
        let mut all = vec![self.everyday()];
        if self.has(Ability::RestoreTest) {
            all.push(self.tester());
        }
        if self.has(Ability::SelfBackup)
            && let Guests::These(guests) = &self.guests
        {
            all.extend(guests.iter().filter_map(|vmid| self.own_backup(*vmid)));
        }
        all
    }

    fn everyday(&self) -> Principal {
        let roles = self.roles();
        let mut grants = Vec::new();
        if self.guests == Guests::All {
            grants.push(("/".to_owned(), AGENT));
        } else {
            grants.push(("/".to_owned(), OBSERVE));
            if roles.contains_key(AGENT) {
                grants.extend(self.guests.paths().into_iter().map(|path| (path, AGENT)));
            }
            if roles.contains_key(STORAGE) {
                let mut storages = BTreeSet::from([&self.backup_storage]);
                storages.extend(&self.further_storages);
                let paths = storages.into_iter().map(|id| format!("/storage/{id}"));
                grants.extend(paths.map(|path| (path, STORAGE)));
            }
        }
        Principal {
            identity: self.agent.clone(),
            grants,
        }
    }

    fn tester(&self) -> Principal {
        let mut storages = BTreeSet::from([&self.backup_storage, &self.target_storage]);
        storages.extend(&self.further_storages);
        let storages = storages
            .into_iter()
            .map(|id| (format!("/storage/{id}"), TEST_STORAGE));
        let sources = self
            .guests
            .paths()
            .into_iter()
            .map(|path| (path, TEST_SOURCE));
        let pool = (format!("/pool/{}", self.pool), RESTORE_TEST);
        let bridge = format!("/sdn/zones/localnetwork/{}", self.bridge);
        Principal {
            identity: self.restore_test.clone(),
            grants: std::iter::once(pool)
                .chain(storages)
                .chain([(bridge, TEST_BRIDGE)])
                .chain(sources)
                .collect(),
        }
    }

    /// One user for all such guests, one token for each: the token bounds what its guest may do.
    fn own_backup(&self, vmid: Vmid) -> Option<Principal> {
        let token: TokenId = format!("felhom-ctl@pve!ctl-{vmid}").parse().ok()?;
        let name = format!("self-backup-{vmid}");
        Some(Principal {
            identity: Identity {
                token,
                secret: self.agent.secret.with_file_name(name),
            },
            grants: vec![
                (format!("/vms/{vmid}"), SELF_BACKUP),
                (format!("/storage/{}", self.backup_storage), SELF_BACKUP),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_pared_to_the_abilities() {
        let none = BTreeSet::new();
        assert_eq!(roles(&none, true)[AGENT], set(&OBSERVING));
        assert!(!roles(&none, false).contains_key(AGENT));
        let backup = BTreeSet::from([Ability::Backup]);
        let role = &roles(&backup, true)[AGENT];
        assert!(role.contains("VM.Backup") && !role.contains("VM.Snapshot"));
        for choice in Ability::ALL {
            for all in [true, false] {
                for (name, privileges) in roles(&BTreeSet::from([choice]), all) {
                    assert!(!privileges.contains("Datastore.Allocate"), "{name}");
                    assert!(!privileges.contains("Permissions.Modify"), "{name}");
                    assert!(variants(name).contains(&privileges), "{name}");
                    assert!(ROLES.contains(&name), "{name}");
                }
            }
        }
    }

    #[test]
    fn guests_are_all_or_some() {
        assert_eq!("all".parse::<Guests>().unwrap(), Guests::All);
        let some: Guests = "101, 102".parse().unwrap();
        assert_eq!(some.paths(), ["/vms/101", "/vms/102"]);
        assert!("".parse::<Guests>().is_err());
    }
}
