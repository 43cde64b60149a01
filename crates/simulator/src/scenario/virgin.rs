//! A node as it comes from the installer: a disk for the system, a volume group with a thin pool that nobody has
//! defined a storage for, one bridge, a template, no guests.

use std::collections::BTreeMap;
use std::io;

use super::files;
use crate::sim::Sim;
use crate::storage::Definition;
use crate::world::{Bridge, World};

pub(crate) const LOCAL: &str = "/var/lib/vz";

/// Defines a storage with these options.
pub(crate) fn define(world: &mut World, id: &str, kind: &str, options: &[(&str, &str)]) {
    let options: BTreeMap<String, String> = options
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    if let Some(path) = options.get("path") {
        world.storage.adopt_folder(path, id);
    }
    world.storage.definitions.insert(
        id.to_owned(),
        Definition {
            kind: kind.to_owned(),
            options,
        },
    );
}

/// The node without anything of ours: storage `local` of this content, the template, the bridge to the world.
pub(crate) fn node(sim: &Sim, content: &str, init: files::Init) -> io::Result<()> {
    let now = sim.clock.now();
    let mut world = sim.lock();
    define(
        &mut world,
        "local",
        "dir",
        &[
            ("path", LOCAL),
            ("content", content),
            ("prune-backups", "keep-all=1"),
        ],
    );
    let address = world.node.address.clone();
    world.bridges.insert(
        "vmbr0".into(),
        Bridge {
            ports: vec!["eth0".into()],
            cidr: Some(format!("{address}/24")),
            gateway: Some("192.0.2.1".into()),
            active: true,
            comment: None,
        },
    );
    let folder = world.storage.folder("local").unwrap_or_default();
    world.settle(sim.clock.now_f64());
    drop(world);
    for sub in ["dump", "template/iso", "snippets", "import", "images"] {
        std::fs::create_dir_all(folder.join(sub))?;
    }
    files::template(
        &folder.join("template/cache"),
        &sim.state_dir.join("template.tmp"),
        init,
        now,
    )
}

pub(crate) fn build(sim: &Sim) -> io::Result<()> {
    node(
        sim,
        "backup,images,iso,vztmpl,snippets,rootdir",
        files::Init::Shell,
    )?;
    let mut world = sim.lock();
    if let Some(local) = world.storage.definitions.get_mut("local") {
        local.options.insert("priority".into(), "0".into());
    }
    Ok(())
}
