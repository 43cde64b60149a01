//! `release-unfinished-restore`.

mod mounted;

use std::fs::File;
use std::os::unix::fs::symlink;

use felhom_host::{Code, Operation, Report};
use rustix::fs::{FlockOperation, flock};

use crate::guests::world::{TOKEN, World};

const CONFIG: &str = "/etc/pve/nodes/pve/lxc/9100.conf";

fn operation(vmid: u32, upid: &str) -> Operation {
    Operation::ReleaseUnfinishedRestore {
        vmid: vmid.to_string().parse().unwrap(),
        upid: upid.parse().unwrap(),
    }
}

fn restore() -> String {
    World::upid("vzrestore", 9100)
}

fn released(vmid: u32, lock: Option<&str>) -> Report {
    Report::Released {
        vmid: vmid.to_string().parse().unwrap(),
        lock: lock.map(str::to_owned),
        unmounted: Vec::new(),
    }
}

/// What a power cut in the middle of a restore leaves, when the node has looked at its tasks since.
fn cut_off() -> World {
    let world = World::new();
    world.container(9100, "lock: create\n");
    world.index(&[
        format!("UPID:pve:00000F00:00000050:69009000:vzdestroy:9100:{TOKEN}: 69009001 OK"),
        format!("{} 6900B000 unexpected status", restore()),
        "UPID:pve:00001001:00000110:6900C000:vzdump:100:root@pam: 6900C100 OK".to_owned(),
    ]);
    world
}

#[test]
fn an_unfinished_restore_is_released_once() {
    let world = cut_off();
    let release = operation(9100, &restore());
    assert_eq!(world.ask(&release), Ok(released(9100, Some("create"))));
    assert_eq!(world.read(CONFIG), "");
    assert_eq!(world.ask(&release), Ok(released(9100, None)));
    assert_eq!(world.calls(), ["pct unlock 9100"]);
}

#[test]
fn each_sort_of_task_leaves_its_own_stub() {
    for (kind, is_machine, config, lock, program) in [
        ("vzrestore", false, "lock: create\n", "create", "pct"),
        ("vzdestroy", false, "lock: destroyed\n", "destroyed", "pct"),
        ("qmrestore", true, "lock: create\n", "create", "qm"),
        (
            "qmrestore",
            true,
            "memory: 128\nlock: create",
            "create",
            "qm",
        ),
        ("qmdestroy", true, "lock: destroyed\n", "destroyed", "qm"),
    ] {
        let world = World::new();
        if is_machine {
            world.machine(9100, config);
        } else {
            world.container(9100, config);
        }
        // Nobody has looked at the tasks since they were cut off.
        let upid = World::upid(kind, 9100);
        world.file("/var/log/pve/tasks/active", &format!("{upid} 0\n"));
        let told = world.ask(&operation(9100, &upid));
        assert_eq!(told, Ok(released(9100, Some(lock))), "{kind} {config:?}");
        assert_eq!(world.calls(), [format!("{program} unlock 9100")]);
    }
}

/// Asks in a world that is changed, and holds that nothing was touched.
#[track_caller]
fn refused(code: Code, why: &str, upid: &str, change: impl FnOnce(&World)) {
    let world = cut_off();
    change(&world);
    let before = std::fs::read(world.path(CONFIG)).ok();
    let refusal = world.ask(&operation(9100, upid)).unwrap_err();
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.text.contains(why), "{why}: {refusal}");
    assert_eq!(std::fs::read(world.path(CONFIG)).ok(), before);
    assert!(world.calls().is_empty());
}

#[test]
fn only_a_task_of_the_agents_on_this_guest_and_node_is_looked_at() {
    let same = |_: &World| {};
    let wrong = |upid: String, why| refused(Code::NotProven, why, &upid, same);
    wrong(World::upid("vzcreate", 9100), "only restores and removals");
    wrong(World::upid("vzclone", 9100), "only restores and removals");
    wrong(World::upid("qmcreate", 9100), "only restores and removals");
    wrong(World::upid("vzrestore", 9101), "not one on 9100");
    wrong(restore().replace(TOKEN, "root@pam"), "scratch.tokens");
    wrong(
        restore().replace(TOKEN, "felhom-test@pve"),
        "scratch.tokens",
    );
    wrong(
        restore().replace(TOKEN, "felhom-test@pve!other"),
        "scratch.tokens",
    );
    wrong(restore().replace(":pve:", ":other:"), "ran on other");
    let of_a_backup_server = restore().replace(":6900A000:", ":00000001:6900A000:");
    wrong(of_a_backup_server, "not one on 9100");
}

#[test]
fn a_guest_outside_of_the_range_is_never_looked_at() {
    let world = World::new();
    world.container(100, "lock: create\n");
    let upid = World::upid("vzrestore", 100);
    world.index(&[format!("{upid} 6900B000 unexpected status")]);
    let refusal = world.ask(&operation(100, &upid)).unwrap_err();
    assert_eq!(refusal.code, Code::OutsideRange);
    assert_eq!(world.read("/etc/pve/lxc/100.conf"), "lock: create\n");
}

#[test]
fn a_configuration_that_is_no_such_stub_is_not_released() {
    for (config, why) in [
        ("arch: amd64\nlock: create\n", "holds more"),
        (
            "lock: create\nrootfs: local-lvm:vm-9100-disk-0,size=8G\n",
            "holds more",
        ),
        ("#felhom-mark\nlock: create\n", "holds more"),
        ("lock: create\n\n[snap]\narch: amd64\n", "holds more"),
        ("memory: 128\nlock: create\n", "holds more"),
        ("lock: backup\n", "has the lock `backup`"),
        ("lock: destroyed\n", "has the lock `destroyed`"),
    ] {
        let change = |world: &World| world.file(CONFIG, config);
        refused(Code::NotProven, why, &restore(), change);
    }
    let destroy = World::upid("vzdestroy", 9100);
    refused(Code::NotProven, "leaves `destroyed`", &destroy, |_| {});
}

#[test]
fn a_guest_that_is_elsewhere_besides_is_not_released() {
    let not_proven =
        |why, change: &dyn Fn(&World)| refused(Code::NotProven, why, &restore(), change);
    not_proven("on the node other", &|world| {
        world.file("/etc/pve/nodes/other/lxc/9100.conf", "arch: amd64\n");
    });
    not_proven("of the kind qemu", &|world| {
        world.file("/etc/pve/nodes/pve/qemu-server/9100.conf", "memory: 1\n");
    });
    not_proven("on the node other", &|world| {
        world.vmlist(r#"{"9100": {"node": "other", "type": "lxc", "version": 3}}"#);
    });
    not_proven("not understood", &|world| {
        world.file("/etc/pve/.vmlist", "\0");
    });
    refused(Code::NotFound, "no guest 9100", &restore(), |world| {
        std::fs::remove_file(world.path(CONFIG)).unwrap();
        world.vmlist("{}");
    });
    refused(Code::NotFound, "is gone", &restore(), |world| {
        std::fs::remove_file(world.path(CONFIG)).unwrap();
    });
}

#[test]
fn only_the_last_task_counts_and_only_when_that_is_beyond_doubt() {
    let cut = format!("{} 6900B000 unexpected status", restore());
    let index = |why, lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        refused(Code::NotProven, why, &restore(), |world| {
            world.index(&lines);
        });
    };
    let later = "UPID:pve:00001002:00000120:6900D000:vzstart:9100:root@pam: 6900D001 OK";
    index("the last task on 9100 is another one", &[&cut, later]);
    index("began later", &[later, &cut]);
    let same_second = "UPID:pve:00001002:00000120:6900A000:vzstart:9100:root@pam: 6900A001 OK";
    index("began later", &[same_second, &cut]);
    index("ended well", &[&cut.replace("unexpected status", "OK")]);
    index(
        "ended well",
        &[&cut.replace("unexpected status", "WARNINGS: 2")],
    );
    index(
        "is not understood",
        &[&cut, "UPID:pve:torn:vzstart:9100:root@pam:"],
    );
    refused(Code::NotFound, "no task on 9100", &restore(), |world| {
        world.index(&[]);
    });
    refused(Code::NotProven, "another one", &restore(), |world| {
        let line = "UPID:pve:00001002:00000120:6900D000:vzstart:9100:root@pam: 0\n";
        world.file("/var/log/pve/tasks/active", line);
    });
}

#[test]
fn what_others_could_have_written_proves_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let open_to_all = |path: &'static str| {
        refused(Code::NotProven, "others may write", &restore(), |world| {
            let mode = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(world.path(path), mode).unwrap();
        });
    };
    open_to_all("/var/log/pve/tasks");
    open_to_all("/var/log/pve/tasks/index");
    open_to_all(CONFIG);
    open_to_all("/etc/pve/.vmlist");
    refused(Code::NotProven, "proves nothing", &restore(), |world| {
        let index = world.path("/var/log/pve/tasks/index");
        std::fs::rename(&index, world.path("/elsewhere")).unwrap();
        symlink(world.path("/elsewhere"), index).unwrap();
    });
    refused(Code::NotProven, "too long", &restore(), |world| {
        world.file("/var/log/pve/tasks/index.1", &"x".repeat(5 << 20));
    });
}

#[test]
fn nothing_is_released_while_anything_runs() {
    let busy = |why, change: &dyn Fn(&World)| refused(Code::Busy, why, &restore(), change);
    busy("still runs", &|world| world.process(4096, 'D', 256, "task"));
    let other = "UPID:pve:00001388:00000300:6900E000:vzstart:9100:root@pam:";
    busy("a task on 9100 runs", &|world| {
        world.process(5000, 'S', 0x300, &format!("task {other}"));
    });
    let in_use =
        |change: &dyn Fn(&World)| refused(Code::InUse, "guest 9100 runs", &restore(), change);
    in_use(&|world| {
        let line = "0000: 00000002 00000000 00010000 0001 01 12345 @/var/lib/lxc/9100/command\n";
        world.file("/proc/net/unix", line);
    });
    in_use(&|world| {
        let events = "populated 1\nfrozen 0\n";
        world.file("/sys/fs/cgroup/lxc/9100/cgroup.events", events);
    });
}

#[test]
fn what_only_looks_as_if_it_ran_is_no_hindrance() {
    let world = cut_off();
    // Another process has the number now; a zombie; a worker of another guest; the socket of another guest; an empty group.
    world.process(4096, 'S', 999, "bash");
    let other = "UPID:pve:00001388:00000300:6900E000:vzstart:9101:root@pam:";
    world.process(5000, 'S', 0x300, &format!("task {other}"));
    world.process(5001, 'S', 0x300, "task UPID:pve:nothing:9100:");
    let line = "0000: 00000002 00000000 00010000 0001 01 12345 @/var/lib/lxc/19100/command\n";
    world.file("/proc/net/unix", line);
    world.file(
        "/sys/fs/cgroup/lxc/9100/cgroup.events",
        "populated 0\nfrozen 0\n",
    );
    let told = world.ask(&operation(9100, &restore()));
    assert_eq!(told, Ok(released(9100, Some("create"))));
    let world = cut_off();
    world.process(4096, 'Z', 256, "");
    assert!(world.ask(&operation(9100, &restore())).is_ok());
}

#[test]
fn what_the_host_still_has_mounted_stays_locked() {
    refused(
        Code::Failed,
        "still mounted for the host",
        &restore(),
        |world| {
            let rootfs = world.path("/var/lib/lxc/9100/rootfs");
            let line = format!("30 22 0:21 / {} rw - ext4 /dev/b rw\n", rootfs.display());
            world.file("/proc/1/mountinfo", &line);
        },
    );
    refused(Code::NotProven, "cannot be read", &restore(), |world| {
        std::fs::remove_file(world.path("/proc/1/mountinfo")).unwrap();
    });
}

#[test]
fn a_machine_that_runs_is_not_released() {
    let world = World::new();
    world.machine(9100, "lock: create\n");
    let upid = World::upid("qmrestore", 9100);
    world.index(&[format!("{upid} 6900B000 unexpected status")]);
    world.file("/run/qemu-server/9100.pid", "7000\n");
    world.process(7000, 'S', 5, "kvm");
    let refusal = world.ask(&operation(9100, &upid)).unwrap_err();
    assert_eq!(refusal.code, Code::InUse, "{refusal}");
    std::fs::remove_dir_all(world.path("/proc/7000")).unwrap();
    assert_eq!(
        world.ask(&operation(9100, &upid)),
        Ok(released(9100, Some("create")))
    );
}

#[test]
fn whoever_holds_pves_lock_is_left_alone() {
    let world = cut_off();
    let lock = File::create(world.path("/run/lock/lxc/pve-config-9100.lock")).unwrap();
    // PVE takes it for itself to change a guest, and with others to read one.
    for held in [
        FlockOperation::NonBlockingLockExclusive,
        FlockOperation::NonBlockingLockShared,
    ] {
        flock(&lock, held).unwrap();
        let refusal = world.ask(&operation(9100, &restore())).unwrap_err();
        assert_eq!(refusal.code, Code::Busy, "{refusal}");
    }
    drop(lock);
    assert!(world.ask(&operation(9100, &restore())).is_ok());
}

/// A host whose configuration names the pool of scratch guests, with these pools.
fn with_pools(pools: &str) -> World {
    let world = cut_off();
    let config = world.read("/etc/felhom/hostd.toml") + "pool = \"felhom-scratch\"\n";
    world.file("/etc/felhom/hostd.toml", &config);
    world.file("/etc/pve/user.cfg", pools);
    world
}

#[test]
fn what_is_released_lies_in_the_pool_of_its_token() {
    let release = operation(9100, &restore());
    for (pools, after) in [
        ("pool:felhom-scratch::::\n", "9100"),
        ("pool:felhom-scratch:x:9101,9102::\n", "9101,9102,9100"),
    ] {
        let world = with_pools(pools);
        assert_eq!(world.ask(&release), Ok(released(9100, Some("create"))));
        let set = "pvesh set /pools --poolid felhom-scratch --vms 9100";
        assert_eq!(world.calls(), ["pct unlock 9100", set]);
        let users = world.read("/etc/pve/user.cfg");
        assert!(users.contains(&format!(":{after}:")), "{users}");
        // Asked again, nothing is done twice.
        assert_eq!(world.ask(&release), Ok(released(9100, None)));
        assert_eq!(world.calls().len(), 2);
    }
}

#[test]
fn a_release_that_was_cut_off_before_the_pool_is_gone_on_with() {
    let world = with_pools("pool:felhom-scratch::::\n");
    world.file("/standin/poolless", "");
    let release = operation(9100, &restore());
    let refusal = world.ask(&release).unwrap_err();
    assert_eq!(refusal.code, Code::Failed, "{refusal}");
    std::fs::remove_file(world.path("/standin/poolless")).unwrap();
    assert_eq!(world.ask(&release), Ok(released(9100, None)));
    assert!(world.read("/etc/pve/user.cfg").contains(":9100:"));
}

#[test]
fn what_somebody_put_into_another_pool_is_left_alone() {
    let world = with_pools("pool:felhom-scratch::::\npool:theirs::9100::\n");
    let refusal = world.ask(&operation(9100, &restore())).unwrap_err();
    assert_eq!(refusal.code, Code::NotProven, "{refusal}");
    assert!(refusal.text.contains("theirs"), "{refusal}");
    assert_eq!(world.read(CONFIG), "lock: create\n");
    assert!(world.calls().is_empty());
}

#[test]
fn an_unlocking_that_fails_or_does_nothing_is_a_failure() {
    for fault in ["/standin/fail", "/standin/idle"] {
        let world = cut_off();
        world.file(fault, "");
        let refusal = world.ask(&operation(9100, &restore())).unwrap_err();
        assert_eq!(refusal.code, Code::Failed, "{refusal}");
        assert_eq!(world.read(CONFIG), "lock: create\n");
    }
}
