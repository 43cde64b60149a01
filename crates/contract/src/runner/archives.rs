//! Seeing what a call made: guests, archives, volumes, snapshots, storages, each proven absent before.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::http::{Answer, Request};
use crate::ledger::Made;
use crate::runner::{Halt, Runner};
use crate::task::Ended;

/// What was there before a call.
#[derive(Debug, Default)]
pub(crate) struct Known {
    snapshots: Option<BTreeSet<String>>,
}

/// The parts of a path.
fn segments(request: &Request) -> Vec<String> {
    let path = request.path.split('?').next().unwrap_or_default();
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect()
}

impl Runner<'_> {
    /// Looks at what a call could add to.
    pub(crate) async fn before_call(&mut self, request: &Request) -> Result<Known, Halt> {
        let mut known = Known::default();
        if request.method != "POST" {
            return Ok(known);
        }
        // In the ledger before the request leaves: whatever comes of it, it is looked for.
        let parts = segments(request);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if let ["nodes", _, "lxc", vmid, "snapshot"] = parts.as_slice() {
            known.snapshots = self.snapshots(vmid).await.ok();
        }
        let vmid = match parts.as_slice() {
            ["nodes", _, "lxc" | "qemu"] => request.param("vmid"),
            ["nodes", _, "lxc", _, "clone"] => request.param("newid"),
            _ => None,
        };
        if let Some(vmid) = vmid.and_then(|vmid| vmid.parse().ok())
            && self.bounds.ours.contains(&vmid)
        {
            self.ledger.note(Made::Guest(vmid));
        }
        Ok(known)
    }

    async fn snapshots(&mut self, vmid: &str) -> Result<BTreeSet<String>, Halt> {
        let path = format!("/nodes/{}/lxc/{vmid}/snapshot", self.target.node);
        let answer = self.send("observer", &Request::get(&path)).await?;
        let list = answer.data();
        let name = |row: &Value| row.get("name").and_then(Value::as_str).map(str::to_owned);
        let rows = list
            .as_array()
            .ok_or_else(|| Halt::Broken("no list of snapshots".into()))?;
        Ok(rows.iter().filter_map(name).collect())
    }

    /// Notes down what came of a call.
    pub(crate) async fn after_call(
        &mut self,
        request: &Request,
        answer: &Answer,
        task: Option<&Ended>,
        known: Known,
    ) -> Result<(), Halt> {
        if request.method != "POST" || answer.status != 200 {
            return Ok(());
        }
        let parts = segments(request);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["nodes", _, "vzdump"] => {
                if let Some(task) = task {
                    self.note_archive(task);
                }
            }
            ["nodes", _, "lxc", vmid, "snapshot"] => {
                let now = self.snapshots(vmid).await.unwrap_or_default();
                for name in now.difference(&known.snapshots.unwrap_or_else(|| now.clone())) {
                    if let Ok(vmid) = vmid.parse() {
                        self.ledger.note(Made::Snapshot {
                            vmid,
                            name: name.clone(),
                        });
                    }
                }
            }
            ["nodes", _, "storage", storage, "content"] => {
                if let Some(volid) = answer.data().as_str() {
                    self.bounds.volumes.insert(volid.to_owned());
                    self.ledger.note(Made::Volume {
                        storage: (*storage).to_owned(),
                        volid: volid.to_owned(),
                    });
                }
            }
            ["storage"] => {
                if let Some(id) = request.param("storage") {
                    self.ledger.note(Made::Storage(id.to_owned()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The archives that a backup task says it wrote. PVE never writes over one: a name that is taken fails the task.
    pub(crate) fn note_archive(&mut self, task: &Ended) {
        let storage = task
            .log
            .iter()
            .find_map(|line| line.split_once("--storage ").map(|(_, rest)| rest))
            .and_then(|rest| rest.split_whitespace().next());
        let fallback = self.names.get("backups").cloned().unwrap_or_default();
        let storage = storage.map_or(fallback, str::to_owned);
        let said = task.log.iter().filter_map(|line| {
            let (_, path) = line.split_once("creating vzdump archive '")?;
            let (_, file) = path.trim_end_matches('\'').rsplit_once('/')?;
            Some(file.to_owned())
        });
        for file in said.collect::<Vec<_>>() {
            let volid = format!("{storage}:backup/{file}");
            self.bounds.volumes.insert(volid.clone());
            self.ledger.note(Made::Archive {
                storage: storage.clone(),
                volid,
            });
        }
    }
}
