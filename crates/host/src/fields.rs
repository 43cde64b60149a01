//! Names that only the fence has need of.

use std::fmt;
use std::str::FromStr;

use felhom_ids::{StorageId, VolumeId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A container template on a storage, such as `local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst`.
///
/// Its file's name begins with a letter or digit and holds nothing that leaves the storage's template directory
/// (pve-storage `Plugin.pm`, `parse_volname`: `vztmpl/` and a name that ends in `.tar.gz`, `.tar.xz`, `.tar.zst` or `.tar.bz2`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateVolume(VolumeId);

/// A text that is no template's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a template: expected STORAGE:vztmpl/NAME.tar.zst (or .gz, .xz, .bz2)", .0.escape_debug())]
pub struct NoTemplate(String);

impl TemplateVolume {
    /// The storage that it lies on.
    pub fn storage(&self) -> &StorageId {
        self.0.storage()
    }

    /// The name of its file.
    pub fn file(&self) -> &str {
        self.0.name().strip_prefix("vztmpl/").unwrap_or_default()
    }
}

impl FromStr for TemplateVolume {
    type Err = NoTemplate;

    fn from_str(text: &str) -> Result<Self, NoTemplate> {
        let refused = || NoTemplate(text.chars().take(120).collect());
        if text.len() > 255 {
            return Err(refused());
        }
        let volume: VolumeId = text.parse().map_err(|_| refused())?;
        let file = volume.name().strip_prefix("vztmpl/").unwrap_or_default();
        let ends = [".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"];
        let ends_well = ends
            .iter()
            .any(|end| file.ends_with(end) && file.len() > end.len());
        let begins_well = file.starts_with(|c: char| c.is_ascii_alphanumeric());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '~');
        if ends_well && begins_well && file.chars().all(plain) {
            Ok(Self(volume))
        } else {
            Err(refused())
        }
    }
}

impl fmt::Display for TemplateVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for TemplateVolume {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TemplateVolume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_a_file_of_a_storages_template_directory() {
        let good: TemplateVolume = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
            .parse()
            .unwrap();
        assert_eq!(good.storage().as_str(), "local");
        assert_eq!(good.file(), "debian-13-standard_13.1-2_amd64.tar.zst");
        for odd in [
            "",
            "local",
            "local:iso/a.iso",
            "local:vztmpl/.tar.zst",
            "local:vztmpl/../x.tar.zst",
            "local:vztmpl/a/b.tar.zst",
            "local:vztmpl/--help.tar.zst",
            "local:vztmpl/a b.tar.zst",
            "local:vztmpl/a,b=c.tar.zst",
            "local:vztmpl/a\n.tar.zst",
            "/etc/shadow",
            "-:vztmpl/a.tar.zst",
            "local:vztmpl/a.tar.zst\0",
        ] {
            assert!(odd.parse::<TemplateVolume>().is_err(), "{odd:?}");
        }
    }
}
