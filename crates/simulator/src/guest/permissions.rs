//! Which options of a container a caller may change, one rule a key; some only the user literally named root@pam.

use std::collections::{BTreeMap, BTreeSet};

use super::config::Section;
use super::formats::{self, Source};
use super::props::{self, Props};
use crate::access::Principal;
use crate::call::ApiError;
use crate::world::World;

/// A change of options to be judged.
pub(crate) struct Change<'a> {
    pub(crate) vmid: u32,
    /// The pool that a new guest will be put in.
    pub(crate) pool: Option<&'a str>,
    /// The options before; none for a new guest.
    pub(crate) old: Option<&'a Section>,
    pub(crate) set: &'a BTreeMap<String, String>,
    pub(crate) delete: &'a [String],
    pub(crate) unprivileged: bool,
}

impl World {
    /// Refuses (403) at the first option that the caller may not touch.
    pub(crate) fn check_change(
        &self,
        who: &Principal,
        change: &Change<'_>,
    ) -> Result<(), ApiError> {
        if who.is_root() {
            return Ok(());
        }
        let deleted = change.delete.iter().map(|key| (key, None));
        let set = change
            .set
            .iter()
            .map(|(key, value)| (key, Some(value.as_str())));
        for (key, value) in deleted.chain(set) {
            self.check_key(who, change, key, value)?;
        }
        Ok(())
    }

    fn check_key(
        &self,
        who: &Principal,
        change: &Change<'_>,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ApiError> {
        let vm = |privilege: &str| self.check_vm(who, change.vmid, change.pool, &[privilege]);
        match formats::index(key) {
            Some(("net", _)) => {
                vm("VM.Config.Network")?;
                return self.check_net(who, change, key, value);
            }
            Some(("mp", _)) => return self.check_mount(who, change, key, value),
            Some(("dev", _)) => {
                return Err(ApiError::forbidden(
                    "configuring device passthrough is only allowed for root@pam",
                ));
            }
            _ => {}
        }
        match key {
            "rootfs" => self.check_mount(who, change, key, value),
            "cores" | "cpulimit" | "cpuunits" => vm("VM.Config.CPU"),
            "memory" | "swap" => vm("VM.Config.Memory"),
            "hostname" | "nameserver" | "searchdomain" => vm("VM.Config.Network"),
            "features" => self.check_features(who, change, value),
            "hookscript" => Err(ApiError::forbidden(
                "changing the hookscript is only allowed for root@pam",
            )),
            // Judged on the guest itself, never on its pool.
            "tags" => self.check(
                who,
                &format!("/vms/{}", change.vmid),
                &["VM.Config.Options"],
            ),
            "unprivileged" if change.old.is_none() => Ok(()),
            _ => vm("VM.Config.Options"),
        }
    }

    fn check_mount(
        &self,
        who: &Principal,
        change: &Change<'_>,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ApiError> {
        self.check_vm(who, change.vmid, change.pool, &["VM.Config.Disk"])?;
        let Some(value) = value else { return Ok(()) };
        let format = if key == "rootfs" {
            &formats::ROOTFS
        } else {
            &formats::MP
        };
        let Ok(props) = props::parse(format, key, value) else {
            return Ok(());
        };
        let volume = props.get("volume").map_or("", String::as_str);
        let source = formats::source(volume);
        if source != Source::Volume {
            let word = source.word();
            let detail = format!("mount point type {word} is only allowed for root@pam");
            return Err(ApiError::forbidden(&detail));
        }
        if let Some((store, _)) = formats::new_volume(volume) {
            return self.check(
                who,
                &format!("/storage/{store}"),
                &["Datastore.AllocateSpace"],
            );
        }
        if volume.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Ok(());
        }
        self.check_volume_access(who, Some(change.vmid), volume, None)
    }

    fn check_net(
        &self,
        who: &Principal,
        change: &Change<'_>,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ApiError> {
        let old = change.old.and_then(|section| section.get(key));
        for text in old.into_iter().chain(value) {
            if let Ok(net) = props::parse(&formats::NET, key, text) {
                self.check_net_bridge(who, &net)?;
            }
        }
        Ok(())
    }

    /// SDN.Use for a device's bridge, with its VLAN tag and trunks.
    pub(crate) fn check_net_bridge(&self, who: &Principal, net: &Props) -> Result<(), ApiError> {
        let Some(bridge) = net.get("bridge") else {
            return Ok(());
        };
        let trunks = net.get("trunks").map_or("", String::as_str).split(';');
        let tags: Vec<&str> = net
            .get("tag")
            .map(String::as_str)
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

    fn check_features(
        &self,
        who: &Principal,
        change: &Change<'_>,
        value: Option<&str>,
    ) -> Result<(), ApiError> {
        if !change.unprivileged {
            return Err(ApiError::forbidden(
                "changing feature flags for privileged container is only allowed for root@pam",
            ));
        }
        let read = |text: Option<&str>| {
            text.and_then(|text| props::parse(&formats::FEATURES, "features", text).ok())
                .unwrap_or_default()
        };
        let (old, new) = (
            read(change.old.and_then(|section| section.get("features"))),
            read(value),
        );
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let changed: Vec<&str> = keys
            .into_iter()
            .filter(|key| old.get(*key) != new.get(*key))
            .map(String::as_str)
            .collect();
        if changed.iter().any(|key| *key != "nesting") {
            return Err(ApiError::forbidden(
                "changing feature flags (except nesting) is only allowed for root@pam",
            ));
        }
        if changed.is_empty() {
            return Ok(());
        }
        self.check_vm(who, change.vmid, change.pool, &["VM.Allocate"])
    }
}
