//! `create-golden-container`.

use felhom_host::{Code, Golden, Operation, Report};

use crate::guests::world::World;

const TEMPLATE: &str = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst";

fn create(vmid: u32, template: &str) -> Operation {
    Operation::CreateGoldenContainer {
        vmid: vmid.to_string().parse().unwrap(),
        template: template.parse().unwrap(),
    }
}

fn made(existed: bool) -> Report {
    Report::Golden(Golden {
        vmid: "9900".parse().unwrap(),
        existed,
        features: "nesting=1,keyctl=1".to_owned(),
    })
}

fn refused(world: &World, code: Code, why: &str) {
    let refusal = world.ask(&create(9900, TEMPLATE)).unwrap_err();
    assert_eq!(refusal.code, code, "{why}: {refusal}");
    assert!(refusal.text.contains(why), "{why}: {refusal}");
}

#[test]
fn a_golden_container_is_made_once() {
    let world = World::new();
    assert_eq!(world.ask(&create(9900, TEMPLATE)), Ok(made(false)));
    let config = world.read("/etc/pve/nodes/pve/lxc/9900.conf");
    assert_eq!(config, include_str!("golden/9900.conf"));
    assert_eq!(world.ask(&create(9900, TEMPLATE)), Ok(made(true)));
    let expected = "pct create 9900 local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst --unprivileged 1 --features \
                    nesting=1,keyctl=1 --hostname felhom-golden --rootfs local-lvm:8 --memory 1024 --swap 0 --cores 1 --onboot 0 \
                    --start 0 --description felhom: golden container 9900 --net0 name=eth0,bridge=vmbr0,ip=dhcp \
                    --pool felhom-golden";
    assert_eq!(world.calls(), [expected]);
}

#[test]
fn what_the_configuration_does_not_provide_for_is_refused() {
    let world = World::new();
    let code = |operation| world.ask(&operation).unwrap_err().code;
    assert_eq!(code(create(9910, TEMPLATE)), Code::OutsideRange);
    assert_eq!(code(create(100, TEMPLATE)), Code::OutsideRange);
    let elsewhere = TEMPLATE.replace("local:", "nas:");
    assert_eq!(code(create(9900, &elsewhere)), Code::NotConfigured);
    world.file("/etc/felhom/hostd.toml", "user = \"agent\"\n");
    assert_eq!(code(create(9900, TEMPLATE)), Code::NotConfigured);
    assert!(world.calls().is_empty());
}

#[test]
fn a_number_that_somebody_has_is_refused_wherever_he_is() {
    let world = World::new();
    world.file("/etc/pve/nodes/other/lxc/9900.conf", "arch: amd64\n");
    refused(&world, Code::Exists, "another number");
    let world = World::new();
    world.file("/etc/pve/nodes/pve/qemu-server/9900.conf", "memory: 1\n");
    refused(&world, Code::Exists, "another number");
    let world = World::new();
    world.vmlist(r#"{"9900": {"node": "other", "type": "qemu", "version": 1}}"#);
    refused(&world, Code::Exists, "another number");
    let world = World::new();
    world.vmlist(r#"{"9900": {"node": "pve", "type": "lxc", "version": 1}}"#);
    refused(&world, Code::Busy, "still lists");
    assert!(world.calls().is_empty());
}

#[test]
fn what_cannot_be_read_is_nobodys_absence() {
    for (list, why) in [
        ("", "not understood"),
        ("{}", "not understood"),
        ("{\"ids\":[]}", "not understood"),
    ] {
        let world = World::new();
        world.file("/etc/pve/.vmlist", list);
        refused(&world, Code::NotProven, why);
    }
    let world = World::new();
    std::fs::remove_file(world.path("/etc/pve/.vmlist")).unwrap();
    refused(&world, Code::NotProven, "pve-cluster");
    let world = World::new();
    std::fs::remove_file(world.path("/etc/pve/local")).unwrap();
    refused(&world, Code::NotProven, "pve-cluster");
}

#[test]
fn another_container_is_never_taken_for_the_golden_one() {
    let golden = include_str!("golden/9900.conf");
    for other in [
        golden.replace("#felhom%3A golden container 9900\n", ""),
        golden.replace("container 9900", "container 9901"),
        golden.replace("unprivileged: 1\n", ""),
        golden.replace("nesting=1,keyctl=1", "nesting=1"),
        golden.replace("keyctl=1", "keyctl=1,mount=nfs"),
        format!("{golden}lock: backup\n"),
        golden.replace("unprivileged: 1\n", "[snap]\nunprivileged: 1\n"),
        String::new(),
    ] {
        let world = World::new();
        world.container(9900, &other);
        refused(&world, Code::Exists, "not the golden container");
        assert_eq!(world.read("/etc/pve/lxc/9900.conf"), other);
    }
}

#[test]
fn a_making_that_was_cut_off_is_told_with_the_way_out() {
    let world = World::new();
    world.file("/standin/cut", "");
    refused(&world, Code::Failed, "/usr/sbin/pct ended with");
    refused(&world, Code::Exists, "pct unlock 9900 && pct destroy 9900");
    assert_eq!(world.calls().len(), 1);
}

#[test]
fn a_failure_of_pct_is_told_in_its_words() {
    let world = World::new();
    world.file("/standin/fail", "");
    refused(
        &world,
        Code::Failed,
        "unable to create CT 9900 - volume 'local:vztmpl/",
    );
}

#[test]
fn what_pct_made_otherwise_is_a_failure() {
    let world = World::new();
    world.file("/standin/features", "nesting=1");
    refused(&world, Code::Failed, "not as it was told");
    refused(&world, Code::Exists, "not the golden container");
}

#[test]
fn every_request_leaves_a_line_of_audit() {
    let world = World::new();
    let _refused = world.ask(&create(100, TEMPLATE));
    let told = || {
        world
            .audit()
            .iter()
            .any(|line| line.contains("create-golden-container"))
    };
    while !told() {
        std::thread::yield_now();
    }
}
