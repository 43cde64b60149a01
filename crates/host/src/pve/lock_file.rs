//! PVE's own lock on a guest's configuration, which whoever changes one holds meanwhile.

use std::os::fd::OwnedFd;

use felhom_ids::{GuestKind, Vmid};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

use crate::layout::Layout;
use crate::refusal::{Code, Refusal};

/// The lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _file: OwnedFd,
}

/// Takes it without waiting. Whoever has it is at work on the guest.
///
/// It is an exclusive `flock` of `/run/lock/lxc/pve-config-VMID.lock` (pve-container `LXC/Config.pm` `config_file_lock`), of a
/// machine `/var/lock/qemu-server/lock-VMID.conf` (qemu-server `QemuConfig.pm`), both taken by pve-guest-common
/// `AbstractConfig.pm` `lock_config` through pve-common `Tools.pm` `lock_file_full`, which makes the file when it is missing.
pub(crate) fn take(layout: &Layout, kind: GuestKind, vmid: Vmid) -> Result<Held, Refusal> {
    // `/var/lock` is a link to `/run/lock` on Debian.
    let path = match kind {
        GuestKind::Lxc => format!("/run/lock/lxc/pve-config-{vmid}.lock"),
        GuestKind::Qemu => format!("/run/lock/qemu-server/lock-{vmid}.conf"),
    };
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::APPEND
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let odd = |error: Errno| {
        let text = format!("PVE's lock {path} cannot be taken: {error}");
        Refusal::new(Code::NotProven, text)
    };
    let file = open(layout.path(&path), flags, Mode::from_raw_mode(0o644)).map_err(odd)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Held { _file: file }),
        Err(Errno::WOULDBLOCK) => {
            let text =
                format!("PVE is at work on guest {vmid} ({path} is locked); try again later");
            Err(Refusal::new(Code::Busy, text))
        }
        Err(error) => Err(odd(error)),
    }
}
