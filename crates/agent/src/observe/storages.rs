//! All storages of the node, within bounded time: what each is by its definition, and which of them answers.
//!
//! For its list of storages PVE activates one after the other, and for the status of a single one just the same (pve-storage
//! `Storage.pm` `storage_info`): a server that says nothing costs ten seconds, a dead mount never ends. Only the content of a
//! storage touches that one alone. So the list is asked for once; when it is late, each storage by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use felhom_engine::storages::{Answer, Backing};
use felhom_ids::{Namespace, NodeName, StorageId};
use felhom_proxmox::pve::disks::{MountUnit, ThinPool};
use felhom_proxmox::pve::storage::{ListContent, StorageConfig, StorageStatus};
use felhom_proxmox::{Error, Pve};
use tokio::time::timeout;

/// The longest that storages are waited for: PVE itself gives a server ten seconds before it takes it for dead.
const PATIENCE: Duration = Duration::from_secs(15);
/// Whoever stands before a dead mount holds one of the three workers of `pvedaemon`; after so many nobody else is asked.
const MOST_LATE: usize = 2;

/// How long a look at storages may take, where requests may take so long.
pub(crate) fn patience(request: Duration) -> Duration {
    request.min(PATIENCE)
}

/// The storages as the node told.
#[derive(Debug)]
pub(crate) struct Storages {
    /// What is defined, as far as this token sees it.
    pub(crate) definitions: Vec<StorageConfig>,
    /// What became of asking.
    pub(crate) answers: BTreeMap<StorageId, (Answer, Option<String>)>,
    /// How full those are that the list told of.
    pub(crate) statuses: BTreeMap<StorageId, StorageStatus>,
    /// The thin pools; none without `Sys.Audit`.
    pub(crate) pools: Vec<ThinPool>,
    /// The mount units that PVE has made; none without `Sys.Audit`.
    units: Vec<MountUnit>,
}

impl Storages {
    /// The UUID of the file system that a directory lies on. Only where the node checks that something is mounted there can
    /// it be that of its mount unit.
    pub(crate) fn filesystem(&self, config: &StorageConfig) -> Option<&str> {
        let path = config.path.as_deref()?.trim_end_matches('/');
        if config.kind != "dir" || !config.must_be_mounted() {
            return None;
        }
        let mut units = self.units.iter();
        units.find(|unit| unit.path == path)?.filesystem()
    }
}

/// Looks at all storages. The definitions come first, for which no storage is touched.
pub(crate) async fn storages(
    pve: &Pve,
    node: &NodeName,
    patience: Duration,
) -> Result<Storages, Error> {
    let definitions = pve.storage_configs().await?;
    let statuses = match timeout(patience, pve.storages()).await {
        Ok(Ok(listed)) => Some(listed),
        Ok(Err(error)) if !is_late(&error) => return Err(error),
        Ok(Err(_)) | Err(_) => None,
    };
    let statuses = statuses.map(|listed| {
        let named = listed.into_iter();
        named
            .filter_map(|status| Some((status.storage.clone()?, status)))
            .collect::<BTreeMap<_, _>>()
    });
    let answers = match &statuses {
        Some(statuses) => definitions
            .iter()
            .map(|one| (one.storage.clone(), listed(one, node, statuses)))
            .collect(),
        None => each(pve, node, &definitions, patience).await,
    };
    let pools = in_time(patience, pve.thin_pools()).await;
    let units = in_time(patience, pve.mount_units()).await;
    Ok(Storages {
        definitions,
        answers,
        statuses: statuses.unwrap_or_default(),
        pools,
        units,
    })
}

/// What is good to know, and does without.
async fn in_time<T>(
    patience: Duration,
    asked: impl Future<Output = Result<Vec<T>, Error>>,
) -> Vec<T> {
    match timeout(patience, asked).await {
        Ok(Ok(told)) => told,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the node does not tell about its disks");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

/// Whether nobody came to answer in time, here or behind the node's front.
pub(crate) fn is_late(error: &Error) -> bool {
    matches!(error, Error::Timeout { .. } | Error::Proxy { .. })
}

/// Why a storage is not asked at all.
fn switched_off(config: &StorageConfig, node: &NodeName) -> Option<&'static str> {
    if config.disable {
        return Some("it is disabled");
    }
    let here = node.to_string();
    let elsewhere = !config.nodes.is_empty() && !config.nodes.contains(&here);
    elsewhere.then_some("it is not for this node")
}

fn listed(
    config: &StorageConfig,
    node: &NodeName,
    statuses: &BTreeMap<StorageId, StorageStatus>,
) -> (Answer, Option<String>) {
    if let Some(why) = switched_off(config, node) {
        return (Answer::Active(false), Some(why.to_owned()));
    }
    let Some(status) = statuses.get(&config.storage) else {
        return silent("it is defined, and not in the node's list".to_owned());
    };
    let why = (!status.active).then(|| "the node cannot reach it".to_owned());
    (Answer::Active(status.active), why)
}

/// Asks each storage by itself, those of the node's own disks first.
async fn each(
    pve: &Pve,
    node: &NodeName,
    definitions: &[StorageConfig],
    patience: Duration,
) -> BTreeMap<StorageId, (Answer, Option<String>)> {
    let mut order: Vec<&StorageConfig> = definitions.iter().collect();
    order.sort_by_key(|config| (config.server.is_some(), &config.storage));
    let (mut answers, mut late) = (BTreeMap::new(), 0_usize);
    for config in order {
        let answer = if let Some(why) = switched_off(config, node) {
            (Answer::Active(false), Some(why.to_owned()))
        } else if late >= MOST_LATE {
            silent("it was not asked, since others did not answer".to_owned())
        } else {
            match timeout(patience, touch(pve, config)).await {
                Ok(Ok(())) => (Answer::Active(true), None),
                Ok(Err(Error::Api { text, .. })) => (Answer::Active(false), Some(text)),
                Ok(Err(error)) if !is_late(&error) => silent(error.to_string()),
                Ok(Err(_)) => {
                    late = late.saturating_add(1);
                    silent("the node got no answer from it".to_owned())
                }
                Err(_) => {
                    late = late.saturating_add(1);
                    let seconds = patience.as_secs_f32();
                    silent(format!("it did not answer within {seconds} s"))
                }
            }
        };
        answers.insert(config.storage.clone(), answer);
    }
    answers
}

fn silent(why: String) -> (Answer, Option<String>) {
    (Answer::None(why.clone()), Some(why))
}

/// Makes the node activate this storage and list nothing of it: of a content that it does not take.
async fn touch(pve: &Pve, config: &StorageConfig) -> Result<(), Error> {
    let kinds = ["iso", "vztmpl", "snippets", "rootdir", "images", "backup"];
    let unused = kinds
        .into_iter()
        .find(|kind| !config.content.iter().any(|taken| taken == kind));
    let list = ListContent {
        storage: config.storage.clone(),
        content: Some(unused.unwrap_or("snippets").to_owned()),
        vmid: None,
    };
    pve.call(&list).await.map(drop)
}

/// What a storage lies on. What lacks a value that its type must have, or has one that cannot be read, is something else.
pub(crate) fn backing(config: &StorageConfig, filesystem: Option<&str>) -> Backing {
    known(config, filesystem).unwrap_or_else(|| Backing::Other {
        kind: config.kind.clone(),
    })
}

fn known(config: &StorageConfig, filesystem: Option<&str>) -> Option<Backing> {
    Some(match config.kind.as_str() {
        "dir" => Backing::Dir {
            path: config.path.clone()?,
            filesystem: filesystem.map(str::to_owned),
        },
        "nfs" => Backing::Nfs {
            server: config.server.clone()?,
            export: config.export.clone()?,
        },
        "cifs" => Backing::Cifs {
            server: config.server.clone()?,
            share: config.share.clone()?,
        },
        "lvmthin" => Backing::LvmThin {
            vg: config.vgname.clone()?,
            pool: config.thinpool.clone()?,
        },
        "pbs" => Backing::Pbs {
            server: config.server.clone()?,
            port: config.port,
            datastore: config.datastore.as_deref()?.parse().ok()?,
            namespace: match config.namespace.as_deref() {
                None | Some("") => Namespace::root(),
                Some(text) => text.parse().ok()?,
            },
            fingerprint: match &config.fingerprint {
                Some(text) => Some(text.parse().ok()?),
                None => None,
            },
        },
        _ => return None,
    })
}
