//! One question from its preconditions to its effects.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::check::{Found, at, plain};
use crate::http::{Answer, Body, Request};
use crate::judge::compare;
use crate::question::{Effect, Identity, Question, Step, Table};
use crate::report::{Difference, Verdict};
use crate::runner::names::as_json;
use crate::runner::{Built, Halt, Runner};
use crate::task::{Ended, follow};

/// How often the request that is asked during a task is asked again because the task was over too soon.
const TRIES: usize = 3;

/// What came of a call: the answer, and the end of the task that it started.
pub(crate) struct Came {
    pub(crate) answer: Answer,
    pub(crate) task: Option<Ended>,
}

impl Runner<'_> {
    /// Asks, compares, and cleans up.
    pub(crate) async fn verdict(&mut self, question: &Question) -> Verdict {
        let prepared = self.fixtures_for(question).await;
        let from = self.ledger.len();
        let result = match prepared {
            Ok(()) => self.differences(question).await,
            Err(halt) => Err(halt),
        };
        for step in &question.undo {
            // Whatever cannot be undone stands in the ledger and is swept.
            let _tried = self.step(step).await;
        }
        self.sweep(from).await;
        self.local.clear();
        match result {
            Ok(differences) if differences.is_empty() => Verdict::Agree,
            Ok(differences) => Verdict::Differ { differences },
            Err(halt) => Verdict::from(halt),
        }
    }

    async fn fixtures_for(&mut self, question: &Question) -> Result<(), Halt> {
        let identity = self.catalogue.identities.contains_key(&question.by);
        if identity && !self.options.may_edit_identities {
            let why = "users, tokens and roles are only made with --may-edit-identities";
            return Err(Halt::NotApplicable(why.into()));
        }
        let is_root = self.principal_id(&question.by).as_deref() == Some("root@pam");
        if is_root && question.by != "root" && question.forbids() {
            let why = format!(
                "`{}` is root@pam here, whom nothing is forbidden",
                question.by
            );
            return Err(Halt::NotApplicable(why));
        }
        for ability in &question.needs {
            let is_principal = self.target.principals.contains_key(ability);
            let is_named = self.names.contains_key(ability);
            if !is_principal && !is_named && !self.target.abilities.contains(ability) {
                return Err(Halt::NotApplicable(format!(
                    "the target has no `{ability}`"
                )));
            }
        }
        if question.during.is_none() {
            self.end_during().await;
        }
        // Made before anything else, so that it stays when the question is over.
        self.client(&question.by).await?;
        for name in &question.uses {
            self.fixture(name).await?;
        }
        Ok(())
    }

    /// Makes a fixture, once.
    pub(crate) async fn fixture(&mut self, name: &str) -> Result<(), Halt> {
        let built = if let Some(built) = self.fixtures.get(name) {
            built.clone()
        } else {
            let built = match Box::pin(self.build(name)).await {
                Ok(()) => Built::Ready,
                Err(Halt::NotApplicable(why)) => Built::NotApplicable(why),
                Err(Halt::Broken(text) | Halt::Closed(text)) => Built::Broken(text),
            };
            self.fixtures.insert(name.to_owned(), built.clone());
            built
        };
        match built {
            Built::Ready => Ok(()),
            Built::NotApplicable(why) => Err(Halt::NotApplicable(why)),
            Built::Broken(text) => Err(Halt::Broken(format!("fixture `{name}`: {text}"))),
        }
    }

    async fn build(&mut self, name: &str) -> Result<(), Halt> {
        let Some(fixture) = self.catalogue.fixtures.get(name) else {
            return Err(Halt::Broken(format!("no fixture `{name}`")));
        };
        for ability in &fixture.needs {
            if !self.target.abilities.contains(ability) {
                return Err(Halt::NotApplicable(format!(
                    "the target has no `{ability}`"
                )));
            }
        }
        for other in &fixture.uses {
            self.fixture(other).await?;
        }
        for vmid in &fixture.vmids {
            let free = self.allot().await?;
            self.names.insert(vmid.clone(), free.to_string());
        }
        for step in &fixture.steps {
            self.step(step).await?;
            // What a fixture's steps are given names for stays known.
            let local = std::mem::take(&mut self.local);
            self.names.extend(local);
        }
        Ok(())
    }

    /// Performs what a role does once.
    pub(crate) async fn set_up(&mut self, role: &Identity) -> Result<(), Halt> {
        for name in &role.uses {
            self.fixture(name).await?;
        }
        for step in &role.steps {
            self.step(step).await?;
            let local = std::mem::take(&mut self.local);
            self.names.extend(local);
        }
        Ok(())
    }

    async fn differences(&mut self, question: &Question) -> Result<Vec<Difference>, Halt> {
        if let Some(me) = self.principal_id(&question.by) {
            self.local.insert("me".into(), me);
        }
        self.allot_fresh(question).await?;
        for name in &question.running {
            self.ensure(name, true).await?;
        }
        for name in &question.stopped {
            self.ensure(name, false).await?;
        }
        for step in &question.before {
            self.step(step).await?;
        }
        let request = self.built(question)?;
        let mut tries = 0;
        let came = loop {
            if let Some(during) = &question.during {
                self.begin_during(during).await?;
            }
            tries += 1;
            let archives = self.bounds.volumes.clone();
            let came = match self.call(&question.by, &request).await {
                // Expected, and looked for by its own status.
                Err(Halt::Closed(_)) if question.expect.status() == 0 => Came {
                    answer: Answer::none(self.target.product),
                    task: None,
                },
                came => came?,
            };
            if let Some(made) = self.bounds.volumes.difference(&archives).next() {
                self.local.insert("made".into(), made.clone());
            }
            if question.during.is_none() || tries >= TRIES || self.during_runs().await? {
                break came;
            }
        };
        if let Some(task) = &came.task {
            self.local.insert("upid".into(), task.upid.clone());
        }
        let fill = |text: &str| self.expected(text);
        let mut differences = compare(&question.expect, &came.answer, came.task.as_ref(), &fill);
        if differences.is_empty() {
            for effect in &question.effects {
                differences.extend(self.effect(effect).await?);
            }
        }
        Ok(differences)
    }

    fn built(&self, question: &Question) -> Result<Request, Halt> {
        let mut request = self.request(&question.ask, &question.with)?;
        if question.json {
            request = as_json(request);
        }
        if let Some((kind, text)) = &question.raw {
            let text = self.text(text)?;
            request.body = Body::Raw {
                kind: kind.clone(),
                text,
            };
        }
        for (name, value) in &question.headers {
            request.headers.push((name.clone(), self.text(value)?));
        }
        Ok(request)
    }

    /// Sends a request, notes down what it makes, and follows its task to the end.
    pub(crate) async fn call(&mut self, by: &str, request: &Request) -> Result<Came, Halt> {
        let known = self.before_call(request).await?;
        let answer = self.send(by, request).await?;
        let task = match answer.upid() {
            Some(upid) => {
                self.bounds.tasks.insert(upid.clone());
                let (node, patience) = (self.target.node.clone(), self.patience());
                let client = self.client(by).await?;
                Some(follow(client, &node, &upid, patience).await?)
            }
            None => None,
        };
        self.after_call(request, &answer, task.as_ref(), known)
            .await?;
        Ok(Came { answer, task })
    }

    /// Does something that has to work.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<Came, Halt> {
        let request = self.request(&step.ask, &step.with)?;
        let archives = self.bounds.volumes.clone();
        let came = self.call(&step.by, &request).await?;
        let exit = came
            .task
            .as_ref()
            .map(|task| task.exit.clone().unwrap_or_else(|| task.trouble.clone()));
        let well = exit
            .as_ref()
            .is_none_or(|exit| exit == "OK" || exit.starts_with("WARNINGS"));
        if !step.optional && (came.answer.status != 200 || !well) {
            let text = format!(
                "{}: {} {} {}",
                request.shown(),
                came.answer.status,
                came.answer.text(),
                exit.unwrap_or_default()
            );
            return Err(Halt::Broken(text));
        }
        let data = came.answer.data();
        for (name, path) in &step.save {
            let path = self.text(path)?;
            let value = match at(&data, &path) {
                Some(Found::Value(value)) => plain(value),
                Some(Found::Count(count)) => count.to_string(),
                None => {
                    return Err(Halt::Broken(format!(
                        "{}: nothing at `{path}`",
                        request.shown()
                    )));
                }
            };
            self.local.insert(name.clone(), value);
        }
        if let Some(task) = &came.task {
            self.local.insert("last-upid".into(), task.upid.clone());
        }
        if let Some(name) = &step.archive {
            let made = self.bounds.volumes.difference(&archives).next().cloned();
            let made = made.ok_or_else(|| Halt::Broken("no new archive is listed".into()))?;
            self.local.insert(name.clone(), made);
        }
        Ok(came)
    }

    /// Re-reads the world, patiently where the effect may take a while.
    pub(crate) async fn effect(&mut self, effect: &Effect) -> Result<Vec<Difference>, Halt> {
        let began = Instant::now();
        let patience = Duration::from_secs(effect.within_s);
        loop {
            let request = self.request(&effect.ask, &effect.with)?;
            let answer = self.send(&effect.by, &request).await?;
            let fill = |text: &str| self.expected(text);
            let mut differences = compare(&effect.expect, &answer, None, &fill);
            if differences.is_empty() || began.elapsed() >= patience {
                for point in &mut differences {
                    point.what = format!("effect, {}: {}", effect.ask, point.what);
                }
                return Ok(differences);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A call of the runner's own.
    pub(crate) async fn own(&mut self, ask: &str, with: &Table) -> Result<Came, Halt> {
        let request = self.request(ask, with)?;
        self.call("maker", &request).await
    }
}
