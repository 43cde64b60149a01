//! The packages that Proxmox VE itself counts as its own, and what an update would make of them.

use felhom_ids::NodeName;
use serde::Deserialize;

use super::Pve;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// A list of packages is never longer; a node has some seventy, each with a description.
const LONGEST: usize = 4 << 20;

/// `GET /nodes/N/apt/versions`: `Sys.Audit` on the node. Unlike the list of all updates (`apt/update`), which wants `Sys.Modify`,
/// it has a fixed choice of packages: kernels, and those that Proxmox VE is made of (pve-manager `API2/APT.pm` `versions`).
#[derive(Debug, Clone, Copy)]
pub struct ListPackages;

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Package {
    /// Its name.
    #[serde(rename = "Package", deserialize_with = "decode::text")]
    pub name: String,
    /// The version that an update would bring; the installed one where there is none newer.
    #[serde(rename = "Version", deserialize_with = "decode::text")]
    pub candidate: String,
    /// The version that is installed; of a package that is not, none.
    #[serde(
        default,
        rename = "OldVersion",
        deserialize_with = "decode::maybe_text"
    )]
    pub installed: Option<String>,
}

impl Package {
    /// Whether an update would renew it.
    pub fn is_outdated(&self) -> bool {
        let mut installed = self.installed.iter();
        installed.any(|installed| *installed != self.candidate)
    }
}

impl Endpoint for ListPackages {
    type Response = Vec<Package>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"apt", &"versions"]).at_most(LONGEST)
    }
}

impl Pve {
    /// The packages that Proxmox VE counts as its own, as the node last heard of updates.
    pub async fn packages(&self) -> Result<Vec<Package>, Error> {
        self.call(&ListPackages).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_can_be_outdated() {
        let of = |json: &str| serde_json::from_str::<Package>(json).unwrap().is_outdated();
        let newer = r#"{"Package":"pve-manager","Version":"9.2.12","OldVersion":"9.2.11","CurrentState":"Installed"}"#;
        assert!(of(newer));
        assert!(!of(&newer.replace("9.2.12", "9.2.11")));
        assert!(!of(
            r#"{"Package":"swtpm","Version":"0.7.1","CurrentState":"NotInstalled"}"#
        ));
    }
}
