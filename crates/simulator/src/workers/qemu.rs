//! What PVE's workers do with virtual machines. Unlike containers, a restore that fails leaves a configuration behind,
//! and nothing in it says whose it is.

use crate::world::World;

pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod power;
pub(crate) mod restore;

impl World {
    fn set_machine_lock(&mut self, vmid: u32, lock: Option<&str>) {
        if let Some(guest) = self.qemu.get_mut(&vmid) {
            let values = &mut guest.config.current.values;
            match lock {
                Some(lock) => values.insert("lock".into(), lock.to_owned()),
                None => values.remove("lock"),
            };
        }
    }

    /// Puts the lock of an operation into the configuration.
    pub(crate) fn lock_machine(&mut self, vmid: u32, lock: &str) {
        self.set_machine_lock(vmid, Some(lock));
    }

    /// Takes it out.
    pub(crate) fn unlock_machine(&mut self, vmid: u32) {
        self.set_machine_lock(vmid, None);
    }
}
