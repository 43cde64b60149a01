//! What vzdump's log says of a backup: the mode it really used, and what it put in and left out.
//!
//! Line forms are those of PVE 9.2 (pve-container VZDump/LXC.pm, pve-manager VZDump.pm), seen in recordings of a real node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of holding a virtual machine's file systems still while its copy began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freeze {
    /// The guest agent was asked to, and nobody says that it did not. File systems are whole then; what applications hold in
    /// memory is not in the copy, unless hooks inside the guest see to it, of which no log tells.
    Done,
    /// It was asked to and failed, with its words.
    Failed(String),
    /// It was not asked, with vzdump's reason.
    Skipped(String),
}

/// The request to the guest agent.
const FREEZE: &str = "INFO: issuing guest-agent 'fs-freeze' command";

/// The parts of a vzdump log that count as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VzdumpLog {
    /// The last `backup mode:` line.
    pub mode: Option<String>,
    /// Whether snapshot mode was given up for suspend mode.
    pub fell_back: bool,
    /// Whether the guest was stopped at the start.
    pub was_stopped: bool,
    /// By mount key: included or not, with vzdump's reason where it gives one.
    pub mounts: BTreeMap<String, (bool, Option<String>)>,
    /// What became of the freeze, where the log speaks of one.
    #[serde(default)]
    pub freeze: Option<Freeze>,
    /// The archive's path or its PBS snapshot.
    pub archive: Option<String>,
    /// `Total bytes written`.
    pub bytes_written: Option<u64>,
    /// Lines that begin with `ERROR:`.
    pub errors: Vec<String>,
    /// Lines that begin with `WARN:`.
    pub warnings: Vec<String>,
}

impl VzdumpLog {
    /// Reads a log of one guest's backup.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut log = Self::default();
        // An error right behind the request is the agent's answer.
        let mut asked = false;
        for line in lines.into_iter().map(str::trim_end) {
            log.take(line);
            if let Some(error) = line.strip_prefix("ERROR:").filter(|_| asked) {
                log.freeze = Some(Freeze::Failed(error.trim_start().to_owned()));
            }
            asked = line == FREEZE;
        }
        log
    }

    /// Reads the log file that vzdump leaves beside an archive: the same lines with their time in front (pve-manager VZDump.pm
    /// `debugmsg`: `%F %H:%M:%S`).
    pub fn parse_file<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self::parse(lines.into_iter().map(|line| {
            let is_time = |sign: char| sign.is_ascii_digit() || "-: ".contains(sign);
            let rest = line.trim_start_matches(is_time);
            if rest.len() < line.len() { rest } else { line }
        }))
    }

    /// Whether it says nothing of a backup at all. Every backup says in which mode it runs, and a failed one says why: such
    /// a log was not read.
    pub fn is_silent(&self) -> bool {
        self.mode.is_none() && self.mounts.is_empty() && self.errors.is_empty()
    }

    fn take(&mut self, line: &str) {
        // One that has nothing to say, after which the blank is gone, is still one.
        let said = |text: &str| text.strip_prefix(' ').unwrap_or(text).to_owned();
        if let Some(error) = line.strip_prefix("ERROR:") {
            self.errors.push(said(error));
        } else if let Some(warning) = line.strip_prefix("WARN:") {
            self.warnings.push(said(warning));
        } else if let Some(info) = line.strip_prefix("INFO: ") {
            self.take_info(info);
        }
    }

    fn take_info(&mut self, info: &str) {
        if let Some(mode) = info.strip_prefix("backup mode: ") {
            self.mode = Some(mode.to_owned());
        } else if info == "trying 'suspend' mode instead" {
            self.fell_back = true;
        } else if info == "status = stopped" {
            self.was_stopped = true;
        } else if let Some(rest) = info.strip_prefix("including mount point ") {
            self.mount(rest, true);
        } else if let Some(rest) = info
            .strip_prefix("excluding volume mount point ")
            .or_else(|| info.strip_prefix("excluding bind mount point "))
            .or_else(|| info.strip_prefix("excluding device mount point "))
        {
            self.mount(rest, false);
        } else if let Some(rest) = info.strip_prefix("include disk '") {
            self.drive(rest, true);
        } else if let Some(rest) = info.strip_prefix("exclude disk '") {
            self.drive(rest, false);
        } else if info == "issuing guest-agent 'fs-freeze' command" {
            self.freeze = Some(Freeze::Done);
        } else if let Some(reason) = info.strip_prefix("skipping guest filesystem freeze - ") {
            self.freeze = Some(Freeze::Skipped(reason.to_owned()));
        } else if let Some(rest) = info.strip_prefix("creating vzdump archive '") {
            self.archive = rest.strip_suffix('\'').map(str::to_owned);
        } else if let Some(rest) = info.strip_prefix("creating Proxmox Backup Server archive '") {
            self.archive = rest.strip_suffix('\'').map(str::to_owned);
        } else if let Some(rest) = info.strip_prefix("Total bytes written: ") {
            self.bytes_written = rest
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok());
        }
    }

    /// `scsi1' 'local-lvm:vm-100-disk-1' (backup=no)`, `scsi0' 'local-lvm:vm-100-disk-0' 32G`
    fn drive(&mut self, rest: &str, included: bool) {
        let Some((key, tail)) = rest.split_once("' '") else {
            return;
        };
        let reason = tail
            .rsplit_once("' (")
            .and_then(|(_, reason)| reason.strip_suffix(')'))
            .filter(|_| !included)
            .map(str::to_owned);
        self.mounts.insert(key.to_owned(), (included, reason));
    }

    /// `mp2 ('/srv/cache') from backup (disabled)`
    fn mount(&mut self, rest: &str, included: bool) {
        let Some((key, tail)) = rest.split_once(' ') else {
            return;
        };
        let reason = tail
            .rsplit_once(" from backup (")
            .and_then(|(_, reason)| reason.strip_suffix(')'))
            .map(str::to_owned);
        self.mounts.insert(key.to_owned(), (included, reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_snapshot_log_is_read() {
        let log = VzdumpLog::parse([
            "INFO: starting new backup job: vzdump 9010 --mode snapshot --storage local",
            "INFO: status = running",
            "INFO: including mount point rootfs ('/') in backup",
            "INFO: including mount point mp1 ('/srv/data') in backup",
            "INFO: excluding volume mount point mp2 ('/srv/cache') from backup (disabled)",
            "INFO: excluding bind mount point mp3 ('/srv/bind') from backup (not a volume)",
            "INFO: backup mode: snapshot",
            "  Logical volume \"snap_vm-9010-disk-0_vzdump\" created.",
            "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-9010-2026_11_23-00_19_29.tar.zst'",
            "INFO: Total bytes written: 2150400 (2.1MiB, 12MiB/s)",
            "TASK OK",
        ]);
        assert_eq!(log.mode.as_deref(), Some("snapshot"));
        assert_eq!(log.mounts.get("mp1"), Some(&(true, None)));
        assert_eq!(
            log.mounts.get("mp2"),
            Some(&(false, Some("disabled".into())))
        );
        assert_eq!(
            log.mounts.get("mp3"),
            Some(&(false, Some("not a volume".into())))
        );
        assert_eq!(log.bytes_written, Some(2_150_400));
        assert!(!log.fell_back && log.errors.is_empty());
    }

    #[test]
    fn the_file_beside_an_archive_says_the_same_with_times() {
        let log = VzdumpLog::parse_file([
            "2026-11-23 00:19:29 INFO: Starting Backup of VM 9010 (lxc)",
            "2026-11-23 00:19:29 INFO: including mount point rootfs ('/') in backup",
            "2026-11-23 00:19:29 INFO: excluding volume mount point mp2 ('/srv/cache') from backup (disabled)",
            "2026-11-23 00:19:30 INFO: backup mode: stop",
            "2026-11-23 00:19:31 ERROR: Backup of VM 9010 failed - no",
        ]);
        assert_eq!(log.mode.as_deref(), Some("stop"));
        assert_eq!(log.mounts.len(), 2);
        assert_eq!(log.errors, ["Backup of VM 9010 failed - no"]);
    }

    #[test]
    fn the_log_of_a_virtual_machine_is_read() {
        let start = [
            "INFO: status = running",
            "INFO: VM Name: shop",
            "INFO: include disk 'scsi0' 'local-lvm:vm-9200-disk-0' 1G",
            "INFO: exclude disk 'scsi1' 'local-lvm:vm-9200-disk-1' (backup=no)",
            "INFO: exclude disk 'efidisk0' 'local-lvm:vm-9200-disk-2' (efidisk but no OVMF BIOS)",
            "INFO: backup mode: snapshot",
        ];
        let with = |more: &[&str]| VzdumpLog::parse(start.iter().chain(more).copied());
        let log = with(&[]);
        assert_eq!(log.mounts["scsi0"], (true, None));
        assert_eq!(log.mounts["scsi1"], (false, Some("backup=no".into())));
        assert_eq!(
            log.mounts["efidisk0"].1.as_deref(),
            Some("efidisk but no OVMF BIOS")
        );
        assert_eq!((log.freeze, log.mode.as_deref()), (None, Some("snapshot")));
        let asked = "INFO: issuing guest-agent 'fs-freeze' command";
        assert_eq!(
            with(&[asked, "INFO: starting backup via QMP command"]).freeze,
            Some(Freeze::Done)
        );
        let failed = with(&[
            asked,
            "ERROR: unable to freeze guest fs - timeout",
            "ERROR: x",
        ]);
        assert_eq!(
            failed.freeze,
            Some(Freeze::Failed("unable to freeze guest fs - timeout".into()))
        );
        let reason = "agent configured but not running?";
        let skipped = with(&[&format!(
            "INFO: skipping guest filesystem freeze - {reason}"
        )]);
        assert_eq!(skipped.freeze, Some(Freeze::Skipped(reason.into())));
    }

    #[test]
    fn an_error_without_words_is_an_error() {
        let log = VzdumpLog::parse(["ERROR: ", "WARN:", "ERROR: x", "ERRORS: none"]);
        assert_eq!(log.errors, ["", "x"]);
        assert_eq!(log.warnings, [""]);
    }

    #[test]
    fn the_fall_back_to_suspend_is_seen() {
        let log = VzdumpLog::parse([
            "INFO: backup mode: snapshot",
            "INFO: mode failure - some volumes do not support snapshots",
            "INFO: trying 'suspend' mode instead",
            "INFO: backup mode: suspend",
        ]);
        assert!(log.fell_back);
        assert_eq!(log.mode.as_deref(), Some("suspend"));
    }
}
