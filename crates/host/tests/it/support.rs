//! A daemon of its own process below a directory, with programs that a test writes.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use felhom_host::{Layout, Limits, Reply};
use serde_json::Value;

#[expect(
    clippy::disallowed_types,
    reason = "a test of the daemon needs it as a process of its own"
)]
type Command = std::process::Command;

/// Where the process of a daemon finds its layout.
const ROOT: &str = "FELHOM_TEST_HOSTD_ROOT";

pub(crate) fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Limits that a test need not wait for.
fn limits() -> Limits {
    Limits {
        request: Duration::from_millis(700),
        operation: Duration::from_secs(20),
        program: Duration::from_secs(2),
        connections: 8,
        idle: Duration::from_secs(30),
        is_reaper: true,
    }
}

/// Not a test: the daemon of the other tests, as a process of its own.
#[test]
#[ignore = "it is the daemon that the other tests start"]
fn daemon() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else {
        return;
    };
    let layout = Layout::under(&root, uid());
    let socket = root.join("hostd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let idle = std::fs::read_to_string(root.join("idle-ms")).ok();
    let mut limits = limits();
    if let Some(idle) = idle {
        limits.idle = Duration::from_millis(idle.trim().parse().unwrap());
    }
    let log = root.join("audit");
    let audit = move |line: &str| {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        writeln!(file, "{line}").unwrap();
    };
    felhom_host::serve_on(&listener, layout, limits, audit).unwrap();
}

/// A host below a directory.
pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
}

impl Host {
    /// A host whose root trusts the user of this test, and on which no program is.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Self { dir };
        host.write("etc/felhom/hostd.toml", CONFIG);
        let line = format!(
            "root:x:0:0::/:/bin/sh\nfelhom-agent:x:{}:1::/:/bin/false\n",
            uid()
        );
        host.write("etc/passwd", &line);
        host
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Writes a file that only root's like could have written.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let dir = path.parent().unwrap();
        std::fs::create_dir_all(dir).unwrap();
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Installs a shell script as one of the host's programs.
    pub(crate) fn program(&self, name: &str, script: &str) {
        self.write(name, &format!("#!/bin/sh\n{script}\n"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path(name), mode).unwrap();
    }

    /// Starts the daemon.
    pub(crate) fn start(&self) -> Daemon<'_> {
        self.start_under(&[])
    }

    /// Starts the daemon under another program, such as a tracer.
    pub(crate) fn start_under(&self, before: &[&str]) -> Daemon<'_> {
        let this = std::env::current_exe().unwrap();
        let mut words: Vec<std::ffi::OsString> = before.iter().map(Into::into).collect();
        words.push(this.into());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(["--exact", "support::daemon", "--ignored", "--nocapture"])
            .env(ROOT, self.root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let daemon = Daemon {
            host: self,
            child: command.spawn().unwrap(),
        };
        wait_until("the daemon listens", || {
            UnixStream::connect(self.path("hostd.sock")).is_ok()
        });
        daemon
    }
}

/// A daemon that runs.
pub(crate) struct Daemon<'a> {
    pub(crate) host: &'a Host,
    pub(crate) child: Child,
}

impl Daemon<'_> {
    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.host.path("hostd.sock")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        stream
    }

    /// Sends bytes and gives what comes back.
    pub(crate) fn send(&self, bytes: &[u8]) -> Option<Reply> {
        let mut stream = self.connect();
        // A daemon that refuses does not read all of it.
        let _sent = stream.write_all(bytes);
        reply(&mut stream)
    }

    /// Asks for an operation, given as JSON without the envelope.
    pub(crate) fn ask(&self, operation: &Value) -> Reply {
        let request = serde_json::json!({ "version": 1, "request": operation });
        self.send(format!("{request}\n").as_bytes()).unwrap()
    }

    /// The kind of refusal that it answers with.
    pub(crate) fn refusal(&self, operation: &Value) -> String {
        code(self.ask(operation))
    }

    pub(crate) fn audit(&self) -> String {
        std::fs::read_to_string(self.host.path("audit")).unwrap_or_default()
    }

    /// The most memory that it ever had, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The line that comes. Who is refused unheard finds the connection reset behind it.
pub(crate) fn reply(stream: &mut UnixStream) -> Option<Reply> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

pub(crate) fn code(reply: Reply) -> String {
    match reply.into_result() {
        Ok(report) => format!("done: {report:?}"),
        Err(refusal) => refusal.code.to_string(),
    }
}

/// Waits for what has to come about.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not within 30 s: {what}");
}

pub(crate) const CONFIG: &str = r#"
user = "felhom-agent"
[golden]
vmids = "9900-9909"
templates = ["local"]
storage = "local-lvm"
bridge = "vmbr0"
[scratch]
vmids = "9100-9199"
tokens = ["felhom-test@pve!restore-test"]
[usb]
mount_dir = "/mnt/felhom"
transports = ["usb", "loop"]
"#;
