//! Docker volumes of a guest: where their bytes live, whether the next backup holds them, and what they should be.

mod inventory;

pub use inventory::{Container, ContainerMount, DockerVolume, Inventory, Mounted};
