//! Docker volumes of a guest: where their bytes live, whether the next backup holds them, and what they should be.

mod gaps;
mod inventory;

pub use gaps::gaps;
pub use inventory::{
    Container, ContainerMount, Coverage, DockerVolume, Extent, Inventory, Mounted,
};
