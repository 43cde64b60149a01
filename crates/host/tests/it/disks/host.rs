//! A host with real disks in a namespace of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

use crate::world::World;

/// Prints a line that is seen though the test passes.
pub(crate) fn tell(line: &str) {
    let mut errors = std::io::stderr();
    writeln!(errors, "{line}").unwrap();
}

/// Whether this process can have disks with this file system.
pub(crate) fn can(fstype: &str) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("this is not root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Err("there are no loop devices (/dev/loop-control)".to_owned());
    }
    for tool in [
        "losetup",
        "blkid",
        "lsblk",
        "mount",
        "umount",
        &format!("mkfs.{fstype}"),
    ] {
        if which(tool).is_none() {
            return Err(format!("there is no {tool}"));
        }
    }
    // The kernel may have it in a module that is not loaded.
    let _unknown = run("modprobe", &["-q", fstype]);
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.lines().any(|line| line.trim() == fstype) {
        return Err(format!("the kernel has no {fstype}"));
    }
    run("unshare", &["--mount", "true"]).map_err(|why| format!("no mounts of its own: {why}"))?;
    Ok(())
}

fn which(tool: &str) -> Option<PathBuf> {
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let paths = dirs.iter().map(|dir| Path::new(dir).join(tool));
    paths.into_iter().find(|path| path.exists())
}

/// Runs a tool; what it printed.
#[expect(
    clippy::disallowed_types,
    reason = "loop devices and file systems are made by the system's own tools"
)]
pub(crate) fn run(tool: &str, arguments: &[&str]) -> Result<String, String> {
    let path = which(tool).ok_or_else(|| format!("there is no {tool}"))?;
    let ran = std::process::Command::new(path)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .map_err(|error| error.to_string())?;
    if !ran.status.success() {
        let error = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        return Err(format!("{tool} {arguments:?}: {error}"));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).trim().to_owned())
}

/// Does with `mount` and `umount` what systemd does with a mount unit.
const SYSTEMCTL: &str = r#"
PATH=/usr/sbin:/usr/bin:/sbin:/bin
echo "$*" >> "$ROOT/run/systemctl.log"
[ "$1" = daemon-reload ] && exit 0
unit="$ROOT/etc/systemd/system/$3"
[ -f "$unit" ] || { echo "Unit $3 not found." >&2; exit 5; }
value() { sed -n "s/^$1=//p" "$unit"; }
where="$ROOT$(value Where)"
# Not mountpoint(1): that asks the file system, whose disk may be gone.
is_mounted() { grep -q " $where " /proc/self/mountinfo; }
case "$1" in
start) is_mounted || mount -t "$(value Type)" -o "$(value Options)" "$(readlink -f "$ROOT$(value What)")" "$where" ;;
stop) is_mounted || exit 0; umount "$where" ;;
*) exit 2 ;;
esac
"#;

#[expect(
    deprecated,
    reason = "the other name of it is unsafe for what unsharing file descriptors may do; this unshares mounts"
)]
fn own_mounts() {
    rustix::thread::unshare(UnshareFlags::NEWNS).unwrap();
}

/// A disk: a loop device and the file that it is.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) image: PathBuf,
    /// `loop3`, while it is attached.
    pub(crate) name: String,
    pub(crate) uuid: String,
}

/// The host. The thread that makes it has its own mounts from then on.
pub(crate) struct Host {
    pub(crate) world: World,
    pub(crate) fstype: String,
    dir: tempfile::TempDir,
    attached: Vec<String>,
}

impl Host {
    pub(crate) fn new(fstype: &str) -> Self {
        own_mounts();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("host");
        fs::create_dir(&root).unwrap();
        // The host's own disk is real too: what may not land on it would land there.
        let system = dir.path().join("system.img");
        fs::File::create(&system)
            .unwrap()
            .set_len(24 << 20)
            .unwrap();
        let mut attached = Vec::new();
        let device = run("losetup", &["--find", "--show", system.to_str().unwrap()]).unwrap();
        attached.push(device.clone());
        run("mkfs.ext4", &["-q", &device]).unwrap();
        mount(&device, &root, "ext4", MountFlags::empty(), None).unwrap();
        let none = None::<&std::ffi::CStr>;
        mount("none", "/run", "tmpfs", MountFlags::empty(), none).unwrap();
        fs::create_dir_all("/run/udev/data").unwrap();
        let world = World::at(&root, "\"loop\"");
        fs::create_dir_all(root.join("dev")).unwrap();
        mount("none", root.join("dev"), "tmpfs", MountFlags::empty(), none).unwrap();
        fs::create_dir_all(root.join("dev/disk/by-uuid")).unwrap();
        std::os::unix::fs::symlink("/sys", root.join("sys")).unwrap();
        let lsblk = which("lsblk").unwrap();
        std::os::unix::fs::symlink(lsblk, root.join("usr/bin/lsblk")).unwrap();
        let script = format!("ROOT={}\n{SYSTEMCTL}", root.display());
        world.program("systemctl", &script);
        Self {
            world,
            fstype: fstype.to_owned(),
            dir,
            attached,
        }
    }

    /// Makes a disk with a file system, which is not attached yet.
    pub(crate) fn disk(&mut self, label: &str) -> Disk {
        let image = self.dir.path().join(format!("{label}.img"));
        let mib = match self.fstype.as_str() {
            "xfs" => 320,
            "btrfs" => 128,
            _ => 48,
        };
        fs::File::create(&image)
            .unwrap()
            .set_len(mib << 20)
            .unwrap();
        let path = image.to_str().unwrap();
        let quiet: &[&str] = match self.fstype.as_str() {
            "exfat" | "vfat" => &[path],
            _ => &["-q", path],
        };
        run(&format!("mkfs.{}", self.fstype), quiet).unwrap();
        let uuid = run("blkid", &["-p", "-o", "value", "-s", "UUID", path]).unwrap();
        Disk {
            image,
            name: String::new(),
            uuid,
        }
    }

    /// A copy of a disk, as `dd` makes it. The disk must not be mounted.
    pub(crate) fn copy(&mut self, disk: &Disk, label: &str) -> Disk {
        let image = self.dir.path().join(format!("{label}.img"));
        duplicate(&disk.image, &image);
        Disk {
            image,
            name: String::new(),
            uuid: disk.uuid.clone(),
        }
    }

    /// Attaches a disk.
    pub(crate) fn attach(&mut self, disk: &mut Disk, serial: &str, is_read_only: bool) {
        let image = disk.image.to_str().unwrap();
        let mut arguments = vec!["--find", "--show", image];
        if is_read_only {
            arguments.push("--read-only");
        }
        let device = run("losetup", &arguments).unwrap();
        self.attached.push(device.clone());
        device
            .trim_start_matches("/dev/")
            .clone_into(&mut disk.name);
        self.announce(disk, serial);
    }

    /// What udev does when a disk is attached.
    pub(crate) fn announce(&self, disk: &Disk, serial: &str) {
        let device = format!("/dev/{}", disk.name);
        let node = self.world.path(&format!("dev/{}", disk.name));
        if !node.exists() {
            let number = fs::metadata(&device).unwrap().rdev();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let kind = rustix::fs::FileType::BlockDevice;
            rustix::fs::mknodat(rustix::fs::CWD, &node, kind, mode, number).unwrap();
        }
        let found = run("blkid", &["-p", "-o", "udev", &device]).unwrap_or_default();
        let serial = format!("ID_SERIAL_SHORT={serial}\n");
        let lines = found.lines().chain([serial.as_str()]);
        let entry: Vec<String> = lines.map(|line| format!("E:{line}")).collect();
        fs::write(database(&disk.name), entry.join("\n")).unwrap();
        let uuid = found
            .lines()
            .find_map(|line| line.strip_prefix("ID_FS_UUID="));
        if let Some(uuid) = uuid {
            let link = self.world.path(&format!("dev/disk/by-uuid/{uuid}"));
            let _older = fs::remove_file(&link);
            std::os::unix::fs::symlink(format!("../../{}", disk.name), link).unwrap();
        }
    }

    /// Detaches a disk that is not mounted.
    pub(crate) fn detach(&mut self, disk: &Disk) {
        let device = format!("/dev/{}", disk.name);
        self.forget(disk);
        run("losetup", &["--detach", &device]).unwrap();
        self.attached.retain(|attached| *attached != device);
    }

    /// Pulls a disk out, whatever is mounted: what was on it is kept, and its device holds nothing any more.
    pub(crate) fn pull(&mut self, disk: &mut Disk) {
        let count = fs::read_dir(self.dir.path()).unwrap().count();
        let kept = disk.image.with_extension(format!("kept{count}"));
        duplicate(&disk.image, &kept);
        fs::OpenOptions::new()
            .write(true)
            .open(&disk.image)
            .unwrap()
            .set_len(0)
            .unwrap();
        run(
            "losetup",
            &["--set-capacity", &format!("/dev/{}", disk.name)],
        )
        .unwrap();
        self.forget(disk);
        disk.image = kept;
    }

    /// What udev does when a disk is gone.
    fn forget(&self, disk: &Disk) {
        let _none = fs::remove_file(database(&disk.name));
        let _none = fs::remove_file(self.world.path(&format!("dev/disk/by-uuid/{}", disk.uuid)));
    }

    /// A target's mount point, and a place in it.
    pub(crate) fn point(&self, below: &str) -> PathBuf {
        self.world.path("mnt/felhom/usb1").join(below)
    }

    /// What systemd was asked.
    pub(crate) fn systemctl(&self) -> String {
        self.world.read("run/systemctl.log")
    }
}

/// Copies a disk's file, without what was never written to it.
fn duplicate(from: &Path, to: &Path) {
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    run("cp", &["--sparse=always", from, to]).unwrap();
}

fn database(name: &str) -> PathBuf {
    let number = fs::read_to_string(format!("/sys/class/block/{name}/dev")).unwrap();
    PathBuf::from(format!("/run/udev/data/b{}", number.trim()))
}

impl Drop for Host {
    fn drop(&mut self) {
        let root = self.dir.path().join("host");
        // The mounts end with this thread; they are ended here so that the loop devices are free at once.
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        let mut points: Vec<&str> = points
            .filter(|point| Path::new(point).starts_with(&root))
            .collect();
        points.reverse();
        for point in points {
            let _held = rustix::mount::unmount(point, UnmountFlags::DETACH);
        }
        for device in &self.attached {
            let _free = run("losetup", &["--detach", device]);
        }
    }
}

/// A process of another program.
pub(crate) struct Holder(std::process::Child);

/// Starts a script, which prints a line when it holds what it is to hold.
#[expect(clippy::disallowed_types, reason = "a disk is held by another process")]
pub(crate) fn start(script: &str) -> Holder {
    use std::io::BufRead;
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    Holder(child)
}

impl Holder {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn end(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}
