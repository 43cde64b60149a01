//! What other machines export to the node, and storages that do not answer as they should.

use serde::{Deserialize, Serialize};

use super::{Definition, Space};
use crate::guest::tree;
use crate::world::World;

/// A directory of an NFS server, or a share of an SMB server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Export {
    /// `nfs` or `cifs`.
    pub(crate) kind: String,
    pub(crate) server: String,
    /// The exported path, or the share.
    pub(crate) name: String,
    /// Bytes of its file system.
    pub(crate) total: u64,
    /// Bytes of it that others use.
    #[serde(default)]
    pub(crate) used: u64,
    /// The guest of this node that serves it: it is there only while that runs.
    #[serde(default)]
    pub(crate) guest: Option<u32>,
}

/// How a storage behaves when the node looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reach {
    /// As it should.
    #[default]
    Online,
    /// It is refused at once: the disk is unplugged, the service is down.
    Offline,
    /// The server says nothing: the node gives it ten seconds, then it is not online (pve-storage `NFSPlugin.pm`,
    /// `CIFSPlugin.pm` `check_connection`).
    Silent,
    /// It is mounted and dead: whoever touches it stands still.
    Hang,
}

/// Types whose servers are other machines.
pub(crate) fn is_network(kind: &str) -> bool {
    matches!(kind, "nfs" | "cifs")
}

/// What PVE adds to the definition of a network storage: where it is mounted, and that others see the same.
pub(crate) fn settle(definition: &mut Definition, id: &str) {
    if is_network(&definition.kind) {
        let options = &mut definition.options;
        options
            .entry("path".into())
            .or_insert_with(|| format!("/mnt/pve/{id}"));
        options.insert("shared".into(), "1".into());
    }
}

fn option<'a>(definition: &'a Definition, key: &str) -> &'a str {
    definition.options.get(key).map_or("", String::as_str)
}

fn name(definition: &Definition) -> &str {
    match definition.kind.as_str() {
        "nfs" => option(definition, "export"),
        _ => option(definition, "share"),
    }
}

impl World {
    /// The export that a definition names, when it is there.
    pub(crate) fn export(&self, definition: &Definition) -> Option<&Export> {
        self.storage.exports.iter().find(|export| {
            export.kind == definition.kind
                && export.server == option(definition, "server")
                && export.name == name(definition)
                && export.guest.is_none_or(|vmid| self.runs(vmid))
        })
    }

    /// Whether a guest of either kind runs.
    fn runs(&self, vmid: u32) -> bool {
        let container = self.guests.lxc.get(&vmid);
        let machine = self.qemu.get(&vmid);
        container.is_some_and(|guest| guest.run.is_some())
            || machine.is_some_and(|guest| guest.run.is_some())
    }

    /// What mounting a new network storage fails with, if it does.
    pub(crate) fn mount(&self, id: &str, definition: &Definition) -> Result<(), String> {
        if self.export(definition).is_some() {
            return Ok(());
        }
        let server = option(definition, "server");
        let mut all = self.storage.exports.iter();
        // `showmount` is content with a server that exports anything; `smbclient` wants the share.
        if definition.kind == "nfs" && all.any(|one| one.kind == "nfs" && one.server == server) {
            return Err(format!(
                "mount error: mount.nfs: mounting {server}:{} failed, reason given by server: No such file or directory",
                name(definition)
            ));
        }
        Err(format!("storage '{id}' is not online"))
    }

    /// How much room there is on a network storage.
    pub(crate) fn export_space(&self, id: &str) -> Option<Space> {
        let export = self.export(self.storage.definitions.get(id)?)?;
        let folder = self.storage.folder(id);
        let ours = folder.map_or(0, |folder| tree::size(&folder));
        let used = export.used.saturating_add(ours).min(export.total);
        Some(Space {
            total: export.total,
            used,
            avail: export.total - used,
        })
    }

    /// How a storage behaves now. One whose export is gone is not online.
    pub(crate) fn reach(&self, id: &str) -> Reach {
        let said = self.storage.reach.get(id).copied().unwrap_or_default();
        let gone = self.storage.definitions.get(id).is_some_and(|definition| {
            is_network(&definition.kind) && self.export(definition).is_none()
        });
        if gone && said == Reach::Online {
            return Reach::Offline;
        }
        said
    }
}

/// Why a storage that is not online cannot be used.
pub(crate) fn refusal(id: &str, definition: &Definition) -> String {
    if is_network(&definition.kind) {
        return format!("storage '{id}' is not online");
    }
    let path = definition.path().unwrap_or_default();
    format!(
        "unable to activate storage '{id}' - directory is expected to be a mount point but is not mounted: '{path}'"
    )
}
