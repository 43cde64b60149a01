//! The program itself, and a real other user.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use felhom_host::{ConnectError, Connection, Operation};
use serde_json::json;

use crate::disks::host::tell;
use crate::support::{Host, code, reply, uid};

#[expect(
    clippy::disallowed_types,
    reason = "a test of the program starts the program"
)]
type Command = std::process::Command;

/// Somebody who is nobody on any Linux.
const NOBODY: u32 = 65_534;
/// Where the process of a client finds its socket.
const CLIENT: &str = "FELHOM_TEST_HOSTD_SOCKET";

#[test]
fn by_hand_it_says_how_it_is_started() {
    let output = Command::new(env!("CARGO_BIN_EXE_felhom-hostd"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("systemctl enable --now felhom-hostd.socket"),
        "{told}"
    );
}

#[test]
fn on_a_socket_it_serves_by_the_configuration_of_the_system_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_felhom-hostd"))
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    let request = json!({ "version": 1, "request": { "operation": "mount-usb", "name": "usb1" } });
    let _sent = stream.write_all(format!("{request}\n").as_bytes());
    let answer = reply(&mut stream).map(code);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // Where a helper is installed it does not know the user of this test; elsewhere it has no configuration.
    let answer = answer.unwrap();
    assert!(
        ["not-configured", "not-allowed"].contains(&answer.as_str()),
        "{answer}"
    );
}

/// Not a test: a client that another user runs.
#[test]
#[ignore = "it is the client that another test starts"]
fn client() {
    let Some(socket) = std::env::var_os(CLIENT).map(PathBuf::from) else {
        return;
    };
    let connection = Connection::new(socket, Duration::from_secs(20));
    match connection.ask(&Operation::ReadSensors {}) {
        Ok(Ok(_)) => println!("served"),
        Ok(Err(refusal)) => println!("refused: {}", refusal.code),
        Err(error) => println!("nothing: {error}"),
    }
}

#[test]
fn a_real_other_user_is_refused() {
    if uid() != 0 {
        tell("skipped: a_real_other_user_is_refused: it needs root, to become another user");
        return;
    }
    let host = Host::new();
    let daemon = host.start();
    let open = |path: PathBuf| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(host.root().to_owned());
    let program = host.path("client");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    open(program.clone());
    let ask = |user: u32| {
        let output = Command::new(&program)
            .args(["--exact", "program::client", "--ignored", "--nocapture"])
            .env(CLIENT, host.path("hostd.sock"))
            .uid(user)
            .gid(user)
            .current_dir("/")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told = ask(NOBODY);
    assert!(told.contains("refused: not-allowed"), "{told}");
    assert!(
        daemon.audit().contains(&format!("uid={NOBODY}")),
        "{}",
        daemon.audit()
    );
    // The same client, as the user that may.
    let told = ask(0);
    assert!(told.contains("served"), "{told}");
}

#[test]
fn the_callers_half_tells_its_troubles_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostd.sock");
    let soon = Connection::new(&path, Duration::from_millis(300));
    let ask = || soon.ask(&Operation::ReadSensors {});
    assert!(matches!(ask(), Err(ConnectError::Absent(..))));
    let listener = UnixListener::bind(&path).unwrap();
    // Nobody answers.
    assert!(matches!(ask(), Err(ConnectError::Lost(_))));
    // What comes is not what is meant.
    let answers: [&[u8]; 4] = [b"\n", b"{}\n", b"{\"result\":\"done\"}\n", b"{\"result\":"];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The one that went unanswered.
            drop(listener.accept().unwrap());
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                BufReader::new(&stream)
                    .read_line(&mut String::new())
                    .unwrap();
                stream.write_all(answer).unwrap();
            }
        });
        for answer in answers {
            let told = ask();
            assert!(
                matches!(told, Err(ConnectError::Lost(_))),
                "{answer:?}: {told:?}"
            );
        }
    });
}
