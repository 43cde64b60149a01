//! The steps of one volume's way, in order.

use std::collections::BTreeMap;

use felhom_ids::Vmid;

use super::{PlacementAction, PlacementSetting, PlacementStep, Side};
use crate::volumes::class::VolumeClass;
use crate::volumes::judge::{JudgedVolume, VolumeKind};

/// Where old copies are set aside, inside the guest.
pub(super) const SET_ASIDE: &str = "/var/lib/felhom/set-aside";

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
    pub(super) setting: &'a PlacementSetting,
}

impl Steps<'_> {
    pub(super) fn all(&self, mount: PlacementAction, path: String) -> Vec<PlacementStep> {
        let mut steps = vec![
            step(Side::Node, mount, "nothing has changed"),
            step(
                Side::Guest,
                PlacementAction::PrepareMount {
                    path,
                    data: self.to.to_owned(),
                },
                "an empty mount point more; if it is not mounted, restart the guest once, or remove the mount point again",
            ),
        ];
        if !self.stops.is_empty() {
            steps.push(step(
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

    fn copying(&self) -> [PlacementStep; 2] {
        let (from, to) = (self.from.to_owned(), self.to.to_owned());
        let back =
            "start the containers again: nothing has been switched, and the old copy is untouched";
        [
            step(
                Side::Guest,
                PlacementAction::CopyTree {
                    from: from.clone(),
                    to: to.clone(),
                },
                back,
            ),
            step(
                Side::Guest,
                PlacementAction::CompareTrees { from, to },
                back,
            ),
        ]
    }

    fn switching_volume(&self) -> Vec<PlacementStep> {
        let mut steps = Vec::new();
        if !self.stops.is_empty() {
            steps.push(step(
                Side::Guest,
                PlacementAction::RemoveContainers {
                    names: self.stops.to_vec(),
                },
                "make the removed containers anew: they still find the old copy",
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
        steps.push(step(
            Side::Guest,
            PlacementAction::RecreateVolume {
                name: self.volume.name.clone(),
                device: self.to.to_owned(),
                labels,
                untold: untold.into_keys().collect(),
            },
            "both copies are whole; go on with this step, or move the old one back",
        ));
        steps
    }

    fn switching_bind(&self) -> Vec<PlacementStep> {
        vec![step(
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
        let to = self.aside?.to_owned();
        let action = PlacementAction::SetAside {
            from: self.from.to_owned(),
            to,
        };
        Some(step(
            Side::Guest,
            action,
            "both copies are whole; move the old one back, or go on with this step",
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
            steps.push(step(
                Side::Guest,
                PlacementAction::StartContainers {
                    projects: self.projects(),
                    names: alone,
                },
                "the volume is at its new place; start the containers",
            ));
        }
        steps.push(step(
            Side::Node,
            PlacementAction::Prove { vmid: self.vmid },
            "the volume is at its new place, and no backup has proven it yet",
        ));
        // A hot volume that lay wrong was in no archive, and is in every one from now on.
        if self.class == VolumeClass::Bulk {
            steps.push(step(
                Side::Node,
                PlacementAction::ProtectArchive {
                    node: self.setting.node.clone(),
                    volid: self.setting.last_archives.get(&self.volume.name).cloned(),
                },
                "the old copy is still there, and takes its space",
            ));
        }
        steps.push(step(
            Side::Guest,
            PlacementAction::DropOld {
                path: self.aside.unwrap_or(self.from).to_owned(),
                emptied: self.aside.is_none(),
            },
            "the old copy is still there, and takes its space as long as it is",
        ));
        steps
    }
}

fn step(side: Side, action: PlacementAction, if_stopped: &str) -> PlacementStep {
    PlacementStep {
        side,
        action,
        if_stopped: if_stopped.to_owned(),
    }
}

/// Every name once, in order.
pub(super) fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = names.collect();
    all.sort();
    all.dedup();
    all
}
