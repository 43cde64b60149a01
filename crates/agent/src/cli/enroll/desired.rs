//! What is wanted: the options, and the configuration that is there already, which must not contradict each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use felhom_ids::{Fingerprint, NodeName, StorageId, Vmid};
use felhom_proxmox::pve::identities::Door;
use felhom_proxmox::pve::nodes::ListNodes;
use felhom_proxmox::{Address, Client, Product, Pve, Trust, fetch_leaf, leaf_of_pem};

use super::PveArgs;
use super::login::how_to_look;
use crate::cli::context::{Context, config_failure, parse, pve_failure};
use crate::config::{self, Config, ConfigError, TrustConfig};
use crate::enroll::runbook::{self, Place, THIS_FINGERPRINT, THIS_NODE};
use crate::enroll::{Ability, Guests, Identity, Wanted};
use crate::exit::{Exit, Failure};
use crate::notify::is_loopback;

const URL: &str = "https://127.0.0.1:8006";
/// What pveproxy shows: an admin's certificate where there is one, else Proxmox's own.
const CERTIFICATES: [&str; 2] = [
    "/etc/pve/local/pveproxy-ssl.pem",
    "/etc/pve/local/pve-ssl.pem",
];
const AGENT: &str = "felhom-agent@pve!agent";
const RESTORE_TEST: &str = "felhom-test@pve!restore-test";

/// Options and configuration, brought together.
pub(super) struct Desired<'a> {
    args: &'a PveArgs,
    path: PathBuf,
    config: Option<Config>,
    abilities: BTreeSet<Ability>,
    guests: Guests,
    /// What the server is to be known by, where the configuration does not say it.
    pin: Option<Fingerprint>,
}

impl<'a> Desired<'a> {
    pub(super) fn read(context: &Context, args: &'a PveArgs) -> Result<Self, Failure> {
        let config = match config::load(&context.path) {
            Ok(config) => Some(config),
            Err(ConfigError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                None
            }
            Err(error) => return Err(config_failure(&error)),
        };
        let abilities = args
            .abilities
            .iter()
            .map(|word| parse::<Ability>("--abilities", word.trim()))
            .collect::<Result<BTreeSet<_>, _>>()?;
        if let Some(config) = &config
            && !config.separated
            && abilities.contains(&Ability::RestoreTest)
        {
            let message = format!(
                "`{}` has one token for everything, and enrolling makes a second for restore tests",
                context.path.display()
            );
            return Err(Failure::new(Exit::Refused, "enroll-refused", message)
                .hint("write [principals.restore-test] into it, or set the one token up by hand"));
        }
        let mut desired = Self {
            args,
            // Secrets lie beside it, whatever directory we are started in.
            path: std::path::absolute(&context.path).unwrap_or_else(|_| context.path.clone()),
            config,
            abilities,
            guests: parse("--guests", &args.guests)?,
            pin: None,
        };
        desired.pin = desired.find_pin()?;
        Ok(desired)
    }

    /// By option; or, on the node itself, by the certificate in its file, which only root could have put there.
    fn find_pin(&self) -> Result<Option<Fingerprint>, Failure> {
        if let Some(text) = &self.args.fingerprint {
            return parse("--fingerprint", text).map(Some);
        }
        if let Some(path) = &self.args.certificate {
            let pem = std::fs::read(path).map_err(|error| unusable(path).caused_by(&error))?;
            return leaf_of(path, &pem).map(Some);
        }
        // What the configuration says of trust stands, also that there is none.
        if self.config.is_some()
            || self.args.admin.is_none()
            || !is_loopback(self.address()?.host())
        {
            return Ok(None);
        }
        CERTIFICATES
            .map(Path::new)
            .into_iter()
            .find_map(|path| Some((path, std::fs::read(path).ok()?)))
            .map(|(path, pem)| leaf_of(path, &pem))
            .transpose()
    }

    /// For the runbook: what only the server knows is filled in by its shell.
    pub(super) fn blind(&self) -> Result<Wanted, Failure> {
        let dump = self.args.dump_dir.clone().or_else(|| {
            (self.backup_storage().ok()?.as_str() == "local").then(|| "/var/lib/vz/dump".to_owned())
        });
        let named = self.named_node()?.map(|node| node.to_string());
        self.wanted(named.unwrap_or_else(|| THIS_NODE.to_owned()), dump)
    }

    /// For this server.
    pub(super) async fn on(&self, pve: &Pve) -> Result<Wanted, Failure> {
        let storage = self.backup_storage()?;
        let dump = match &self.args.dump_dir {
            Some(directory) => Some(directory.clone()),
            None => pve
                .storage_configs()
                .await
                .map_err(|error| pve_failure(&error))?
                .into_iter()
                .find(|config| config.storage == storage)
                .and_then(|config| config.path)
                .map(|path| format!("{}/dump", path.trim_end_matches('/'))),
        };
        self.wanted(pve.node().to_string(), dump)
    }

    /// Where the server is, and by what it is known. A password is sent to no other.
    pub(super) async fn door(&self) -> Result<Door, Failure> {
        let timeout = self
            .config
            .as_ref()
            .map_or(Duration::from_secs(45), |config| config.request_timeout);
        let address = self.address()?;
        let pinned = self.pin.map(TrustConfig::Fingerprint);
        let configured = self.config.as_ref().map(|config| config.trust.clone());
        let option = match self.args.certificate {
            Some(_) => "--certificate",
            None => "--fingerprint",
        };
        let trust = match self.one_of(option, pinned, configured)? {
            Some(TrustConfig::Fingerprint(pin)) => Trust::PinnedLeaf(pin),
            Some(TrustConfig::CaFile(path)) => {
                let pem = std::fs::read(&path).map_err(|error| {
                    let message = format!("the CA file `{}` cannot be read", path.display());
                    Failure::new(Exit::Configuration, "credentials", message).caused_by(&error)
                })?;
                Trust::CaFile(pem)
            }
            Some(TrustConfig::Insecure) | None => {
                let leaf = fetch_leaf(&address, timeout)
                    .await
                    .map_err(|error| pve_failure(&error))?;
                let message = "a password is not sent to a server that nothing vouches for";
                let failure = Failure::new(Exit::Refused, "not-pinned", message);
                return Err(
                    failure.hint(how_to_look(Product::VirtualEnvironment, &leaf.fingerprint))
                );
            }
        };
        Ok(Door {
            address,
            trust,
            timeout,
        })
    }

    /// Whether there is a configuration already, by which other commands know the server.
    pub(super) fn is_configured(&self) -> bool {
        self.config.is_some()
    }

    /// The node: named, configured, or the only one.
    pub(super) async fn node(&self, client: &Client) -> Result<NodeName, Failure> {
        let asked = Pve::new(client.clone(), parse("node", "localhost")?);
        let nodes = asked
            .call(&ListNodes)
            .await
            .map_err(|error| pve_failure(&error))?;
        let [only] = nodes.as_slice() else {
            let message = format!("{} nodes in the cluster; one is supported", nodes.len());
            return Err(Failure::new(Exit::Refused, "cluster", message));
        };
        match self.named_node()? {
            Some(named) if named != only.node => {
                let message = format!("the node is `{}`, not `{named}`", only.node);
                Err(Failure::new(Exit::NoSuchThing, "not-found", message))
            }
            _ => Ok(only.node.clone()),
        }
    }

    fn named_node(&self) -> Result<Option<NodeName>, Failure> {
        let configured = self.config.as_ref().map(|config| config.node.clone());
        self.choose("--node", self.args.node.as_deref(), configured)
    }

    fn backup_storage(&self) -> Result<StorageId, Failure> {
        let configured = self
            .config
            .as_ref()
            .map(|config| config.backup.storage.clone());
        let given = self.args.backup_storage.as_deref();
        self.choose("--backup-storage", given, configured)?
            .map_or_else(|| parse("--backup-storage", "local"), Ok)
    }

    fn address(&self) -> Result<Address, Failure> {
        let configured = self.config.as_ref().map(|config| config.address.as_str());
        let given =
            match &self.args.url {
                Some(url) => Some(url.parse::<Address>().map_err(|error| {
                    Failure::new(Exit::Usage, "usage", format!("--url: {error}"))
                })?),
                None => None,
            };
        let configured = match configured {
            Some(text) => Some(text.parse::<Address>().map_err(|error| {
                Failure::new(Exit::Configuration, "config", format!("pve.url: {error}"))
            })?),
            None => None,
        };
        self.one_of("--url", given, configured)?.map_or_else(
            || {
                URL.parse()
                    .map_err(|error: felhom_proxmox::client::InvalidAddress| {
                        Failure::new(Exit::Unexpected, "usage", error.to_string())
                    })
            },
            Ok,
        )
    }

    /// The option's value or the configuration's; both only if they agree.
    fn choose<T>(
        &self,
        option: &str,
        given: Option<&str>,
        configured: Option<T>,
    ) -> Result<Option<T>, Failure>
    where
        T: FromStr + PartialEq,
        T::Err: std::fmt::Display,
    {
        let given = match given {
            Some(text) => Some(parse(option, text)?),
            None => None,
        };
        self.one_of(option, given, configured)
    }

    fn one_of<T: PartialEq>(
        &self,
        option: &str,
        given: Option<T>,
        configured: Option<T>,
    ) -> Result<Option<T>, Failure> {
        match (given, configured) {
            (Some(given), Some(configured)) if given != configured => {
                let message = format!(
                    "`{option}` says something else than `{}`, which is not changed",
                    self.path.display()
                );
                Err(Failure::new(Exit::Refused, "config-differs", message)
                    .hint("change the configuration yourself, or leave the option out"))
            }
            (given, configured) => Ok(given.or(configured)),
        }
    }

    fn range(&self) -> Result<(Vmid, Vmid), Failure> {
        let given = match &self.args.scratch_vmids {
            None => None,
            Some(text) => {
                let (first, last) = text.split_once('-').ok_or_else(|| {
                    let message = "--scratch-vmids: write it as `9100-9199`";
                    Failure::new(Exit::Usage, "usage", message)
                })?;
                let range: (Vmid, Vmid) = (
                    parse("--scratch-vmids", first)?,
                    parse("--scratch-vmids", last)?,
                );
                if range.0 > range.1 {
                    let message = "--scratch-vmids: the first is above the last";
                    return Err(Failure::new(Exit::Usage, "usage", message));
                }
                Some(range)
            }
        };
        let policy = self
            .config
            .as_ref()
            .map(|config| &config.restore_test_policy);
        let configured = policy.map(|policy| (policy.first_vmid, policy.last_vmid));
        match self.one_of("--scratch-vmids", given, configured)? {
            Some(range) => Ok(range),
            None => Ok((parse("first VMID", "9100")?, parse("last VMID", "9199")?)),
        }
    }

    fn identity(
        &self,
        of: impl Fn(&Config) -> &config::PrincipalConfig,
        token: &str,
        file: &str,
    ) -> Result<Identity, Failure> {
        if let Some(config) = &self.config {
            let configured = of(config);
            return Ok(Identity {
                token: configured.token.clone(),
                secret: configured.secret_file.clone(),
            });
        }
        let base = self.path.parent().unwrap_or(Path::new("/"));
        Ok(Identity {
            token: parse("token", token)?,
            secret: base.join("credentials").join(file),
        })
    }

    fn wanted(&self, node: String, archives: Option<String>) -> Result<Wanted, Failure> {
        let policy = self
            .config
            .as_ref()
            .map(|config| &config.restore_test_policy);
        let args = self.args;
        let target = policy.map(|policy| policy.target.clone());
        let pool = policy.map(|policy| policy.pool.clone());
        let bridge = policy.map(|policy| policy.bridge.clone());
        // A configuration without restore tests names one token for both.
        let tester = if self.config.as_ref().is_some_and(|config| !config.separated) {
            self.identity(|config| &config.agent, AGENT, "agent")?
        } else {
            self.identity(|config| &config.restore_test, RESTORE_TEST, "restore-test")?
        };
        let mut wanted = Wanted {
            node,
            abilities: self.abilities.clone(),
            guests: self.guests.clone(),
            backup_storage: self.backup_storage()?,
            further_storages: self
                .config
                .iter()
                .flat_map(|config| config.pbs.keys())
                .cloned()
                .collect(),
            target_storage: self
                .choose("--target-storage", args.target_storage.as_deref(), target)?
                .map_or_else(|| parse("--target-storage", "local-lvm"), Ok)?,
            pool: self
                .choose("--pool", args.pool.as_deref(), pool)?
                .map_or_else(|| parse("--pool", "felhom-scratch"), Ok)?,
            bridge: self
                .choose("--bridge", args.bridge.as_deref(), bridge)?
                .map_or_else(|| parse("--bridge", "vmbr9"), Ok)?,
            range: self.range()?,
            agent: self.identity(|config| &config.agent, AGENT, "agent")?,
            restore_test: tester,
            config: self.path.clone(),
            config_text: None,
        };
        if self.config.is_none() {
            let place = Place {
                url: format!("https://{}", self.address()?),
                fingerprint: self
                    .pin
                    .map_or_else(|| THIS_FINGERPRINT.to_owned(), |pin| pin.to_string()),
                state_dir: args.state_dir.clone(),
                archives,
            };
            wanted.config_text = Some(runbook::configuration(&wanted, &place));
        }
        Ok(wanted)
    }
}

fn unusable(path: &Path) -> Failure {
    let message = format!("the certificate `{}` cannot be used", path.display());
    Failure::new(Exit::Configuration, "certificate", message)
        .hint("give what the node shows by `--fingerprint`")
}

fn leaf_of(path: &Path, pem: &[u8]) -> Result<Fingerprint, Failure> {
    leaf_of_pem(pem).map_err(|error| unusable(path).caused_by(&error))
}
