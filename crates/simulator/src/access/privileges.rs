//! The 47 privileges of PVE 9.2 as a set, and the roles that come with the installer.

use std::collections::BTreeSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// All privileges in the order in which PVE prints them.
pub(crate) const PRIVILEGES: [&str; 47] = [
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Group.Allocate",
    "Mapping.Audit",
    "Mapping.Modify",
    "Mapping.Use",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "Sys.Syslog",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
    "VM.Migrate",
    "VM.PowerMgmt",
    "VM.Replicate",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// The roles that the installer makes and nobody can delete.
pub(crate) const PREDEFINED: [&str; 17] = [
    "Administrator",
    "NoAccess",
    "PVEAdmin",
    "PVEAuditor",
    "PVEDatastoreAdmin",
    "PVEDatastoreUser",
    "PVEMappingAdmin",
    "PVEMappingUser",
    "PVEPoolAdmin",
    "PVEPoolUser",
    "PVESDNAdmin",
    "PVESDNUser",
    "PVESysAdmin",
    "PVETemplateUser",
    "PVEUserAdmin",
    "PVEVMAdmin",
    "PVEVMUser",
];

/// A set of privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Privileges(u64);

impl Privileges {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self((1 << PRIVILEGES.len()) - 1);

    /// The privilege of this name; none if there is no such privilege.
    pub(crate) fn named(name: &str) -> Option<Self> {
        PRIVILEGES
            .binary_search(&name)
            .ok()
            .map(|index| Self(1 << index))
    }

    /// A set from names; fails with the first that is none.
    pub(crate) fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        names.into_iter().try_fold(Self::NONE, |set, name| {
            Self::named(name)
                .map(|one| set.union(one))
                .ok_or_else(|| name.to_owned())
        })
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every privilege of `other` is in here.
    pub(crate) const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The names, sorted.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        PRIVILEGES
            .into_iter()
            .enumerate()
            .filter(move |(index, _)| self.0 >> index & 1 == 1)
            .map(|(_, name)| name)
    }

    fn starting_with(prefixes: &[&str]) -> Self {
        let chosen = PRIVILEGES
            .into_iter()
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        Self::parse(chosen).unwrap_or_default()
    }
}

impl Serialize for Privileges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Privileges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = BTreeSet::<String>::deserialize(deserializer)?;
        Self::parse(names.iter().map(String::as_str))
            .map_err(|name| D::Error::custom(format!("no privilege `{name}`")))
    }
}

/// What a predefined role grants (pve-access-control 9.1, `AccessControl.pm` `create_roles`).
pub(crate) fn predefined(role: &str) -> Option<Privileges> {
    let names: &[&str] = match role {
        "Administrator" => return Some(Privileges::ALL),
        "NoAccess" => return Some(Privileges::NONE),
        "PVEAdmin" => {
            let withheld = Privileges::parse([
                "Mapping.Modify",
                "Permissions.Modify",
                "Realm.Allocate",
                "Sys.AccessNetwork",
                "Sys.Incoming",
                "Sys.Modify",
                "Sys.PowerMgmt",
            ])
            .unwrap_or_default();
            return Some(Privileges(Privileges::ALL.0 & !withheld.0));
        }
        "PVEVMAdmin" => return Some(Privileges::starting_with(&["VM."])),
        "PVEDatastoreAdmin" => return Some(Privileges::starting_with(&["Datastore."])),
        "PVESDNAdmin" => return Some(Privileges::starting_with(&["SDN."])),
        "PVEPoolAdmin" => return Some(Privileges::starting_with(&["Pool."])),
        "PVEMappingAdmin" => return Some(Privileges::starting_with(&["Mapping."])),
        "PVEAuditor" => &[
            "Datastore.Audit",
            "Mapping.Audit",
            "Pool.Audit",
            "SDN.Audit",
            "Sys.Audit",
            "VM.Audit",
            "VM.GuestAgent.Audit",
        ],
        "PVEVMUser" => &[
            "VM.Audit",
            "VM.Backup",
            "VM.Config.CDROM",
            "VM.Config.Cloudinit",
            "VM.Console",
            "VM.GuestAgent.Audit",
            "VM.GuestAgent.FileRead",
            "VM.GuestAgent.FileSystemMgmt",
            "VM.GuestAgent.FileWrite",
            "VM.PowerMgmt",
        ],
        "PVETemplateUser" => &["VM.Audit", "VM.Clone"],
        "PVEDatastoreUser" => &["Datastore.AllocateSpace", "Datastore.Audit"],
        "PVESDNUser" => &["SDN.Audit", "SDN.Use"],
        "PVEPoolUser" => &["Pool.Audit"],
        "PVEMappingUser" => &["Mapping.Audit", "Mapping.Use"],
        "PVESysAdmin" => &["Sys.Audit", "Sys.Console", "Sys.Syslog"],
        "PVEUserAdmin" => &["Group.Allocate", "Realm.AllocateUser", "User.Modify"],
        _ => return None,
    };
    Privileges::parse(names.iter().copied()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_sorted_so_that_they_can_be_searched() {
        assert!(PRIVILEGES.is_sorted());
        assert_eq!(Privileges::ALL.names().count(), 47);
    }

    #[test]
    fn predefined_roles_have_the_sizes_of_a_real_installation() {
        let size = |role| predefined(role).map(|privileges| privileges.names().count());
        assert_eq!(size("Administrator"), Some(47));
        assert_eq!(size("PVEAdmin"), Some(40));
        assert_eq!(size("PVEVMAdmin"), Some(23));
        assert_eq!(size("PVEAuditor"), Some(7));
        assert_eq!(size("NoAccess"), Some(0));
        assert_eq!(size("Mine"), None);
    }
}
