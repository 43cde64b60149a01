//! A host below a directory, with the daemon on it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use felhom_host::{Connection, Layout, Limits, Operation, Refusal, Report, serve_on};
use tempfile::TempDir;

/// The token whose tasks make scratch guests.
pub(crate) const TOKEN: &str = "felhom-test@pve!restore-test";

const CONFIG: &str = r#"
user = "agent"
[golden]
vmids = "9900-9909"
templates = ["local"]
storage = "local-lvm"
bridge = "vmbr0"
pool = "felhom-golden"
[scratch]
vmids = "9100-9199"
tokens = ["felhom-test@pve!restore-test"]
"#;

/// A host below a directory.
pub(crate) struct World {
    _directory: TempDir,
    root: PathBuf,
    connection: Connection,
    audit: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// A host with a node `pve` and no guests.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        // As the kernel names it in its list of mounts.
        let root = directory.path().canonicalize().unwrap();
        let socket = root.join("hostd.sock");
        let connection = Connection::new(&socket, Duration::from_mins(2));
        let audit = Arc::new(Mutex::new(Vec::new()));
        let world = Self {
            _directory: directory,
            root,
            connection,
            audit: Arc::clone(&audit),
        };
        world.furnish();
        let listener = UnixListener::bind(&socket).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let layout = Layout::under(&world.root, uid);
        let limits = Limits {
            is_reaper: false,
            idle: Duration::from_hours(1),
            ..Limits::default()
        };
        let say = move |line: &str| audit.lock().unwrap().push(line.to_owned());
        std::thread::spawn(move || serve_on(&listener, layout, limits, say));
        world
    }

    fn furnish(&self) {
        let uid = rustix::process::geteuid().as_raw();
        self.file("/etc/felhom/hostd.toml", CONFIG);
        self.file(
            "/etc/passwd",
            &format!("agent:x:{uid}:{uid}::/:/bin/false\n"),
        );
        for node in ["pve", "other"] {
            self.dir(&format!("/etc/pve/nodes/{node}/lxc"));
            self.dir(&format!("/etc/pve/nodes/{node}/qemu-server"));
        }
        for (link, target) in [
            ("local", "nodes/pve"),
            ("lxc", "nodes/pve/lxc"),
            ("qemu-server", "nodes/pve/qemu-server"),
        ] {
            symlink(target, self.path(&format!("/etc/pve/{link}"))).unwrap();
        }
        self.vmlist("{}");
        self.dir("/var/log/pve/tasks");
        for list in ["/proc/self/mountinfo", "/proc/1/mountinfo"] {
            self.file(list, "22 1 0:20 / / rw - ext4 /dev/a rw\n");
        }
        self.file(
            "/proc/net/unix",
            "Num RefCount Protocol Flags Type St Inode Path\n",
        );
        self.dir("/run/lock/lxc");
        self.dir("/run/lock/qemu-server");
        let standins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/guests/standins");
        self.dir("/standin");
        self.dir("/usr/sbin");
        let here = self.path("/standin/options.txt");
        symlink(standins.join("options.txt"), here).unwrap();
        for program in ["pct", "qm"] {
            let here = self.path(&format!("/usr/sbin/{program}"));
            symlink(standins.join("pve.sh"), here).unwrap();
        }
        self.dir("/usr/bin");
        symlink(standins.join("pvesh.sh"), self.path("/usr/bin/pvesh")).unwrap();
    }

    /// The place of a path of the host.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// Makes a directory that nobody else may write, whatever the umask.
    pub(crate) fn dir(&self, absolute: &str) {
        let path = self.path(absolute);
        fs::create_dir_all(&path).unwrap();
        for directory in path.ancestors() {
            if directory == self.root {
                break;
            }
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Writes a file as PVE's are.
    pub(crate) fn file(&self, absolute: &str, text: &str) {
        let (directory, _) = absolute.rsplit_once('/').unwrap();
        self.dir(directory);
        let path = self.path(absolute);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }

    pub(crate) fn read(&self, absolute: &str) -> String {
        fs::read_to_string(self.path(absolute)).unwrap()
    }

    /// `.vmlist`, with these ids.
    pub(crate) fn vmlist(&self, ids: &str) {
        let text = format!("{{\n\"version\": 7,\n\"ids\": {ids}}}\n");
        self.file("/etc/pve/.vmlist", &text);
    }

    /// A container of this node, as PVE has it in its files.
    pub(crate) fn container(&self, vmid: u32, config: &str) {
        self.file(&format!("/etc/pve/nodes/pve/lxc/{vmid}.conf"), config);
        let ids = format!(r#"{{"{vmid}": {{"node": "pve", "type": "lxc", "version": 3}}}}"#);
        self.vmlist(&ids);
    }

    /// A virtual machine of this node.
    pub(crate) fn machine(&self, vmid: u32, config: &str) {
        self.file(
            &format!("/etc/pve/nodes/pve/qemu-server/{vmid}.conf"),
            config,
        );
        let ids = format!(r#"{{"{vmid}": {{"node": "pve", "type": "qemu", "version": 3}}}}"#);
        self.vmlist(&ids);
    }

    /// The name of a task of the token's on this node. Its process is 4096, which started 256 ticks after the host.
    pub(crate) fn upid(kind: &str, vmid: u32) -> String {
        format!("UPID:pve:00001000:00000100:6900A000:{kind}:{vmid}:{TOKEN}:")
    }

    /// PVE's record of tasks that ended.
    pub(crate) fn index(&self, lines: &[String]) {
        let text = lines.iter().map(|line| format!("{line}\n"));
        self.file("/var/log/pve/tasks/index", &text.collect::<String>());
    }

    /// A process, as `/proc` shows it.
    pub(crate) fn process(&self, pid: u32, state: char, started: u64, line: &str) {
        let fields = "1 ".repeat(18);
        let stat = format!("{pid} (task) U) {state} {fields}{started} 0 0 0\n");
        self.file(&format!("/proc/{pid}/stat"), &stat);
        self.file(&format!("/proc/{pid}/cmdline"), &format!("{line}\0\0"));
    }

    /// What the daemon answers.
    pub(crate) fn ask(&self, operation: &Operation) -> Result<Report, Refusal> {
        self.connection.ask(operation).unwrap()
    }

    /// The command lines that were run.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("/standin/calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// The lines of audit.
    pub(crate) fn audit(&self) -> Vec<String> {
        self.audit.lock().unwrap().clone()
    }
}
