//! What virtual machines have that containers do not: interfaces whose address stands behind their model, devices of the host,
//! keys that PVE makes anew.

use std::collections::BTreeMap;

use felhom_ids::GuestKind;

use crate::restore_run::property::{self, plain};
use crate::restore_run::records::{Identity, RestoreRunRequest};
use crate::restore_run::subject::{WrittenConfig, is_numbered};
use crate::world::is_drive;

/// What a key of an archived machine reaches of the host, and what PVE makes of it when a token restores (qemu-server
/// QemuServer.pm `check_mapping_access`: it looks at no other keys).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing.
    Nothing,
    /// A device that PVE lets only root restore.
    RootOnly,
    /// A mapped one: it wants `Mapping.Use` on this path.
    Mapped(String),
    /// Something that comes back unchecked.
    Unchecked,
}

impl Reach {
    /// Whether the machine takes something of the host when it is started.
    pub(super) fn is_of_the_host(&self) -> bool {
        *self != Self::Nothing
    }
}

/// What this key reaches.
pub(super) fn reach(key: &str, text: &str) -> Reach {
    // The part without a key is the first: `host` of a device, `source` of random numbers, `dirid` of a folder.
    let first =
        |name: &str| property::value(text, name).or_else(|| property::value(text, "volume"));
    let mapped = |kind: &str| match (first("host"), property::value(text, "mapping")) {
        (None, Some(mapping)) => Reach::Mapped(format!("/mapping/{kind}/{mapping}")),
        _ => Reach::RootOnly,
    };
    if is_numbered(key, "usb") {
        let spice = first("host").is_some_and(|host| host.eq_ignore_ascii_case("spice"));
        return if spice { Reach::Nothing } else { mapped("usb") };
    }
    if is_numbered(key, "hostpci") {
        return mapped("pci");
    }
    if is_numbered(key, "rng") && first("source") == Some("/dev/hwrng") {
        return Reach::Mapped("/mapping/hwrng".to_owned());
    }
    if is_numbered(key, "virtiofs") {
        let folder = first("dirid").unwrap_or_default();
        return Reach::Mapped(format!("/mapping/dir/{folder}"));
    }
    let real_port = is_numbered(key, "serial") && text != "socket";
    let host_cd = is_drive(key) && file(text) == Some("cdrom");
    if real_port || host_cd || key == "args" || is_numbered(key, "parallel") {
        return Reach::Unchecked;
    }
    Reach::Nothing
}

/// The keys of an archived machine that reach the host, with what they reach; of a container none.
pub(super) fn reaching(
    archived: &WrittenConfig,
) -> impl Iterator<Item = (&String, &String, Reach)> {
    let machine = archived.config.kind == GuestKind::Qemu;
    archived
        .values
        .iter()
        .filter(move |_| machine)
        .map(|(key, text)| (key, text, reach(key, text)))
        .filter(|(_, _, reach)| reach.is_of_the_host())
}

/// What is behind a drive.
pub(super) fn file(text: &str) -> Option<&str> {
    property::value(text, "file").or_else(|| property::value(text, "volume"))
}

/// Whether a value is a MAC address; in an interface only that one is.
fn is_mac(text: &str) -> bool {
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(pair)
}

/// The parts of an interface, as `(key, value)`; the model alone has no value.
fn parts(net: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let trimmed = net.split(',').map(str::trim);
    trimmed
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (part, None),
        })
}

/// The MAC address of an interface: `virtio=MAC`, or `macaddr=MAC` (qemu-server Network.pm, `keyAlias`).
pub(super) fn mac(net: &str) -> Option<&str> {
    parts(net).find_map(|(_, value)| value.filter(|value| is_mac(value)))
}

/// The interface without its address; PVE makes one up for one that has none (`add_random_macs`).
pub(super) fn without_mac(net: &str) -> String {
    let kept = parts(net).filter_map(|(key, value)| match value {
        Some(value) if is_mac(value) => (key != "macaddr").then(|| key.to_owned()),
        Some(value) => Some(format!("{key}={value}")),
        None => Some(key.to_owned()),
    });
    kept.collect::<Vec<_>>().join(",")
}

/// The interface with its link down.
pub(super) fn with_link_down(net: &str) -> String {
    let kept = net
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty() && part.split('=').next() != Some("link_down"));
    kept.chain(["link_down=1"]).collect::<Vec<_>>().join(",")
}

/// Keys and values of an interface in a form in which two writings of the same are equal.
pub(super) fn net_meaning(net: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, value) in parts(net) {
        match value {
            Some(value) if is_mac(value) => {
                if key != "macaddr" {
                    all.insert("model".to_owned(), key.to_owned());
                }
                all.insert("macaddr".to_owned(), value.to_ascii_uppercase());
            }
            Some(value) => drop(all.insert(key.to_owned(), plain(value))),
            None => drop(all.insert("model".to_owned(), key.to_owned())),
        }
    }
    all
}

/// Whether PVE gives the machine a new UUID: `unique` also renews the addresses of interfaces that the request does not name,
/// and it names all.
pub(super) fn is_unique(request: &RestoreRunRequest) -> bool {
    request.kind() == GuestKind::Qemu && request.identity == Identity::Fresh
}

/// Whether PVE writes another value in the place of this one: a `vmgenid` always, the UUID of `smbios1` with `unique`
/// (QemuServer.pm `restore_update_config_line`).
pub(super) fn is_renewed(request: &RestoreRunRequest, key: &str, value: &str) -> bool {
    request.kind() == GuestKind::Qemu
        && match key {
            "vmgenid" => value != "0",
            "smbios1" => is_unique(request),
            _ => false,
        }
}

/// Why a renewed key is not as it should be; none when it is.
pub(super) fn not_renewed(key: &str, archived: &str, is: Option<&str>) -> Option<String> {
    let Some(is) = is else {
        return Some(format!("`{key}` is missing"));
    };
    let (renewed, rest_stays) = if key == "smbios1" {
        let uuid = |text| property::value(text, "uuid").map(str::to_ascii_lowercase);
        let rest = |text| property::meaning(&property::without(text, &["uuid"]));
        (
            uuid(is).is_some() && uuid(is) != uuid(archived),
            rest(is) == rest(archived),
        )
    } else {
        (!is.eq_ignore_ascii_case(archived), true)
    };
    if !renewed {
        return Some(format!("`{key}` was not made anew"));
    }
    (!rest_stays).then(|| format!("`{key}` lost what it says besides"))
}

/// What becomes different of a machine, one line each.
pub(super) fn changes(request: &RestoreRunRequest, archived: &WrittenConfig) -> Vec<String> {
    let has = |key: &str| {
        archived
            .values
            .get(key)
            .is_some_and(|value| is_renewed(request, key, value))
    };
    let mut lines = Vec::new();
    if has("vmgenid") {
        lines.push(
            "`vmgenid` is a new one, as with every restore: a Windows domain controller notices that it went back in time"
                .to_owned(),
        );
    }
    if has("smbios1") {
        lines.push(
            "the UUID of the machine (`smbios1`) is a new one; a licence or an inventory that goes by the old one does not \
             follow"
                .to_owned(),
        );
    }
    let cloud = archived.values.values().any(|text| is_cloud_init(text));
    if cloud && request.identity == Identity::Fresh {
        // Cloudinit.pm: the instance's id is a digest of user data and network data.
        lines.push(
            "cloud-init sees another instance, since name and addresses are part of its id: it may make new SSH host keys and \
             set passwords and users again"
                .to_owned(),
        );
    }
    lines
}

/// Whether a drive is cloud-init's, which PVE writes itself (Drive.pm `drive_is_cloudinit`).
pub(super) fn is_cloud_init(text: &str) -> bool {
    let Some((_, name)) = file(text).and_then(|file| file.split_once(':')) else {
        return false;
    };
    let name = name.rsplit('/').next().unwrap_or_default();
    let (stem, format) = name.split_once('.').unwrap_or((name, "raw"));
    let number = stem
        .strip_prefix("vm-")
        .and_then(|rest| rest.strip_suffix("-cloudinit"));
    let named = stem == "cloudinit"
        || number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    named && matches!(format, "raw" | "qcow2" | "vmdk")
}

/// Addresses that cloud-init gives to an interface, by the key of the interface.
pub(super) fn cloud_addresses(archived: &WrittenConfig) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, text) in &archived.values {
        if let Some(number) = key.strip_prefix("ipconfig") {
            let fixed = ["ip", "ip6"]
                .into_iter()
                .filter_map(|key| property::value(text, key));
            let fixed = fixed.filter(|value| !matches!(*value, "dhcp" | "manual" | "auto"));
            found.extend(fixed.map(|value| (format!("net{number}"), value.to_owned())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: &str = "virtio=BC:24:11:00:92:00,bridge=vmbr0,firewall=1,mtu=1400,queues=4,rate=5,tag=7,trunks=7;8";

    #[test]
    fn an_interface_loses_its_address_and_nothing_else() {
        let rest = "bridge=vmbr0,firewall=1,mtu=1400,queues=4,rate=5,tag=7,trunks=7;8";
        assert_eq!(without_mac(NET), format!("virtio,{rest}"));
        assert_eq!(mac(NET), Some("BC:24:11:00:92:00"));
        assert_eq!(
            without_mac("model=e1000,macaddr=BC:24:11:00:92:00,newkey=x"),
            "model=e1000,newkey=x"
        );
        assert_eq!(mac("e1000,bridge=vmbr0"), None);
        assert_eq!(
            with_link_down("virtio,link_down=0,tag=7"),
            "virtio,tag=7,link_down=1"
        );
        assert_eq!(
            net_meaning("bridge=vmbr0,virtio=bc:24:11:00:92:00,firewall=on"),
            net_meaning("model=virtio,macaddr=BC:24:11:00:92:00,bridge=vmbr0,firewall=1")
        );
    }

    #[test]
    fn what_reaches_the_host_is_told_apart() {
        for (key, text, reaches) in [
            ("hostpci0", "0000:01:00.0,pcie=1", Reach::RootOnly),
            (
                "hostpci0",
                "mapping=gpu",
                Reach::Mapped("/mapping/pci/gpu".into()),
            ),
            ("usb0", "host=1234:5678", Reach::RootOnly),
            ("usb1", "spice,usb3=1", Reach::Nothing),
            (
                "usb1",
                "mapping=key,usb3=1",
                Reach::Mapped("/mapping/usb/key".into()),
            ),
            ("usb1", "usb3=1", Reach::RootOnly),
            (
                "virtiofs0",
                "share,cache=auto",
                Reach::Mapped("/mapping/dir/share".into()),
            ),
            (
                "rng0",
                "source=/dev/hwrng",
                Reach::Mapped("/mapping/hwrng".into()),
            ),
            ("rng0", "/dev/urandom", Reach::Nothing),
            ("serial0", "/dev/ttyS0", Reach::Unchecked),
            ("serial0", "socket", Reach::Nothing),
            ("parallel0", "/dev/parport0", Reach::Unchecked),
            ("ide2", "cdrom,media=cdrom", Reach::Unchecked),
            ("ide2", "none,media=cdrom", Reach::Nothing),
            ("args", "-S", Reach::Unchecked),
            ("net0", NET, Reach::Nothing),
        ] {
            assert_eq!(reach(key, text), reaches, "{key}: {text}");
        }
    }

    #[test]
    fn a_cloud_init_drive_is_known_by_its_volume() {
        assert!(is_cloud_init(
            "local-lvm:vm-9200-cloudinit,media=cdrom,size=4M"
        ));
        assert!(is_cloud_init(
            "local:9200/vm-9200-cloudinit.qcow2,media=cdrom"
        ));
        assert!(!is_cloud_init("local:iso/cloudinit.iso,media=cdrom"));
        assert!(!is_cloud_init("none,media=cdrom"));
    }

    #[test]
    fn renewed_keys_are_others_and_keep_the_rest() {
        let old = "uuid=11111111-0000-0000-0000-000000000000,serial=YWJj,base64=1";
        let new = "base64=1,serial=YWJj,uuid=22222222-0000-0000-0000-000000000000";
        assert_eq!(not_renewed("smbios1", old, Some(new)), None);
        assert!(not_renewed("smbios1", old, Some(old)).is_some());
        assert!(not_renewed("smbios1", old, Some("uuid=2")).is_some());
        assert!(not_renewed("vmgenid", "a", Some("A")).is_some());
        assert!(not_renewed("vmgenid", "a", None).is_some());
    }
}
