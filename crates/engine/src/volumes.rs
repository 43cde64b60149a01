//! Docker volumes of a guest: where their bytes live, whether the next backup holds them, and what they should be.
//!
//! A volume with a name lies in the rootfs, and the rootfs is in every backup; `backup=` counts for volume mount points only;
//! bind mounts are never in. What follows from that for each volume is said here, before anything is lost or swells.

mod class;
mod classify;
mod findings;
mod gaps;
mod inventory;
mod judge;
mod place;
mod placement;
mod presets;
mod proof;

pub use class::{AcceptedLoss, Classed, Cover, ParseVolumeClassError, VolumeClass};
pub use classify::{VolumePolicy, VolumeRule};
pub use findings::{surrounding_findings, volume_findings};
pub use gaps::gaps;
pub use inventory::{
    Container, ContainerMount, Coverage, DockerVolume, Extent, Inventory, Mounted,
};
pub use judge::{JudgedVolume, JudgedVolumes, StorageKinds, VolumeKind, VolumeUse};
pub use place::Place;
pub use placement::{
    PlacementAction, PlacementPlan, PlacementSetting, PlacementStep, Side, StepNeeds, StepSpace,
    VolumeMove, plan_placement,
};
pub(crate) use proof::NOTABLE;
pub use proof::{PlannedVolume, VolumeProof, content_findings, prove_volumes};
