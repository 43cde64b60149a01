//! Taking a backup, and reading the configuration that lies inside one.

use std::fmt;

use felhom_ids::{NodeName, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use super::Pve;
use super::guests::{LxcConfig, QemuConfig};
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::task::{Started, TaskHandle};

/// How the guest is held still. PVE changes it on its own: a stopped guest is always dumped as
/// `stop`, and `snapshot` falls back to `suspend` where a volume cannot be snapshotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupMode {
    /// From storage snapshots.
    Snapshot,
    /// From a copy made while it runs, and completed while it is frozen.
    Suspend,
    /// While it is shut down.
    Stop,
}

impl fmt::Display for BackupMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snapshot => "snapshot",
            Self::Suspend => "suspend",
            Self::Stop => "stop",
        })
    }
}

/// How an archive on a directory is packed; ignored by backup servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.lzo`
    Lzo,
    /// `.zst`
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "0",
            Self::Gzip => "gzip",
            Self::Lzo => "lzo",
            Self::Zstd => "zstd",
        })
    }
}

/// `POST /nodes/N/vzdump` for one guest: `Datastore.AllocateSpace` at once, `VM.Backup` only inside
/// the task. Deliberately without `prune-backups`, `bwlimit` and the like, which need rights that
/// can delete or throttle everything.
#[derive(Debug, Clone)]
pub struct Vzdump {
    /// Which guest. Of several, the exit status would not say which one failed.
    pub vmid: Vmid,
    /// Where to.
    pub storage: StorageId,
    /// How.
    pub mode: BackupMode,
    /// How packed.
    pub compress: Compression,
    /// Let the storage's own retention delete older backups afterwards.
    pub remove: bool,
    /// Protect the new backup.
    pub protected: Option<bool>,
    /// The notes, as they shall read; what PVE would take for a template is escaped.
    pub notes: Option<String>,
    /// Minutes to wait for another vzdump on this node.
    pub lockwait: Option<u32>,
    /// Minutes to wait for the guest to stop.
    pub stopwait: Option<u32>,
    /// `legacy-sendmail` without an address keeps PVE from mailing anybody.
    pub notification_mode: Option<&'static str>,
}

impl Vzdump {
    /// A backup of this guest to this storage that deletes nothing and mails nobody.
    pub fn new(vmid: Vmid, storage: StorageId) -> Self {
        Self {
            vmid,
            storage,
            mode: BackupMode::Snapshot,
            compress: Compression::Zstd,
            remove: false,
            protected: None,
            notes: None,
            lockwait: Some(10),
            stopwait: None,
            notification_mode: Some("legacy-sendmail"),
        }
    }
}

impl Endpoint for Vzdump {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Post, &[&"nodes", node, &"vzdump"])
            .with("vmid", self.vmid)
            .with("storage", &self.storage)
            .with("mode", self.mode)
            .with("compress", self.compress)
            .flag("remove", self.remove)
            .maybe_flag("protected", self.protected)
            .maybe("notes-template", self.notes.as_deref().map(as_template))
            .maybe("lockwait", self.lockwait)
            .maybe("stopwait", self.stopwait)
            .maybe("notification-mode", self.notification_mode)
    }
}

/// `notes-template` is one line in which `\n` and `\\` are escapes and `{{…}}` a variable. There is
/// no escape for braces, so a blank keeps ours apart.
fn as_template(notes: &str) -> String {
    notes
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "")
        .replace("{{", "{ {")
}

/// `GET /nodes/N/vzdump/extractconfig`: read access to the archive and `VM.Backup` on its owner,
/// which is just what a restore needs.
#[derive(Debug, Clone)]
pub struct ExtractConfig {
    /// The archive.
    pub volume: VolumeId,
}

impl Endpoint for ExtractConfig {
    type Response = String;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"vzdump", &"extractconfig"])
            .with("volume", &self.volume)
            .slow()
    }
}

/// `GET /nodes/N/vzdump/defaults`: what `/etc/vzdump.conf` makes of every backup. It asks for `Datastore.Audit` or
/// `Datastore.AllocateSpace` on the storage; what only root needs to know is left out without `Sys.Audit`.
#[derive(Debug, Clone)]
pub struct GetVzdumpDefaults {
    /// Where the backup is to go.
    pub storage: StorageId,
}

/// What `/etc/vzdump.conf` says, as far as it decides what is in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct VzdumpDefaults {
    #[serde(rename = "exclude-path", default)]
    exclude_path: Patterns,
}

/// Joined by commas as the handler answers (pve-manager API2/VZDump.pm), or a list as the schema says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Patterns {
    Joined(String),
    Listed(Vec<String>),
}

impl Default for Patterns {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl VzdumpDefaults {
    /// Patterns that are left out of every container's archive; those with a slash in front count from the guest's root. A
    /// pattern with a comma comes apart, which no answer of the API can tell.
    pub fn exclude_paths(&self) -> Vec<String> {
        let patterns: Vec<&str> = match &self.exclude_path {
            Patterns::Joined(text) => text.split(',').collect(),
            Patterns::Listed(list) => list.iter().map(String::as_str).collect(),
        };
        let patterns = patterns.into_iter().map(str::trim);
        patterns
            .filter(|pattern| !pattern.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl Endpoint for GetVzdumpDefaults {
    type Response = VzdumpDefaults;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"vzdump", &"defaults"])
            .with("storage", &self.storage)
    }
}

impl Pve {
    /// What the node's own configuration makes of every backup.
    ///
    /// # Errors
    /// When the node does not answer, or refuses.
    pub async fn vzdump_defaults(&self, storage: &StorageId) -> Result<VzdumpDefaults, Error> {
        self.call(&GetVzdumpDefaults {
            storage: storage.clone(),
        })
        .await
    }

    /// Starts a backup.
    pub async fn vzdump(&self, backup: &Vzdump) -> Result<TaskHandle, Error> {
        self.start(backup).await
    }

    /// The guest configuration inside an archive, as text.
    pub async fn extract_config(&self, volume: &VolumeId) -> Result<String, Error> {
        self.call(&ExtractConfig {
            volume: volume.clone(),
        })
        .await
    }

    /// The container configuration inside an archive.
    pub async fn extract_lxc_config(&self, volume: &VolumeId) -> Result<LxcConfig, Error> {
        self.extract_config(volume)
            .await
            .map(|text| LxcConfig::from_text(&text))
    }

    /// The virtual machine's configuration inside an archive.
    pub async fn extract_qemu_config(&self, volume: &VolumeId) -> Result<QemuConfig, Error> {
        self.extract_config(volume)
            .await
            .map(|text| QemuConfig::from_text(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_backup_leaves_out_is_told_in_either_form() {
        let told = |text: &str| {
            let defaults: VzdumpDefaults = serde_json::from_str(text).unwrap();
            defaults.exclude_paths()
        };
        assert_eq!(told(r#"{"exclude-path":"/a, *.iso,"}"#), ["/a", "*.iso"]);
        assert_eq!(told(r#"{"exclude-path":["/a","*.iso"]}"#), ["/a", "*.iso"]);
        assert!(told(r#"{"mode":"snapshot"}"#).is_empty());
    }

    #[test]
    fn a_backup_says_everything_that_matters() {
        let backup = Vzdump {
            protected: Some(true),
            notes: Some("felhom: job=1;x\nline {{two}} \\".to_owned()),
            ..Vzdump::new(Vmid::new(9001).unwrap(), "local".parse().unwrap())
        };
        let request = backup.request(&"pve".parse().unwrap());
        assert_eq!(request.to_string(), "POST /nodes/pve/vzdump");
        assert_eq!(
            request.params(),
            "vmid=9001&storage=local&mode=snapshot&compress=zstd&remove=0&protected=1\
             &notes-template=felhom%3A%20job%3D1%3Bx%5Cnline%20%7B%20%7Btwo%7D%7D%20%5C%5C\
             &lockwait=10&notification-mode=legacy-sendmail"
        );
    }
}
