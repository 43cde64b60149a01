//! What each secret on this box could do today: the inventory that is counted, and what each principal holds on it.

use std::collections::BTreeMap;

use felhom_engine::Principal;
use felhom_engine::privileges::{ArchiveSeen, Damage, HeldAt, Inventory, reach};
use felhom_ids::Vmid;
use felhom_proxmox::{Error, Pve};
use serde::Serialize;

use crate::config::Config;
use crate::remote::Remotes;

/// What one secret opens.
#[derive(Debug, Clone, Serialize)]
pub struct Reach {
    /// Whose secret.
    pub principal: Principal,
    /// `name@realm!token`.
    pub token: String,
    /// What could be done with it, the worst first.
    pub damages: Vec<Damage>,
}

/// What each configured secret opens, counted on what both principals see together.
///
/// # Errors
/// When the server cannot be reached, does not know a token, or answers with garbage.
pub async fn of_every_secret(config: &Config, remotes: &Remotes) -> Result<Vec<Reach>, Error> {
    let agent = remotes.of(Principal::Agent);
    let inventory = inventory(agent).await?;
    let mut found = Vec::new();
    for (principal, identity) in config.identities() {
        let own = remotes.of(principal);
        let mut held = HeldAt::new();
        for path in inventory.paths(&config.node) {
            held.extend(own.permissions_at(&path).await?.0);
        }
        found.push(Reach {
            principal,
            token: identity.token.to_string(),
            damages: reach(&held, &inventory),
        });
    }
    Ok(found)
}

async fn inventory(agent: &Pve) -> Result<Inventory, Error> {
    let resources = agent.resources().await?;
    let is_guest = |kind: &str| kind == "lxc" || kind == "qemu";
    let guests = resources.iter().filter(|one| is_guest(&one.kind));
    let guests = guests.filter_map(|one| one.vmid.and_then(|number| Vmid::new(number).ok()));
    let guests = guests.collect();
    let (mut archives, mut disks) = (Vec::new(), BTreeMap::new());
    for status in agent.storages().await? {
        let Some(storage) = status.storage.filter(|_| status.active) else {
            continue;
        };
        for volume in agent.storage_content(&storage).await? {
            match volume.content.as_deref() {
                Some("backup") => archives.push(ArchiveSeen {
                    storage: storage.clone(),
                    guest: volume.volid.guest(),
                    size: volume.size.unwrap_or_default(),
                    protected: volume.protected,
                }),
                Some("images" | "rootdir") => {
                    *disks.entry(storage.clone()).or_insert(0) += 1;
                }
                _ => {}
            }
        }
        disks.entry(storage).or_insert(0);
    }
    Ok(Inventory {
        guests,
        archives,
        disks,
    })
}
