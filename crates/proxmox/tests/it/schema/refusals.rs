//! That the checks can fail: each mistake that a request may have is found in a small schema of our own, and each gap in
//! sources of our own. Needs no published schema.

use std::collections::BTreeSet;

use felhom_ids::{
    BridgeName, ByteSize, MacAddress, NodeName, PoolId, SnapshotName, StorageId, TokenId, UserId,
    Vmid,
};
use felhom_proxmox::property::PruneBackups;
use felhom_proxmox::{Method, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::check::{self, Found};
use super::document::{Asked, Schema};
use super::examples::Example;
use super::source::{self, items_of};
use super::{format, pattern};

/// Two operations with a parameter of every sort.
fn small() -> Schema {
    let net = json!({
        "name": { "type": "string", "pattern": r"[-_.\w\d]+" },
        "type": { "type": "string", "enum": ["veth"], "optional": 1 },
        "tag": { "type": "integer", "minimum": 1, "maximum": 4094, "optional": 1 },
    });
    let mount = json!({
        "volume": { "type": "string", "format": "pve-lxc-mp-string", "default_key": 1 },
        "backup": { "type": "boolean", "optional": 1 },
    });
    let properties = json!({
        "node": { "type": "string", "format": "pve-node" },
        "vmid": { "type": "integer", "format": "pve-vmid", "minimum": 100, "maximum": 999_999_999 },
        "share": { "type": "number", "minimum": "0", "optional": 1 },
        "start": { "type": "boolean", "optional": "1" },
        "note": { "type": "string", "minLength": 2, "maxLength": 4, "optional": 1 },
        "mode": { "type": "string", "enum": ["stop", "suspend"], "optional": 1 },
        "size": { "type": "string", "pattern": r"(?^:\d+[MG]?)", "optional": 1 },
        "privs": { "type": "string", "format": "pve-priv-list", "optional": 1 },
        "paths": { "type": "array", "items": { "type": "integer" }, "optional": 1 },
        "forced": { "type": "boolean", "requires": "start", "optional": 1 },
        "prune": { "type": "string", "format": "prune-backups", "optional": 1 },
        "strange": { "type": "string", "format": "nobody-knows", "optional": 1 },
        "looking": { "type": "string", "pattern": "(?=x)x", "optional": 1 },
        "net[n]": { "type": "string", "format": net, "optional": 1 },
        "mp[n]": { "type": "string", "format": mount, "optional": 1 },
    });
    let info = |properties: Value| json!({ "properties": properties, "additionalProperties": 0 });
    let tree = json!([
        {
            "path": "/nodes/{node}/lxc",
            "info": { "POST": { "parameters": info(properties) } },
            "children": [{
                "path": "/nodes/{node}/{other}",
                "info": { "PUT": { "parameters": info(json!({})) } },
            }],
        },
    ]);
    Schema::new(&tree, BTreeSet::from(["VM.Audit".to_owned()]))
}

fn found(request: &Request) -> Found {
    let mut found = Found::default();
    check::request(&small(), &Asked::of(request).unwrap(), &mut found);
    found
}

fn create() -> Request {
    Request::new(Method::Post, &[&"nodes", &"pve", &"lxc"]).with("vmid", 100)
}

#[test]
fn what_is_right_is_taken() {
    for (name, value) in [
        ("share", "-0.0"),
        ("share", "1.5"),
        ("start", "0"),
        ("note", "\u{fc}\u{fc}\u{fc}\u{fc}"),
        ("mode", "stop"),
        ("size", "17G"),
        ("privs", "VM.Audit,VM.Audit"),
        ("privs", ""),
        ("paths", "17"),
        ("prune", "keep-last=3,keep-daily=0"),
        ("net0", "name=eth0,type=veth,tag=1"),
        ("net31", "name=eth0"),
        ("mp255", "local:9001/vm.raw,backup=1"),
        ("mp0", "volume=/srv/a=b,backup=0"),
    ] {
        let found = found(&create().with(name, value));
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        assert!(found.passed_over.is_empty(), "{:?}", found.passed_over);
    }
    let all = PruneBackups {
        keep_all: Some(false),
        keep_last: Some(1),
        keep_hourly: Some(2),
        keep_daily: Some(3),
        keep_weekly: Some(4),
        keep_monthly: Some(5),
        keep_yearly: Some(u32::MAX),
        other: std::collections::BTreeMap::new(),
    };
    assert!(found(&create().with("prune", all)).problems.is_empty());
}

#[test]
fn every_mistake_in_a_value_is_found() {
    for (name, value, problem) in [
        ("other", "1", "not in the schema"),
        ("share", "much", "no \"number\""),
        ("share", "-1", "against minimum 0"),
        ("start", "yes", "no \"boolean\""),
        ("start", "", "no \"boolean\""),
        ("note", "n", "against minLength 2"),
        ("note", "notes", "against maxLength 4"),
        ("mode", "snapshot", "none of"),
        ("size", "17T", "does not match"),
        ("size", "17G\n", "does not match"),
        ("privs", "VM.Audit,VM.All", "not in format pve-priv-list"),
        ("paths", "x", "no \"integer\""),
        ("forced", "1", "requires start"),
        ("prune", "keep-last=3,keep-some=1", "no key `keep-some`"),
        ("prune", "keep-last=-3", "against minimum 0"),
        ("net0", "name=eth0,speed=1", "no key `speed`"),
        ("net0", "name=eth 0", "net0.name: `eth 0` does not match"),
        (
            "net0",
            "name=eth0,type=e1000",
            "net0.type: `e1000` is none of",
        ),
        (
            "net0",
            "name=eth0,tag=4095",
            "net0.tag: 4095 against maximum",
        ),
        ("net0", "tag=17", "net0.name: missing"),
        ("net0", "eth0,name=eth0", "`eth0`: no key"),
        ("net0", "name=a,name=b", "`name` stands there twice"),
        ("net0", "name=a,type=", "`type=`: no key"),
        ("net32", "name=eth0", "not in the schema"),
        ("net00", "name=eth0", "not in the schema"),
        ("net", "name=eth0", "not in the schema"),
        ("net[n]", "name=eth0", "not in the schema"),
        ("mp0", "backup=1", "mp0.volume: missing"),
        ("mp0", "/srv/../etc", "not in format pve-lxc-mp-string"),
        (
            "mp0",
            "/srv,backup=on",
            "mp0.backup: `on` is no \"boolean\"",
        ),
        ("mp256", "/srv", "not in the schema"),
    ] {
        let problems = found(&create().with(name, value)).problems;
        let [only] = &problems[..] else {
            panic!("{name}={value}: {problems:?}")
        };
        assert!(only.starts_with(name) && only.contains(problem), "{only}");
    }
}

#[test]
fn every_mistake_around_the_values_is_found() {
    let create = |node: &str| Request::new(Method::Post, &[&"nodes", &node, &"lxc"]);
    let qemu = |method| Request::new(method, &[&"nodes", &"pve", &"qemu"]);
    for (request, problem) in [
        (
            Request::new(Method::Post, &[&"nodes"]),
            "path: no such path",
        ),
        (qemu(Method::Get), "path: no GET here"),
        // The path with the word in it hides the one with the variable.
        (
            Request::new(Method::Put, &[&"nodes", &"pve", &"lxc"]),
            "path: no PUT here",
        ),
        (create("pve"), "vmid: missing and not optional"),
        (
            create("-pve").with("vmid", 100),
            "node: `-pve` is not in format pve-node",
        ),
        (
            create("pve").with("vmid", 100).with("vmid", 101),
            "vmid: given more than once",
        ),
        (
            create("pve").with("vmid", 100).with("node", "pve"),
            "node: given more than once",
        ),
        (
            create("pve").with("vmid", "1e2"),
            "vmid: `1e2` is no \"integer\"",
        ),
    ] {
        assert_eq!(found(&request).problems, [problem]);
    }
    for sent in [
        "POST /api2/json/nodes/pve/lxc HTTP/1.1\r\n\r\nvmid=100&net0=name=eth0",
        "POST /api2/json/nodes/pve/lxc HTTP/1.1\r\n\r\nvmid=100&note=a;b",
        "POST /api2/json/nodes/pve/lxc HTTP/1.1\r\n\r\nvmid=100&note=a+b",
        "POST /api2/json/nodes/pve/lxc HTTP/1.1\r\n\r\nvmid",
        "POST /api2/json/nodes/pve/lxc?vmid=100 HTTP/1.1\r\n\r\nnote=ab",
        "POST /nodes/pve/lxc HTTP/1.1\r\n\r\nvmid=100",
    ] {
        assert!(Asked::wire(sent).is_err(), "{sent}");
    }
}

#[test]
fn what_nobody_can_check_is_said() {
    let strange = found(&create().with("strange", "x")).passed_over;
    assert_eq!(strange, BTreeSet::from(["format nobody-knows".to_owned()]));
    let looking = found(&create().with("looking", "x")).passed_over;
    assert_eq!(looking, BTreeSet::from(["pattern (?=x)x".to_owned()]));
    assert!(pattern::matches(r"(?^:(?^:a|b)(;(?^:a|b))*)", "a;b").unwrap());
}

const CALL: &str = "
impl Endpoint for GetThing {
    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&\"things\"])
            .with(\"id\", self.id)
            .maybe(
                \"also\",
                self.also,
            )
            .with(&format!(\"mp{number}\"), mount)
    }
}
";

#[test]
fn a_call_without_examples_is_found() {
    let items = items_of("proxmox/src/pve/things.rs", CALL);
    let gaps = |requests: &[Request]| {
        let examples: Vec<Example> = requests
            .iter()
            .map(|request| Example {
                call: "GetThing".to_owned(),
                request: request.clone(),
            })
            .collect();
        let gaps = source::gaps(&items, &examples);
        let end = |gap: &String| gap.rsplit(": ").next().unwrap().to_owned();
        gaps.iter().map(end).collect::<Vec<_>>()
    };
    let least = Request::new(Method::Get, &[&"things"]).with("id", 1);
    let most = least.clone().with("also", 2).with("mp7", 3);
    assert_eq!(gaps(&[])[0], "no example");
    let without = [
        "no example without `also`",
        "no example without `mp[n]`",
        "no example with the least",
    ];
    assert_eq!(gaps(std::slice::from_ref(&most)), without);
    let with = [
        "no example with `also`",
        "no example with `mp[n]`",
        "no example with everything",
    ];
    assert_eq!(gaps(std::slice::from_ref(&least)), with);
    assert!(gaps(&[least, most]).is_empty());
    let variants = CALL.replace("Method::Get", "match self { Self::One => Method::Get }");
    let items = items_of("proxmox/src/pve/things.rs", &variants);
    let gaps = source::gaps(&items, &[]);
    assert!(
        gaps.iter()
            .any(|gap| gap.ends_with("no example of GetThing::One")),
        "{gaps:?}"
    );
}

#[test]
fn a_request_that_is_no_call_is_found() {
    let strays = |file: &str, text: &str| {
        source::strays(&items_of(file, text), || {
            [("proxmox/src/pve/a.rs", "fn a(")].iter()
        })
        .len()
    };
    let maker = "fn a() {\n    Request::new(Method::Get, &[])\n}\n";
    assert_eq!(strays("proxmox/src/pve/a.rs", maker), 0);
    assert_eq!(strays("proxmox/src/pve/b.rs", maker), 1);
    assert_eq!(strays("agent/src/a.rs", maker), 1);
    assert_eq!(strays("proxmox/src/pve/a.rs", CALL), 0);
    assert_eq!(strays("agent/src/a.rs", CALL), 1);
    let unnamed = CALL.replace("\"id\"", "KEY");
    assert_eq!(strays("proxmox/src/pve/a.rs", &unnamed), 1);
    let commented =
        "// Request::new(\nfn b() {}\n#[cfg(test)]\nmod tests {\n    Request::new(\n}\n";
    assert_eq!(strays("agent/src/a.rs", commented), 0);
}

/// Whatever one of our types takes and prints again is in the format.
fn is_legal<T: std::str::FromStr + ToString>(schema: &Schema, name: &str, text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else {
        return true;
    };
    format::is_in(schema, name, &value.to_string()).unwrap()
}

proptest! {
    /// A bridge may have a name that PVE would not give one, so it is no `pve-iface`.
    #[test]
    fn names_that_we_take_pve_takes(
        text in "[aZ07@!:/._ -]{1,6}",
        user in "[aZ0@!:/._+-]{1,4}@[aZ0][aZ0._-]{0,3}",
        token in "[aZ0!._-]{1,4}",
    ) {
        let schema = small();
        let token = format!("{user}!{token}");
        prop_assert!(is_legal::<NodeName>(&schema, "pve-node", &text));
        prop_assert!(is_legal::<StorageId>(&schema, "pve-storage-id", &text));
        prop_assert!(is_legal::<PoolId>(&schema, "pve-poolid", &text));
        prop_assert!(is_legal::<SnapshotName>(&schema, "pve-configid", &text));
        prop_assert!(is_legal::<UserId>(&schema, "pve-userid", &user));
        prop_assert!(is_legal::<TokenId>(&schema, "pve-tokenid", &token));
        prop_assert!(is_legal::<Vmid>(&schema, "pve-vmid", &text));
        if let Ok(bridge) = text.parse::<BridgeName>() {
            prop_assert!(pattern::matches(r"[-_.\w\d]+", bridge.as_str()).unwrap());
        }
    }

    #[test]
    fn sizes_and_addresses_are_printed_as_pve_takes_them(bytes: u64, mac: [u8; 6]) {
        let schema = small();
        let size = ByteSize::from_bytes(bytes).to_string();
        prop_assert_eq!(format::is_in(&schema, "disk-size", &size), Some(true));
        let [a, b, c, d, e, f] = mac;
        let text = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        prop_assert!(is_legal::<MacAddress>(&schema, "mac-addr", &text));
    }
}
