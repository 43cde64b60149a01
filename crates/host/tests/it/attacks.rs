//! The daemon under attack: by whom it must not serve, and by what it must not be impressed.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::{CONFIG, Host, code, reply, uid, wait_until};

const SENSORS: &[u8] = b"{\"version\":1,\"request\":{\"operation\":\"read-sensors\"}}\n";
const DEVICES: &str = "list-block-devices";

fn devices() -> serde_json::Value {
    json!({ "operation": DEVICES })
}

/// A host with a program that prints no devices.
fn host() -> Host {
    let host = Host::new();
    host.program("usr/bin/lsblk", r#"echo '{"blockdevices": []}'"#);
    host
}

fn alive(daemon: &crate::support::Daemon<'_>) {
    let reply = daemon.ask(&devices());
    assert!(reply.clone().into_result().is_ok(), "{reply:?}");
}

#[test]
fn another_user_is_refused_before_anything_is_read() {
    let host = host();
    host.write(
        "etc/passwd",
        &format!("felhom-agent:x:{}:1::/:/bin/false\n", uid() + 1),
    );
    let daemon = host.start();
    // Nothing is sent: the refusal comes all the same.
    let mut stream = daemon.connect();
    assert_eq!(code(reply(&mut stream).unwrap()), "not-allowed");
    assert_eq!(daemon.refusal(&devices()), "not-allowed");
    wait_until("it is in the audit", || {
        daemon
            .audit()
            .contains("operation=none outcome=refused code=not-allowed")
    });
}

#[test]
fn without_a_configuration_that_is_roots_nobody_is_served() {
    let host = host();
    let daemon = host.start();
    alive(&daemon);
    let file = host.path("etc/felhom/hostd.toml");
    let set = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(0o664);
    assert_eq!(daemon.refusal(&devices()), "not-configured");
    set(0o644);
    alive(&daemon);
    let dir = host.path("etc/felhom");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(daemon.refusal(&devices()), "not-configured");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    // A link to a file that is fine is no file that is fine.
    host.write("elsewhere.toml", CONFIG);
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(host.path("elsewhere.toml"), &file).unwrap();
    assert_eq!(daemon.refusal(&devices()), "not-configured");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(daemon.refusal(&devices()), "not-configured");
    host.write(
        "etc/felhom/hostd.toml",
        "user = \"felhom-agent\"\nshell = \"/bin/sh\"\n",
    );
    assert_eq!(daemon.refusal(&devices()), "not-configured");
    host.write("etc/felhom/hostd.toml", CONFIG);
    alive(&daemon);
}

/// What is no request, byte for byte.
fn no_requests() -> Vec<Vec<u8>> {
    [
        "",
        "\n",
        "{}\n",
        "null\n",
        "[]\n",
        "\0\n",
        "list-block-devices\n",
        r#"{"version":1}"#,
        "{\"version\":1}\n",
        "{\"version\":2,\"request\":{\"operation\":\"list-block-devices\"}}\n",
        "{\"version\":1,\"request\":{\"operation\":\"run\",\"command\":\"/bin/sh\"}}\n",
        "{\"version\":1,\"request\":{\"operation\":\"list-block-devices\",\"argv\":[\"x\"]}}\n",
        "{\"version\":1,\"request\":{\"operation\":\"list-block-devices\"},\"more\":1}\n",
        "{\"version\":1,\"request\":\"list-block-devices\"}\n",
        "{\"version\":1,\"request\":{\"operation\":[\"list-block-devices\"]}}\n",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        vec![0xff; 200],
        vec![b'['; 4000],
        [vec![b'{'; 4090], b"\n".to_vec()].concat(),
        [
            b"{\"version\":1,\"request\":{\"operation\":\"".to_vec(),
            vec![b'a'; 5000],
            b"\"}}\n".to_vec(),
        ]
        .concat(),
    ])
    .collect()
}

#[test]
fn what_is_no_request_is_refused_and_runs_nothing() {
    let host = Host::new();
    let ran = host.path("ran");
    for program in [
        "usr/bin/lsblk",
        "usr/bin/systemctl",
        "usr/sbin/pct",
        "usr/sbin/qm",
    ] {
        host.program(program, &format!("echo $0 $@ >> {}", ran.display()));
    }
    let daemon = host.start();
    for request in no_requests() {
        let reply = daemon.send(&request);
        // What ends without a newline is answered when the sender is heard no more.
        let shown = String::from_utf8_lossy(&request)
            .chars()
            .take(80)
            .collect::<String>();
        assert_eq!(
            code(reply.unwrap_or_else(|| panic!("{shown}"))),
            "malformed",
            "{shown}"
        );
    }
    assert!(!ran.exists(), "{}", std::fs::read_to_string(&ran).unwrap());
}

/// What is no name of anything.
const HOSTILE: &[&str] = &[
    "--help",
    "-1",
    ";rm -rf /",
    "$(reboot)",
    "`id`",
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a\nb",
    "a\0b",
    "a b",
    "a\u{202e}b",
    "\u{1b}[2J",
    "usb1/../..",
    "%2e%2e",
    "usb1\n[Install]",
    "ÿ",
];

#[test]
fn a_hostile_name_is_no_name() {
    let host = Host::new();
    let ran = host.path("ran");
    for program in [
        "usr/bin/lsblk",
        "usr/bin/systemctl",
        "usr/sbin/pct",
        "usr/sbin/qm",
    ] {
        host.program(program, &format!("echo $0 $@ >> {}", ran.display()));
    }
    let daemon = host.start();
    for &name in HOSTILE {
        let uuid = "6A1C-93D0";
        let asked = [
            json!({ "operation": "install-usb-mount", "name": name, "uuid": uuid }),
            json!({ "operation": "install-usb-mount", "name": "usb1", "uuid": name }),
            json!({ "operation": "mount-usb", "name": name }),
            json!({ "operation": "unmount-usb", "name": name }),
            json!({ "operation": "remove-usb-mount", "name": name }),
            json!({ "operation": "probe-usb", "name": name, "write": true }),
            json!({ "operation": "create-golden-container", "vmid": 9900, "template": name }),
            json!({ "operation": "create-golden-container", "vmid": 9900, "template": format!("local:vztmpl/{name}") }),
            json!({ "operation": "create-golden-container", "vmid": name, "template": "local:vztmpl/a.tar.zst" }),
            json!({ "operation": "strip-scratch-guest", "vmid": name }),
            json!({ "operation": "release-unfinished-restore", "vmid": 9100, "upid": name }),
        ];
        for request in asked {
            assert_eq!(daemon.refusal(&request), "malformed", "{request}");
        }
    }
    for vmid in [
        json!(99),
        json!(-1),
        json!(1e30),
        json!(9100.5),
        json!([9100]),
        json!(null),
    ] {
        let request = json!({ "operation": "strip-scratch-guest", "vmid": vmid });
        assert_eq!(daemon.refusal(&request), "malformed", "{request}");
    }
    assert!(!ran.exists(), "{}", std::fs::read_to_string(&ran).unwrap());
}

#[test]
fn endless_requests_cost_little_and_hold_nobody_up() {
    let host = host();
    let daemon = host.start();
    let mut endless = daemon.connect();
    let chunk = vec![b' '; 64 * 1024];
    let mut sent = 0;
    for _ in 0..10_000 {
        match endless.write(&chunk) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes were taken");
    alive(&daemon);
    let peak = daemon.peak_kib();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

#[test]
fn a_slow_client_is_given_up_and_holds_nobody_up() {
    let host = host();
    let daemon = host.start();
    let mut slow = daemon.connect();
    let mut heard = None;
    for byte in SENSORS {
        alive(&daemon);
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(60));
        if daemon.audit().contains("operation=none") {
            heard = reply(&mut slow);
            break;
        }
    }
    assert_eq!(code(heard.unwrap()), "malformed");
}

#[test]
fn many_clients_are_served_or_told_to_come_back() {
    let host = host();
    let daemon = host.start();
    // Eight that say nothing take all places.
    let silent: Vec<_> = (0..8).map(|_| daemon.connect()).collect();
    wait_until("all places are taken", || {
        daemon.refusal(&devices()) == "busy"
    });
    drop(silent);
    wait_until("the places are free again", || {
        daemon.ask(&devices()).into_result().is_ok()
    });
    let replies: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..60)
            .map(|_| scope.spawn(|| code(daemon.ask(&json!({ "operation": "read-sensors" })))))
            .collect();
        asked
            .into_iter()
            .map(|asked| asked.join().unwrap())
            .collect()
    });
    let served = replies
        .iter()
        .filter(|reply| reply.starts_with("done"))
        .count();
    let busy = replies.iter().filter(|reply| *reply == "busy").count();
    assert_eq!(served + busy, 60, "{replies:?}");
    assert!(served > 0, "{replies:?}");
    wait_until("the places are free again", || {
        daemon.ask(&devices()).into_result().is_ok()
    });
}

#[test]
fn a_client_that_dies_half_way_leaves_a_daemon_that_serves() {
    let host = host();
    host.program("usr/bin/lsblk", r#"sleep 0.3; echo '{"blockdevices": []}'"#);
    let daemon = host.start();
    for cut in [0, 1, SENSORS.len() / 2, SENSORS.len() - 1] {
        let mut stream = daemon.connect();
        stream.write_all(&SENSORS[..cut]).unwrap();
    }
    let mut stream = daemon.connect();
    let whole = format!("{}\n", json!({ "version": 1, "request": devices() }));
    stream.write_all(whole.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    drop(stream);
    wait_until("what was asked for is done and told to nobody", || {
        daemon
            .audit()
            .lines()
            .any(|line| line.contains(DEVICES) && line.ends_with("untold"))
    });
    alive(&daemon);
}

#[test]
fn what_a_program_leaves_behind_is_killed() {
    let host = Host::new();
    let pids = host.path("pids");
    let note = |what: &str| format!("echo {what} >> {}", pids.display());
    let hang = format!(
        "{0}; (setsid sh -c '{1}; sleep 600' & ) ; (sh -c '{1}; exec sleep 600' &); sleep 600",
        note("$$"),
        note("$$")
    );
    let leave = format!(
        "(setsid sh -c '{}; sleep 600' </dev/null >/dev/null 2>&1 &); sleep 0.2; echo '{{\"blockdevices\": []}}'",
        note("$$")
    );
    for (script, expected) in [(hang, "timed-out"), (leave, "done")] {
        std::fs::write(&pids, "").unwrap();
        host.program("usr/bin/lsblk", &script);
        let daemon = host.start();
        let answer = code(daemon.ask(&devices()));
        assert!(answer.starts_with(expected), "{answer}");
        let noted = std::fs::read_to_string(&pids).unwrap();
        assert!(noted.lines().count() >= 1);
        for pid in noted.lines() {
            let status = format!("/proc/{pid}/status");
            wait_until("it is gone, or nobody has looked yet", || {
                let status = std::fs::read_to_string(Path::new(&status)).unwrap_or_default();
                status.is_empty() || status.contains("State:\tZ")
            });
        }
        drop(daemon);
        std::fs::remove_file(host.path("hostd.sock")).unwrap();
    }
}

#[test]
fn a_gigabyte_of_output_costs_little() {
    let host = Host::new();
    for (what, stream) in [("stdout", ""), ("stderr", " >&2")] {
        host.program(
            "usr/bin/lsblk",
            &format!("head -c 1073741824 /dev/zero{stream}"),
        );
        let daemon = host.start();
        let answer = code(daemon.ask(&devices()));
        assert_eq!(answer, "failed", "{what}");
        let peak = daemon.peak_kib();
        assert!(peak < 64 * 1024, "{what}: {peak} KiB");
        drop(daemon);
        std::fs::remove_file(host.path("hostd.sock")).unwrap();
    }
}

#[test]
fn a_program_is_given_nothing_of_ours() {
    let host = Host::new();
    let seen = host.path("seen");
    let script = format!(
        "{{ echo environ:; tr '\\0' '\\n' < /proc/$$/environ; echo fds:; ls -l /proc/$$/fd; echo cwd:; pwd; \
         echo core:; ulimit -c; }} > {}; echo '{{\"blockdevices\": []}}'",
        seen.display()
    );
    // The shell finds its own tools without an environment.
    host.program("usr/bin/lsblk", &format!("PATH=/usr/bin:/bin; {script}"));
    let daemon = host.start();
    alive(&daemon);
    let seen = std::fs::read_to_string(&seen).unwrap();
    let (environ, rest) = seen.split_once("fds:\n").unwrap();
    assert_eq!(environ, "environ:\n");
    let (fds, rest) = rest.split_once("cwd:\n").unwrap();
    assert!(fds.contains("0 -> /dev/null"), "{fds}");
    assert!(!fds.contains("socket:"), "{fds}");
    assert!(rest.starts_with("/\n"), "{rest}");
}

#[test]
fn the_daemon_ends_when_nobody_asks() {
    let host = host();
    host.write("idle-ms", "300");
    let mut daemon = host.start();
    alive(&daemon);
    let mut ended = None;
    wait_until("it ends by itself", || {
        ended = daemon.child.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success());
}

#[test]
fn every_request_leaves_one_line_of_audit() {
    let host = host();
    let daemon = host.start();
    alive(&daemon);
    alive(&daemon);
    daemon.send(b"nonsense\n");
    let strip = json!({ "operation": "strip-scratch-guest", "vmid": 100 });
    assert_eq!(daemon.refusal(&strip), "outside-range");
    let of = |part: &str| {
        let audit = daemon.audit();
        let found = audit.lines().filter(|line| line.contains(part));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("the last one is told", || {
        of("strip-scratch-guest").len() == 1
    });
    let listed = of("operation=list-block-devices");
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(
        listed.iter().all(|line| line.contains("outcome=done")),
        "{listed:?}"
    );
    let nonsense = of("says nothing that is known");
    assert_eq!(nonsense.len(), 1, "{nonsense:?}");
    assert!(nonsense[0].contains("outcome=refused code=malformed"));
    let stripped = &of("strip-scratch-guest")[0];
    assert!(stripped.contains("\"vmid\":100") && stripped.contains("code=outside-range"));
    let who = format!("uid={} pid={}", uid(), std::process::id());
    let audit = daemon.audit();
    assert!(audit.lines().all(|line| line.starts_with(&who)), "{audit}");
}
