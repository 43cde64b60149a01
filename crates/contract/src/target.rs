//! The server to ask: where it is, who may ask it, what it has, and where on it we may leave traces.

mod pbs;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use felhom_ids::{BridgeName, Fingerprint, NodeName, PoolId, StorageId, TokenId, UserId, Vmid};
use secrecy::SecretString;
use serde::Deserialize;

use crate::place::Place;
use crate::product::Product;

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A file cannot be read.
    #[error("`{}` can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The target file makes no sense.
    #[error("`{}` makes no sense", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value does not fit.
    #[error("{0}")]
    Value(String),
    /// Others than its owner can read a secret.
    #[error("the secret file `{}` is readable by others than its owner (mode {mode:o}); `chmod 600` it", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    url: String,
    fingerprint: String,
    node: String,
    #[serde(default)]
    abilities: BTreeSet<String>,
    #[serde(default = "default_patience")]
    patience_s: u64,
    #[serde(default)]
    principals: BTreeMap<String, Credentials>,
    #[serde(default)]
    guests: Guests,
    storages: Storages,
    #[serde(default)]
    bridges: Bridges,
    template: Option<String>,
    scratch: Option<ScratchFile>,
}

fn default_patience() -> u64 {
    600
}

/// How a principal shows who it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Credentials {
    token: Option<String>,
    secret_file: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

/// Guests that exist already.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Guests {
    keyctl: Option<u32>,
    mounts: Option<u32>,
    vm: Option<u32>,
    #[serde(default)]
    expendable: BTreeSet<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Storages {
    backups: String,
    volumes: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bridges {
    outward: Option<String>,
    isolated: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ScratchFile {
    first: u32,
    last: u32,
    pool: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Principal {
    /// With an API token.
    Token { id: String, secret: SecretString },
    /// With a ticket, after logging in.
    Ticket {
        user: String,
        password: SecretString,
    },
}

impl Principal {
    /// What the server calls it.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Token { id, .. } => id,
            Self::Ticket { user, .. } => user,
        }
    }
}

/// VMIDs that we may use.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

/// A datastore that is ours.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) name: String,
    /// Where on the server it is made if there is none.
    pub(crate) path: Option<String>,
}

/// A server to ask.
#[derive(Debug, Clone)]
pub struct Target {
    pub(crate) product: Product,
    pub(crate) place: Place,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) node: String,
    pub(crate) abilities: BTreeSet<String>,
    pub(crate) patience_s: u64,
    pub(crate) principals: BTreeMap<String, Principal>,
    pub(crate) expendable: BTreeSet<u32>,
    /// Guests named in the file; they may be backed up, and nothing else unless they are expendable.
    pub(crate) named: BTreeSet<u32>,
    pub(crate) scratch: Option<Scratch>,
    /// The datastore to use; of a backup server only.
    pub(crate) store: Option<Store>,
    /// Names that questions use: `{node}`, `{keyctl}`, `{backups}`, ….
    pub(crate) names: BTreeMap<String, String>,
}

impl Target {
    /// Reads a target file; paths in it are relative to it.
    pub fn read(path: &Path) -> Result<Self, TargetError> {
        let text = std::fs::read_to_string(path).map_err(|source| TargetError::Read {
            path: path.to_owned(),
            source,
        })?;
        let parse = |source| TargetError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let beside = path.parent().unwrap_or_else(|| Path::new("."));
        let table: toml::Table = toml::from_str(&text).map_err(parse)?;
        if table.contains_key("pbs") {
            if table.len() > 1 {
                let text =
                    "a target is a PVE server or, by `[pbs]` alone, a backup server; not both";
                return Err(TargetError::Value(text.into()));
            }
            return pbs::checked(toml::from_str(&text).map_err(parse)?, beside);
        }
        Self::checked(toml::from_str(&text).map_err(parse)?, beside)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.place.url()
    }

    fn checked(file: File, beside: &Path) -> Result<Self, TargetError> {
        let names = names(&file)?;
        let mut abilities = file.abilities.clone();
        for name in names.keys() {
            abilities.insert(name.clone());
        }
        let principals = file
            .principals
            .iter()
            .map(|(name, given)| Ok((name.clone(), principal(name, given, beside)?)))
            .collect::<Result<_, TargetError>>()?;
        let guests = [file.guests.keyctl, file.guests.mounts, file.guests.vm];
        let scratch = match &file.scratch {
            None => None,
            Some(scratch) if scratch.first > scratch.last => {
                return Err(TargetError::Value("the scratch range is empty".into()));
            }
            Some(scratch) => Some(Scratch {
                first: parsed::<Vmid>("scratch.first", &scratch.first.to_string())?.get(),
                last: parsed::<Vmid>("scratch.last", &scratch.last.to_string())?.get(),
            }),
        };
        if let Some(Scratch { first, last }) = scratch {
            abilities.insert("scratch".into());
            let clash = guests
                .iter()
                .flatten()
                .find(|id| (first..=last).contains(*id));
            if let Some(id) = clash {
                let text = format!("guest {id} lies in the scratch range");
                return Err(TargetError::Value(text));
            }
        }
        for (name, id) in ["keyctl", "mounts", "vm"].iter().zip(guests) {
            if id.is_some_and(|id| file.guests.expendable.contains(&id)) {
                abilities.insert(format!("expendable-{name}"));
            }
        }
        Ok(Self {
            product: Product::Pve,
            place: Place::parse(&file.url, Product::Pve).map_err(TargetError::Value)?,
            fingerprint: parsed("fingerprint", &file.fingerprint)?,
            node: parsed::<NodeName>("node", &file.node)?.to_string(),
            abilities,
            patience_s: file.patience_s,
            principals,
            expendable: file.guests.expendable,
            named: guests.into_iter().flatten().collect(),
            scratch,
            store: None,
            names,
        })
    }
}

fn names(file: &File) -> Result<BTreeMap<String, String>, TargetError> {
    let mut names = BTreeMap::new();
    let mut put = |name: &str, value: String| {
        names.insert(name.to_owned(), value);
    };
    put("node", file.node.clone());
    put(
        "backups",
        parsed::<StorageId>("storages.backups", &file.storages.backups)?.to_string(),
    );
    put(
        "volumes",
        parsed::<StorageId>("storages.volumes", &file.storages.volumes)?.to_string(),
    );
    for (name, id) in [
        ("keyctl", file.guests.keyctl),
        ("mounts", file.guests.mounts),
        ("vm", file.guests.vm),
    ] {
        if let Some(id) = id {
            put(name, parsed::<Vmid>(name, &id.to_string())?.to_string());
        }
    }
    for (name, bridge) in [
        ("bridge", &file.bridges.outward),
        ("isolated", &file.bridges.isolated),
    ] {
        if let Some(bridge) = bridge {
            put(name, parsed::<BridgeName>(name, bridge)?.to_string());
        }
    }
    if let Some(template) = &file.template {
        put("template", template.clone());
    }
    if let Some(pool) = file
        .scratch
        .as_ref()
        .and_then(|scratch| scratch.pool.as_ref())
    {
        put("pool", parsed::<PoolId>("scratch.pool", pool)?.to_string());
    }
    Ok(names)
}

fn principal(name: &str, given: &Credentials, beside: &Path) -> Result<Principal, TargetError> {
    match (
        &given.token,
        &given.secret_file,
        &given.user,
        &given.password_file,
    ) {
        (Some(token), Some(file), None, None) => Ok(Principal::Token {
            id: parsed::<TokenId>(name, token)?.to_string(),
            secret: secret(&beside.join(file))?,
        }),
        (None, None, Some(user), Some(file)) => Ok(Principal::Ticket {
            user: parsed::<UserId>(name, user)?.to_string(),
            password: secret(&beside.join(file))?,
        }),
        _ => Err(TargetError::Value(format!(
            "principal `{name}` needs `token` with `secret-file`, or `user` with `password-file`"
        ))),
    }
}

fn secret(path: &Path) -> Result<SecretString, TargetError> {
    let read = |source| TargetError::Read {
        path: path.to_owned(),
        source,
    };
    let mode = std::fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TargetError::Readable {
            path: path.to_owned(),
            mode,
        });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    Ok(SecretString::from(text.trim().to_owned()))
}

fn parsed<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, TargetError>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| TargetError::Value(format!("{what}: {error}")))
}
