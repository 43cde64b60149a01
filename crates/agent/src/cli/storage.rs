//! `storage list`.

use felhom_engine::{Principal, Retention};

use super::context::{Context, pve_failure};
use crate::exit::{Exit, Failure};
use crate::observe;
use crate::output::{size, table};

pub(super) async fn list(context: &Context) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let pve = performer.remotes().of(Principal::Agent);
    let configs = pve
        .storage_configs()
        .await
        .map_err(|error| pve_failure(&error))?;
    let mut storages = Vec::new();
    for status in pve.storages().await.map_err(|error| pve_failure(&error))? {
        let Some(id) = &status.storage else { continue };
        let config = configs.iter().find(|config| config.storage == *id);
        storages.push(observe::storage_facts(id, &status, config, None));
    }
    storages.sort_by(|a, b| a.id.cmp(&b.id));
    context.printer.document("felhom.storages", &storages, || {
        let rows: Vec<_> = storages
            .iter()
            .map(|storage| {
                vec![
                    storage.id.to_string(),
                    storage.kind.clone(),
                    if storage.active {
                        "active".to_owned()
                    } else {
                        "inactive".to_owned()
                    },
                    size(storage.total),
                    size(storage.avail),
                    match storage.retention {
                        Retention::KeepAll => "keeps all".to_owned(),
                        Retention::Limited => "prunes".to_owned(),
                        Retention::Unknown => "unknown".to_owned(),
                    },
                    storage
                        .content
                        .iter()
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(","),
                ]
            })
            .collect();
        table(
            &[
                "STORAGE",
                "TYPE",
                "STATE",
                "SIZE",
                "FREE",
                "RETENTION",
                "CONTENT",
            ],
            &rows,
        )
    });
    Ok(Exit::Done)
}
