//! The way to the root helper: what no token can do is asked of it, and where it is not, a person is told what to type.

use std::io::ErrorKind;
use std::time::Duration;

use felhom_engine::{ErrorClass, RemoteError};
use felhom_host::{Code, ConnectError, Connection, Operation, Refusal, Report};

use crate::config::Config;
use crate::exit::{Exit, Failure};

/// What an admin types to have the root helper.
pub const INSTALL: &str = "install felhom-hostd, then: felhom-agent host config > hostd.toml; install -m 0644 -o root -g root hostd.toml /etc/felhom/hostd.toml; \
                           systemctl enable --now felhom-hostd.socket";

/// A look is waited for as long; what hangs longer hangs.
pub const LOOK: Duration = Duration::from_secs(20);
/// A mount, an unmount or a probe is waited for as long: a slow disk spins up, and writes out what was kept back.
pub const DISK: Duration = Duration::from_mins(3);
/// The making of a container is waited for as long.
pub const CREATE: Duration = Duration::from_mins(16);

/// The root helper, as far as the agent knows it: a socket.
#[derive(Debug, Clone)]
pub struct Fence {
    socket: std::path::PathBuf,
}

/// Why something was not done as root.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The helper is not installed, or not running: nothing was done.
    #[error("the root helper is not there: {0}")]
    Absent(String),
    /// It refused, or failed at it.
    #[error("the root helper: {0}")]
    Refused(#[from] Refusal),
    /// It did not answer. Nobody knows whether it was done.
    #[error("{0}")]
    Lost(String),
}

impl Fence {
    /// The helper that the configuration names.
    pub fn new(config: &Config) -> Self {
        Self {
            socket: config.host_socket.clone(),
        }
    }

    /// Asks for one operation and waits for its end, for `patience` at most. Does not block the caller's thread.
    pub async fn ask(
        &self,
        operation: Operation,
        patience: Duration,
    ) -> Result<Report, FenceError> {
        let wanted = operation.clone();
        self.ask_before(operation, patience, &wanted).await
    }

    /// The same, as a first question of what is wanted in the end: where nobody answers, it is that which a person has to do.
    pub async fn ask_before(
        &self,
        operation: Operation,
        patience: Duration,
        wanted: &Operation,
    ) -> Result<Report, FenceError> {
        let connection = Connection::new(&self.socket, patience);
        let instead = by_hand(wanted);
        let asked = tokio::task::spawn_blocking(move || connection.ask(&operation));
        match asked.await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(error @ (ConnectError::Absent(..) | ConnectError::Unsent(_)))) => {
                Err(not_reached(&error, &instead))
            }
            Ok(Err(error @ ConnectError::Lost(_))) => Err(FenceError::Lost(error.to_string())),
            Err(error) => Err(FenceError::Lost(error.to_string())),
        }
    }
}

/// Nothing was asked: there is no helper, or its socket is not open to this user.
fn not_reached(error: &ConnectError, instead: &str) -> FenceError {
    match error {
        ConnectError::Absent(socket, cause) if cause.kind() == ErrorKind::PermissionDenied => {
            let socket = socket.display();
            let text = format!("{socket} is not open to this user{instead}");
            FenceError::Refused(Refusal::new(Code::NotAllowed, text))
        }
        ConnectError::Absent(..) | ConnectError::Unsent(_) | ConnectError::Lost(_) => {
            FenceError::Absent(format!("{error}{instead}"))
        }
    }
}

/// What an admin types in the place of an operation, as the end of a sentence.
fn by_hand(operation: &Operation) -> String {
    let command = match operation {
        Operation::CreateGoldenContainer { vmid, template } => format!(
            "pct create {vmid} {template} --unprivileged 1 --features nesting=1,keyctl=1 --rootfs STORAGE:8"
        ),
        Operation::ListBlockDevices {} => {
            "lsblk -o NAME,SIZE,FSTYPE,LABEL,UUID,SERIAL,TRAN,MOUNTPOINTS".to_owned()
        }
        Operation::InstallUsbMount { name, uuid } => format!(
            "mkdir -p /mnt/felhom/{name} && mount -o nodev,nosuid,noexec UUID={uuid} /mnt/felhom/{name}"
        ),
        Operation::MountUsb { name } => format!("systemctl start mnt-felhom-{name}.mount"),
        Operation::UnmountUsb { name } | Operation::RemoveUsbMount { name } => {
            format!("systemctl stop mnt-felhom-{name}.mount")
        }
        Operation::ProbeUsb { name, .. } => format!("findmnt /mnt/felhom/{name}"),
        Operation::ReadSensors {} => "grep . /sys/class/hwmon/hwmon*/temp*_input".to_owned(),
        Operation::StripScratchGuest { vmid } => {
            format!("pct set {vmid} --delete hookscript (and each devN)")
        }
        // The finding about it has the whole of it.
        Operation::ReleaseUnfinishedRestore { .. } => return String::new(),
    };
    format!("; without it, as root: {command}")
}

impl FenceError {
    /// Whether nothing was done.
    pub fn is_clean(&self) -> bool {
        match self {
            Self::Absent(_) => true,
            Self::Refused(refusal) => refusal.is_clean(),
            Self::Lost(_) => false,
        }
    }

    /// The same in the engine's words.
    pub fn to_remote(&self) -> RemoteError {
        let class = match self {
            Self::Absent(_) => ErrorClass::Unreachable,
            Self::Lost(_) => ErrorClass::Garbage,
            Self::Refused(refusal) => match refusal.code {
                Code::NotAllowed => ErrorClass::Forbidden,
                Code::NotFound => ErrorClass::NotFound,
                Code::Busy => ErrorClass::Locked,
                Code::Malformed
                | Code::NotConfigured
                | Code::OutsideRange
                | Code::Exists
                | Code::Detached
                | Code::Wrong
                | Code::Unsuitable
                | Code::ReadOnly
                | Code::Full
                | Code::InUse
                | Code::NotProven
                | Code::Failed
                | Code::TimedOut => ErrorClass::Refused,
            },
        };
        let text = self.to_string();
        RemoteError { class, text }
    }

    /// How a command ends that could not do without it.
    pub fn failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::Absent(_) => {
                Failure::new(Exit::Refused, "root-helper-absent", message).hint(INSTALL)
            }
            Self::Lost(_) => Failure::new(Exit::Undetermined, "root-helper-lost", message)
                .hint("journalctl -u felhom-hostd tells what it did; look before asking again"),
            Self::Refused(refusal) => of_refusal(refusal, message),
        }
    }
}

fn of_refusal(refusal: &Refusal, message: String) -> Failure {
    let code = "root-helper-refused";
    match refusal.code {
        Code::NotAllowed => Failure::new(Exit::Permission, code, message)
            .hint("the helper answers to the user that `user` in /etc/felhom/hostd.toml names"),
        Code::NotConfigured | Code::OutsideRange => Failure::new(Exit::Refused, code, message)
            .hint("`felhom-agent host config` prints an /etc/felhom/hostd.toml that fits; root has to write it"),
        Code::Detached | Code::Busy | Code::InUse => Failure::new(Exit::Busy, code, message),
        Code::NotFound => Failure::new(Exit::NoSuchThing, code, message),
        Code::TimedOut => Failure::new(Exit::Undetermined, code, message)
            .hint("journalctl -u felhom-hostd tells what it did; look before asking again"),
        Code::Failed => Failure::new(Exit::TaskFailed, code, message),
        Code::Malformed => Failure::new(Exit::Unexpected, code, message)
            .hint("the agent and the helper are of different versions: install both of one package"),
        Code::Exists
        | Code::Wrong
        | Code::Unsuitable
        | Code::ReadOnly
        | Code::Full
        | Code::NotProven => Failure::new(Exit::Refused, code, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_somebody_else_is_no_absent_helper() {
        let of = |kind: ErrorKind| {
            let error = ConnectError::Absent("/run/felhom-hostd.sock".into(), kind.into());
            not_reached(&error, "; as root: true").failure()
        };
        let denied = of(ErrorKind::PermissionDenied);
        assert_eq!(denied.exit, Exit::Permission);
        assert!(
            denied.message.contains("not open to this user"),
            "{}",
            denied.message
        );
        assert_eq!(of(ErrorKind::NotFound).code, "root-helper-absent");
    }
}
