//! Changing a container's options: what is refused, what applies at once, what waits for the next start.

use std::collections::BTreeMap;

use super::formats::{self, Mount, Source};
use super::permissions::Change;
use super::{props, schema};
use crate::access::Principal;
use crate::call::ApiError;
use crate::world::World;

/// A change that a caller asks for.
pub(crate) struct Request {
    pub(crate) vmid: u32,
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) delete: Vec<String>,
    pub(crate) digest: Option<String>,
}

/// Options that take effect in a running container; `netN`, `unusedN` and new mount points do, too.
const HOT: &[&str] = &[
    "cores",
    "cpulimit",
    "cpuunits",
    "description",
    "hookscript",
    "hostname",
    "lock",
    "memory",
    "onboot",
    "protection",
    "startup",
    "swap",
    "tags",
];

/// Of these, what can also be deleted while it runs.
const HOT_DELETE: &[&str] = &[
    "cores",
    "cpulimit",
    "cpuunits",
    "description",
    "hookscript",
    "onboot",
    "protection",
    "startup",
    "swap",
    "tags",
];

/// Options that cannot change, or not while the container is protected.
fn check_fixed(request: &Request, protected: bool) -> Result<(), ApiError> {
    for key in request.set.keys().chain(&request.delete) {
        let disk = key == "rootfs" || matches!(formats::index(key), Some(("mp" | "unused", _)));
        if disk && protected {
            let text = format!(
                "can't update CT {} drive '{key}' - protection mode enabled",
                request.vmid
            );
            return Err(ApiError::die(text));
        }
    }
    if request.set.contains_key("unprivileged") {
        return Err(ApiError::die(
            "unable to modify read-only option: 'unprivileged'",
        ));
    }
    for key in &request.delete {
        match key.as_str() {
            "memory" | "rootfs" | "ostype" => {
                return Err(ApiError::die(format!(
                    "unable to delete required option '{key}'"
                )));
            }
            "unprivileged" => {
                return Err(ApiError::die(
                    "unable to delete read-only option: 'unprivileged'",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

impl World {
    /// `PUT …/config`.
    pub(crate) fn change_config(
        &mut self,
        who: &Principal,
        request: &Request,
        now: i64,
    ) -> Result<(), ApiError> {
        self.check_request(who, request)?;
        let running = self.lxc(request.vmid)?.run.is_some();
        if running {
            self.check_hot_nets(request)?;
        }
        for key in &request.delete {
            self.delete_option(request.vmid, key, running)?;
        }
        for (key, value) in &request.set {
            self.set_option(request.vmid, key, value, running, now)?;
        }
        let config = &mut self.lxc_mut(request.vmid)?.config;
        let current = &config.current.values;
        config
            .pending
            .retain(|key, value| key == "delete" || current.get(key) != Some(value));
        if running {
            Ok(())
        } else {
            self.check_stopped_nets(request.vmid)
        }
    }

    fn check_request(&self, who: &Principal, request: &Request) -> Result<(), ApiError> {
        if request.set.is_empty() && request.delete.is_empty() {
            return Err(ApiError::die("no options specified"));
        }
        for key in &request.delete {
            if request.set.contains_key(key) {
                let text = format!("you can't use '-{key}' and '-delete {key}' at the same time");
                return Err(ApiError::param("delete", text));
            }
            if !schema::is_option(key) {
                return Err(ApiError::param("delete", format!("unknown option '{key}'")));
            }
        }
        let guest = self.lxc(request.vmid)?;
        let section = &guest.config.current;
        let change = Change {
            vmid: request.vmid,
            pool: None,
            old: Some(section),
            set: &request.set,
            delete: &request.delete,
            unprivileged: section.flag("unprivileged"),
        };
        self.check_change(who, &change)?;
        guest.check_lock().map_err(ApiError::die)?;
        if request
            .digest
            .as_ref()
            .is_some_and(|digest| *digest != guest.config.digest())
        {
            return Err(ApiError::die(
                "detected modified configuration - file changed by other user? Try again.",
            ));
        }
        check_fixed(request, section.flag("protection"))
    }

    /// In a running container a device that cannot be attached fails the whole request, and nothing is written.
    fn check_hot_nets(&self, request: &Request) -> Result<(), ApiError> {
        for (key, value) in &request.set {
            if let Some(("net", _)) = formats::index(key)
                && let Some(missing) = self.missing_bridge(key, value)
            {
                let text = format!("unable to hotplug {key}: bridge '{missing}' does not exist\n");
                return Err(ApiError::param(key, text));
            }
        }
        Ok(())
    }

    /// In a stopped one the change is saved first and the error comes afterwards, at every later change again
    /// (seen on PVE 9.2).
    fn check_stopped_nets(&self, vmid: u32) -> Result<(), ApiError> {
        for (key, value) in &self.lxc(vmid)?.config.current.values {
            if let Some(("net", _)) = formats::index(key)
                && let Some(missing) = self.missing_bridge(key, value)
            {
                return Err(ApiError::die(format!("bridge '{missing}' does not exist")));
            }
        }
        Ok(())
    }

    pub(crate) fn missing_bridge(&self, key: &str, value: &str) -> Option<String> {
        let net = props::parse(&formats::NET, key, value).ok()?;
        let bridge = net.get("bridge")?;
        (!self.bridges.contains_key(bridge)).then(|| bridge.clone())
    }

    fn delete_option(&mut self, vmid: u32, key: &str, running: bool) -> Result<(), ApiError> {
        let hot = HOT_DELETE.contains(&key)
            || match formats::index(key) {
                Some(("unused", _)) => true,
                Some(("net", number)) => number <= 9,
                _ => false,
            };
        let config = &mut self.lxc_mut(vmid)?.config;
        config.pending.remove(key);
        if running && !hot {
            if config.current.values.contains_key(key) {
                let mut keys = config.pending_deletes();
                keys.retain(|have| have != key);
                keys.push(key.to_owned());
                config.pending.insert("delete".into(), keys.join(","));
            }
            return Ok(());
        }
        self.delete_now(vmid, key)
    }

    fn delete_now(&mut self, vmid: u32, key: &str) -> Result<(), ApiError> {
        let Some(value) = self.lxc_mut(vmid)?.config.current.values.remove(key) else {
            return Ok(());
        };
        match formats::index(key) {
            Some(("mp", _)) => {
                let mount = props::parse(&formats::MP, key, &value).unwrap_or_default();
                self.keep_unused(vmid, mount.get("volume").map_or("", String::as_str))
            }
            Some(("unused", _)) => {
                let used = self.lxc(vmid)?.config.volumes().contains(&value);
                if used
                    || self
                        .storage
                        .volumes
                        .get(&value)
                        .is_none_or(|volume| volume.owner != vmid)
                {
                    return Ok(());
                }
                self.free_volume(&value, &mut Vec::new())
                    .map_err(ApiError::die)
            }
            _ => Ok(()),
        }
    }

    /// Lists a volume that is no longer mounted under the first free `unusedN`.
    pub(crate) fn keep_unused(&mut self, vmid: u32, volume: &str) -> Result<(), ApiError> {
        if formats::source(volume) != Source::Volume {
            return Ok(());
        }
        let values = &mut self.lxc_mut(vmid)?.config.current.values;
        if values.values().any(|have| have == volume) {
            return Ok(());
        }
        let key = (0..256)
            .map(|n| format!("unused{n}"))
            .find(|key| !values.contains_key(key));
        if let Some(key) = key {
            values.insert(key, volume.to_owned());
        }
        Ok(())
    }

    fn set_option(
        &mut self,
        vmid: u32,
        key: &str,
        value: &str,
        running: bool,
        now: i64,
    ) -> Result<(), ApiError> {
        let mount = key == "rootfs" || matches!(formats::index(key), Some(("mp", _)));
        let known = self.lxc(vmid)?.config.current.values.contains_key(key);
        let text = if mount {
            self.finish_mount(vmid, key, value, now, &mut Vec::new())?
        } else {
            schema::normal(key, value)
        };
        let hot = HOT.contains(&key)
            || match formats::index(key) {
                Some(("net" | "unused", _)) => true,
                Some(("mp" | "dev", _)) => !known,
                _ => false,
            };
        let config = &mut self.lxc_mut(vmid)?.config;
        let mut deletes = config.pending_deletes();
        deletes.retain(|have| have != key);
        if deletes.is_empty() {
            config.pending.remove("delete");
        } else {
            config.pending.insert("delete".into(), deletes.join(","));
        }
        if running && !hot {
            config.pending.insert(key.to_owned(), text);
            return Ok(());
        }
        config.pending.remove(key);
        self.set_now(vmid, key, text)
    }

    fn set_now(&mut self, vmid: u32, key: &str, text: String) -> Result<(), ApiError> {
        let config = &mut self.lxc_mut(vmid)?.config;
        let volume = |text: &str| text.split(',').next().unwrap_or_default().to_owned();
        let fresh = volume(&text);
        let old = config.current.values.insert(key.to_owned(), text);
        let mount = key == "rootfs" || matches!(formats::index(key), Some(("mp", _)));
        let gone = old
            .filter(|_| mount)
            .map(|old| volume(&old))
            .filter(|old| *old != fresh);
        if mount {
            // A volume that is mounted again is no longer unused.
            config.current.values.retain(|key, value| {
                !(matches!(formats::index(key), Some(("unused", _))) && *value == fresh)
            });
        }
        match gone {
            Some(volume) => self.keep_unused(vmid, &volume),
            None => Ok(()),
        }
    }

    /// The stored form of a mount point: a volume is made where `STORE:SIZE` asks for it; the size is the real one.
    pub(crate) fn finish_mount(
        &mut self,
        vmid: u32,
        key: &str,
        value: &str,
        now: i64,
        log: &mut Vec<String>,
    ) -> Result<String, ApiError> {
        let format = if key == "rootfs" {
            &formats::ROOTFS
        } else {
            &formats::MP
        };
        let props = props::parse(format, key, value)
            .map_err(|words| ApiError::param(key, format!("invalid format - {words}")))?;
        let mut mount = Mount {
            key: key.to_owned(),
            props,
        };
        if mount.source() != Source::Volume {
            return Ok(mount.print());
        }
        let volume = mount.volume().to_owned();
        let (volid, size) = match formats::new_volume(&volume) {
            Some((store, size)) => {
                if !self.storage.usable(store)?.holds("rootdir") {
                    let text = format!("storage '{store}' does not support container directories");
                    return Err(ApiError::param("storage", text));
                }
                let volid = self
                    .make_volume(store, vmid, size, now, log)
                    .map_err(ApiError::die)?;
                (volid, size)
            }
            None => (volume.clone(), self.volume(&volume)?.size),
        };
        mount.props.insert("volume".into(), volid);
        mount.props.insert("size".into(), props::print_size(size));
        Ok(mount.print())
    }

    /// What a start does first: pending changes become current.
    pub(crate) fn apply_pending(&mut self, vmid: u32) -> Result<(), ApiError> {
        let config = &mut self.lxc_mut(vmid)?.config;
        let deletes = config.pending_deletes();
        config.pending.remove("delete");
        let set = std::mem::take(&mut config.pending);
        for key in deletes {
            self.delete_now(vmid, &key)?;
        }
        set.into_iter()
            .try_for_each(|(key, text)| self.set_now(vmid, &key, text))
    }
}
