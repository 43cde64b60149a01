//! A root helper for a test: it listens on a socket and answers from a desk with at most one disk on it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use felhom_host::{
    BlockDevice, Code, Operation, Refusal, Reply, Report, Request, Sensors, Standing, TargetReport,
    Temperature, Throttling, Written,
};
use felhom_ids::TargetName;

pub(crate) const UUID: &str = "0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11";
pub(crate) const SERIAL: &str = "S1";

/// How the helper behaves.
#[derive(Debug, Clone, Default)]
pub(crate) enum Manner {
    /// It answers.
    #[default]
    Fair,
    /// It takes the request and never answers.
    Hangs,
    /// It answers with these bytes.
    Says(String),
    /// It refuses everything.
    Refuses(Code),
    /// It does what it is asked for, and the answer is lost.
    Forgets,
}

/// What lies on the desk.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch that a test turns"
)]
#[derive(Debug, Clone, Default)]
pub(crate) struct Desk {
    pub(crate) manner: Manner,
    /// UUID and serial of the disk that is plugged in.
    pub(crate) disk: Option<(String, String)>,
    pub(crate) read_only: bool,
    pub(crate) full: bool,
    /// Who holds the mount.
    pub(crate) held_by: Option<String>,
    pub(crate) mounted: bool,
    /// What keeps the disk in use though it is unmounted.
    pub(crate) kept_by: Option<String>,
    /// What was adopted: by name the disk's UUID and serial.
    pub(crate) adopted: BTreeMap<TargetName, (String, String)>,
    /// What was asked, in order.
    pub(crate) asked: Vec<String>,
    /// How often something was written to the disk that is plugged in.
    pub(crate) writes: u32,
    /// The disk is pulled out as soon as it was written to.
    pub(crate) pulled_after_write: bool,
    /// What the release of a restore is refused with.
    pub(crate) release: Option<(Code, &'static str)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Helper(Arc<Mutex<Desk>>);

impl Helper {
    /// Listens at the socket until the test ends.
    pub(crate) fn listen(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let desk = Self(Arc::default());
        let own = desk.clone();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                held.extend(own.serve(stream));
            }
        });
        desk
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Desk)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn get<T>(&self, look: impl FnOnce(&Desk) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn plug(&self, uuid: &str, serial: &str) {
        self.set(|desk| desk.disk = Some((uuid.to_owned(), serial.to_owned())));
    }

    /// Pulled out, mounted or not.
    pub(crate) fn pull(&self) {
        self.set(|desk| (desk.disk, desk.mounted) = (None, false));
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut desk.asked)
    }

    fn serve(&self, mut stream: UnixStream) -> Option<UnixStream> {
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).ok()?;
        let request: Request = serde_json::from_str(&line).ok()?;
        let mut desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        desk.asked.push(told(&request.request));
        let reply = match desk.manner.clone() {
            Manner::Hangs => return Some(stream),
            Manner::Says(text) => text,
            Manner::Refuses(code) => line_of(Err(Refusal::new(code, format!("refused: {code}")))),
            Manner::Forgets => {
                drop(desk.answer(&request.request));
                return None;
            }
            Manner::Fair => line_of(desk.answer(&request.request)),
        };
        drop(desk);
        // Who has gone away meanwhile reads nothing.
        drop(stream.write_all(format!("{reply}\n").as_bytes()));
        None
    }
}

fn line_of(result: Result<Report, Refusal>) -> String {
    serde_json::to_string(&Reply::from(result)).unwrap()
}

/// An operation as a test names it.
fn told(operation: &Operation) -> String {
    match operation {
        Operation::ProbeUsb { write: true, .. } => "probe-usb with write".to_owned(),
        other => other.name().to_owned(),
    }
}

impl Desk {
    fn answer(&mut self, operation: &Operation) -> Result<Report, Refusal> {
        match operation {
            Operation::ListBlockDevices {} => Ok(Report::BlockDevices {
                devices: self.devices(),
            }),
            Operation::ReadSensors {} => Ok(Report::Sensors(sensors())),
            Operation::InstallUsbMount { name, uuid } => {
                let found = self.disk.clone().filter(|disk| disk.0 == uuid.as_str());
                let disk =
                    found.ok_or_else(|| refused(Code::Detached, "no disk with that UUID"))?;
                self.adopted.insert(name.clone(), disk);
                Ok(self.report(name, Written::Unasked))
            }
            Operation::MountUsb { name } => {
                self.present(name)?;
                self.mounted = true;
                Ok(self.report(name, Written::Unasked))
            }
            Operation::UnmountUsb { name } => {
                self.known(name)?;
                if let Some(who) = &self.held_by {
                    return Err(refused(Code::InUse, &format!("{who} holds it")));
                }
                self.mounted = false;
                Ok(self.report(name, Written::Unasked))
            }
            Operation::RemoveUsbMount { name } => {
                self.adopted.remove(name);
                Ok(Report::Removed { name: name.clone() })
            }
            Operation::ProbeUsb { name, write } => {
                self.known(name)?;
                if !write {
                    return Ok(self.report(name, Written::Unasked));
                }
                self.present(name)?;
                let written = match (self.read_only, self.full) {
                    (true, _) => Written::ReadOnly,
                    (_, true) => Written::Full,
                    (false, false) => {
                        self.writes += 1;
                        Written::ReadBack
                    }
                };
                let report = self.report(name, written);
                if self.pulled_after_write {
                    (self.disk, self.mounted) = (None, false);
                }
                Ok(report)
            }
            Operation::ReleaseUnfinishedRestore { .. } => {
                let (code, text) = self.release.unwrap_or((Code::NotFound, "no such task"));
                Err(refused(code, text))
            }
            other => Err(refused(Code::NotConfigured, other.name())),
        }
    }

    fn known(&self, name: &TargetName) -> Result<&(String, String), Refusal> {
        let known = self.adopted.get(name);
        known.ok_or_else(|| refused(Code::NotFound, "no such target"))
    }

    /// The right disk, or why it is not there.
    fn present(&self, name: &TargetName) -> Result<(), Refusal> {
        let known = self.known(name)?;
        match &self.disk {
            None => Err(refused(Code::Detached, "its disk is not attached")),
            Some(disk) if disk == known => Ok(()),
            Some(_) => Err(refused(Code::Wrong, "a disk with another serial number")),
        }
    }

    fn report(&self, name: &TargetName, written: Written) -> Report {
        let (uuid, serial) = self.adopted[name].clone();
        let (standing, reason) = match self.present(name) {
            Ok(()) if self.mounted => (Standing::Mounted, None),
            Ok(()) => (Standing::Present, self.kept_by.clone()),
            Err(refusal) if refusal.code == Code::Wrong => (Standing::Wrong, Some(refusal.text)),
            Err(refusal) => (Standing::Detached, Some(refusal.text)),
        };
        let free = if self.full { 0 } else { 50 << 30 };
        Report::Target(Box::new(TargetReport {
            name: name.clone(),
            uuid,
            serial: Some(serial),
            fstype: "ext4".into(),
            mount_point: format!("/mnt/stick/{name}"),
            unit: format!("mnt-stick-{name}.mount"),
            standing,
            reason,
            written,
            space: self.mounted.then_some((100 << 30, free)),
            fenced: true,
        }))
    }

    fn devices(&self) -> Vec<BlockDevice> {
        let device = |name: &str, disk: &str, transport: &str, mount: Option<&str>| BlockDevice {
            name: name.into(),
            disk: disk.into(),
            kind: "part".into(),
            size: 100 << 30,
            fstype: Some("ext4".into()),
            label: None,
            uuid: Some("5d0c3f6e-0000-4000-8000-000000000001".into()),
            serial: None,
            model: None,
            transport: Some(transport.into()),
            removable: transport == "usb",
            read_only: false,
            mounts: mount.map(str::to_owned).into_iter().collect(),
            in_use: false,
        };
        let mut all = vec![device("sda1", "sda", "sata", Some("/"))];
        all.extend(self.disk.as_ref().map(|(uuid, serial)| BlockDevice {
            uuid: Some(uuid.clone()),
            serial: Some(serial.clone()),
            ..device("sdb1", "sdb", "usb", None)
        }));
        all
    }
}

fn refused(code: Code, text: &str) -> Refusal {
    Refusal::new(code, text)
}

fn sensors() -> Sensors {
    Sensors {
        temperatures: vec![Temperature {
            chip: "coretemp".into(),
            label: "Package id 0".into(),
            celsius: 48.5,
            high: Some(80.0),
            critical: Some(100.0),
            alarm: false,
        }],
        throttling: Some(Throttling {
            core: 3,
            package: 1,
        }),
        ..Sensors::default()
    }
}
