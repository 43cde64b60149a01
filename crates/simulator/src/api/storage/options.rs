//! Which options a storage of each type has, and what a definition is refused for.

use crate::call::ApiError;
use crate::storage::Definition;

/// An option that a type needs, and one that cannot be changed afterwards. The others may be there or not.
struct Type {
    name: &'static str,
    fixed: &'static [&'static str],
    optional: &'static [&'static str],
    contents: &'static [&'static str],
}

const FILES: &[&str] = &[
    "backup", "images", "import", "iso", "none", "rootdir", "snippets", "vztmpl",
];

const TYPES: &[Type] = &[
    Type {
        name: "dir",
        fixed: &["path"],
        optional: &[
            "bwlimit",
            "content",
            "content-dirs",
            "create-base-path",
            "create-subdirs",
            "disable",
            "format",
            "is_mountpoint",
            "max-protected-backups",
            "mkdir",
            "nodes",
            "preallocation",
            "prune-backups",
            "shared",
            "snapshot-as-volume-chain",
        ],
        contents: FILES,
    },
    Type {
        name: "lvmthin",
        fixed: &["thinpool", "vgname"],
        optional: &["bwlimit", "content", "disable", "nodes"],
        contents: &["images", "rootdir"],
    },
    Type {
        name: "nfs",
        fixed: &["export", "server"],
        optional: &[
            "bwlimit",
            "content",
            "content-dirs",
            "create-base-path",
            "create-subdirs",
            "disable",
            "format",
            "max-protected-backups",
            "mkdir",
            "nodes",
            "options",
            "path",
            "preallocation",
            "prune-backups",
            "snapshot-as-volume-chain",
        ],
        contents: FILES,
    },
    Type {
        name: "cifs",
        fixed: &["server", "share"],
        optional: &[
            "bwlimit",
            "content",
            "content-dirs",
            "create-base-path",
            "create-subdirs",
            "disable",
            "domain",
            "format",
            "max-protected-backups",
            "mkdir",
            "nodes",
            "options",
            "password",
            "path",
            "preallocation",
            "prune-backups",
            "smbversion",
            "snapshot-as-volume-chain",
            "subdir",
            "username",
        ],
        contents: FILES,
    },
    Type {
        name: "pbs",
        fixed: &["datastore", "server"],
        optional: &[
            "content",
            "disable",
            "encryption-key",
            "fingerprint",
            "master-pubkey",
            "max-protected-backups",
            "namespace",
            "nodes",
            "password",
            "port",
            "prune-backups",
            "username",
        ],
        contents: &["backup", "none"],
    },
];

fn of(kind: &str) -> Option<&'static Type> {
    TYPES.iter().find(|one| one.name == kind)
}

/// Drops contents that the type cannot hold, as the node does with a warning.
pub(super) fn settle_content(definition: &mut Definition) -> Result<(), ApiError> {
    let Some(kind) = of(&definition.kind) else {
        return Ok(());
    };
    let Some(text) = definition.options.get("content") else {
        return Ok(());
    };
    let given = text.split([',', ';', ' ']).filter(|one| !one.is_empty());
    let kept: Vec<&str> = given.filter(|one| kind.contents.contains(one)).collect();
    if kept.contains(&"none") && kept.len() > 1 {
        let text = "unable to combine 'none' with other content types";
        return Err(ApiError::die(text));
    }
    if kept.is_empty() && !kind.contents.contains(&"none") {
        let text = "storage does not support content type 'none'";
        return Err(ApiError::die(text));
    }
    let kept = kept.join(",");
    definition.options.insert("content".into(), kept);
    Ok(())
}

fn unexpected(kind: &Type, key: &str) -> Result<(), ApiError> {
    if kind.fixed.contains(&key) || kind.optional.contains(&key) {
        return Ok(());
    }
    Err(ApiError::die(format!("unexpected property '{key}'")))
}

/// Refuses options that a new storage of this type has not got, and the lack of those it needs.
pub(super) fn check_new(definition: &Definition, given: &[String]) -> Result<(), ApiError> {
    let Some(kind) = of(&definition.kind) else {
        return Ok(());
    };
    given.iter().try_for_each(|key| unexpected(kind, key))?;
    match kind
        .fixed
        .iter()
        .find(|key| !given.iter().any(|one| one == *key))
    {
        Some(missing) => Err(ApiError::die(format!(
            "missing value for required option '{missing}'"
        ))),
        None => Ok(()),
    }
}

/// Refuses changes that a storage of this type does not take.
pub(super) fn check_change(kind: &str, set: &[String], delete: &[&str]) -> Result<(), ApiError> {
    let Some(kind) = of(kind) else {
        return Ok(());
    };
    for key in set {
        if kind.fixed.contains(&key.as_str()) || key == "snapshot-as-volume-chain" {
            return Err(ApiError::die(format!(
                "can't change value of fixed parameter '{key}'"
            )));
        }
        unexpected(kind, key)?;
    }
    for key in delete {
        let problem = if kind.fixed.contains(key) {
            format!("unable to delete required option '{key}'")
        } else if !kind.optional.contains(key) {
            format!("no such option '{key}'")
        } else if set.iter().any(|one| one == key) {
            format!("cannot set and delete property '{key}' at the same time!")
        } else {
            continue;
        };
        return Err(ApiError::die(problem));
    }
    Ok(())
}
