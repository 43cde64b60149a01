//! The daemon: who asks, what is asked, one answer, one line of audit, and the end when nobody asks any more.
//!
//! Every connection has a thread, and every operation another, so that a disk that hangs holds up nothing but itself.

mod peer;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, set_child_subreaper, setrlimit};

use self::peer::Peer;
use crate::config::Config;
use crate::layout::Layout;
use crate::operation::Operation;
use crate::operations::{Root, carry_out};
use crate::perform::Performer;
use crate::refusal::{Code, Refusal};
use crate::report::Report;
use crate::watch::Watch;
use crate::wire::{LONGEST_REQUEST, Reply, Request, Timed, read_line, write_line};

/// How much the daemon bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a request may take to come in, and a reply to be taken.
    pub request: Duration,
    /// How long an operation may take before its caller is told that it has not ended.
    pub operation: Duration,
    /// No program runs longer, whatever the table allows it.
    pub program: Duration,
    /// How many connections are served at a time; others are told to come back.
    pub connections: usize,
    /// After that long without a connection the daemon ends; its socket starts it again.
    pub idle: Duration,
    /// Whether this process has no children but those that the daemon starts, so that it may kill all that are left.
    pub is_reaper: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            operation: Duration::from_mins(16),
            program: Duration::from_mins(15),
            connections: 8,
            idle: Duration::from_mins(1),
            is_reaper: true,
        }
    }
}

/// How long an operation waits for another on the same thing.
const SOON: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Takes one line of audit.
type Audit = dyn Fn(&str) + Send + Sync;

struct Daemon {
    layout: Layout,
    limits: Limits,
    performer: Performer,
    open: AtomicUsize,
    /// What operations work on now.
    subjects: Mutex<BTreeSet<String>>,
    audit: Box<Audit>,
}

/// Runs `felhom-hostd` on the socket that systemd passes as standard input, with one line of audit for each request on
/// standard error.
pub fn serve() -> ExitCode {
    let mut errors = io::stderr();
    let ended = listener().and_then(|listener| {
        restrain()?;
        let say = |line: &str| {
            let _deaf = writeln!(io::stderr(), "{line}");
        };
        serve_on(&listener, Layout::system(), Limits::default(), say)
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _deaf = writeln!(errors, "felhom-hostd: {error}");
            ExitCode::from(2)
        }
    }
}

/// The listening socket on standard input.
fn listener() -> io::Result<UnixListener> {
    use std::os::fd::AsFd;
    let input = io::stdin();
    let is_listening = rustix::net::sockopt::socket_acceptconn(input.as_fd()).unwrap_or(false);
    if !is_listening {
        return Err(io::Error::other(
            "it is started by its socket, not by hand: systemctl enable --now felhom-hostd.socket",
        ));
    }
    Ok(UnixListener::from(input.as_fd().try_clone_to_owned()?))
}

/// Limits that hold for the daemon and for everything that it starts: no core dumps, few files.
fn restrain() -> io::Result<()> {
    let both = |value| Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Nofile, both(4096))?;
    Ok(())
}

/// Serves a socket until nobody has asked for as long as `limits.idle`.
pub fn serve_on(
    listener: &UnixListener,
    layout: Layout,
    limits: Limits,
    audit: impl Fn(&str) + Send + Sync + 'static,
) -> io::Result<()> {
    if limits.is_reaper {
        // Whatever number stands there, it only has to be one.
        set_child_subreaper(rustix::process::Pid::from_raw(1))?;
    }
    let performer = Performer::new(layout.clone(), limits.program, limits.is_reaper);
    let daemon = Arc::new(Daemon {
        layout,
        limits,
        performer,
        open: AtomicUsize::new(0),
        subjects: Mutex::new(BTreeSet::new()),
        audit: Box::new(audit),
    });
    listener.set_nonblocking(true)?;
    loop {
        if !wait_for_caller(listener, limits.idle)? {
            if daemon.is_idle() {
                return Ok(());
            }
            continue;
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(error),
        };
        let open = Open::new(&daemon);
        let started =
            std::thread::Builder::new().spawn(move || open.daemon.converse(&stream, open.before));
        // Without a thread the closure is dropped, and the connection with it.
        if let Err(error) = started
            && error.kind() != io::ErrorKind::WouldBlock
        {
            return Err(error);
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
}

/// Whether somebody came within this time.
fn wait_for_caller(listener: &UnixListener, idle: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(idle).map_err(io::Error::other)?;
    let mut sockets = [PollFd::new(listener, PollFlags::IN)];
    match poll(&mut sockets, Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A connection that is open for as long as this is there.
struct Open {
    daemon: Arc<Daemon>,
    /// How many were open before it.
    before: usize,
}

impl Open {
    fn new(daemon: &Arc<Daemon>) -> Self {
        let before = daemon.open.fetch_add(1, Ordering::SeqCst);
        Self {
            daemon: Arc::clone(daemon),
            before,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.daemon.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What an operation works on, which no other may touch for as long as this is there.
struct Subject {
    daemon: Arc<Daemon>,
    name: String,
}

impl Subject {
    /// `None` when another operation works on it, and does not end soon.
    fn take(daemon: &Arc<Daemon>, name: &str) -> Option<Self> {
        let watch = Watch::start();
        while !daemon.subjects().insert(name.to_owned()) {
            watch.left_of(SOON)?;
            std::thread::sleep(LOOK);
        }
        let (daemon, name) = (Arc::clone(daemon), name.to_owned());
        Some(Self { daemon, name })
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.daemon.subjects().remove(&self.name);
    }
}

impl Daemon {
    /// Whether nobody asks and nothing is done. What hangs in the kernel keeps the daemon alive, and would anyway.
    fn is_idle(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0 && self.subjects().is_empty()
    }

    /// One connection, from its peer's credentials to the line of audit.
    fn converse(self: &Arc<Self>, stream: &UnixStream, before: usize) {
        let watch = Watch::start();
        let peer = Peer::of(stream);
        let mut asked = None;
        let result = if before >= self.limits.connections {
            let text = "too many requests at a time; try again in a moment";
            Err(Refusal::new(Code::Busy, text))
        } else {
            self.answer(stream, peer.as_ref(), &mut asked)
        };
        let outcome = match &result {
            Ok(_) => "done".to_owned(),
            Err(refusal) => format!("refused code={} text={:?}", refusal.code, refusal.text),
        };
        let is_told = reply(stream, result, self.limits.request);
        let peer = peer.map_or_else(|error| format!("peer={error:?}"), |peer| peer.to_string());
        let asked = asked.map_or_else(|| "operation=none".to_owned(), |asked| describe(&asked));
        let took = watch.elapsed().as_millis();
        let told = if is_told { "" } else { " untold" };
        (self.audit)(&format!(
            "{peer} {asked} outcome={outcome} took_ms={took}{told}"
        ));
    }

    fn answer(
        self: &Arc<Self>,
        stream: &UnixStream,
        peer: Result<&Peer, &io::Error>,
        asked: &mut Option<Operation>,
    ) -> Result<Report, Refusal> {
        let peer = peer.map_err(|error| {
            Refusal::new(Code::NotAllowed, format!("nobody knows who asks: {error}"))
        })?;
        let config = Config::load(&self.layout)
            .map_err(|error| Refusal::new(Code::NotConfigured, error.to_string()))?;
        let may = peer::uid_of(&self.layout, &config.user)?;
        if peer.uid != may {
            let text = format!("only {} may ask, not uid {}", config.user, peer.uid);
            return Err(Refusal::new(Code::NotAllowed, text));
        }
        let mut timed = Timed::new(stream, self.limits.request);
        let request = read_line(&mut timed, LONGEST_REQUEST).and_then(|line| Request::parse(&line));
        let request = request.map_err(|error| Refusal::new(Code::Malformed, error.to_string()))?;
        *asked = Some(request.request.clone());
        self.carry_out(config, request.request)
    }

    /// Carries an operation out in a thread of its own, and gives up waiting for it in time.
    fn carry_out(
        self: &Arc<Self>,
        config: Config,
        operation: Operation,
    ) -> Result<Report, Refusal> {
        let name = operation.subject();
        let Some(subject) = Subject::take(self, &name) else {
            let text = format!("another operation on {name} has not ended");
            return Err(Refusal::new(Code::Busy, text));
        };
        let (sender, receiver) = channel();
        let started = std::thread::Builder::new().spawn(move || {
            let root = Root {
                layout: &subject.daemon.layout,
                config: &config,
                performer: &subject.daemon.performer,
            };
            let result = carry_out(root, &operation);
            drop(subject);
            let _gone = sender.send(result);
        });
        if let Err(error) = started {
            let text = format!("no thread for it: {error}");
            return Err(Refusal::new(Code::Busy, text));
        }
        receiver
            .recv_timeout(self.limits.operation)
            .unwrap_or_else(|error| match error {
                RecvTimeoutError::Timeout => {
                    let seconds = self.limits.operation.as_secs();
                    let text = format!("it has not ended within {seconds} s, and goes on");
                    Err(Refusal::new(Code::TimedOut, text))
                }
                RecvTimeoutError::Disconnected => Err(Refusal::new(
                    Code::Failed,
                    "it broke off by a fault of felhom-hostd",
                )),
            })
    }

    fn subjects(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the caller; whether it took it.
fn reply(stream: &UnixStream, result: Result<Report, Refusal>, patience: Duration) -> bool {
    let mut stream = stream;
    stream.set_write_timeout(Some(patience)).is_ok()
        && write_line(&mut stream, &Reply::from(result)).is_ok()
}

fn describe(operation: &Operation) -> String {
    let request = serde_json::to_string(operation).unwrap_or_default();
    format!("operation={} request={request}", operation.name())
}
