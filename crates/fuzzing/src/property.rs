//! Property strings: `netN`, `mpN`, `rootfs`, `features`, `prune-backups`.

use std::collections::BTreeSet;

use felhom_proxmox::property::{
    Features, MountPoint, MountSource, NetworkInterface, PruneBackups, RootFs,
};

use crate::claims::{settles, text};

/// Whatever is read is written back with the same keys and the same meaning, keys of a newer PVE included.
pub fn property(data: &[u8]) {
    let text = text(data);
    if let Some(net) = kept::<NetworkInterface>(&text) {
        assert!(net.same(&net) && net.same(&net.to_string().parse().unwrap()));
        assert_eq!(net.is_link_down(), net.link_down == Some(true));
    }
    if let Some(mount) = kept::<MountPoint>(&text) {
        assert!(mount.same(&mount) && mount.same(&mount.to_string().parse().unwrap()));
        let volume = mount.source.volume().is_some();
        assert!(volume || !mount.is_backed_up(), "{mount}");
        source(&mount.source);
    }
    if let Some(root) = kept::<RootFs>(&text) {
        assert!(root.same(&root) && root.same(&root.to_string().parse().unwrap()));
        source(&root.source);
    }
    if let Some(features) = kept::<Features>(&text) {
        assert!(features.same(&features));
        if features.is_at_most_nesting() {
            assert!(features.other.is_empty() && features.mount.is_none());
            assert_ne!(features.keyctl, Some(true));
        }
    }
    if let Some(prune) = kept::<PruneBackups>(&text) {
        assert!(prune.same(&prune));
        assert_eq!(prune.limit().is_none(), prune.keeps_all(), "{prune}");
    }
}

/// Reads a property string; no key is lost or made up on the way, and one that nobody knows stays.
fn kept<T>(text: &str) -> Option<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>
        + std::fmt::Display
        + std::fmt::Debug
        + PartialEq
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let value = settles::<T>(text)?;
    let printed = value.to_string();
    assert_eq!(keys(&printed), keys(text), "{text:?} became {printed:?}");
    if !keys(text).contains("of-a-newer-pve") {
        let newer = format!("{text},of-a-newer-pve=7;8=9");
        let value = settles::<T>(&newer).unwrap_or_else(|| panic!("{newer:?} is refused"));
        assert!(value.to_string().contains("of-a-newer-pve=7;8=9"));
        let twice = format!("{newer},of-a-newer-pve=7;8=9");
        assert!(settles::<T>(&twice).is_none(), "{twice:?} is taken");
    }
    Some(value)
}

/// The keys that are written out; the default key need not be.
fn keys(text: &str) -> BTreeSet<String> {
    text.split(',')
        .filter_map(|part| part.trim().split_once('='))
        .map(|(key, _)| key)
        .filter(|key| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(plain)
        })
        .filter(|key| *key != "volume")
        .map(str::to_owned)
        .collect()
}

/// A directory or a device of the host is never taken for a volume, nor the other way round.
fn source(source: &MountSource) {
    let printed = source.to_string();
    assert_eq!(printed.parse::<MountSource>().as_ref(), Ok(source));
    let (absolute, device) = (printed.starts_with('/'), printed.starts_with("/dev/"));
    let expected = match source {
        MountSource::Volume(_) | MountSource::New { .. } => (false, false),
        MountSource::Bind(_) => (true, false),
        MountSource::Device(_) => (true, true),
    };
    assert_eq!((absolute, device), expected, "{printed}");
    assert!(source.owner().is_none() || source.volume().is_some());
}
