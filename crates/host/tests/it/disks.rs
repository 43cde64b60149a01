//! Targets on real disks: loop devices with real file systems, real mounts in a namespace of their own, the real `lsblk`.
//!
//! What a test cannot have is stood in for: systemd by a script that does with `mount` and `umount` what a mount unit says, and
//! udev by files in its database and by links, written from what `blkid` says, in the form and at the place where `lsblk` reads
//! them. A disk is pulled out by taking its backing file away from under its loop device, so that everything on it is an I/O error.

mod cases;
pub(crate) mod host;

use self::host::Host;

/// Runs a case in a thread with mounts of its own, or says by name why not.
fn on(fstype: &str, case: &str, run: impl FnOnce(&mut Host) + Send + 'static) {
    if let Err(why) = host::can(fstype) {
        return host::tell(&format!("skipped: disks::{fstype}::{case}: {why}"));
    }
    let fstype = fstype.to_owned();
    let thread = std::thread::spawn(move || {
        let mut host = Host::new(&fstype);
        run(&mut host);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Each case, on one file system.
macro_rules! cases {
    ($fstype:ident: $($case:ident)*) => {
        mod $fstype {
            $(#[test]
            fn $case() {
                super::on(stringify!($fstype), stringify!($case), super::cases::$case);
            })*
        }
    };
}

/// All cases, on each of these file systems.
macro_rules! on_each {
    ($($fstype:ident)*) => {
        $(cases! { $fstype:
            a_disk_is_adopted_and_mounted
            a_disk_is_written_to_and_taken_away
            a_disk_that_vanishes_is_detached_and_comes_back
            another_disk_at_its_place_is_detached
            a_copy_from_before_the_last_probe_is_wrong
            a_copy_of_a_disk_in_use_is_not_kept_mounted
            two_disks_with_one_uuid_are_wrong
            another_serial_number_is_wrong
            a_disk_without_its_canary_is_wrong
            a_first_canary_may_be_in_the_journal
            a_look_writes_nothing
            a_read_only_disk_says_so
            a_full_disk_says_so
            nobody_writes_below_a_bare_mount_point
            a_disk_that_is_held_stays_mounted
            a_disk_that_a_process_has_open_is_left_alone
            a_mount_in_another_namespace_is_told
            links_on_the_disk_lead_nowhere
            another_mount_at_its_place_is_wrong
        })*
    };
}

on_each! { ext4 ext3 xfs btrfs exfat vfat }
