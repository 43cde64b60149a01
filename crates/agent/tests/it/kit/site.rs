//! A box with a bit of everything, which is lost, and another in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use felhom_agent::exit::Exit;
use felhom_protocol::kit::Kit;
use felhom_proxmox::{Method, Request};
use felhom_simulator::{Options, Running, Scenario, Simulator, Time};
use serde_json::{Value, json};

use super::follower::{Person, part};
use crate::support::*;

/// The order in which the guests come back: 9001 serves a share that 9010 needs, though that is to start before it.
pub(super) const ORDER: [u32; 3] = [9001, 9010, 9200];
const SERVER: &str = "pbs.example.net";
const WRITER: &str = "felhom@pbs!n100";
const DISK: &str = "0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11";

/// What was left of a box: its page, and what lies outside of it.
pub(super) struct Lost {
    directory: tempfile::TempDir,
    pub(super) page: String,
    pub(super) kit: Kit,
    pub(super) secrets: Vec<String>,
    key: String,
    password: String,
    looks: Value,
}

impl Lost {
    /// A box that had storages of every kind, guests of both kinds, and backups here and there.
    pub(super) async fn new() -> Self {
        let bench = Bench::new().await;
        network(&bench).await;
        let key = storages(&bench).await;
        guests(&bench).await;
        backups(&bench).await;
        // Changed since it was backed up.
        let change =
            json!({ "set": { "memory": "384", "description": "the shop's till" }, "delete": [] });
        bench.poke(9001, change).await;
        said(&bench).await;
        let password = bench.world.pbs_tokens()[WRITER].clone();
        let mut secrets = vec![password.clone(), key.clone()];
        secrets.extend(bench.world.tokens().into_values());
        let printed = bench.run(&["kit", "print"]).await;
        assert_eq!(printed.exit, Exit::Done, "{}", printed.text());
        let kit: Kit = serde_json::from_value(printed.data()).unwrap();
        let looks = looks(&bench.world).await;
        let Bench {
            world, directory, ..
        } = bench;
        world.stop().await.unwrap();
        let page = felhom_agent::kit::page(&kit);
        assert!(printed.text().contains(&page), "{}", printed.text());
        Self {
            directory,
            page,
            kit,
            secrets,
            key,
            password,
            looks,
        }
    }
}

async fn send(bench: &Bench, method: Method, path: &[&str], params: &[(&str, &str)]) -> Value {
    let path: Vec<&dyn std::fmt::Display> = path.iter().map(part).collect();
    let mut request = Request::new(method, &path);
    for (key, value) in params {
        request = request.with(key, value);
    }
    bench.root().client().send(&request).await.unwrap()
}

/// Two bridges, and what of the network serves storages.
async fn network(bench: &Bench) {
    let network = ["nodes", "demo-felhom", "network"];
    let bridge = [
        ("iface", "vmbr1"),
        ("type", "bridge"),
        ("autostart", "1"),
        ("comments", "the shop's own net"),
    ];
    send(bench, Method::Post, &network, &bridge).await;
    send(bench, Method::Put, &network, &[]).await;
    settled(bench).await;
    let total: u64 = 100 << 30;
    for export in [
        json!({ "kind": "nfs", "server": "192.0.2.50", "name": "/srv/backups", "total": total }),
        json!({ "kind": "nfs", "server": "192.0.2.101", "name": "/srv/media", "total": total, "guest": 9001 }),
    ] {
        bench.world.control("put-export", export).await.unwrap();
    }
    let names = json!({ "aliases": [SERVER] });
    bench.world.control("pbs-node", names).await.unwrap();
}

/// A share, a backup server, a removable disk. The key of the backups.
async fn storages(bench: &Bench) -> String {
    let (password, pin) = (
        bench.world.pbs_tokens()[WRITER].clone(),
        bench.world.pbs_fingerprint(),
    );
    for more in [
        &[
            ("storage", "nas"),
            ("type", "nfs"),
            ("server", "192.0.2.50"),
            ("export", "/srv/backups"),
            ("content", "backup"),
            ("options", "vers=4.2,soft"),
            ("prune-backups", "keep-all=1"),
        ][..],
        &[
            ("storage", "shelf"),
            ("type", "nfs"),
            ("server", "192.0.2.101"),
            ("export", "/srv/media"),
            ("content", "iso"),
        ],
    ] {
        send(bench, Method::Post, &["storage"], more).await;
    }
    let offsite = [
        ("storage", "offsite"),
        ("type", "pbs"),
        ("server", SERVER),
        ("datastore", "felhom"),
        ("content", "backup"),
        ("fingerprint", &pin),
        ("username", WRITER),
        ("password", &password),
        ("encryption-key", "autogen"),
    ];
    let made = send(bench, Method::Post, &["storage"], &offsite).await;
    let uuid = format!("UUID={DISK}");
    let ran = bench
        .run(&["storage", "adopt", &uuid, "--name", "usb1"])
        .await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let usb = [
        ("storage", "usb1"),
        ("type", "dir"),
        ("path", "/mnt/felhom/usb1"),
        ("is_mountpoint", "yes"),
        ("content", "backup"),
        ("prune-backups", "keep-all=1"),
    ];
    send(bench, Method::Post, &["storage"], &usb).await;
    let local = [("content", "backup,iso,vztmpl")];
    send(bench, Method::Put, &["storage", "local"], &local).await;
    made["config"]["encryption-key"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A container that serves a share, one that needs it, and a machine.
async fn guests(bench: &Bench) {
    let net =
        "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:BC:99:47,ip=192.0.2.101/24,gw=192.0.2.1,type=veth";
    bench.poke(9001, json!({ "set": { "net0": net } })).await;
    let net = "name=eth0,bridge=vmbr1,hwaddr=BC:24:11:40:B3:87,ip=dhcp,type=veth";
    let bind = "/mnt/pve/shelf/films,mp=/mnt/mp3";
    let set =
        json!({ "set": { "net0": net, "mp3": bind, "startup": "order=1", "tags": "shop;till" } });
    bench.poke(9010, set).await;
    crate::machines::machine(bench, json!({ "ide2": "local:iso/debian.iso,media=cdrom" })).await;
    let machine = felhom_proxmox::pve::guests::DestroyQemu {
        vmid: vmid(9000),
        unreferenced_disks: false,
    };
    drop(bench.root().destroy_qemu(&machine).await.unwrap());
    settled(bench).await;
    send(bench, Method::Post, &["pools"], &[("poolid", "lab")]).await;
    send(
        bench,
        Method::Put,
        &["pools"],
        &[("poolid", "lab"), ("vms", "9010,9200")],
    )
    .await;
    for (key, who) in [("users", "felhom-test@pve"), ("tokens", TESTER)] {
        let grant = [
            ("path", "/storage/nas"),
            ("roles", "FelhomTarget"),
            (key, who),
        ];
        send(bench, Method::Put, &["access", "acl"], &grant).await;
    }
}

/// One on each storage; of 9010 one that passed its test and a newer one that nobody tested.
async fn backups(bench: &Bench) {
    for (number, storage) in [("9001", "offsite"), ("9010", "nas"), ("9200", "usb1")] {
        let ran = bench
            .run(&["backup", "run", number, "--storage", storage])
            .await;
        assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
    }
    let ran = bench.run(&["restore-test", "run", "9010"]).await;
    assert_eq!(ran.data()["verdict"], "passed", "{ran:?}");
    let ran = bench
        .run(&["backup", "run", "9010", "--storage", "nas"])
        .await;
    assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
}

/// Somebody says where the key is.
async fn said(bench: &Bench) {
    let all = bench.root().storage_configs().await.unwrap();
    let offsite = all
        .into_iter()
        .find(|one| one.storage.as_str() == "offsite");
    let key = offsite.unwrap().encryption_key.unwrap().parse().unwrap();
    let journal = bench.journal().await;
    let now = felhom_agent::clock::now();
    let storage = "offsite".parse().unwrap();
    journal
        .kit_stored(&storage, &key, "Ada", now)
        .await
        .unwrap();
}

/// A copy of what is left, with a new box in the place of the old one; the page typed there, and what came of it.
pub(super) async fn followed(lost: &Lost, page: &str) -> Result<(), String> {
    let told = typed_on_a_new_box(lost, page).await?;
    drop(told);
    Ok(())
}

/// The same; what was asked of the new box.
pub(super) async fn typed_on_a_new_box(
    lost: &Lost,
    page: &str,
) -> Result<BTreeSet<(String, String, String)>, String> {
    let directory = tempfile::tempdir().unwrap();
    let world = rebuilt(&lost.directory.path().join("world"), directory.path()).await;
    let mut person = Person::new(&world).await;
    person
        .passwords
        .insert("offsite".into(), lost.password.clone());
    let joined = page.split_whitespace().collect::<Vec<_>>().join(" ");
    // Who reads the page puts the key where it says.
    let place = joined.split_once("Copy its file key.json to ");
    if let Some(place) = place.and_then(|(_, rest)| rest.split(';').next()) {
        person.files.insert(place.to_owned(), lost.key.clone());
    }
    let done = person.follow(page).await;
    let asked = std::mem::take(&mut person.asked);
    drop(person);
    let there = looks(&world).await;
    world.stop().await.unwrap();
    done?;
    match differences(&lost.looks, &there) {
        none if none.is_empty() => Ok(asked),
        some => Err(some.join("\n")),
    }
}

async fn rebuilt(from: &Path, to: &Path) -> Running {
    copy(from, to);
    let options = Options {
        scenario: Scenario::BuiltIn,
        time: Time::Scaled(SPEED),
        ..Options::new(to)
    };
    let world = Simulator::start(options).await.unwrap();
    world.control("rebuild-box", json!({})).await.unwrap();
    assert!(world.guests().is_empty(), "a new box has no guests");
    world
}

/// Guests and storages, in what must be the same on both boxes.
async fn looks(world: &Running) -> Value {
    let person = Person::new(world).await;
    let storages = person.get(&["storage"]).await.unwrap();
    let mut defined = BTreeMap::new();
    for mut one in storages.as_array().unwrap().clone() {
        let fields = one.as_object_mut().unwrap();
        fields.retain(|key, _| !["digest", "priority"].contains(&key.as_str()));
        defined.insert(fields["storage"].as_str().unwrap().to_owned(), one);
    }
    let resources = person.get(&["cluster", "resources"]).await.unwrap();
    let mut pools = BTreeMap::new();
    for one in resources.as_array().unwrap() {
        if let (Some(vmid), Some(pool)) = (one["vmid"].as_u64(), one["pool"].as_str()) {
            pools.insert(vmid.to_string(), pool.to_owned());
        }
    }
    let state = world.state();
    let mut guests = BTreeMap::new();
    for kind in ["guests", "machines"] {
        for (vmid, guest) in state["world"][kind].as_object().unwrap() {
            let config = config(guest["config"].as_str().unwrap());
            guests.insert(
                vmid.clone(),
                json!({ "config": config, "status": guest["status"], "pool": pools.get(vmid) }),
            );
        }
    }
    json!({ "storages": defined, "guests": guests })
}

/// A configuration without what must differ: the volumes' numbers, an empty CD drive, and what PVE draws anew.
fn config(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().take_while(|line| !line.starts_with('['));
    let pairs = lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "));
    pairs
        .filter(|(key, _)| !["vmgenid", "ide2", "parent", "meta"].contains(key))
        .map(|(key, value)| (key.to_owned(), without_volume(value)))
        .collect()
}

fn without_volume(value: &str) -> String {
    let (first, rest) = value.split_once(',').unwrap_or((value, ""));
    match first.split_once(":vm-") {
        Some((storage, _)) => format!("{storage},{rest}"),
        None => value.to_owned(),
    }
}

/// What is not as it was.
fn differences(was: &Value, is: &Value) -> Vec<String> {
    let mut all = Vec::new();
    differ("", was, is, &mut all);
    all
}

fn differ(path: &str, was: &Value, is: &Value, all: &mut Vec<String>) {
    match (was.as_object(), is.as_object()) {
        (Some(before), Some(after)) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let (was, is) = (before.get(key), after.get(key));
                let path = format!("{path}/{key}");
                let none = Value::Null;
                differ(&path, was.unwrap_or(&none), is.unwrap_or(&none), all);
            }
        }
        _ if was == is => {}
        _ => all.push(format!("{path}: {was} became {is}")),
    }
}
