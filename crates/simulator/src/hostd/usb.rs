//! What root does about targets: it takes a disk for one, mounts it when it is that very disk, and looks whether data comes back.

use std::path::Path;

use felhom_host::{Code, Refusal, Standing, Written};

use super::disks::{Disk, Mount, Removable, Target, canary, mount_point};
use super::rules::Rules;
use super::{devices, on_host};

/// File systems that a target may have.
const FILE_SYSTEMS: [&str; 6] = ["ext4", "ext3", "xfs", "btrfs", "exfat", "vfat"];
/// What a probe writes.
const PROBE: u64 = 1 << 20;

/// Root's hands on the disks.
pub(super) struct Hands<'a> {
    pub(super) disks: &'a mut Removable,
    pub(super) state: &'a Path,
    pub(super) rules: &'a Rules,
}

/// How a target stands, and why.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) standing: Standing,
    pub(super) reason: Option<String>,
    pub(super) written: Written,
    /// The disk that is mounted, or may be.
    disk: Option<String>,
}

impl Seen {
    fn new(standing: Standing, disk: &str) -> Self {
        Self {
            standing,
            reason: None,
            written: Written::Unasked,
            disk: Some(disk.to_owned()),
        }
    }

    fn not(standing: Standing, reason: String) -> Self {
        Self {
            standing,
            reason: Some(reason),
            written: Written::Unasked,
            disk: None,
        }
    }
}

fn refuse(code: Code, text: impl Into<String>) -> Refusal {
    Refusal::new(code, text)
}

fn failed(error: &std::io::Error) -> Refusal {
    refuse(Code::Failed, error.to_string())
}

impl Hands<'_> {
    fn target(&self, name: &str) -> Result<&Target, Refusal> {
        let unknown = || refuse(Code::NotFound, format!("there is no target {name}"));
        self.disks.targets.get(name).ok_or_else(unknown)
    }

    /// Attached disks with this file system.
    fn with_uuid(&self, uuid: &str) -> Vec<(&String, &Disk)> {
        let all = self.disks.attached();
        all.filter(|(_, disk)| disk.uuid.eq_ignore_ascii_case(uuid))
            .collect()
    }

    /// What speaks against this disk being the target's.
    fn differs(&self, target: &Target, id: &str, disk: &Disk) -> Option<String> {
        if disk.serial != target.serial {
            return Some(format!(
                "the disk with its UUID has the serial number {}, not {}: it is a copy, or in another enclosure",
                disk.serial, target.serial
            ));
        }
        if disk.size != target.size || disk.fstype != target.fstype {
            return Some(format!(
                "the disk with its UUID has {} bytes and holds {}, not {} bytes and {}",
                disk.size, disk.fstype, target.size, target.fstype
            ));
        }
        let nonce = target.nonce.as_ref()?;
        let (of, wanted) = canary(&target.id, nonce);
        let why = match Removable::canary(self.state, id) {
            Some(found) if found == wanted => return None,
            Some(found) if found.starts_with(&of) => {
                "is of an earlier time: it is a copy, or was put back from one"
            }
            Some(_) => "is of another target",
            None => "is not there: it was formatted anew, or is a copy from before it was a target",
        };
        Some(format!(".felhom-target on the disk with its UUID {why}"))
    }

    /// How a target stands.
    pub(super) fn look(&self, name: &str) -> Result<Seen, Refusal> {
        let target = self.target(name)?;
        let found = self.with_uuid(&target.uuid);
        if target.mount.as_ref().is_some_and(|mount| mount.dead) {
            let again = if found.is_empty() {
                "attach it"
            } else {
                "it is attached again: mount it"
            };
            let point = mount_point(name);
            let why = format!("the disk that is mounted at {point} was pulled out; {again}");
            return Ok(Seen::not(Standing::Detached, why));
        }
        let right = if target.mount.is_some() {
            Standing::Mounted
        } else {
            Standing::Present
        };
        Ok(match found.as_slice() {
            [] => {
                let why = format!("no attached disk has the UUID {}", target.uuid);
                Seen::not(Standing::Detached, why)
            }
            [(id, disk)] => match self.differs(target, id, disk) {
                Some(why) => Seen::not(Standing::Wrong, why),
                None => Seen::new(right, id),
            },
            several => {
                let count = several.len();
                let why = format!("{count} disks have its UUID: one is a copy; detach it");
                Seen::not(Standing::Wrong, why)
            }
        })
    }

    /// Takes a disk for a target.
    pub(super) fn install(&mut self, name: &str, uuid: &str) -> Result<Seen, Refusal> {
        if let Some(old) = self.disks.targets.get(name) {
            if !old.uuid.eq_ignore_ascii_case(uuid) {
                let text = format!(
                    "the target {name} is there already, with the UUID {}",
                    old.uuid
                );
                return Err(refuse(Code::Exists, text));
            }
            return self.look(name);
        }
        let mut targets = self.disks.targets.iter();
        if let Some((other, _)) = targets.find(|(_, one)| one.uuid.eq_ignore_ascii_case(uuid)) {
            let text = format!("the disk is the target {other} already");
            return Err(refuse(Code::Exists, text));
        }
        let disk = self.suitable(uuid)?;
        let target = Target {
            uuid: disk.uuid.clone(),
            serial: disk.serial.clone(),
            fstype: disk.fstype.clone(),
            size: disk.size,
            id: crate::storage::volumes::uuid(),
            ..Target::default()
        };
        self.disks.targets.insert(name.to_owned(), target);
        self.disks
            .place(self.state)
            .map_err(|error| failed(&error))?;
        self.look(name)
    }

    fn suitable(&self, uuid: &str) -> Result<&Disk, Refusal> {
        let unsuitable = |text: String| refuse(Code::Unsuitable, text);
        if uuid.eq_ignore_ascii_case(devices::SYSTEM_UUID) {
            return Err(unsuitable("/dev/sda1 is mounted at /".into()));
        }
        let found = self.with_uuid(uuid);
        let disk = match found.as_slice() {
            [] => {
                let text = format!("no disk with the UUID {uuid} is attached");
                return Err(refuse(Code::Detached, text));
            }
            [(_, disk)] => *disk,
            several => {
                let text = format!(
                    "{} disks have the UUID {uuid}: one is a copy",
                    several.len()
                );
                return Err(unsuitable(text));
            }
        };
        if !self.rules.transports.contains(&disk.transport) {
            let allowed = self.rules.transports.join(", ");
            let text = format!(
                "it is attached by `{}`; allowed is {allowed}",
                disk.transport
            );
            return Err(unsuitable(text));
        }
        if !FILE_SYSTEMS.contains(&disk.fstype.as_str()) {
            let allowed = FILE_SYSTEMS.join(", ");
            let text = format!(
                "its file system is `{}`; supported are {allowed}",
                disk.fstype
            );
            return Err(unsuitable(text));
        }
        if disk.read_only {
            return Err(refuse(Code::ReadOnly, "the disk is write-protected"));
        }
        Ok(disk)
    }

    /// Mounts a target, when its disk is the right one.
    pub(super) fn mount(&mut self, name: &str) -> Result<Seen, Refusal> {
        self.unmount_dead(name)?;
        let seen = self.look(name)?;
        let code = match seen.standing {
            Standing::Mounted => return Ok(seen),
            Standing::Present => None,
            Standing::Detached => Some(Code::Detached),
            Standing::Wrong => Some(Code::Wrong),
        };
        if let Some(code) = code {
            let why = seen.reason.unwrap_or_default();
            return Err(refuse(code, format!("target {name}: {why}")));
        }
        if let Some(target) = self.disks.targets.get_mut(name) {
            target.mount = seen.disk.map(|disk| Mount { disk, dead: false });
        }
        self.disks
            .place(self.state)
            .map_err(|error| failed(&error))?;
        self.look(name)
    }

    /// Writes everything out and unmounts a target, unless somebody holds it.
    pub(super) fn unmount(&mut self, name: &str) -> Result<Seen, Refusal> {
        let target = self.target(name)?;
        let holders = self.disks.holders.get(name);
        let holders: Vec<String> = holders
            .into_iter()
            .flatten()
            .map(|(pid, name)| format!("{name} ({pid})"))
            .collect();
        if target.mount.is_some() && !holders.is_empty() {
            let holders = holders.join(", ");
            let text = format!("target {name} is held by {holders}; end them, and ask again");
            return Err(refuse(Code::InUse, text));
        }
        if let Some(target) = self.disks.targets.get_mut(name) {
            target.mount = None;
        }
        self.disks
            .place(self.state)
            .map_err(|error| failed(&error))?;
        self.look(name)
    }

    /// Ends a mount whose disk is gone.
    fn unmount_dead(&mut self, name: &str) -> Result<(), Refusal> {
        let mount = self.target(name)?.mount.as_ref();
        if mount.is_some_and(|mount| mount.dead) {
            self.unmount(name)?;
        }
        Ok(())
    }

    /// Forgets a target; what is on the disk stays.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(target) = self.disks.targets.get(name) else {
            return Ok(());
        };
        if target.mount.is_some() {
            let text = format!("{} is mounted; unmount it first", mount_point(name));
            return Err(refuse(Code::InUse, text));
        }
        self.disks
            .forget(self.state, name)
            .map_err(|error| failed(&error))
    }

    /// Looks at a target; with `write` also whether what is written comes back.
    pub(super) fn probe(&mut self, name: &str, write: bool) -> Result<Seen, Refusal> {
        let mut seen = self.look(name)?;
        if !write {
            return Ok(seen);
        }
        // A target that stands otherwise is told, not refused.
        let mounted = seen
            .disk
            .clone()
            .filter(|_| seen.standing == Standing::Mounted);
        let Some(id) = mounted else {
            return Ok(seen);
        };
        let read_only = self.disks.disks.get(&id).is_some_and(|disk| disk.read_only);
        seen.written = if read_only {
            Written::ReadOnly
        } else if self.disks.space(self.state, &id).avail < PROBE {
            Written::Full
        } else {
            let renewed = self.disks.renew_canary(self.state, name, &id);
            renewed.map_err(|error| failed(&error))?;
            Written::ReadBack
        };
        Ok(seen)
    }

    /// Size and free bytes of what is mounted.
    pub(super) fn space(&self, seen: &Seen) -> Option<(u64, u64)> {
        let id = seen
            .disk
            .as_ref()
            .filter(|_| seen.standing == Standing::Mounted)?;
        let space = self.disks.space(self.state, id);
        Some((space.total, space.avail))
    }

    /// Whether nobody can write to the bare mount point.
    pub(super) fn is_fenced(&self, name: &str) -> bool {
        let point = on_host(self.state, &mount_point(name));
        self.disks.targets.contains_key(name) && point.symlink_metadata().is_ok()
    }
}
