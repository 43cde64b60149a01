//! A machine's backup to a backup server: QEMU itself speaks to it.

use std::fs;

use super::Run;
use crate::pbs::{Content, Source};
use crate::vma::{Plan, Written};
use crate::workers::vzdump::upload::{Upload, master_key};

impl Run<'_> {
    /// Opens the snapshot, where the target is one; fails with QEMU's words.
    pub(super) fn open(&mut self) -> Result<Option<Upload>, String> {
        let Some((remote, id)) = self.target.remote.clone() else {
            return Ok(None);
        };
        let upload = Upload::begin(self.worker, &remote, &id).map_err(|text| {
            let vmid = self.vmid;
            format!("VM {vmid} qmp command 'backup' failed - backup connect failed: command error: {text}")
        })?;
        Ok(Some(upload))
    }

    /// What is said of encryption before QEMU is asked.
    pub(super) fn announce_key(&mut self) {
        let Some((remote, _)) = &self.target.remote else {
            return;
        };
        match (remote.key.is_some(), remote.master.is_some()) {
            (false, _) => {}
            (true, false) => self.say("enabling encryption"),
            (true, true) => self.say("enabling encryption with master key feature"),
        }
    }

    /// No drive has a bitmap from an earlier backup.
    pub(super) fn tell_bitmaps(&mut self) {
        if self.target.remote.is_none() {
            return;
        }
        let keys: Vec<String> = self
            .included
            .iter()
            .map(|drive| drive.key.clone())
            .collect();
        for key in keys {
            self.say(format!("{key}: dirty-bitmap status: created new"));
        }
    }
}

/// How much the drives are, and how much of that surely holds nothing.
pub(super) fn measure(plan: &Plan) -> Written {
    let total = plan.devices.iter().map(|device| device.size).sum();
    let held = |path: &std::path::Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let held: u64 = plan
        .devices
        .iter()
        .map(|device| held(&device.image).min(device.size))
        .sum();
    Written {
        total,
        zero: total - held,
    }
}

/// Writes the snapshot.
pub(super) fn store(upload: Upload, plan: Plan) -> Result<(), String> {
    let drives = plan.devices.into_iter().map(|device| Content {
        name: format!("{}.img.fidx", device.name),
        source: Source::Image(device.image, device.size),
    });
    let configs = plan.configs.into_iter().map(|(name, data)| Content {
        name: format!(
            "{}.blob",
            if name == "qemu-server.fw" {
                "fw.conf"
            } else {
                &name
            }
        ),
        source: Source::Bytes(data),
    });
    let mut files: Vec<Content> = configs.chain(drives).collect();
    files.extend(master_key(&upload.remote)?);
    upload.finish(files).map(drop)
}
