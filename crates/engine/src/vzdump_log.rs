//! What vzdump's log says of a backup: the mode it really used, and what it put in and left out.
//!
//! Line forms are those of PVE 9.2 (pve-container VZDump/LXC.pm, pve-manager VZDump.pm), seen in recordings of a real node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
        for line in lines {
            log.take(line.trim_end());
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
