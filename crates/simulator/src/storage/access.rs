//! Volume ids, and who may touch which volume.

use crate::access::Principal;
use crate::call::ApiError;
use crate::world::World;

/// A volume id taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeName {
    pub(crate) storage: String,
    /// What stands behind the colon.
    pub(crate) name: String,
    /// `backup`, `vztmpl`, `iso`, `snippets`, `import` or `images`.
    pub(crate) kind: &'static str,
    pub(crate) owner: Option<u32>,
}

/// Parses `STORE:NAME` in the grammar of the storage's type; the error is the plugin's.
pub(crate) fn parse(world: &World, volid: &str) -> Result<VolumeName, ApiError> {
    let (storage, name) = volid
        .split_once(':')
        .ok_or_else(|| ApiError::die(format!("unable to parse volume ID '{volid}'")))?;
    let definition = world.storage.definition(storage)?;
    let found = if matches!(definition.kind.as_str(), "dir" | "nfs" | "cifs") {
        dir_name(name)
    } else if definition.kind == "pbs" {
        pbs_name(name)
    } else {
        thin_name(name)
    };
    let (kind, owner) = found.ok_or_else(|| {
        let kind = match definition.kind.as_str() {
            "dir" => "directory",
            "pbs" => "PBS",
            _ => "lvm",
        };
        ApiError::die(format!("unable to parse {kind} volume name '{name}'"))
    })?;
    Ok(VolumeName {
        storage: storage.to_owned(),
        name: name.to_owned(),
        kind,
        owner,
    })
}

fn dir_name(name: &str) -> Option<(&'static str, Option<u32>)> {
    let (first, rest) = name.split_once('/')?;
    let plain = !rest.is_empty() && !rest.contains('/') && rest != "..";
    match first {
        "backup" if plain && archive_extension(rest).is_some() => {
            Some(("backup", super::backups::owner(rest)))
        }
        "vztmpl" if plain && rest.contains(".tar") => Some(("vztmpl", None)),
        "iso" if plain => Some(("iso", None)),
        "snippets" if plain => Some(("snippets", None)),
        "import" if plain => Some(("import", None)),
        _ => {
            let owner: u32 = first.parse().ok()?;
            let good = plain && rest.starts_with(&format!("vm-{owner}-"));
            good.then_some(("images", Some(owner)))
        }
    }
}

fn pbs_name(name: &str) -> Option<(&'static str, Option<u32>)> {
    let (_, id, _) = crate::pbs::parse_name(name)?;
    Some(("backup", id.parse().ok()))
}

fn thin_name(name: &str) -> Option<(&'static str, Option<u32>)> {
    let rest = name
        .strip_prefix("vm-")
        .or_else(|| name.strip_prefix("base-"))?;
    let (owner, tail) = rest.split_once('-')?;
    (!tail.is_empty()).then_some(("images", Some(owner.parse().ok()?)))
}

/// `tar.zst` of `…​.tar.zst`; none when the name is no archive's.
pub(crate) fn archive_extension(file: &str) -> Option<&str> {
    let base = ["gz", "lzo", "zst", "bz2"]
        .iter()
        .find_map(|ext| file.strip_suffix(ext)?.strip_suffix('.'))
        .unwrap_or(file);
    let kind = ["tar", "vma", "tgz"].iter().find(|kind| {
        base.strip_suffix(**kind)
            .is_some_and(|stem| stem.ends_with('.') && stem.len() > 1)
    })?;
    file.get(base.len() - kind.len()..)
}

impl World {
    /// Whether a volume may be used, by PVE's rules: the storage's administrator may all; templates need a look at
    /// the storage; the owner's own is free; a backup needs VM.Backup on the guest it came from. `wanted` is the
    /// kind that the caller must be given.
    pub(crate) fn check_volume_access(
        &self,
        who: &Principal,
        vmid: Option<u32>,
        volid: &str,
        wanted: Option<&str>,
    ) -> Result<(), ApiError> {
        if volid.starts_with('/') || !volid.contains(':') {
            if who.is_root() {
                return Ok(());
            }
            return Err(ApiError::die(
                "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.",
            ));
        }
        let volume = parse(self, volid)?;
        if let Some(wanted) = wanted
            && wanted != volume.kind
        {
            return Err(ApiError::die(format!(
                "unable to use volume {volid} - content type needs to be '{wanted}'"
            )));
        }
        let path = format!("/storage/{}", volume.storage);
        if self.has(who, &path, "Datastore.Allocate") {
            return Ok(());
        }
        match (volume.kind, volume.owner) {
            ("iso" | "vztmpl" | "import", _) => {
                self.check_any(who, &path, &["Datastore.AllocateSpace", "Datastore.Audit"])
            }
            (_, Some(owner)) if vmid == Some(owner) => Ok(()),
            ("backup", Some(owner)) => {
                self.check(who, &path, &["Datastore.AllocateSpace"])?;
                self.check(who, &format!("/vms/{owner}"), &["VM.Backup"])
            }
            ("images", Some(owner)) => {
                self.check(who, &path, &["Datastore.Audit"])?;
                self.check(who, &format!("/vms/{owner}"), &["VM.Config.Disk"])
            }
            _ => Err(ApiError::die(format!(
                "missing privileges to access {volid}"
            ))),
        }
    }
}
