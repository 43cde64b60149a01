//! `strip-scratch-guest`.

use std::fs::File;

use felhom_host::{Code, Operation, Report};
use rustix::fs::{FlockOperation, flock};

use crate::guests::world::{TOKEN, World};

const CONFIG: &str = "/etc/pve/nodes/pve/lxc/9100.conf";
/// As PVE writes what a restore brought back.
const RESTORED: &str = include_str!("strip/restored.conf");
const STRIPPED: &str = include_str!("strip/stripped.conf");

fn strip() -> Operation {
    Operation::StripScratchGuest {
        vmid: "9100".parse().unwrap(),
    }
}

fn ended(kind: &str, status: &str) -> String {
    format!("{} 6900B000 {status}", World::upid(kind, 9100))
}

fn restored() -> World {
    let world = World::new();
    world.container(9100, RESTORED);
    world.index(&[ended("vzrestore", "OK")]);
    world
}

#[test]
fn what_would_act_on_the_host_is_taken_away_and_nothing_else() {
    let world = restored();
    let keys = [
        "dev0: /dev/dri/renderD128,gid=104",
        "dev1: path=/dev/ttyUSB0",
        "hookscript: local:snippets/hook.pl",
        "lxc.mount.entry: /srv srv none bind 0 0",
        "lxc.apparmor.profile = unconfined",
    ];
    let expected = Report::Stripped {
        vmid: "9100".parse().unwrap(),
        keys: keys.map(str::to_owned).to_vec(),
    };
    assert_eq!(world.ask(&strip()), Ok(expected));
    assert_eq!(world.read(CONFIG), STRIPPED);
    let nothing = Report::Stripped {
        vmid: "9100".parse().unwrap(),
        keys: Vec::new(),
    };
    assert_eq!(world.ask(&strip()), Ok(nothing));
    assert_eq!(world.read(CONFIG), STRIPPED);
    let files = std::fs::read_dir(world.path("/etc/pve/nodes/pve/lxc")).unwrap();
    assert_eq!(files.count(), 1, "nothing is left beside it");
    assert!(world.calls().is_empty());
}

#[test]
fn what_is_left_of_a_write_that_was_cut_off_is_no_hindrance() {
    let world = restored();
    let left = format!("{CONFIG}.tmp.{}", std::process::id());
    world.file(&left, "half");
    world.ask(&strip()).unwrap();
    assert_eq!(world.read(CONFIG), STRIPPED);
    assert!(!world.path(&left).exists());
}

#[track_caller]
fn refused(code: Code, why: &str, change: impl FnOnce(&World)) {
    let world = restored();
    change(&world);
    let before = std::fs::read(world.path(CONFIG)).ok();
    let refusal = world.ask(&strip()).unwrap_err();
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.text.contains(why), "{why}: {refusal}");
    assert_eq!(std::fs::read(world.path(CONFIG)).ok(), before);
}

#[test]
fn a_guest_that_is_not_our_scratch_guest_is_not_touched() {
    let not_proven = |why, config: &str| {
        refused(Code::NotProven, why, |world| world.file(CONFIG, config));
    };
    not_proven("locked", &format!("{RESTORED}lock: backup\n"));
    not_proven("snapshots", &format!("{RESTORED}\n[snap]\narch: amd64\n"));
    not_proven(
        "pending",
        &format!("{RESTORED}\n[pve:pending]\nmemory: 1\n"),
    );
    not_proven("mark", &RESTORED.replace("%3A9100", "%3A9101"));
    not_proven("mark", &RESTORED.replace("felhom-mark", "other-mark"));
    let snapshots_mark = format!("arch: amd64\n\n[snap]\n{RESTORED}");
    not_proven("snapshots", &snapshots_mark);
    refused(Code::NotProven, "of the kind qemu", |world| {
        world.machine(9100, "memory: 1\n");
    });
    refused(Code::NotProven, "on the node other", |world| {
        world.file("/etc/pve/nodes/other/lxc/9100.conf", "");
    });
    let world = restored();
    let outside = Operation::StripScratchGuest {
        vmid: "9200".parse().unwrap(),
    };
    assert_eq!(world.ask(&outside).unwrap_err().code, Code::OutsideRange);
}

#[test]
fn the_last_task_has_to_be_a_restore_of_ours_that_ended_well() {
    let last = |line: &str| {
        let line = line.to_owned();
        refused(Code::NotProven, "the last task on 9100", |world| {
            world.index(&[line]);
        });
    };
    last(&ended("vzrestore", "unexpected status"));
    last(&ended("vzcreate", "OK"));
    last(&ended("vzstop", "OK"));
    last(&ended("vzrestore", "OK").replace(TOKEN, "root@pam"));
    refused(Code::NotFound, "no task on 9100", |world| world.index(&[]));
    refused(Code::NotProven, "the last task on 9100", |world| {
        world.index(&[]);
        let line = format!("{} 0\n", World::upid("vzrestore", 9100));
        world.file("/var/log/pve/tasks/active", &line);
    });
    let warned = restored();
    warned.index(&[ended("vzrestore", "WARNINGS: 1")]);
    assert!(warned.ask(&strip()).is_ok());
}

#[test]
fn a_guest_that_runs_or_is_worked_on_is_not_touched() {
    refused(Code::InUse, "stop it first", |world| {
        let line = "0000: 00000002 00000000 00010000 0001 01 12345 @/var/lib/lxc/9100/command\n";
        world.file("/proc/net/unix", line);
    });
    refused(Code::Busy, "a task on 9100 runs", |world| {
        let upid = "UPID:pve:00001388:00000300:6900E000:vzstart:9100:root@pam:";
        world.process(5000, 'S', 0x300, &format!("task {upid}"));
    });
    let world = restored();
    let lock = File::create(world.path("/run/lock/lxc/pve-config-9100.lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(world.ask(&strip()).unwrap_err().code, Code::Busy);
    assert_eq!(world.read(CONFIG), RESTORED);
}
