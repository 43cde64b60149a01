//! Root's own configuration of the simulated host, `/etc/felhom/hostd.toml`, as far as the helper looks at it.

use std::ops::RangeInclusive;

use felhom_host::{Code, Refusal};
use serde::{Deserialize, Serialize};

/// What the fence allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rules {
    /// Nothing can be made without it.
    pub(crate) golden: Option<Golden>,
    /// Nothing can be released or stripped without it.
    pub(crate) scratch: Option<Scratch>,
    /// How disks have to be attached.
    pub(crate) transports: Vec<String>,
}

/// How golden containers are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Golden {
    pub(crate) vmids: (u32, u32),
    pub(crate) templates: Vec<String>,
    pub(crate) storage: String,
    #[serde(default)]
    pub(crate) bridge: Option<String>,
    #[serde(default)]
    pub(crate) pool: Option<String>,
}

/// Which guests are scratch guests, and whose tasks make them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scratch {
    pub(crate) vmids: (u32, u32),
    pub(crate) tokens: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            golden: Some(Golden {
                vmids: (9900, 9909),
                templates: vec!["local".into()],
                storage: "local-lvm".into(),
                bridge: None,
                pool: None,
            }),
            scratch: Some(Scratch {
                vmids: (9100, 9199),
                tokens: vec!["felhom-test@pve!restore-test".into()],
            }),
            transports: vec!["usb".into()],
        }
    }
}

fn missing(section: &str) -> Refusal {
    let text = format!("/etc/felhom/hostd.toml has no [{section}]");
    Refusal::new(Code::NotConfigured, text)
}

fn within(vmid: u32, (first, last): (u32, u32), what: &str) -> Result<(), Refusal> {
    if RangeInclusive::new(first, last).contains(&vmid) {
        return Ok(());
    }
    let text =
        format!("{vmid} is outside of {first}-{last}, the {what} range of /etc/felhom/hostd.toml");
    Err(Refusal::new(Code::OutsideRange, text))
}

impl Rules {
    /// What it says of golden containers, when this VMID may be one.
    pub(super) fn golden(&self, vmid: u32) -> Result<&Golden, Refusal> {
        let golden = self.golden.as_ref().ok_or_else(|| missing("golden"))?;
        within(vmid, golden.vmids, "golden").map(|()| golden)
    }

    /// What it says of scratch guests, when this VMID may be one.
    pub(super) fn scratch(&self, vmid: u32) -> Result<&Scratch, Refusal> {
        let scratch = self.scratch.as_ref().ok_or_else(|| missing("scratch"))?;
        within(vmid, scratch.vmids, "scratch").map(|()| scratch)
    }
}
