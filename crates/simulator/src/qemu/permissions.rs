//! Which options of a virtual machine a caller may set (API2/Qemu.pm), and what a restore asks of the configuration
//! that it is about to write (QemuServer.pm `check_restore_permissions`).

use std::collections::BTreeMap;

use super::drives::{self, Drive};
use super::options::net_key;
use crate::access::Principal;
use crate::call::ApiError;
use crate::guest::formats;
use crate::world::World;

const CPU: &[&str] = &[
    "cores", "cpu", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus",
];
const MEMORY: &[&str] = &["memory", "balloon", "shares", "allow-ksm"];
const HARDWARE: &[&str] = &[
    "acpi", "hotplug", "kvm", "machine", "scsihw", "smbios1", "tablet", "vga", "watchdog",
    "audio0", "rng0",
];
const GENERAL: &[&str] = &[
    "agent",
    "autostart",
    "bios",
    "description",
    "keyboard",
    "localtime",
    "migrate_downtime",
    "migrate_speed",
    "name",
    "onboot",
    "ostype",
    "protection",
    "reboot",
    "startdate",
    "startup",
    "tdf",
    "template",
];
const DISK: &[&str] = &["boot", "bootdisk", "vmstatestorage"];

/// Who changes what.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) who: &'a Principal,
    pub(crate) vmid: u32,
    /// The pool that a new guest will be put in.
    pub(crate) pool: Option<&'a str>,
}

/// A key of a property string, the default key included.
fn property<'a>(text: &'a str, key: &str, is_default: bool) -> Option<&'a str> {
    net_key(text, key).or_else(|| {
        let first = text.split(',').next().filter(|first| !first.contains('='));
        first.filter(|_| is_default)
    })
}

impl World {
    /// Refuses at the first option that the caller may not touch.
    pub(crate) fn check_machine_options(
        &self,
        change: Change<'_>,
        set: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        if change.who.is_root() {
            return Ok(());
        }
        set.iter()
            .try_for_each(|(key, value)| self.check_machine_key(change, key, Some(value)))
    }

    /// The same for one option; no value: it is deleted.
    pub(crate) fn check_machine_key(
        &self,
        change: Change<'_>,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ApiError> {
        if change.who.is_root() {
            return Ok(());
        }
        let vm =
            |privilege: &str| self.check_vm(change.who, change.vmid, change.pool, &[privilege]);
        if drives::is_drive(key) {
            return vm("VM.Config.Disk");
        }
        match drives::index(key) {
            Some(("net", _)) => {
                vm("VM.Config.Network")?;
                return value.map_or(Ok(()), |text| self.check_machine_bridge(change.who, text));
            }
            Some(("serial", _)) if value.is_none_or(|value| value == "socket") => {
                return vm("VM.Config.HWType");
            }
            Some(("usb" | "hostpci", _)) => {
                vm("VM.Config.HWType")?;
                return value.map_or(Ok(()), |text| self.check_device(change.who, key, text));
            }
            Some(("serial" | "parallel", _)) => {
                let text = format!("only root can set '{key}' config for real devices");
                return Err(ApiError::die(text));
            }
            Some(("unused", _)) => return vm("VM.Config.Disk"),
            Some(("numa", _)) => return vm("VM.Config.CPU"),
            Some(("ipconfig", _)) => return vm("VM.Config.Network"),
            _ => {}
        }
        match key {
            "tags" => vm("VM.Config.Options"),
            _ if CPU.contains(&key) => vm("VM.Config.CPU"),
            _ if MEMORY.contains(&key) => vm("VM.Config.Memory"),
            _ if HARDWARE.contains(&key) => vm("VM.Config.HWType"),
            _ if GENERAL.contains(&key) => {
                vm("VM.Config.Options")?;
                if key == "startup" {
                    return self.check(change.who, "/", &["Sys.Modify"]);
                }
                Ok(())
            }
            "freeze" => vm("VM.PowerMgmt"),
            _ if DISK.contains(&key) => vm("VM.Config.Disk"),
            _ => Err(ApiError::die(format!("only root can set '{key}' config"))),
        }
    }

    /// Orders for new volumes and given ones among the drives of a request (`$check_storage_access`).
    pub(crate) fn check_machine_drives(
        &self,
        change: Change<'_>,
        set: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        for (key, text) in set.iter().filter(|(key, _)| drives::is_drive(key)) {
            let Some(drive) = Drive::parse(key, text) else {
                return Err(ApiError::param(key, "invalid format - format error"));
            };
            if drive.file == "none" {
                continue;
            }
            if drive.file == "cdrom" {
                self.check(change.who, "/", &["Sys.Console"])?;
            } else if let Some((store, _)) = formats::new_volume(&drive.file) {
                self.check(
                    change.who,
                    &format!("/storage/{store}"),
                    &["Datastore.AllocateSpace"],
                )?;
                if !self.storage.usable(store)?.holds("images") {
                    let text = format!("storage '{store}' does not support vm images");
                    return Err(ApiError::param("storage", text));
                }
            } else {
                self.check_volume_access(change.who, Some(change.vmid), &drive.file, None)?;
            }
        }
        Ok(())
    }

    /// SDN.Use for the bridge of a device, with its tag and trunks.
    fn check_machine_bridge(&self, who: &Principal, text: &str) -> Result<(), ApiError> {
        let Some(bridge) = net_key(text, "bridge") else {
            return Ok(());
        };
        let trunks = net_key(text, "trunks").unwrap_or_default().split(';');
        let tags: Vec<&str> = net_key(text, "tag")
            .into_iter()
            .chain(trunks)
            .filter(|tag| !tag.is_empty())
            .collect();
        if tags.is_empty() {
            return self.check_bridge(who, bridge, None);
        }
        tags.iter()
            .try_for_each(|tag| self.check_bridge(who, bridge, Some(tag)))
    }

    /// A device of the host: real ones are root's, mapped ones want the mapping.
    fn check_device(&self, who: &Principal, key: &str, text: &str) -> Result<(), ApiError> {
        let (kind, words) = if key.starts_with("usb") {
            ("usb", "real devices")
        } else {
            ("pci", "non-mapped devices")
        };
        match property(text, "host", true) {
            Some(host) if kind == "usb" && host.eq_ignore_ascii_case("spice") => Ok(()),
            Some(_) => Err(ApiError::die(format!(
                "only root can set '{key}' config for {words}"
            ))),
            None => match property(text, "mapping", false) {
                Some(mapping) => {
                    let path = format!("/mapping/{kind}/{mapping}");
                    self.check(who, &path, &["Mapping.Use"])
                }
                None => Err(ApiError::die("either 'host' or 'mapping' must be set.")),
            },
        }
    }

    /// What a restore asks of the merged configuration (QemuServer.pm `check_bridge_access`, `check_mapping_access`): `args`,
    /// `hookscript`, serial and parallel devices are not looked at.
    pub(crate) fn check_restored(
        &self,
        who: &Principal,
        values: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        if who.is_root() {
            return Ok(());
        }
        let named = |stem: &'static str| {
            values.iter().filter(
                move |(key, _)| matches!(drives::index(key), Some((have, _)) if have == stem),
            )
        };
        for (_, text) in named("net") {
            self.check_machine_bridge(who, text)?;
        }
        for (key, text) in named("usb").chain(named("hostpci")) {
            self.check_device(who, key, text)?;
        }
        for (_, text) in named("rng") {
            if property(text, "source", true) == Some("/dev/hwrng") {
                self.check(who, "/mapping/hwrng", &["Mapping.Use"])?;
            }
        }
        for (_, text) in named("virtiofs") {
            let folder = property(text, "dirid", true).unwrap_or_default();
            self.check(who, &format!("/mapping/dir/{folder}"), &["Mapping.Use"])?;
        }
        Ok(())
    }
}
