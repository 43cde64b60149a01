//! Scratch VMIDs, the state of guests, and the long task during which some questions are asked.

use crate::http::Request;
use crate::question::{Effect, Question, Table};
use crate::runner::{Halt, Runner};
use crate::task::follow;

impl Runner<'_> {
    /// A VMID of the scratch range that is free right now, and from now on ours.
    pub(crate) async fn allot(&mut self) -> Result<u32, Halt> {
        for place in 0..self.free.len() {
            let Some(vmid) = self.free.get(place).copied() else {
                break;
            };
            let request = Request::get(&format!("/cluster/nextid?vmid={vmid}"));
            if self.send("maker", &request).await?.status == 200 {
                // To the end of the queue, so that a number comes back as late as possible.
                self.free.remove(place);
                self.free.push(vmid);
                self.bounds.ours.insert(vmid);
                return Ok(vmid);
            }
        }
        Err(Halt::NotApplicable(
            "no free VMID in the scratch range".into(),
        ))
    }

    /// Fills `{fresh}`, `{fresh2}` of a question.
    pub(crate) async fn allot_fresh(&mut self, question: &Question) -> Result<(), Halt> {
        let text = format!("{question:?}");
        for name in ["fresh", "fresh2"] {
            if text.contains(&format!("{{{name}}}")) {
                let vmid = self.allot().await?;
                self.local.insert(name.into(), vmid.to_string());
            }
        }
        Ok(())
    }

    /// Of which kind a guest is, as paths say it, and whether it runs.
    async fn power(&mut self, vmid: &str) -> Result<(&'static str, bool), Halt> {
        let mut answers = Vec::new();
        for kind in ["lxc", "qemu"] {
            let path = format!("/nodes/{}/{kind}/{vmid}/status/current", self.target.node);
            let answer = self.send("maker", &Request::get(&path)).await?;
            let data = answer.data();
            match data.get("status").and_then(serde_json::Value::as_str) {
                Some(status) => return Ok((kind, status == "running")),
                None => answers.push(format!("{} {}", answer.status, answer.text())),
            }
        }
        Err(Halt::Broken(format!(
            "guest {vmid}: {}",
            answers.join("; ")
        )))
    }

    /// Starts or stops a guest, by name, where it is not so already.
    pub(crate) async fn ensure(&mut self, name: &str, running: bool) -> Result<(), Halt> {
        let vmid = self.text(&format!("{{{name}}}"))?;
        let (kind, is_running) = self.power(&vmid).await?;
        if is_running == running {
            return Ok(());
        }
        let verb = if running { "start" } else { "stop" };
        let ask = format!("POST /nodes/{{node}}/{kind}/{vmid}/status/{verb}");
        let came = self.own(&ask, &Table::new()).await?;
        let exit = came.task.and_then(|task| task.exit);
        if exit.as_deref() == Some("OK") {
            return Ok(());
        }
        let text = format!(
            "{verb} of {vmid}: {} {} {exit:?}",
            came.answer.status,
            came.answer.text()
        );
        Err(Halt::Broken(text))
    }

    /// Starts a long task where it does not run, and waits until it is under way.
    pub(crate) async fn begin_during(&mut self, name: &str) -> Result<(), Halt> {
        if self
            .during
            .as_ref()
            .is_some_and(|(running, _, _)| running == name)
            && self.during_runs().await?
        {
            return Ok(());
        }
        self.end_during().await;
        let Some(during) = self.catalogue.during.get(name) else {
            return Err(Halt::Broken(format!("no task `{name}`")));
        };
        for fixture in &during.uses {
            self.fixture(fixture).await?;
        }
        for guest in &during.running {
            self.ensure(guest, true).await?;
        }
        let request = self.request(&during.start.ask, &during.start.with)?;
        let answer = self.send(&during.start.by, &request).await?;
        let Some(upid) = answer.upid() else {
            return Err(Halt::Broken(format!(
                "{}: {} {}",
                request.shown(),
                answer.status,
                answer.text()
            )));
        };
        self.bounds.tasks.insert(upid.clone());
        self.during = Some((name.to_owned(), during.start.by.clone(), upid));
        let under_way: &Effect = &during.until;
        match self.effect(under_way).await?.first() {
            None => Ok(()),
            Some(point) => Err(Halt::Broken(format!(
                "{name}: {} is {}",
                point.what, point.came
            ))),
        }
    }

    /// Whether the long task still runs.
    pub(crate) async fn during_runs(&mut self) -> Result<bool, Halt> {
        let Some((name, by, upid)) = self.during.clone() else {
            return Ok(false);
        };
        let path = format!(
            "/nodes/{}/tasks/{}/status",
            self.target.node,
            crate::http::encoded(&upid)
        );
        let answer = self.send(&by, &Request::get(&path)).await?;
        let data = answer.data();
        if data.get("status").and_then(serde_json::Value::as_str) != Some("running") {
            return Ok(false);
        }
        // Its lock is the last thing to come and the first to go.
        let Some(during) = self.catalogue.during.get(&name) else {
            return Ok(false);
        };
        let now = Effect {
            within_s: 0,
            ..during.until.clone()
        };
        Ok(self.effect(&now).await?.is_empty())
    }

    /// Lets the long task come to its end, and takes what it wrote into the ledger.
    pub(crate) async fn end_during(&mut self) {
        let Some((_, by, upid)) = self.during.take() else {
            return;
        };
        let (node, patience) = (self.target.node.clone(), self.patience());
        if let Ok(client) = self.client(&by).await
            && let Ok(ended) = follow(client, &node, &upid, patience).await
        {
            self.note_archive(&ended);
        }
    }
}
