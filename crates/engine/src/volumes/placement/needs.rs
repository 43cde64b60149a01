//! What a step takes: rights, room, and time in which containers stand still.

use felhom_ids::{StorageId, Vmid};
use serde::{Deserialize, Serialize};

use crate::policy::BackupMode;

use super::{GIB, PlacementAction, PlacementSetting};

/// Bytes a second for the downtime's estimate: a plain disk.
const RATE: u64 = 100 << 20;
/// Docker gives a container this many seconds to end.
const STOPPING: u64 = 10;
/// What takes no time to speak of while the containers stand still.
const MOMENT: u64 = 1;

/// Room that a step takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpace {
    /// A storage of the node, or a directory of the guest.
    pub place: String,
    /// Bytes, at most; `None` when nobody can say.
    pub bytes: Option<u64>,
}

/// What a step needs beside the one who carries it out: the guest's half is root's inside the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepNeeds {
    /// Of a token, when it is not root who does it: path and privilege. Only steps on the node's side have any.
    pub privileges: Vec<(String, String)>,
    /// Empty when it takes none.
    pub space: Vec<StepSpace>,
    /// Seconds by which the containers stand still longer; `None` when nobody can say.
    pub downtime_s: Option<u64>,
}

/// The volume that moves.
pub(super) struct Load<'a> {
    pub(super) vmid: Vmid,
    pub(super) bytes: Option<u64>,
    /// Whether the volume comes into the backup by the move.
    pub(super) comes_in: bool,
    /// Whether containers stand still at all.
    pub(super) stops: bool,
    pub(super) setting: &'a PlacementSetting,
}

impl Load<'_> {
    pub(super) fn needs(&self, action: &PlacementAction) -> StepNeeds {
        StepNeeds {
            privileges: self.privileges(action),
            space: self.space(action),
            downtime_s: self.downtime(action),
        }
    }

    /// As the facts on Proxmox's access control have it: an archive's `protected` asks for access to the archive, which is
    /// `Datastore.AllocateSpace` and `VM.Backup` on the guest that it is of.
    fn privileges(&self, action: &PlacementAction) -> Vec<(String, String)> {
        let guest = |privilege: &str| (format!("/vms/{}", self.vmid), privilege.to_owned());
        let space = |storage: &StorageId| {
            (
                format!("/storage/{storage}"),
                "Datastore.AllocateSpace".to_owned(),
            )
        };
        match action {
            PlacementAction::AddMount { storage, .. } => {
                vec![guest("VM.Config.Disk"), space(storage)]
            }
            PlacementAction::BackUp { .. } | PlacementAction::Prove { .. } => {
                vec![guest("VM.Backup"), space(&self.setting.backups)]
            }
            PlacementAction::ProtectArchive { volid, .. } => {
                vec![guest("VM.Backup"), space(volid.storage())]
            }
            PlacementAction::PrepareMount { .. }
            | PlacementAction::StopContainers { .. }
            | PlacementAction::CopyTree { .. }
            | PlacementAction::CompareTrees { .. }
            | PlacementAction::RemoveContainers { .. }
            | PlacementAction::SetAside { .. }
            | PlacementAction::RecreateVolume { .. }
            | PlacementAction::Repoint { .. }
            | PlacementAction::StartContainers { .. }
            | PlacementAction::DropOld { .. } => Vec::new(),
        }
    }

    fn space(&self, action: &PlacementAction) -> Vec<StepSpace> {
        let at = |place: String, bytes| vec![StepSpace { place, bytes }];
        let backups = self.setting.backups.to_string();
        let last = self.setting.last_size;
        match action {
            PlacementAction::AddMount { storage, gib, .. } => {
                at(storage.to_string(), Some(gib.saturating_mul(GIB)))
            }
            PlacementAction::CopyTree { to, .. } => at(to.clone(), self.bytes),
            // The old copy is still where it was: only what comes in makes the backup larger.
            PlacementAction::Prove { .. } if self.comes_in => {
                let forecast = last.zip(self.bytes);
                at(backups, forecast.map(|(last, more)| last.saturating_add(more)))
            }
            PlacementAction::BackUp { .. } | PlacementAction::Prove { .. } => at(backups, last),
            PlacementAction::ProtectArchive { .. }
            | PlacementAction::PrepareMount { .. }
            | PlacementAction::StopContainers { .. }
            | PlacementAction::CompareTrees { .. }
            | PlacementAction::RemoveContainers { .. }
            // A rename.
            | PlacementAction::SetAside { .. }
            | PlacementAction::RecreateVolume { .. }
            | PlacementAction::Repoint { .. }
            | PlacementAction::StartContainers { .. }
            | PlacementAction::DropOld { .. } => Vec::new(),
        }
    }

    fn downtime(&self, action: &PlacementAction) -> Option<u64> {
        match action {
            // In the other modes all of the guest stands still for as long as its backup, or a part of that, takes.
            PlacementAction::BackUp { .. } | PlacementAction::Prove { .. } => {
                (self.setting.mode == BackupMode::Snapshot).then_some(0)
            }
            _ if !self.stops => Some(0),
            PlacementAction::StopContainers { .. } => Some(STOPPING),
            PlacementAction::CopyTree { .. } => self.bytes.map(|bytes| bytes.div_ceil(RATE)),
            // Both sides are read.
            PlacementAction::CompareTrees { .. } => self
                .bytes
                .map(|bytes| bytes.div_ceil(RATE).saturating_mul(2)),
            // A person edits a file meanwhile.
            PlacementAction::Repoint { .. } => None,
            PlacementAction::RemoveContainers { .. }
            | PlacementAction::SetAside { .. }
            | PlacementAction::RecreateVolume { .. }
            | PlacementAction::StartContainers { .. } => Some(MOMENT),
            PlacementAction::AddMount { .. }
            | PlacementAction::PrepareMount { .. }
            | PlacementAction::ProtectArchive { .. }
            | PlacementAction::DropOld { .. } => Some(0),
        }
    }
}
