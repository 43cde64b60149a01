//! Round trips of property strings and configuration texts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::config::{Config, Section};
use super::props::{parse, parse_size, print, print_size};
use super::{formats, schema};

#[test]
fn nets_print_as_recorded() {
    let stored = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:E7:E0:83,ip=dhcp,rate=10,type=veth";
    let mixed = "ip=dhcp,hwaddr=bc:24:11:e7:e0:83,rate=10,bridge=vmbr0,name=eth0";
    assert_eq!(schema::normal("net0", mixed), stored);
    assert_eq!(schema::normal("net0", stored), stored);
}

#[test]
fn mount_points_print_their_volume_bare() {
    let props = parse(
        &formats::MP,
        "mp1",
        "mp=/data,size=8704M,volume=local-lvm:vm-1-disk-1,backup=yes",
    )
    .unwrap();
    assert_eq!(
        print(&formats::MP, &props),
        "local-lvm:vm-1-disk-1,mp=/data,backup=1,size=8704M"
    );
}

#[test]
fn refusals_are_those_of_the_schema() {
    let error = |text: &str| parse(&formats::NET, "net0", text).unwrap_err();
    assert_eq!(
        error("bridge=vmbr0"),
        "format error\nnet0.name: property is missing and it is not optional\n"
    );
    assert_eq!(
        error("name=e,foo=1"),
        "invalid key in comma-separated list property: foo\n"
    );
    assert_eq!(
        error("name=e,name=f"),
        "duplicate key in comma-separated list property: name\n"
    );
    assert_eq!(
        error("name=e,x"),
        "value without key, but schema does not define a default key\n"
    );
    assert!(
        error("name=e,hwaddr=01:00:00:00:00:00").contains("MAC"),
        "a group address is not unicast"
    );
    assert!(error("name=e,ip=10.0.0.1/33").contains("net0.ip"));
}

#[test]
fn sizes_print_in_the_largest_unit_that_divides() {
    for (bytes, text) in [
        (8_589_934_592, "8G"),
        (9_126_805_504, "8704M"),
        (1000, "1000"),
        (1 << 40, "1T"),
    ] {
        assert_eq!(print_size(bytes), text);
        assert_eq!(parse_size(text), Some(bytes));
    }
    assert_eq!(parse_size("1.25G"), Some(1_342_177_280));
    assert_eq!(
        formats::new_volume("local-lvm:1.25"),
        Some(("local-lvm", 1_342_177_280))
    );
    assert_eq!(formats::new_volume("local-lvm:vm-1-disk-0"), None);
}

#[test]
fn the_file_looks_like_pves() {
    let mut config = Config::default();
    let pairs = [
        ("memory", "384"),
        ("description", "a line\nb: 50%"),
        ("arch", "amd64"),
        ("parent", "s1"),
    ];
    config
        .current
        .values
        .extend(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())));
    config
        .current
        .raw
        .push(("lxc.apparmor.profile".into(), "unconfined".into()));
    config
        .pending
        .insert("nameserver".into(), "192.0.2.1".into());
    let section = Section {
        values: BTreeMap::from([("snaptime".into(), "7".into())]),
        raw: Vec::new(),
    };
    config.snapshots.insert("s1".into(), section);
    let text = "#a line\n#b%3A 50%25\narch: amd64\nmemory: 384\nparent: s1\nlxc.apparmor.profile: unconfined\n\n[pve:pending]\nnameserver: 192.0.2.1\n\n[s1]\nsnaptime: 7\n";
    assert_eq!(config.print(), text);
    assert_eq!(Config::parse(text).print(), text);
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_.-]{0,8}"
}

fn net() -> impl Strategy<Value = String> {
    let mac = "BC:24:11(:[0-9A-F]{2}){3}";
    let ip = prop_oneof![
        Just("dhcp".to_owned()),
        (0_u8..=255, 8_u8..=32).prop_map(|(a, m)| format!("10.0.0.{a}/{m}"))
    ];
    (
        word(),
        proptest::option::of(word()),
        mac,
        proptest::option::of(ip),
        any::<bool>(),
    )
        .prop_map(|(name, bridge, mac, ip, down)| {
            let mut parts = vec![
                format!("hwaddr={mac}"),
                format!("link_down={}", u8::from(down)),
                format!("name={name}"),
            ];
            parts.extend(bridge.map(|bridge| format!("bridge={bridge}")));
            parts.extend(ip.map(|ip| format!("ip={ip}")));
            parts.join(",")
        })
}

proptest! {
    #[test]
    fn canonical_nets_are_fixed_points(text in net()) {
        let once = schema::normal("net3", &text);
        prop_assert_eq!(schema::normal("net3", &once), once.clone());
        let (before, mut after) = (parse(&formats::NET, "net3", &text).unwrap(), parse(&formats::NET, "net3", &once).unwrap());
        after.remove("type");
        prop_assert_eq!(before, after);
    }

    #[test]
    fn sizes_round_trip(bytes in 0_u64..1 << 50) {
        prop_assert_eq!(parse_size(&print_size(bytes)), Some(bytes));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,60}") {
        for format in [&formats::NET, &formats::MP, &formats::ROOTFS, &formats::FEATURES, &formats::DEV] {
            let _parsed = parse(format, "key0", &text).is_ok();
        }
        let _size = parse_size(&text).is_some();
        let config = Config::parse(&text);
        prop_assert_eq!(Config::parse(&config.print()), config);
    }

    #[test]
    fn descriptions_round_trip(lines in proptest::collection::vec("[^\\n\\r]{0,20}", 1..4)) {
        let mut config = Config::default();
        let description = format!("{}\n", lines.join("\n"));
        config.current.values.insert("description".into(), description.clone());
        let read = Config::parse(&config.print());
        prop_assert_eq!(read.current.get("description"), Some(description.as_str()));
    }
}
