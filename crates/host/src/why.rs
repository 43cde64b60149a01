//! What the reference page says of each operation, and one of each.

use felhom_ids::Vmid;

use crate::operation::{Operation, Why};

impl Operation {
    /// One of each, in the order of [`Self::NAMES`].
    pub fn samples() -> Vec<Self> {
        let vmid = |number| Vmid::new(number).ok();
        let upid =
            "UPID:pve:00001000:00000100:6900A000:vzrestore:9100:felhom-test@pve!restore-test:";
        let samples = [
            vmid(9900).and_then(|vmid| {
                let template = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst";
                let template = template.parse().ok()?;
                Some(Self::CreateGoldenContainer { vmid, template })
            }),
            Some(Self::ListBlockDevices {}),
            "usb1".parse().ok().and_then(|name| {
                let disk = "1f0c6e3a-5d2b-4a49-9d43-0b9a5e0f7c11";
                disk.parse()
                    .ok()
                    .map(|uuid| Self::InstallUsbMount { name, uuid })
            }),
            "usb1".parse().ok().map(|name| Self::MountUsb { name }),
            "usb1".parse().ok().map(|name| Self::UnmountUsb { name }),
            "usb1"
                .parse()
                .ok()
                .map(|name| Self::RemoveUsbMount { name }),
            "usb1".parse().ok().map(|name| {
                let write = true;
                Self::ProbeUsb { name, write }
            }),
            Some(Self::ReadSensors {}),
            vmid(9100).map(|vmid| Self::StripScratchGuest { vmid }),
            vmid(9100).and_then(|vmid| {
                let upid = upid.parse().ok()?;
                Some(Self::ReleaseUnfinishedRestore { vmid, upid })
            }),
        ];
        samples.into_iter().flatten().collect()
    }

    /// What there is to say of it.
    pub fn why(&self) -> Why {
        match self {
            Self::CreateGoldenContainer { .. } => CREATE_GOLDEN,
            Self::ListBlockDevices {} => LIST_BLOCK_DEVICES,
            Self::InstallUsbMount { .. } => INSTALL_USB,
            Self::MountUsb { .. } => MOUNT_USB,
            Self::UnmountUsb { .. } => UNMOUNT_USB,
            Self::RemoveUsbMount { .. } => REMOVE_USB,
            Self::ProbeUsb { .. } => PROBE_USB,
            Self::ReadSensors {} => READ_SENSORS,
            Self::StripScratchGuest { .. } => STRIP,
            Self::ReleaseUnfinishedRestore { .. } => RELEASE,
        }
    }
}

const CREATE_GOLDEN: Why = Why {
    does: "Makes the container from which the golden archive is taken: unprivileged, with `nesting=1,keyctl=1`, from a template.",
    no_token: "`keyctl` on create or set is refused to every token, `root@pam!…` included: `changing feature flags (except \
               nesting) is only allowed for root@pam` (seen on PVE 9.2.11). A restore keeps it, so this is needed once per image.",
    checks: "The VMID lies in `golden.vmids`, the template's storage is in `golden.templates`, and no guest of any node has that \
             number, by the files below `/etc/pve/nodes` and by `/etc/pve/.vmlist`. A container that an earlier request for the \
             same made is answered as it is. Afterwards the written configuration has to be unprivileged, unlocked, and have these \
             features and no others. Storage, size, bridge and pool come from the configuration.",
    by_itself: "Nothing but reading.",
};

const LIST_BLOCK_DEVICES: Why = Why {
    does: "Lists the block devices with their file systems, serial numbers and mounts.",
    no_token: "`disks/list` shows disks, but neither the file systems on them with their UUIDs nor where they are mounted (read in \
               pve-storage `Diskmanage.pm`, PVE 9.2).",
    checks: "Nothing: it changes nothing.",
    by_itself: "Reads `/sys/class/block`.",
};

const INSTALL_USB: Why = Why {
    does: "Takes a removable disk for a target: a record of it, its mount point, and a systemd mount unit that is not enabled.",
    no_token: "The API mounts only disks that it formats itself (`disks/directory`, which wipes them; PVE 9.2).",
    checks: "One attached disk alone carries the UUID; it is attached as `usb.transports` says, has a file system that is \
             supported, and is not in use; neither it nor the name is another target's; the mount point is empty.",
    by_itself: "Writes `/etc/felhom/targets/NAME.toml` and `/etc/systemd/system/UNIT`; makes the directory NAME in \
                `usb.mount_dir`, root's, mode 0500, and immutable where the file system can.",
};

const MOUNT_USB: Why = Why {
    does: "Mounts a target, when the disk is the one that was taken for it.",
    no_token: "No call of the API mounts anything of the host (PVE 9.2).",
    checks: "The record; the disk's UUID, serial number and size; that no other disk carries the UUID; the canary on it; that it \
             is not mounted elsewhere. What is mounted afterwards is looked at again, and unmounted when it is another disk.",
    by_itself: "Mounts the disk read-only, at no place and for itself alone, to read its canary; writes the unit and the mount \
                point anew when they are not as they have to be.",
};

const UNMOUNT_USB: Why = Why {
    does: "Writes everything out and unmounts a target; never lazily, never by force. Says who holds it.",
    no_token: "No call of the API unmounts anything of the host (PVE 9.2).",
    checks: "The record, and what is mounted at the target's place.",
    by_itself: "`syncfs` of the target; reads `/proc` for those who hold it.",
};

const REMOVE_USB: Why = Why {
    does: "Forgets a target: its unit, its mount point and its record. What is on the disk stays.",
    no_token: "It undoes `install-usb-mount`.",
    checks: "Nothing is mounted at the target's place, and there is a record of it.",
    by_itself: "Removes `/etc/systemd/system/UNIT`, the empty mount point, and `/etc/felhom/targets/NAME.toml`.",
};

const PROBE_USB: Why = Why {
    does: "Looks whether a target's disk is there and the right one; with `write`, also whether what is written comes back.",
    no_token: "The API says whether a storage is active, not which disk that is, nor whether it takes data (PVE 9.2).",
    checks: "As `mount-usb` does. Without the right disk at the target's place nothing is written.",
    by_itself: "With `write`: writes and removes a file of its own in the target, and writes the canary. Follows no link and \
                leaves no file system.",
};

const READ_SENSORS: Why = Why {
    does: "Reads temperatures, fans, and how often the processor was throttled.",
    no_token: "The API tells the temperature of disks only (`disks/smart`; PVE 9.2).",
    checks: "Nothing: it changes nothing.",
    by_itself: "Reads `/sys/class/hwmon` and `/sys/devices/system/cpu`.",
};

const STRIP: Why = Why {
    does: "Takes from a stopped scratch container what would act on the host: `hookscript`, `devN`, and raw `lxc.*` but the \
           environment of its init.",
    no_token: "A restore brings them back, and only `root@pam` may set or delete them: `changing the hookscript is only allowed \
               for root@pam` (seen on PVE 9.2.11).",
    checks: "The VMID lies in `scratch.vmids`; the container is on this node and no guest of that number elsewhere; it is \
             unlocked, stopped, and without snapshots or pending changes; its description carries the agent's mark for this very \
             VMID; the last task on it is a restore by one of `scratch.tokens`, which ended well (PVE's own task files).",
    by_itself: "Takes PVE's lock of the configuration without waiting, and replaces `/etc/pve/nodes/NODE/lxc/VMID.conf` by a new \
                file without those lines.",
};

const RELEASE: Why = Why {
    does: "Takes the lock from what a restore or removal of the agent's left that was cut off, so that the agent can destroy it.",
    no_token: "The API cannot take a lock from a container, and destroys none that has one: `CT is locked (create)` (seen on PVE \
               9.2.11).",
    checks: "The VMID lies in `scratch.vmids`; the guest is on this node alone; its configuration is the stub that such a task \
             leaves, `lock: create` or `lock: destroyed` and nothing else; the task is a restore or removal of this guest, on this \
             node, by one of `scratch.tokens`; it is the last task on the guest by PVE's own task files, by their order and by its \
             start, and did not end well; neither it nor another on the guest runs, nor the guest; nobody holds PVE's lock.",
    by_itself: "Unmounts what is mounted below `/var/lib/lxc/VMID/rootfs`, the deepest first, never lazily, while it holds PVE's \
                lock of the configuration. Anything that the host still has mounted there afterwards is a refusal. A guest that is in no \
                pool yet it puts into `scratch.pool`, from which the agent's token has its rights; one that is in another pool is left \
                alone.",
};
