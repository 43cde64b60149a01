//! The steps of one volume's way, in order.

use std::collections::BTreeMap;

use felhom_ids::{Vmid, VolumeId};

use super::needs::Load;
use super::{PlacementAction, PlacementSetting, PlacementStep, Side};
use crate::finding::one_line;
use crate::volumes::class::VolumeClass;
use crate::volumes::inventory::{Container, Inventory};
use crate::volumes::judge::{JudgedVolume, VolumeKind};
use crate::volumes::place::Place;

/// What a report says instead of a secret.
const UNTOLD: &str = "[redacted]";

/// What the steps are made from.
pub(super) struct Steps<'a> {
    pub(super) vmid: Vmid,
    pub(super) volume: &'a JudgedVolume,
    pub(super) class: VolumeClass,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    /// Where the old copy is moved, where it cannot stay: Docker removes its own directories.
    pub(super) aside: Option<&'a str>,
    pub(super) stops: &'a [String],
    /// What did not run before, and must not be started by bringing the rest up.
    pub(super) idle: &'a [String],
    pub(super) setting: &'a PlacementSetting,
}

/// What becomes of the old copy.
enum OldCopy<'a> {
    /// It is on a directory of the host, where the guest has no say about it.
    OfTheHost(&'a str),
    /// No archive is known that holds it, and none will later: it stays.
    Only,
    /// This archive holds it, so that it may go.
    Archived(&'a VolumeId),
    /// It was in no backup, and the new one is in every one: it may go.
    Replaced,
}

impl Steps<'_> {
    pub(super) fn all(&self, mount: PlacementAction, path: String) -> Vec<PlacementStep> {
        let mut steps: Vec<PlacementStep> = self.archiving().into_iter().collect();
        steps.push(self.step(Side::Node, mount, "nothing of the guest has changed"));
        steps.push(self.step(
            Side::Guest,
            PlacementAction::PrepareMount {
                path,
                data: self.to.to_owned(),
            },
            "an empty mount point more; if it is not mounted, restart the guest once, or remove the mount point again",
        ));
        if !self.stops.is_empty() {
            steps.push(self.step(
                Side::Guest,
                PlacementAction::StopContainers {
                    names: self.stops.to_vec(),
                },
                "as before; the new mount point is empty",
            ));
        }
        steps.extend(self.copying());
        steps.extend(match self.volume.kind {
            VolumeKind::Named | VolumeKind::Anonymous => self.switching_volume(),
            VolumeKind::Bind => self.switching_bind(),
        });
        steps.extend(self.ending());
        steps
    }

    /// What becomes of the old copy, in words.
    pub(super) fn old_copy(&self) -> String {
        let at = self.aside.unwrap_or(self.from);
        let kept = match self.fate() {
            OldCopy::OfTheHost(source) => format!(
                "stays in `{at}`: that is on `{source}` of the host, which other guests may share; whoever looks after the host removes \
                 it when nobody needs it"
            ),
            OldCopy::Only => format!(
                "stays in `{at}`: no archive is known to hold it; taken again after the first step, the plan ends with the step that \
                 removes it"
            ),
            OldCopy::Archived(volid) => format!(
                "stays in `{at}` until the last step; `{volid}` holds it as it was at that backup, and is protected before \
                 anything else"
            ),
            OldCopy::Replaced => {
                format!("stays in `{at}` until the last step; no archive holds it")
            }
        };
        if self.is_kept_in_backups() {
            format!("{kept}; as long as it is there, every backup holds it")
        } else {
            kept
        }
    }

    fn fate(&self) -> OldCopy<'_> {
        match (&self.volume.place, self.class) {
            (Place::Bind { source, .. }, _) => OldCopy::OfTheHost(source),
            (_, VolumeClass::Hot) => OldCopy::Replaced,
            (_, VolumeClass::Bulk) => match self.setting.last_archives.get(&self.volume.name) {
                Some(volid) => OldCopy::Archived(volid),
                None => OldCopy::Only,
            },
        }
    }

    /// What is set aside lies on the same mount as before, and not on a path that vzdump leaves out.
    fn is_kept_in_backups(&self) -> bool {
        match self.aside {
            Some(_) => matches!(self.volume.place, Place::Volume { backup: true, .. }),
            None => self.volume.included,
        }
    }

    /// Before anything else: every backup from here on may prune the archive that still holds the volume.
    fn archiving(&self) -> Option<PlacementStep> {
        match self.fate() {
            OldCopy::OfTheHost(_) | OldCopy::Replaced => None,
            OldCopy::Only => Some(self.step(
                Side::Node,
                PlacementAction::BackUp { vmid: self.vmid },
                "nothing of the guest has changed",
            )),
            OldCopy::Archived(volid) => Some(self.step(
                Side::Node,
                PlacementAction::ProtectArchive {
                    node: self.setting.node.clone(),
                    volid: volid.clone(),
                },
                "nothing of the guest has changed; if the archive is gone, back up and take the plan again (a token without \
                 Datastore.Allocate on the storage may protect five archives of a guest, where nothing else is set)",
            )),
        }
    }

    fn copying(&self) -> [PlacementStep; 2] {
        let (from, to) = (self.from.to_owned(), self.to.to_owned());
        let copy = PlacementAction::CopyTree {
            from: from.clone(),
            to: to.clone(),
        };
        [
            self.step(
                Side::Guest,
                copy,
                "start the containers again: nothing has been switched, and the old copy is untouched",
            ),
            self.step(
                Side::Guest,
                PlacementAction::CompareTrees { from, to },
                "start the containers again: nothing has been switched, and the old copy is untouched; once a container ran again, the \
                 new copy is out of date",
            ),
        ]
    }

    fn switching_volume(&self) -> Vec<PlacementStep> {
        let mut steps = Vec::new();
        if !self.stops.is_empty() {
            steps.push(self.step(
                Side::Guest,
                PlacementAction::RemoveContainers {
                    names: self.stops.to_vec(),
                },
                "make the removed containers anew: they still find the old copy; to go on, leave out the commands for containers that are \
                 gone already",
            ));
        }
        let labels = self
            .setting
            .labels
            .get(&self.volume.name)
            .cloned()
            .unwrap_or_default();
        let (untold, mut labels): (BTreeMap<_, _>, BTreeMap<_, _>) = labels
            .into_iter()
            .partition(|(_, value)| value.contains(UNTOLD));
        labels.insert("felhom.class".to_owned(), self.class.to_string());
        steps.extend(self.set_aside());
        steps.push(self.step(
            Side::Guest,
            PlacementAction::RecreateVolume {
                name: self.volume.name.clone(),
                device: self.to.to_owned(),
                labels,
                untold: untold.into_keys().collect(),
            },
            "both copies are whole; go on with this step: without it Docker would start the volume empty; if the volume is gone already, go \
             on with the last command",
        ));
        steps
    }

    fn switching_bind(&self) -> Vec<PlacementStep> {
        vec![self.step(
            Side::Person,
            PlacementAction::Repoint {
                from: self.from.to_owned(),
                to: self.to.to_owned(),
                projects: self.projects(),
            },
            "as before: both copies are whole, and the containers find the old one",
        )]
    }

    fn set_aside(&self) -> Option<PlacementStep> {
        let to = self.aside?;
        let action = PlacementAction::SetAside {
            from: self.from.to_owned(),
            to: to.to_owned(),
        };
        let from = self.from;
        Some(self.step(
            Side::Guest,
            action,
            &format!(
                "both copies are whole, and the old one is in one of the two places, for a rename is done or not; if it is in `{to}`, go on, \
                 or remove the empty `{from}` and move it back"
            ),
        ))
    }

    fn projects(&self) -> Vec<String> {
        unique(
            self.volume
                .uses
                .iter()
                .filter_map(|one| one.project.clone()),
        )
    }

    fn ending(&self) -> Vec<PlacementStep> {
        let alone = unique(
            self.volume
                .uses
                .iter()
                .filter(|one| one.project.is_none())
                .map(|one| one.container.clone()),
        );
        let mut steps = Vec::new();
        if !self.stops.is_empty() {
            steps.push(self.step(
                Side::Guest,
                PlacementAction::StartContainers {
                    projects: self.projects(),
                    names: alone,
                    idle: self.idle.to_vec(),
                },
                "the volume is at its new place; start the containers",
            ));
        }
        steps.push(self.step(
            Side::Node,
            PlacementAction::Prove { vmid: self.vmid },
            "the volume is at its new place, and no backup has proven it yet",
        ));
        if matches!(self.fate(), OldCopy::Archived(_) | OldCopy::Replaced) {
            steps.push(self.step(
                Side::Guest,
                PlacementAction::DropOld {
                    path: self.aside.unwrap_or(self.from).to_owned(),
                    emptied: self.aside.is_none(),
                },
                "what is left of the old copy takes its space as long as it is there; the new one is not touched",
            ));
        }
        steps
    }

    fn step(&self, side: Side, action: PlacementAction, if_stopped: &str) -> PlacementStep {
        let load = Load {
            vmid: self.vmid,
            bytes: self.volume.size,
            comes_in: self.class == VolumeClass::Hot,
            stops: !self.stops.is_empty(),
            setting: self.setting,
        };
        PlacementStep {
            needs: load.needs(&action),
            side,
            action,
            if_stopped: if_stopped.to_owned(),
        }
    }
}

/// What does not run now and would be started with the volume's containers: those that have it themselves, and all services of a
/// compose project that is brought up.
pub(super) fn idle(volume: &JudgedVolume, inventory: &Inventory) -> Vec<String> {
    let has = |container: &Container| {
        let mut uses = volume.uses.iter();
        uses.any(|one| {
            one.container == container.name
                || (one.project.is_some() && one.project == container.project)
        })
    };
    let containers = inventory.containers.iter();
    let still = containers.filter(|container| !container.running && has(container));
    unique(
        still.map(|container| match (&container.service, &container.project) {
            (Some(service), Some(project)) => one_line(&format!("{service} of {project}")),
            _ => one_line(&container.name),
        }),
    )
}

/// Every name once, in order.
pub(super) fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = names.collect();
    all.sort();
    all.dedup();
    all
}
