//! What the kernel sees: whatever is asked for, nothing is executed that is not in the table.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Host, code, wait_until};

/// The programs that may run as root, written down once more: a new one has to be meant.
const TABLE: [&str; 4] = [
    "usr/sbin/pct",
    "usr/sbin/qm",
    "usr/bin/lsblk",
    "usr/bin/systemctl",
];

#[expect(
    clippy::disallowed_types,
    reason = "a test of the daemon looks whether a tracer is there"
)]
fn traceable() -> bool {
    let tried = std::process::Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

fn requests() -> Vec<Value> {
    let upid =
        "UPID:demo-felhom:0000C0DE:00012345:6922E0A0:vzrestore:9100:felhom-test@pve!restore-test:";
    let mut all = vec![
        json!({ "operation": "list-block-devices" }),
        json!({ "operation": "read-sensors" }),
        json!({ "operation": "install-usb-mount", "name": "usb1", "uuid": "6A1C-93D0" }),
        json!({ "operation": "mount-usb", "name": "usb1" }),
        json!({ "operation": "probe-usb", "name": "usb1", "write": true }),
        json!({ "operation": "unmount-usb", "name": "usb1" }),
        json!({ "operation": "remove-usb-mount", "name": "usb1" }),
        json!({ "operation": "create-golden-container", "vmid": 9900, "template": "local:vztmpl/debian.tar.zst" }),
        json!({ "operation": "strip-scratch-guest", "vmid": 9100 }),
        json!({ "operation": "release-unfinished-restore", "vmid": 9100, "upid": upid }),
    ];
    for name in ["--help", "$(touch x)", "../../bin/sh", "a\nb"] {
        all.push(json!({ "operation": "mount-usb", "name": name }));
        all.push(json!({ "operation": "create-golden-container", "vmid": 9900, "template": name }));
    }
    all
}

#[test]
fn nothing_is_executed_outside_the_table() {
    if !traceable() {
        println!(
            "skipped: nothing_is_executed_outside_the_table: strace is not there, or may not trace"
        );
        return;
    }
    let host = Host::new();
    // Programs that start nothing themselves: whatever is executed, the daemon executed it.
    for program in TABLE {
        host.write(program, "");
        std::fs::copy("/bin/true", host.path(program)).unwrap();
    }
    let trace = host.path("trace");
    let daemon = host.start_under(&[
        "strace",
        "-f",
        "-e",
        "trace=execve,execveat",
        "-o",
        trace.to_str().unwrap(),
    ]);
    let answers: Vec<String> = requests()
        .iter()
        .map(|request| code(daemon.ask(request)))
        .collect();
    wait_until("the trace is written", || {
        std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("lsblk"))
    });
    let text = std::fs::read_to_string(&trace).unwrap();
    let executed = text
        .lines()
        .filter(|line| line.contains("exec") && line.contains('"'));
    let executed: BTreeSet<&str> = executed.filter_map(|line| line.split('"').nth(1)).collect();
    let this = std::env::current_exe().unwrap();
    let allowed: Vec<_> = TABLE.iter().map(|program| host.path(program)).collect();
    for path in &executed {
        let is_allowed = allowed.iter().any(|one| one.to_str() == Some(path));
        assert!(
            is_allowed || this.to_str() == Some(path),
            "{path} was executed: {answers:?}"
        );
    }
    let lsblk = host.path("usr/bin/lsblk");
    assert!(executed.contains(lsblk.to_str().unwrap()), "{executed:?}");
}
