//! Cleaning up: what the ledger holds, the last first, each looked at before it is removed.

use crate::http::encoded;
use crate::ledger::Made;
use crate::question::Table;
use crate::runner::{Halt, Runner};

impl Runner<'_> {
    /// Removes everything that was made since `from`; what stays is reported.
    pub(crate) async fn sweep(&mut self, from: usize) {
        for made in self.ledger.take_since(from) {
            if let Err(halt) = self.remove(&made).await {
                let why = match halt {
                    Halt::NotApplicable(why) | Halt::Broken(why) | Halt::Closed(why) => why,
                };
                self.leftovers.insert(format!("{made:?}: {why}"));
            }
        }
    }

    async fn remove(&mut self, made: &Made) -> Result<(), Halt> {
        match made {
            Made::Guest(vmid) => self.remove_guest(*vmid).await,
            Made::Archive { storage, volid } | Made::Volume { storage, volid } => {
                self.remove_volume(storage, volid).await
            }
            Made::Snapshot { vmid, name } => {
                self.gone(&format!(
                    "DELETE /nodes/{{node}}/lxc/{vmid}/snapshot/{name}"
                ))
                .await
            }
            Made::Storage(id) => self.gone(&format!("DELETE /storage/{id}")).await,
            Made::User(id) => self.gone(&format!("DELETE /access/users/{id}")).await,
            Made::Token(user) => {
                self.gone(&format!("DELETE /access/users/{user}/token/contract"))
                    .await
            }
            Made::Acl { path, role, auth } => {
                let with = [("path", path), ("role", role), ("auth-id", auth)];
                let with = with.map(|(name, value)| (name, value.as_str()));
                self.gone_with(
                    "PUT /access/acl",
                    &[with.as_slice(), &[("delete", "1")]].concat(),
                )
                .await
            }
            Made::Datastore(id) => {
                let ask = format!("DELETE /config/datastore/{id}");
                self.gone_with(&ask, &[("destroy-data", "1")]).await
            }
            Made::Role(id) => self.gone(&format!("DELETE /access/roles/{id}")).await,
        }
    }

    async fn tried(&mut self, ask: &str, with: &[(&str, &str)]) -> Result<(u16, String), Halt> {
        let table: Table = with
            .iter()
            .map(|(key, value)| ((*key).to_owned(), toml::Value::String((*value).to_owned())))
            .collect();
        let came = self.own(ask, &table).await?;
        let text = match came.task {
            Some(task) => task.exit.unwrap_or(task.trouble),
            None => came.answer.text(),
        };
        Ok((came.answer.status, text))
    }

    /// Removes something; that it is not there is as good.
    async fn gone(&mut self, ask: &str) -> Result<(), Halt> {
        self.gone_with(ask, &[]).await
    }

    async fn gone_with(&mut self, ask: &str, with: &[(&str, &str)]) -> Result<(), Halt> {
        let (status, text) = self.tried(ask, with).await?;
        let absent = ["does not exist", "no such", "not found"]
            .iter()
            .any(|part| text.contains(part));
        let task_failed = status == 200 && !text.starts_with("OK") && !text.starts_with("WARNINGS");
        // An answer without a task has the status line's text.
        if absent || status == 200 && !task_failed {
            return Ok(());
        }
        Err(Halt::Broken(format!("{status} {text}")))
    }

    async fn remove_volume(&mut self, storage: &str, volid: &str) -> Result<(), Halt> {
        let ask = format!(
            "/nodes/{{node}}/storage/{storage}/content/{}",
            encoded(volid)
        );
        if volid.contains(":backup/") {
            self.tried(&format!("PUT {ask}"), &[("protected", "0")])
                .await?;
        }
        self.gone(&format!("DELETE {ask}")).await
    }

    async fn remove_guest(&mut self, vmid: u32) -> Result<(), Halt> {
        let guest = format!("/nodes/{{node}}/lxc/{vmid}");
        let (status, text) = self.tried(&format!("GET {guest}/config"), &[]).await?;
        if status != 200 {
            // No container: nothing, or a VM that a question made.
            if text.contains("does not exist") {
                let vm = format!("/nodes/{{node}}/qemu/{vmid}");
                let (status, _) = self.tried(&format!("GET {vm}/config"), &[]).await?;
                if status == 200 {
                    // Fails where it does not run, which is as well.
                    self.tried(&format!("POST {vm}/status/stop"), &[]).await?;
                    return self.gone(&format!("DELETE {vm}")).await;
                }
                return Ok(());
            }
            return Err(Halt::Broken(format!("{status} {text}")));
        }
        self.tried(&format!("PUT {guest}/config"), &[("protection", "0")])
            .await?;
        // Fails where it does not run, which is as well.
        self.tried(&format!("POST {guest}/status/stop"), &[])
            .await?;
        self.gone(&format!("DELETE {guest}")).await
    }
}
