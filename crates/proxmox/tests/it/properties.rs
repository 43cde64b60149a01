//! Texts from archives and servers are not ours to choose: whatever is read is written back with
//! the same meaning, and nothing makes a reader panic.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use felhom_ids::ByteSize;
use felhom_proxmox::error::Denied;
use felhom_proxmox::property::{Features, MountPoint, NetworkInterface, PruneBackups, RootFs};
use felhom_proxmox::pve::guests::LxcConfig;
use felhom_proxmox::{Address, Outcome};
use proptest::prelude::*;

/// What a value prints, it reads, and prints the same again.
fn settles<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Debug> + Display + Debug + PartialEq,
{
    let value: T = text.parse().ok()?;
    let printed = value.to_string();
    let again: T = printed.parse().unwrap();
    assert_eq!(again, value, "{text:?} was printed as {printed:?}");
    assert_eq!(again.to_string(), printed);
    Some(value)
}

fn net() -> impl Strategy<Value = String> {
    let parts = [
        "name=eth[0-9]",
        "(bridge=vmbr[0-9])?",
        "(hwaddr=BC:24:11(:[0-9A-F]{2}){3})?",
        "(ip=(dhcp|manual|10\\.0\\.0\\.[1-9]/(8|24|32)))?",
        "(gw=10\\.0\\.0\\.254)?",
        "(ip6=(auto|dhcp|manual|fe80::[1-9]/64))?",
        "(firewall=(0|1|yes|no|on|off))?",
        "(link_down=[01])?",
        "(host-managed=[01])?",
        "(mtu=1[0-9]{3})?",
        "(tag=[1-9][0-9]{0,2})?",
        "(trunks=[1-9];[1-9])?",
        "(rate=[1-9]\\.[0-9])?",
        "(type=veth)?",
        "(future=[a-z]{1,4})?",
    ];
    let parts = parts.map(str::to_owned).to_vec();
    // A regular expression for the whole: shuffled patterns, joined by commas.
    Just(parts)
        .prop_shuffle()
        .prop_flat_map(|parts| proptest::string::string_regex(&parts.join(",")).unwrap())
}

proptest! {
    #[test]
    fn interfaces_settle(text in net()) {
        let net = settles::<NetworkInterface>(&text).unwrap();
        prop_assert!(net.same(&net.to_string().parse().unwrap()));
    }

    #[test]
    fn mount_points_settle(
        source in "(l1:vm-[1-9][0-9]{2}-disk-[0-9]|/srv/[a-z]{1,5}|/dev/sd[a-z]|nas:[0-9]{1,3}(\\.[0-9]{1,3})?)",
        mp in "/[a-z]{1,8}",
        flags in prop::collection::btree_set("(acl|quota|ro|shared|replicate|backup|keepattrs)=[01]", 0..3),
        size in prop::option::of(0_u64..1 << 45),
    ) {
        let size = size.map_or(String::new(), |size| format!(",size={}", ByteSize::from_bytes(size)));
        let flags: Vec<String> = flags.into_iter().collect();
        let text = format!("{},mp={mp},{source}{size}", flags.join(","));
        // The same flag twice is refused, and rightly.
        if let Some(mount) = settles::<MountPoint>(&text) {
            prop_assert!(mount.same(&mount.to_string().parse().unwrap()));
        }
    }

    #[test]
    fn new_volumes_are_never_smaller_than_asked(bytes in 1_u64..1 << 50) {
        let root = RootFs::new("l1".parse().unwrap(), ByteSize::from_bytes(bytes));
        let gibibytes = root.to_string().replace("l1:", "");
        // As PVE reads it: a decimal number of GiB, cut to MiB.
        let read: ByteSize = format!("{gibibytes}G").parse().unwrap();
        let made = read.bytes() >> 20 << 20;
        prop_assert!(made >= bytes && made - bytes < 1 << 20, "{} -> {}", bytes, gibibytes);
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,60}|.{0,60}|[a-z0-9=,:/;. -]{0,60}|[\\[\\]#:%a-z\\n =]{0,80}") {
        settles::<NetworkInterface>(&text);
        settles::<MountPoint>(&text);
        settles::<RootFs>(&text);
        settles::<Features>(&text);
        settles::<PruneBackups>(&text);
        settles::<Address>(&text);
        Denied::find_in(&text);
        Denied::find_in(&format!("403 Permission check failed ({text})"));
        drop(Outcome::parse(&text));
        Outcome::parse_last_line(&format!("TASK {text}"));
        let config = LxcConfig::from_text(&text);
        config.nets().ok();
        config.mounts().ok();
        config.rootfs().ok();
        config.features().ok();
        drop((config.tags(), config.devices(), config.unused(), config.memory()));
    }
}
