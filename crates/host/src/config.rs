//! Root's own configuration, `/etc/felhom/hostd.toml`: what the fence allows on this host. Nothing in it comes from the agent.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use felhom_ids::{BridgeName, PoolId, StorageId, TokenId, Vmid};
use serde::{Deserialize, Deserializer};

use crate::layout::Layout;

/// Longer is no configuration.
const LONGEST: u64 = 64 * 1024;

/// What the fence allows. Guests are refused where their section is not there; for disks the defaults hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The user that may ask.
    #[serde(default = "agent_user")]
    pub user: String,
    /// For golden containers.
    pub golden: Option<GoldenConfig>,
    /// For scratch guests.
    pub scratch: Option<ScratchConfig>,
    /// For targets on removable disks.
    #[serde(default)]
    pub usb: UsbConfig,
}

/// How golden containers are made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenConfig {
    /// The VMIDs that they may have.
    pub vmids: VmidRange,
    /// Storages whose templates may be used.
    pub templates: Vec<StorageId>,
    /// The storage of their rootfs.
    pub storage: StorageId,
    /// The size of their rootfs in GiB.
    #[serde(default = "golden_size")]
    pub rootfs_gib: u16,
    /// Their memory in MiB.
    #[serde(default = "golden_memory")]
    pub memory_mib: u32,
    /// Their cores.
    #[serde(default = "golden_cores")]
    pub cores: u16,
    /// The bridge of their interface, which asks for its address by DHCP; none for a container without one.
    pub bridge: Option<BridgeName>,
    /// The pool that they are put into, so that the agent's token sees them.
    pub pool: Option<PoolId>,
}

/// Which guests are scratch guests, and whose tasks make them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchConfig {
    /// Their VMIDs.
    pub vmids: VmidRange,
    /// The tokens whose restores and removals may be released when they were cut off.
    pub tokens: Vec<TokenId>,
    /// The pool on which these tokens have their rights. A restore puts its guest into it at its very end, so what is released
    /// is put into it, or the token could not destroy it.
    pub pool: Option<PoolId>,
}

/// What may become a target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsbConfig {
    /// The directory below which targets are mounted. Its components are letters, digits and `_`.
    pub mount_dir: PathBuf,
    /// How disks have to be attached: `usb`, and what else a host calls a bay for disks.
    pub transports: Vec<String>,
}

impl Default for UsbConfig {
    fn default() -> Self {
        Self {
            mount_dir: PathBuf::from("/mnt/felhom"),
            transports: vec!["usb".to_owned()],
        }
    }
}

fn agent_user() -> String {
    "felhom-agent".to_owned()
}

fn golden_size() -> u16 {
    8
}

fn golden_memory() -> u32 {
    1024
}

fn golden_cores() -> u16 {
    1
}

/// VMIDs from one to another, written `9100-9199`, or `9900` for one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmidRange {
    /// The lowest.
    pub first: Vmid,
    /// The highest.
    pub last: Vmid,
}

impl VmidRange {
    /// Whether it holds this one.
    pub fn holds(&self, vmid: Vmid) -> bool {
        (self.first..=self.last).contains(&vmid)
    }
}

impl fmt::Display for VmidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for VmidRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let parse = |text: &str| {
            text.trim()
                .parse::<Vmid>()
                .map_err(|error| error.to_string())
        };
        let (first, last) = (parse(first)?, parse(last)?);
        if first > last {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Self { first, last })
    }
}

impl<'de> Deserialize<'de> for VmidRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why root's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not there.
    #[error("{0} is not there; `felhom-agent host config` prints one that fits the agent's")]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// Somebody else than root could have written it.
    #[error("{0} can be changed by others than root ({1}): chown root:root {0}; chmod go-w {0}")]
    Untrusted(PathBuf, &'static str),
    /// It says something that is not understood.
    #[error("{0}: {1}")]
    Invalid(PathBuf, String),
}

impl Config {
    /// Reads and checks the configuration of a layout.
    pub fn load(layout: &Layout) -> Result<Self, ConfigError> {
        let path = layout.config();
        let text = read_trusted(layout, &path)?;
        Self::parse(&text).map_err(|error| ConfigError::Invalid(path, error))
    }

    /// Reads a configuration's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.user.is_empty() || !self.user.chars().all(plain) || self.user.starts_with('-') {
            return Err(format!("`user` is not a user's name: `{}`", self.user));
        }
        if self.user == "root" {
            return Err("`user` is root, who needs nobody to ask".to_owned());
        }
        let dir = self.usb.mount_dir.to_str().unwrap_or_default();
        let word = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let fine = dir
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').count() >= 2 && rest.split('/').all(word));
        if !fine {
            return Err(format!(
                "`usb.mount_dir` is `{}`; it has to be a directory like /mnt/felhom, of letters, digits and `_` only",
                self.usb.mount_dir.display()
            ));
        }
        if let (Some(golden), Some(scratch)) = (&self.golden, &self.scratch) {
            let overlap = golden.vmids.first <= scratch.vmids.last
                && scratch.vmids.first <= golden.vmids.last;
            if overlap {
                return Err(format!(
                    "the golden containers' range {} and the scratch range {} overlap",
                    golden.vmids, scratch.vmids
                ));
            }
        }
        Ok(())
    }
}

/// Reads a small file that nobody but the trusted owner can have written: it, and the directory that it lies in.
pub(crate) fn read_trusted(layout: &Layout, path: &Path) -> Result<String, ConfigError> {
    let bytes = read_trusted_within(layout, path, &[], LONGEST)?;
    String::from_utf8(bytes)
        .map_err(|_| ConfigError::Invalid(path.to_owned(), "it is no text".to_owned()))
}

/// As [`read_trusted`], of a file of at most `most` bytes that these users may own besides.
pub(crate) fn read_trusted_within(
    layout: &Layout,
    path: &Path,
    besides: &[u32],
    most: u64,
) -> Result<Vec<u8>, ConfigError> {
    use std::io::Read;
    let unreadable = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            ConfigError::Missing(path.to_owned())
        } else {
            ConfigError::Unreadable(path.to_owned(), error)
        }
    };
    let untrusted = |why| ConfigError::Untrusted(path.to_owned(), why);
    let is_trusted = |uid: u32| uid == layout.owner() || besides.contains(&uid);
    // Without waiting, so that nothing that is no file holds it up before that is seen.
    let flags = rustix::fs::OFlags::RDONLY
        | rustix::fs::OFlags::NOFOLLOW
        | rustix::fs::OFlags::NONBLOCK
        | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    let file = std::fs::File::from(file.map_err(|error| unreadable(error.into()))?);
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(untrusted("it is no plain file"));
    }
    if !is_trusted(found.uid()) {
        return Err(untrusted("another user owns it"));
    }
    if found.mode() & 0o022 != 0 {
        return Err(untrusted("others may write it"));
    }
    let dir = path.parent().unwrap_or(path);
    let above = std::fs::metadata(dir).map_err(unreadable)?;
    if !is_trusted(above.uid()) || above.mode() & 0o022 != 0 {
        let why = "others may write this directory";
        return Err(ConfigError::Untrusted(dir.to_owned(), why));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        Ok(bytes)
    } else {
        let text = "it is too long".to_owned();
        Err(ConfigError::Invalid(path.to_owned(), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
user = "felhom-agent"
[golden]
vmids = "9900-9909"
templates = ["local"]
storage = "local-lvm"
bridge = "vmbr0"
[scratch]
vmids = "9100-9199"
tokens = ["felhom-test@pve!restore-test"]
[usb]
mount_dir = "/mnt/felhom"
"#;

    #[test]
    fn a_configuration_is_read() {
        let config = Config::parse(WHOLE).unwrap();
        let golden = config.golden.unwrap();
        assert_eq!((golden.rootfs_gib, golden.memory_mib), (8, 1024));
        assert!(golden.vmids.holds("9909".parse().unwrap()));
        assert!(!golden.vmids.holds("9910".parse().unwrap()));
        assert_eq!(config.usb.transports, ["usb"]);
    }

    #[test]
    fn an_empty_one_allows_little() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.user, "felhom-agent");
        assert!(config.golden.is_none() && config.scratch.is_none());
    }

    #[test]
    fn what_is_odd_is_refused() {
        for odd in [
            "user = \"root\"",
            "user = \"\"",
            "user = \"a b\"",
            "unknown = 1",
            "[usb]\nmount_dir = \"/\"",
            "[usb]\nmount_dir = \"/mnt\"",
            "[usb]\nmount_dir = \"/mnt/../etc\"",
            "[usb]\nmount_dir = \"relative/dir\"",
            "[usb]\nmount_dir = \"/mnt/a-b\"",
            "[scratch]\nvmids = \"9199-9100\"\ntokens = []",
            "[scratch]\nvmids = \"1-5\"\ntokens = []",
        ] {
            assert!(Config::parse(odd).is_err(), "{odd}");
        }
        let overlap = WHOLE.replace("9900-9909", "9150-9160");
        assert!(Config::parse(&overlap).unwrap_err().contains("overlap"));
    }
}
