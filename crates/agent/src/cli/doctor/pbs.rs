//! What `doctor` says of the backup servers that it looked at.

use felhom_engine::pbs::{Kit, Sight};
use serde_json::{Value, json};

use crate::doctor::pbs::Looked;

pub(super) fn view(one: &Looked) -> Value {
    let (seen, target) = (&one.seen, &one.seen.target);
    let listing = seen.listing.as_ref();
    json!({
        "storage": target.storage,
        "datastore": target.datastore,
        "namespace": target.namespace,
        "snapshots": listing.ok().map(|listing| listing.snapshots.len()),
        "sight": listing.map_or(Sight::Unknown, |listing| listing.sight),
        "error": listing.err().map(|error| &error.text),
        "maintenance": seen.maintenance,
        "key_fingerprint": one.key,
        "kit": match one.kit {
            Kit::Confirmed => "stored",
            Kit::Unconfirmed => "unconfirmed",
            Kit::None => "none",
        },
    })
}

pub(super) fn line(one: &Looked) -> String {
    let target = &one.seen.target;
    let state = match &one.seen.listing {
        Ok(listing) => {
            let backups = listing.snapshots.iter().filter(|one| one.is_backup());
            format!("lists {} backups", backups.count())
        }
        Err(_) => "cannot be listed".to_owned(),
    };
    match one.findings.len() {
        0 => format!("ok   backup server {target} {state}"),
        1 => format!("BAD  backup server {target} {state}; 1 finding"),
        count => format!("BAD  backup server {target} {state}; {count} findings"),
    }
}
