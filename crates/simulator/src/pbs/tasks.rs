//! Worker tasks of the backup server: UPIDs with one part more than PVE's, logs whose lines are dated.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::faults::TaskFault;
use crate::sim::Sim;

/// The server's process, of which every worker is a thread.
const PID: u32 = 20_347;
const PSTART: u64 = 249_867;

/// A task, running while it has no end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Task {
    pub(crate) upid: String,
    pub(crate) pid: u32,
    pub(crate) pstart: u64,
    pub(crate) start: i64,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) auth: String,
    pub(crate) log: Vec<String>,
    /// When and how it ended.
    pub(crate) end: Option<(i64, String)>,
    #[serde(skip)]
    pub(crate) running: bool,
}

/// A name as systemd escapes it, which is how a worker's id stands in its UPID.
pub(crate) fn escaped(id: &str) -> String {
    let mut text = String::new();
    for byte in id.bytes() {
        match byte {
            b'/' => text.push('-'),
            b'.' if text.is_empty() => text.push_str("\\x2e"),
            b'.' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => text.push(char::from(byte)),
            other => {
                text.push_str("\\x");
                text.push_str(&crate::hex::lower(&[other]));
            }
        }
    }
    text
}

fn unescaped(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        match byte {
            b'-' => out.push(b'/'),
            b'\\' => {
                let code = [rest.next()?, rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(code.get(1..)?).ok()?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

impl Task {
    /// Reads a UPID that may be of a task that never was: `UPID:node:pid:pstart:task:start:type:id:auth:`.
    pub(crate) fn parse(upid: &str) -> Option<(String, Self)> {
        let parts: Vec<&str> = upid.split(':').collect();
        let ["UPID", node, pid, pstart, number, start, kind, id, auth, ""] = parts.as_slice()
        else {
            return None;
        };
        let hex = |part: &str, width: usize| {
            let sound = part.len() >= width && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            sound.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        };
        let _number = hex(number, 8)?;
        let sound = super::params::is_host(node) && !kind.is_empty() && auth.contains('@');
        sound.then_some(())?;
        let task = Self {
            upid: upid.to_owned(),
            pid: u32::try_from(hex(pid, 8)?).ok()?,
            pstart: hex(pstart, 8)?,
            start: i64::try_from(hex(start, 8)?).ok()?,
            kind: (*kind).to_owned(),
            id: unescaped(id)?,
            auth: (*auth).to_owned(),
            ..Self::default()
        };
        Some(((*node).to_owned(), task))
    }
}

/// The running workers' way to hear that they are to stop.
#[derive(Debug, Default)]
pub(crate) struct Aborts(Mutex<std::collections::BTreeMap<String, CancellationToken>>);

impl Aborts {
    fn with<T>(
        &self,
        work: impl FnOnce(&mut std::collections::BTreeMap<String, CancellationToken>) -> T,
    ) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks a worker to stop; nothing happens where none runs.
    pub(crate) fn abort(&self, upid: &str) {
        if let Some(token) = self.with(|known| known.get(upid).cloned()) {
            token.cancel();
        }
    }
}

/// A running task as its own code sees it.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) sim: Arc<Sim>,
    pub(crate) upid: String,
    id: String,
    abort: CancellationToken,
}

impl Worker {
    /// One line of the log.
    pub(crate) fn log(&self, line: impl AsRef<str>) {
        self.sim.pbs_say(&self.upid, &[line.as_ref().to_owned()]);
    }

    /// Lines of the log.
    pub(crate) fn say(&self, lines: &[String]) {
        self.sim.pbs_say(&self.upid, lines);
    }

    /// Fails where the task was asked to stop.
    pub(crate) fn check_abort(&self) -> Result<(), String> {
        if self.abort.is_cancelled() {
            return Err("abort requested - aborting task".into());
        }
        Ok(())
    }

    /// Sleeps in simulated time, or until it is asked to stop.
    pub(crate) async fn sleep(&self, span: Duration) -> Result<(), String> {
        tokio::select! {
            () = self.abort.cancelled() => self.check_abort(),
            () = self.sim.clock.sleep(span) => Ok(()),
        }
    }

    /// Meets an injected fault at a named point (`pbs:verify:chunk`).
    pub(crate) async fn point(&self, name: &str) -> Result<(), String> {
        match self.sim.faults.at(name, &self.id) {
            None => Ok(()),
            Some(TaskFault::Fail(text)) => Err(text),
            Some(TaskFault::Warn(text) | TaskFault::Say(text)) => {
                self.log(text);
                Ok(())
            }
            Some(TaskFault::Delay(span)) => self.sleep(span).await,
            Some(TaskFault::Hold) => {
                tokio::select! {
                    () = self.abort.cancelled() => self.check_abort(),
                    () = self.sim.faults.held() => Ok(()),
                }
            }
            Some(TaskFault::Stall) => {
                self.abort.cancelled().await;
                self.check_abort()
            }
            Some(TaskFault::Vanish) => Err(String::new()),
        }
    }
}

/// `2026-11-22T23:43:52+00:00`, as log lines begin.
fn dated(now: i64) -> String {
    super::state::rfc3339(now).replace('Z', "+00:00")
}

impl Sim {
    /// The backup server's wall clock.
    pub(crate) fn pbs_now(&self) -> i64 {
        let offset = self.lock().pbs.clock_offset;
        self.clock.now().saturating_add(offset)
    }

    /// Notes a task without doing anything; answers its UPID.
    pub(crate) fn pbs_note(&self, auth: &str, kind: &str, id: &str) -> String {
        let now = self.pbs_now();
        let mut world = self.lock();
        let pbs = &mut world.pbs;
        let number = pbs.next_task;
        pbs.next_task += 1;
        let (node, escaped) = (&pbs.node, escaped(id));
        let upid = format!(
            "UPID:{node}:{PID:08X}:{PSTART:08X}:{number:08X}:{now:08X}:{kind}:{escaped}:{auth}:"
        );
        pbs.tasks.push(Task {
            upid: upid.clone(),
            pid: PID,
            pstart: PSTART,
            start: now,
            kind: kind.to_owned(),
            id: id.to_owned(),
            auth: auth.to_owned(),
            running: true,
            ..Task::default()
        });
        upid
    }

    /// Adds lines to the log of a task.
    pub(crate) fn pbs_say(&self, upid: &str, lines: &[String]) {
        let now = dated(self.pbs_now());
        let mut world = self.lock();
        if let Some(task) = world.pbs.tasks.iter_mut().rfind(|task| task.upid == upid) {
            task.log
                .extend(lines.iter().map(|line| format!("{now}: {line}")));
        }
    }

    /// Ends a task that was noted: with its last line, and the status that lists show. No text: it just vanishes.
    pub(crate) fn pbs_conclude(&self, upid: &str, result: &Result<(), String>) {
        let now = self.pbs_now();
        let mut world = self.lock();
        let Some(task) = world.pbs.tasks.iter_mut().rfind(|task| task.upid == upid) else {
            return;
        };
        task.running = false;
        let (line, status) = match result {
            Ok(()) => ("TASK OK".to_owned(), "OK".to_owned()),
            Err(text) if text.is_empty() => (String::new(), "unknown".to_owned()),
            Err(text) if text.starts_with("WARNINGS: ") => (format!("TASK {text}"), text.clone()),
            Err(text) => (format!("TASK ERROR: {text}"), text.clone()),
        };
        if !line.is_empty() {
            task.log.push(format!("{}: {line}", dated(now)));
        }
        task.end = Some((now, status));
    }

    /// Starts a worker and answers its UPID.
    pub(crate) fn pbs_task<F, Fut>(
        self: &Arc<Self>,
        auth: &str,
        kind: &str,
        id: &str,
        work: F,
    ) -> String
    where
        F: FnOnce(Worker) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let upid = self.pbs_note(auth, kind, id);
        let abort = CancellationToken::new();
        self.pbs
            .aborts
            .with(|known| known.insert(upid.clone(), abort.clone()));
        let worker = Worker {
            sim: Arc::clone(self),
            upid: upid.clone(),
            id: id.to_owned(),
            abort,
        };
        let point = format!("pbs:{kind}");
        tokio::spawn(async move {
            let running = async {
                worker.point(&point).await?;
                work(worker.clone()).await?;
                worker.point(&format!("{point}:end")).await
            };
            let result = running.await;
            worker.sim.pbs_conclude(&worker.upid, &result);
            worker
                .sim
                .pbs
                .aborts
                .with(|known| known.remove(&worker.upid));
        });
        upid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_upid_is_read() {
        let text = r"UPID:vm:00004F7B:0003D00B:0000001B:6B037E39:verify_snapshot:felhom\x2dspike\x3a-ct-9001-6B037C64:felhom@pbs!n100:";
        let (node, task) = Task::parse(text).unwrap();
        assert_eq!((node.as_str(), task.pid, task.pstart), ("vm", PID, PSTART));
        assert_eq!(task.id, "felhom-spike:/ct/9001/6B037C64");
        assert_eq!(escaped(&task.id), r"felhom\x2dspike\x3a-ct-9001-6B037C64");
        assert!(Task::parse("UPID:vm:1:2:3:4:verify:x:u@pbs:").is_none());
    }
}
