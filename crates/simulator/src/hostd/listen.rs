//! The socket: one line of JSON each way, then the connection ends.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use felhom_host::{Code, Operation, Refusal, Reply, Report, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{SOCKET, answer, socket};
use crate::faults::{FaultKind, simulated};
use crate::sim::Sim;

/// The longest request.
const LONGEST: usize = 4 * 1024;
/// A request has to be there after as long, in real time.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many connections are served at a time.
const MOST: usize = 8;

/// The helper as long as the world runs.
#[derive(Debug, Default)]
pub(crate) struct Runtime {
    listening: Mutex<Option<Listening>>,
    open: AtomicUsize,
    /// What operations work on now.
    subjects: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
struct Listening {
    stop: CancellationToken,
    job: JoinHandle<()>,
}

/// What becomes of a connection.
enum End {
    Reply(Result<Report, Refusal>),
    /// These bytes instead of a reply.
    Bytes(Vec<u8>),
    Closed,
}

impl Runtime {
    fn listening(&self) -> std::sync::MutexGuard<'_, Option<Listening>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn subjects(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The helper is installed: its socket listens.
pub(crate) fn start(sim: &Arc<Sim>) -> io::Result<()> {
    let mut listening = sim.host.listening();
    if listening.is_some() {
        return Ok(());
    }
    // Made beside it and renamed, so that nobody else can connect for a moment, and one that was left is replaced.
    let draft = sim.state_dir.join(format!("{SOCKET}.new"));
    remove(&draft)?;
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
    fs::rename(&draft, socket(sim))?;
    let stop = CancellationToken::new();
    let job = tokio::spawn(accept(Arc::clone(sim), listener, stop.clone()));
    *listening = Some(Listening { stop, job });
    Ok(())
}

/// A world starts: mount points are put in order, and the helper listens. A socket's path has at most 107 bytes, so a world
/// in a deeper directory has no helper.
pub(crate) fn begin(sim: &Arc<Sim>) -> io::Result<()> {
    sim.lock().storage.removable.place(&sim.state_dir)?;
    if let Err(error) = start(sim) {
        tracing::warn!(%error, "the simulated root helper does not listen");
    }
    Ok(())
}

/// The helper is not installed, or the world ends: nobody listens, and connections break.
pub(crate) async fn stop(sim: &Arc<Sim>) -> io::Result<()> {
    let listening = sim.host.listening().take();
    let Some(Listening { stop, job }) = listening else {
        return Ok(());
    };
    stop.cancel();
    job.await.map_err(io::Error::other)?;
    remove(&socket(sim))
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn accept(sim: Arc<Sim>, listener: UnixListener, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "no connection to the root helper");
                    continue;
                }
            },
        };
        if sim.is_off() {
            continue;
        }
        let (sim, stop) = (Arc::clone(&sim), stop.clone());
        tokio::spawn(async move {
            let before = sim.host.open.fetch_add(1, Ordering::Relaxed);
            let power = sim.power();
            tokio::select! {
                () = stop.cancelled() => {}
                () = power.cancelled() => {}
                () = converse(&sim, stream, before) => {}
            }
            sim.host.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn converse(sim: &Arc<Sim>, mut stream: UnixStream, before: usize) {
    let end = if before >= MOST {
        let text = "too many requests at a time; try again in a moment";
        End::Reply(Err(Refusal::new(Code::Busy, text)))
    } else {
        match request(&mut stream).await {
            Ok(operation) => meet(sim, &mut stream, operation).await,
            Err(text) => End::Reply(Err(Refusal::new(Code::Malformed, text))),
        }
    };
    let bytes = match end {
        End::Reply(result) => line(result),
        End::Bytes(bytes) => bytes,
        End::Closed => return,
    };
    let told = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    };
    if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, told).await {
        tracing::debug!(%error, "the caller of the root helper is gone");
    }
}

fn line(result: Result<Report, Refusal>) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&Reply::from(result)).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// One request of one line, in time.
async fn request(stream: &mut UnixStream) -> Result<Operation, String> {
    let read = async {
        let mut line = Vec::new();
        let mut chunk = [0; 1024];
        loop {
            let count = stream
                .read(&mut chunk)
                .await
                .map_err(|error| error.to_string())?;
            let read = chunk.get(..count).unwrap_or_default();
            let end = read.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(read.get(..end.unwrap_or(count)).unwrap_or_default());
            if line.len() > LONGEST {
                return Err(format!("it is longer than {LONGEST} bytes"));
            }
            if end.is_some() {
                return Ok(line);
            }
            if count == 0 {
                return Err("it ended in the middle".to_owned());
            }
        }
    };
    let late = || "the connection broke: it did not come in time".to_owned();
    let line = tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| late())??;
    let parsed = Request::parse(&line).map_err(|error| error.to_string())?;
    Ok(parsed.request)
}

/// Carries a request out, as far as injected faults let it.
async fn meet(sim: &Arc<Sim>, stream: &mut UnixStream, operation: Operation) -> End {
    let path = format!("/host/{}", operation.name());
    let Some(fault) = sim.faults.on_request("ASK", &path) else {
        return End::Reply(carry_out(sim, operation).await);
    };
    match fault {
        FaultKind::Refuse => End::Closed,
        FaultKind::Stall => {
            hang(sim, stream).await;
            End::Closed
        }
        FaultKind::Status { text, .. } => End::Reply(Err(Refusal::new(Code::Failed, text))),
        FaultKind::CutThenRun { seconds } => {
            let later = Arc::clone(sim);
            tokio::spawn(async move {
                later.clock.sleep(simulated(seconds)).await;
                drop(carry_out(&later, operation).await);
            });
            End::Closed
        }
        FaultKind::Delay { seconds } => {
            sim.clock.sleep(simulated(seconds)).await;
            End::Reply(carry_out(sim, operation).await)
        }
        FaultKind::CutAnswer
        | FaultKind::HoldAnswer
        | FaultKind::AnswerStatus { .. }
        | FaultKind::Html
        | FaultKind::Garbage
        | FaultKind::Truncated
        | FaultKind::TaskFail { .. }
        | FaultKind::TaskWarn { .. }
        | FaultKind::TaskSay { .. }
        | FaultKind::TaskStall
        | FaultKind::TaskHold
        | FaultKind::TaskDelay { .. }
        | FaultKind::TaskVanish => {
            let result = carry_out(sim, operation).await;
            spoil(sim, fault, result).await
        }
    }
}

/// What becomes of an answer to what was carried out.
async fn spoil(sim: &Sim, fault: FaultKind, result: Result<Report, Refusal>) -> End {
    match fault {
        FaultKind::CutAnswer => return End::Closed,
        FaultKind::Html | FaultKind::Garbage => {
            return End::Bytes(b"<html>not this one\n".to_vec());
        }
        FaultKind::Truncated => {
            let mut bytes = line(result);
            bytes.truncate(bytes.len() / 2);
            return End::Bytes(bytes);
        }
        FaultKind::AnswerStatus { text, .. } => {
            return End::Reply(Err(Refusal::new(Code::TimedOut, text)));
        }
        FaultKind::HoldAnswer => sim.faults.held().await,
        FaultKind::Refuse
        | FaultKind::Stall
        | FaultKind::Status { .. }
        | FaultKind::CutThenRun { .. }
        | FaultKind::Delay { .. }
        | FaultKind::TaskFail { .. }
        | FaultKind::TaskWarn { .. }
        | FaultKind::TaskSay { .. }
        | FaultKind::TaskStall
        | FaultKind::TaskHold
        | FaultKind::TaskDelay { .. }
        | FaultKind::TaskVanish => {}
    }
    End::Reply(result)
}

/// Does nothing until the caller goes, or everybody is let go.
async fn hang(sim: &Sim, stream: &mut UnixStream) {
    let mut byte = [0];
    tokio::select! {
        () = sim.faults.held() => {}
        _ = stream.read(&mut byte) => {}
    }
}

/// Carries an operation out, unless another on the same thing has not ended.
async fn carry_out(sim: &Arc<Sim>, operation: Operation) -> Result<Report, Refusal> {
    let subject = operation.subject();
    if !sim.host.subjects().insert(subject.clone()) {
        let text = format!("another operation on {subject} has not ended");
        return Err(Refusal::new(Code::Busy, text));
    }
    let _working = Working {
        sim: Arc::clone(sim),
        subject,
    };
    let result = answer::answer(sim, &operation).await;
    if result.is_ok() && operation.changes() {
        sim.count(operation.name(), &operation.subject());
    }
    result
}

/// An operation under way.
struct Working {
    sim: Arc<Sim>,
    subject: String,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.sim.host.subjects().remove(&self.subject);
    }
}
