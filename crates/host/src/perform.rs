//! The one place of the workspace that starts a process.
//!
//! An absolute program of the table, an empty environment, no shell, nothing on standard input, output and time bounded. When
//! it ends, and also when it does not, its whole process group is killed; a daemon that is the reaper of its descendants also
//! kills those that left the group.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, kill_process_group, prlimit};

use crate::argv::CommandLine;
use crate::layout::Layout;
use crate::refusal::{Code, Refusal};
use crate::watch::Watch;

/// More output than that is no answer of a program of the table.
const MOST_OUTPUT: usize = 1024 * 1024;
/// How much of what a program complained of is told.
const TOLD: usize = 2000;
/// How long a program waits for another to end: less than the agent waits for a look, so that it hears of it.
const TURN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Runs command lines, one at a time.
#[derive(Debug)]
pub(crate) struct Performer {
    layout: Layout,
    longest: Duration,
    turn: Mutex<()>,
    is_reaper: bool,
}

/// What a program printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Performer {
    /// Runs programs of this layout, none for more than `longest`. `is_reaper` says that this process is the reaper of its descendants, and has no child
    /// besides those that it starts here.
    pub(crate) fn new(layout: Layout, longest: Duration, is_reaper: bool) -> Self {
        let turn = Mutex::new(());
        Self {
            layout,
            longest,
            turn,
            is_reaper,
        }
    }

    /// Runs one command line to its end; what it printed, when it ended well.
    pub(crate) fn run(&self, line: &CommandLine) -> Result<Output, Refusal> {
        let _turn = self.take_turn()?;
        let name = line.program.path();
        let failed = |error: io::Error| {
            let text = format!("{name} could not be run: {error}");
            Refusal::new(Code::Failed, text)
        };
        let mut child = self.start(line).map_err(failed)?;
        let deadline = line.deadline.min(self.longest);
        let ended = follow(&mut child, deadline);
        self.end(&mut child);
        let (status, output) = ended.map_err(failed)?;
        match status {
            Ended::Exited(status) if status.success() => Ok(output),
            Ended::Exited(status) => {
                let text = format!("{name} ended with {status}: {}", told(&output));
                Err(Refusal::new(Code::Failed, text))
            }
            Ended::TooSlow => {
                let text = format!("{name} did not end within {deadline:?}, and was killed");
                Err(Refusal::new(Code::TimedOut, text))
            }
            Ended::TooMuch => {
                let text = format!("{name} printed more than {MOST_OUTPUT} bytes, and was killed");
                Err(Refusal::new(Code::Failed, text))
            }
        }
    }

    fn take_turn(&self) -> Result<std::sync::MutexGuard<'_, ()>, Refusal> {
        let watch = Watch::start();
        loop {
            match self.turn.try_lock() {
                Ok(turn) => return Ok(turn),
                Err(std::sync::TryLockError::Poisoned(poisoned)) => {
                    return Ok(PoisonError::into_inner(poisoned));
                }
                Err(std::sync::TryLockError::WouldBlock) if watch.elapsed() < TURN => {
                    std::thread::sleep(LOOK);
                }
                Err(std::sync::TryLockError::WouldBlock) => {
                    let text = "another operation runs a program; try again when it has ended";
                    return Err(Refusal::new(Code::Busy, text));
                }
            }
        }
    }

    #[expect(
        clippy::disallowed_types,
        reason = "this is the one module that starts a process (SPEC invariant 11)"
    )]
    fn start(&self, line: &CommandLine) -> io::Result<Child> {
        let child = std::process::Command::new(self.layout.path(line.program.path()))
            .args(&line.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        // The limits that hold for the daemon hold for the child from its first instruction (`serve.rs`). This one besides
        // stops what burns time without end.
        if let Some(pid) = pid_of(&child) {
            let seconds = Some(line.deadline.as_secs().saturating_add(5));
            let limit = Rlimit {
                current: seconds,
                maximum: seconds,
            };
            let _unlimited = prlimit(Some(pid), Resource::Cpu, limit);
        }
        Ok(child)
    }

    /// Ends everything that is left of a program.
    fn end(&self, child: &mut Child) {
        if let Some(pid) = pid_of(child) {
            let _gone = kill_process_group(pid, Signal::KILL);
        }
        // What hangs in the kernel is not there for a signal. It is left to the end of the daemon, whose unit waits for nobody.
        let watch = Watch::start();
        while matches!(child.try_wait(), Ok(None)) && watch.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.is_reaper {
            kill_strays();
        }
    }
}

enum Ended {
    Exited(std::process::ExitStatus),
    TooSlow,
    TooMuch,
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Reads what a program prints until it exits. A pipe that a descendant keeps open is not waited for.
fn follow(child: &mut Child, deadline: Duration) -> io::Result<(Ended, Output)> {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    if let Some(pipe) = &stdout {
        no_blocking(pipe)?;
    }
    if let Some(pipe) = &stderr {
        no_blocking(pipe)?;
    }
    let watch = Watch::start();
    let mut output = Output::default();
    loop {
        let exited = child.try_wait()?;
        drain(&mut stdout, &mut output.stdout)?;
        drain(&mut stderr, &mut output.stderr)?;
        if output.stdout.len() > MOST_OUTPUT || output.stderr.len() > MOST_OUTPUT {
            return Ok((Ended::TooMuch, output));
        }
        if let Some(status) = exited {
            return Ok((Ended::Exited(status), output));
        }
        if watch.elapsed() >= deadline {
            return Ok((Ended::TooSlow, output));
        }
        wait_for_output(stdout.as_ref(), stderr.as_ref());
    }
}

fn no_blocking(pipe: &impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?;
    Ok(())
}

/// Takes what is there, and a little more than may be; a pipe that has ended is closed.
fn drain<P: Read>(pipe: &mut Option<P>, into: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 16 * 1024];
    while let Some(open) = pipe.as_mut() {
        match open.read(&mut chunk) {
            Ok(0) => *pipe = None,
            Ok(count) => into.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if into.len() > MOST_OUTPUT {
            break;
        }
    }
    Ok(())
}

fn wait_for_output(stdout: Option<&impl AsFd>, stderr: Option<&impl AsFd>) {
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    let mut pipes = Vec::with_capacity(2);
    if let Some(pipe) = stdout {
        pipes.push(PollFd::new(pipe, PollFlags::IN));
    }
    if let Some(pipe) = stderr {
        pipes.push(PollFd::new(pipe, PollFlags::IN));
    }
    if pipes.is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    } else {
        let _woken = poll(&mut pipes, Some(&timeout));
    }
}

/// The end of what a program complained of, in one line without control characters.
fn told(output: &Output) -> String {
    let text = if output.stderr.iter().any(|byte| !byte.is_ascii_whitespace()) {
        &output.stderr
    } else {
        &output.stdout
    };
    let tail = text.get(text.len().saturating_sub(TOLD)..).unwrap_or(text);
    let text = String::from_utf8_lossy(tail);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join("; ");
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Kills what descends from this process, until there is nothing.
fn kill_strays() {
    let watch = Watch::start();
    let mut seen = BTreeSet::new();
    while watch.elapsed() < Duration::from_secs(2) {
        let strays = children();
        if strays.is_empty() {
            return;
        }
        for stray in strays {
            seen.insert(stray);
            if let Some(pid) = Pid::from_raw(stray) {
                let _gone = kill_process(pid, Signal::KILL);
                let _reaped =
                    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The children of this process, of all its threads.
fn children() -> Vec<i32> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .map(|thread| thread.path().join("children"));
    let lists = lists.filter_map(|list| fs::read_to_string(list).ok());
    let pids: Vec<i32> = lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect();
    pids
}
