//! The stand-in for `pct` and `qm` refuses what PVE refuses; otherwise it would prove nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::disks::host::tell;
use crate::guests::world::World;

const OPTIONS: &str = include_str!("standins/options.txt");

/// Runs the stand-in as it stands in a world: whether it took the command line, and what it complained of.
#[expect(
    clippy::disallowed_types,
    reason = "the stand-in itself is looked at, without the daemon"
)]
fn run(world: &World, program: &str, arguments: &[&str]) -> Result<(), String> {
    let ran = std::process::Command::new(world.path(&format!("/usr/sbin/{program}")))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    let told = String::from_utf8(ran.stderr).unwrap();
    ran.status.success().then_some(()).ok_or(told)
}

#[test]
fn the_stand_in_takes_only_what_is_documented() {
    let world = World::new();
    let template = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst";
    let created = ["create", "9900", template];
    for (more, why) in [
        (["--nested", "1"].as_slice(), "Unknown option"),
        (&["--features", "nesting"], "features"),
        (&["--features", "nesting=1,keys=1"], "features"),
        (&["--rootfs", "local-lvm"], "rootfs"),
        (&["--rootfs", "local-lvm:8G"], "rootfs"),
        (&["--net0", "bridge=vmbr0"], "net0"),
        (&["--hostname", "a_b"], "hostname"),
        (&["--start"], "requires an argument"),
        (&["--description", "a\nb"], "more than one line"),
        (&["more"], "too many"),
    ] {
        let told = run(&world, "pct", &[&created, more].concat()).unwrap_err();
        assert!(told.contains(why), "{more:?}: {told}");
    }
    for (arguments, why) in [
        (["create", "9900", "/etc/shadow"].as_slice(), "ostemplate"),
        (&["create", "99", template], "vmid"),
        (&["unlock", "9900", "--force"], "too many"),
        (&["unlock", "--help"], "vmid"),
        (&["destroy", "9900"], "unknown command"),
    ] {
        let told = run(&world, "pct", arguments).unwrap_err();
        assert!(told.contains(why), "{arguments:?}: {told}");
    }
    assert!(!world.path("/etc/pve/lxc/9900.conf").exists());
    let whole = [
        "create",
        "9900",
        template,
        "--rootfs",
        "local-lvm:8",
        "--net0",
        "name=eth0,bridge=vmbr0,ip=dhcp",
    ];
    run(&world, "pct", &whole).unwrap();
    assert!(world.path("/etc/pve/lxc/9900.conf").exists());
    assert!(
        run(&world, "pct", &whole)
            .unwrap_err()
            .contains("already exists")
    );
}

/// The folder with Proxmox's own material, which is not ours to pass on (CONTRIBUTING.md).
fn facts() -> Option<PathBuf> {
    let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/facts"));
    let mut folders = named.into_iter().chain(above);
    folders.find(|folder| folder.join("pve-apidoc-9.2.json").is_file())
}

#[test]
fn the_options_are_those_of_the_published_schema() {
    const NAME: &str = "the_options_are_those_of_the_published_schema";
    let Some(facts) = facts() else {
        tell(&format!(
            "skipped: {NAME}: no pve-apidoc-9.2.json (FELHOM_FACTS names its folder)"
        ));
        return;
    };
    let text = std::fs::read(facts.join("pve-apidoc-9.2.json")).unwrap();
    let tree: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let create = method(&tree, "/nodes/{node}/lxc").unwrap();
    let parameters = create["parameters"]["properties"].as_object().unwrap();
    let mut documented: BTreeSet<_> = parameters.keys().map(String::as_str).collect();
    for by_position in ["node", "vmid", "ostemplate"] {
        assert!(documented.remove(by_position), "{by_position}");
    }
    let lines = OPTIONS
        .lines()
        .filter(|line| line.starts_with("pct create "));
    let ours: BTreeSet<_> = lines.filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(ours, documented);
}

/// `POST` of a path in the API's tree.
fn method<'a>(tree: &'a serde_json::Value, path: &str) -> Option<&'a serde_json::Value> {
    let nodes = tree.as_array().or_else(|| tree["children"].as_array())?;
    nodes.iter().find_map(|node| {
        let is_it = node["path"] == path;
        let found = is_it.then(|| &node["info"]["POST"]);
        found.or_else(|| method(&node["children"], path))
    })
}
