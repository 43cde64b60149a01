//! The datastore before the first question: made where it is missing, and what was put into it given names.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::http::{Answer, Request};
use crate::ledger::Made;
use crate::runner::{Halt, RunError, Runner};

/// The namespace whose one group is asked about.
const NAMESPACE: &str = "site";
/// What the backup ids stand for, and how many snapshots of them there must be.
const GROUPS: [(&str, &str, usize); 7] = [
    ("9001", "plain", 1),
    ("9002", "encrypted", 1),
    ("9010", "expendable", 3),
    ("9021", "damaged", 1),
    ("9022", "gone", 1),
    ("9023", "tampered", 1),
    ("9030", "running", 1),
];
/// Those that a verification changes: they are asked about once.
const FRESH: [&str; 3] = ["damaged", "gone", "tampered"];

/// Snapshots of a list by backup id, the oldest first.
fn groups(list: &Value) -> BTreeMap<String, Vec<&Value>> {
    let mut groups: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for item in list.as_array().into_iter().flatten() {
        if let Some(id) = item.get("backup-id").and_then(Value::as_str) {
            groups.entry(id.to_owned()).or_default().push(item);
        }
    }
    for snapshots in groups.values_mut() {
        snapshots.sort_by_key(|item| time(item));
    }
    groups
}

fn time(item: &Value) -> Option<i64> {
    item.get("backup-time").and_then(Value::as_i64)
}

fn trouble(halt: Halt) -> RunError {
    let (Halt::NotApplicable(text) | Halt::Broken(text) | Halt::Closed(text)) = halt;
    RunError::Unprepared(text)
}

impl Runner<'_> {
    /// Makes the datastore if it may, and names what is in it; a server of the other kind needs nothing.
    pub(crate) async fn prepare(&mut self) -> Result<(), RunError> {
        let Some(store) = &self.target.store else {
            return Ok(());
        };
        let shown = format!("/admin/datastore/{}/snapshots", store.name);
        let mut list = self.looked(&shown).await?;
        if list.status == 400 && list.text().contains("no such datastore") {
            let Some(path) = store.path.clone() else {
                let text = format!(
                    "there is no datastore `{}`, and the target says no `path` to make it at",
                    store.name
                );
                return Err(RunError::Unprepared(text));
            };
            self.make_store(&store.name, path).await?;
            list = self.looked(&shown).await?;
        }
        if list.status != 200 {
            let text = format!("`{}`: {} {}", store.name, list.status, list.text());
            return Err(RunError::Unprepared(text));
        }
        self.name_snapshots(&list.data());
        let below = self.looked(&format!("{shown}?ns={NAMESPACE}")).await?;
        if let Some(first) = below.data().get(0).and_then(time) {
            self.names.insert("ns".into(), NAMESPACE.into());
            self.names.insert("below".into(), first.to_string());
        }
        Ok(())
    }

    async fn looked(&mut self, path: &str) -> Result<Answer, RunError> {
        let answer = self.send("admin", &Request::get(path)).await;
        answer.map_err(trouble)
    }

    async fn make_store(&mut self, name: &str, path: String) -> Result<(), RunError> {
        let form = vec![
            ("name".to_owned(), name.to_owned()),
            ("path".to_owned(), path),
        ];
        let request = Request::new("POST", "/config/datastore", form);
        self.ledger.note(Made::Datastore(name.to_owned()));
        let came = self.call("admin", &request).await.map_err(trouble)?;
        let exit = came.task.and_then(|task| task.exit);
        if came.answer.status == 200 && exit.is_none_or(|exit| exit == "OK") {
            return Ok(());
        }
        let text = format!("`{name}` can't be made: {}", came.answer.text());
        Err(RunError::Unprepared(text))
    }

    fn name_snapshots(&mut self, list: &Value) {
        let groups = groups(list);
        for (id, name, wanted) in GROUPS {
            let Some(snapshots) = groups.get(id).filter(|found| found.len() == wanted) else {
                continue;
            };
            let Some(first) = snapshots.first() else {
                continue;
            };
            let verified = first.get("verification").is_some();
            let Some(time) = time(first).filter(|_| !(verified && FRESH.contains(&name))) else {
                continue;
            };
            self.names.insert(name.to_owned(), time.to_string());
            let times = snapshots.iter().filter_map(|item| self::time(item));
            for (place, time) in times.enumerate().skip(1) {
                let later = format!("{name}-{}", place + 1);
                self.names.insert(later, time.to_string());
            }
        }
    }
}
