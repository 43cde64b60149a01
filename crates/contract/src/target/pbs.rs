//! The part of a target file that describes a backup server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use felhom_ids::DatastoreName;
use serde::Deserialize;

use super::{Credentials, Store, Target, TargetError, default_patience, parsed, principal};
use crate::bounds::PREFIX;
use crate::place::Place;
use crate::product::Product;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pbs: Server,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Server {
    url: String,
    fingerprint: String,
    /// What questions call the node; a backup server takes any host name.
    #[serde(default = "localhost")]
    node: String,
    admin: Credentials,
    datastore: String,
    path: Option<String>,
    #[serde(default)]
    abilities: BTreeSet<String>,
    #[serde(default = "default_patience")]
    patience_s: u64,
}

fn localhost() -> String {
    "localhost".into()
}

/// A target, if its datastore is one of ours.
pub(super) fn checked(file: File, beside: &Path) -> Result<Target, TargetError> {
    let server = file.pbs;
    let store = parsed::<DatastoreName>("pbs.datastore", &server.datastore)?.to_string();
    if !store.starts_with(PREFIX) {
        return Err(TargetError::Value(format!(
            "pbs.datastore: `{store}` may hold somebody's backups; questions delete snapshots, and only ask about a \
             datastore whose name begins with `{PREFIX}`"
        )));
    }
    let names = [("node", &server.node), ("store", &store)];
    let names = names.map(|(name, value)| (name.to_owned(), value.clone()));
    Ok(Target {
        product: Product::Pbs,
        place: Place::parse(&server.url, Product::Pbs).map_err(TargetError::Value)?,
        fingerprint: parsed("pbs.fingerprint", &server.fingerprint)?,
        node: server.node,
        abilities: server.abilities,
        patience_s: server.patience_s,
        principals: BTreeMap::from([(
            "root".to_owned(),
            principal("admin", &server.admin, beside)?,
        )]),
        expendable: BTreeSet::new(),
        named: BTreeSet::new(),
        scratch: None,
        store: Some(Store {
            name: store,
            path: server.path,
        }),
        names: names.into(),
    })
}
