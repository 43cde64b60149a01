//! A host below a directory, whose root helper is asked by its socket.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use felhom_host::{
    Code, Layout, Limits, Operation, Refusal, Reply, Report, Request, TargetReport, serve_on,
};

/// A host.
pub(crate) struct World {
    root: PathBuf,
    dir: Option<tempfile::TempDir>,
    asked: AtomicU32,
}

impl World {
    /// A host in a directory, with the configuration's `[usb]`.
    pub(crate) fn at(root: &Path, transports: &str) -> Self {
        let world = Self {
            root: root.to_owned(),
            dir: None,
            asked: AtomicU32::new(0),
        };
        let uid = rustix::process::geteuid().as_raw();
        for dir in ["etc/felhom", "etc/systemd/system", "usr/bin", "mnt", "run"] {
            fs::create_dir_all(world.path(dir)).unwrap();
        }
        world.write(
            "etc/passwd",
            &format!("felhom-agent:x:{uid}:{uid}::/:/bin/false\n"),
        );
        let config = format!("[usb]\ntransports = [{transports}]\n");
        world.write("etc/felhom/hostd.toml", &config);
        world
    }

    /// A host in a directory of its own, which takes only USB disks, with stand-ins for its programs.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world = Self::at(dir.path(), "\"usb\"");
        let root = dir.path().display();
        world.program("lsblk", &format!("exec /bin/cat {root}/run/lsblk.json"));
        let script = format!("echo \"$*\" >> {root}/run/systemctl.log\n[ ! -e {root}/run/broken ]");
        world.program("systemctl", &script);
        world.dir = Some(dir);
        world
    }

    /// A place in it.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    pub(crate) fn write(&self, below: &str, text: &str) {
        fs::write(self.path(below), text).unwrap();
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(self.path(below), mode).unwrap();
    }

    pub(crate) fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap_or_default()
    }

    /// Puts a script in a program's place.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = format!("usr/bin/{name}");
        // Renamed into place, so that no other test's child holds it open for writing.
        let new = format!("{path}.new");
        self.write(&new, &format!("#!/bin/sh\n{script}\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(&new), mode).unwrap();
        fs::rename(self.path(&new), self.path(&path)).unwrap();
    }

    /// Asks the root helper for an operation.
    pub(crate) fn ask(&self, operation: Operation) -> Result<Report, Refusal> {
        let count = self.asked.fetch_add(1, Ordering::SeqCst);
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join(format!("{count}"));
        let listener = UnixListener::bind(&socket).unwrap();
        let mut stream = UnixStream::connect(&socket).unwrap();
        let mut line = serde_json::to_vec(&Request::new(operation)).unwrap();
        line.push(b'\n');
        stream.write_all(&line).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let layout = Layout::under(&self.root, uid);
        let limits = Limits {
            idle: Duration::from_millis(1),
            is_reaper: false,
            ..Limits::default()
        };
        serve_on(&listener, layout, limits, |_| {}).unwrap();
        let text = std::io::read_to_string(stream).unwrap();
        let reply: Reply = serde_json::from_str(&text).unwrap();
        reply.into_result()
    }

    pub(crate) fn install(&self, name: &str, uuid: &str) -> Result<TargetReport, Refusal> {
        let (name, uuid) = (name.parse().unwrap(), uuid.parse().unwrap());
        self.target(Operation::InstallUsbMount { name, uuid })
    }

    pub(crate) fn mount(&self, name: &str) -> Result<TargetReport, Refusal> {
        let name = name.parse().unwrap();
        self.target(Operation::MountUsb { name })
    }

    pub(crate) fn unmount(&self, name: &str) -> Result<TargetReport, Refusal> {
        let name = name.parse().unwrap();
        self.target(Operation::UnmountUsb { name })
    }

    pub(crate) fn remove(&self, name: &str) -> Result<Report, Refusal> {
        let name = name.parse().unwrap();
        self.ask(Operation::RemoveUsbMount { name })
    }

    pub(crate) fn probe(&self, name: &str, write: bool) -> Result<TargetReport, Refusal> {
        let name = name.parse().unwrap();
        self.target(Operation::ProbeUsb { name, write })
    }

    fn target(&self, operation: Operation) -> Result<TargetReport, Refusal> {
        match self.ask(operation)? {
            Report::Target(target) => Ok(*target),
            other => panic!("not of a target: {other:?}"),
        }
    }
}

impl Drop for World {
    /// An immutable directory would outlive the test.
    fn drop(&mut self) {
        let points = fs::read_dir(self.path("mnt/felhom"));
        for point in points.into_iter().flatten().flatten() {
            if let Ok(dir) = fs::File::open(point.path()) {
                let _cannot = rustix::fs::ioctl_setflags(&dir, rustix::fs::IFlags::empty());
            }
        }
    }
}

/// The kind of a refusal, and a part of its text.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, code: Code, part: &str) {
    let refusal = result.expect_err("it was to be refused");
    assert_eq!(refusal.code, code, "{refusal:?}");
    assert!(refusal.text.contains(part), "{refusal:?} has no `{part}`");
}
