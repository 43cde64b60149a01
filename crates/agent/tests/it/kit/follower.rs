//! A person with a printed page before a new box: types what is to be typed, and gives up at the first line that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use felhom_ids::UserId;
use felhom_proxmox::pve::identities::{self, Door, Login};
use felhom_proxmox::{Client, Method, Request, Settings, Trust};
use felhom_simulator::Running;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::reader::{Typed, typed};

/// Somebody at the console of the new box.
pub(super) struct Person<'a> {
    pub(super) world: &'a Running,
    /// What is typed when a storage asks for a password.
    pub(super) passwords: BTreeMap<String, String>,
    /// The files of the new box that matter.
    pub(super) files: BTreeMap<String, String>,
    /// What was asked of the API: method, path and names of parameters.
    pub(super) asked: BTreeSet<(String, String, String)>,
    client: Client,
    node: String,
}

type Options = BTreeMap<String, String>;

impl<'a> Person<'a> {
    pub(super) async fn new(world: &'a Running) -> Self {
        let door = Door {
            address: world.address().to_string().parse().unwrap(),
            trust: Trust::PinnedLeaf(world.fingerprint().parse().unwrap()),
            timeout: Duration::from_secs(20),
        };
        let user: UserId = "root@pam".parse().unwrap();
        let password = SecretString::from(world.passwords()["root@pam"].clone());
        let login = identities::login(&door, &user, &password).await.unwrap();
        let Login::Ticket(ticket) = login else {
            panic!("no ticket: {login:?}")
        };
        let client = Client::new(Settings::new(door.address, ticket, door.trust)).unwrap();
        Self {
            world,
            passwords: BTreeMap::new(),
            files: BTreeMap::new(),
            asked: BTreeSet::new(),
            client,
            node: world.node(),
        }
    }

    /// Types all of a page.
    pub(super) async fn follow(&mut self, page: &str) -> Result<(), String> {
        for typed in typed(page)? {
            match typed {
                Typed::File { path, text } => drop(self.files.insert(path, text)),
                Typed::Line(words) => self.line(&words).await?,
            }
        }
        Ok(())
    }

    async fn line(&mut self, words: &[String]) -> Result<(), String> {
        let mut failed = Vec::new();
        for one in words.split(|word| word == "||") {
            match self.command(one).await {
                Ok(()) => return Ok(()),
                Err(error) => failed.push(format!("{}: {error}", one.join(" "))),
            }
        }
        Err(failed.join("; "))
    }

    async fn command(&mut self, words: &[String]) -> Result<(), String> {
        let plain: Vec<&str> = words.iter().map(String::as_str).collect();
        match plain.as_slice() {
            ["pvesm", "add", kind, id, rest @ ..] => {
                let mut options = self.secrets(id, options(rest)?)?;
                options.insert("type".into(), (*kind).to_owned());
                options.insert("storage".into(), (*id).to_owned());
                self.ask(Method::Post, &["storage"], options).await
            }
            ["pvesm", "set", id, rest @ ..] => {
                self.ask(Method::Put, &["storage", id], options(rest)?)
                    .await
            }
            ["pvesm", "status", rest @ ..] => self.storages(&options(rest)?).await,
            ["pveum", "pool", "add", pool, rest @ ..] => {
                let mut options = options(rest)?;
                options.insert("poolid".into(), (*pool).to_owned());
                self.ask(Method::Post, &["pools"], options).await
            }
            ["pvesh", verb @ ("create" | "set"), path, rest @ ..] => {
                let method = if *verb == "create" {
                    Method::Post
                } else {
                    Method::Put
                };
                let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
                self.ask(method, &path, options(rest)?).await
            }
            ["pct", "list"] => self.look("lxc").await,
            ["qm", "list"] => self.look("qemu").await,
            ["pct", rest @ ..] => self.guest("lxc", rest).await,
            ["qm", rest @ ..] => self.guest("qemu", rest).await,
            ["qmrestore", volid, vmid, rest @ ..] => {
                let mut options = options(rest)?;
                options.insert("vmid".into(), (*vmid).to_owned());
                options.insert("archive".into(), (*volid).to_owned());
                self.on_node(Method::Post, &["qemu"], options).await
            }
            ["mkdir", "-p", path] => {
                let there = self.on_host(path);
                std::fs::create_dir_all(there).map_err(|error| error.to_string())
            }
            ["systemctl", "daemon-reload"] => Ok(()),
            ["systemctl", "enable", "--now", unit] => self.mount(unit).await,
            other => Err(format!("no stock command that is known here: {other:?}")),
        }
    }

    async fn guest(&mut self, kind: &str, words: &[&str]) -> Result<(), String> {
        match words {
            ["restore", vmid, volid, rest @ ..] if kind == "lxc" => {
                let mut options = options(rest)?;
                options.insert("vmid".into(), (*vmid).to_owned());
                options.insert("ostemplate".into(), (*volid).to_owned());
                options.insert("restore".into(), "1".into());
                self.on_node(Method::Post, &["lxc"], options).await
            }
            ["set", vmid, rest @ ..] => {
                let path = [kind, vmid, "config"];
                self.on_node(Method::Put, &path, options(rest)?).await
            }
            ["start", vmid] => {
                self.binds_are_there(kind, vmid).await?;
                let path = [kind, vmid, "status", "start"];
                self.on_node(Method::Post, &path, Options::new()).await
            }
            ["status", vmid] => {
                let path = ["nodes", &self.node, kind, vmid, "status", "current"];
                let status = self.get(&path).await?;
                let runs = status["status"] == "running";
                runs.then_some(()).ok_or_else(|| format!("{status}"))
            }
            other => Err(format!("no stock command that is known here: {other:?}")),
        }
    }

    /// A container whose directories of the host are not there does not start (pve-container, `LXC.pm` `mountpoint_mount`).
    async fn binds_are_there(&self, kind: &str, vmid: &str) -> Result<(), String> {
        let config = self
            .get(&["nodes", &self.node, kind, vmid, "config"])
            .await?;
        let mounts = config.as_object().into_iter().flatten();
        let mounts = mounts.filter(|(key, _)| kind == "lxc" && key.starts_with("mp"));
        for (key, value) in mounts {
            let source = value
                .as_str()
                .unwrap_or_default()
                .split(',')
                .next()
                .unwrap_or_default();
            if source.starts_with('/') && !self.on_host(source).is_dir() {
                return Err(format!("{key}: directory '{source}' does not exist"));
            }
        }
        Ok(())
    }

    fn on_host(&self, path: &str) -> std::path::PathBuf {
        let host = self.world.state_dir().join("host");
        host.join(path.trim_start_matches('/'))
    }

    /// A unit that names a disk by the UUID of its file system.
    async fn mount(&self, unit: &str) -> Result<(), String> {
        let path = format!("/etc/systemd/system/{unit}");
        let text = self
            .files
            .get(&path)
            .ok_or_else(|| format!("Unit {unit} does not exist."))?;
        let said = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let uuid = said("What=/dev/disk/by-uuid/").ok_or("the unit names no disk")?;
        let at = said("Where=").ok_or("the unit names no place")?;
        let named = at.trim_start_matches('/').replace('/', "-");
        if unit != format!("{named}.mount") {
            return Err(format!("Where= setting doesn't match unit name: {unit}"));
        }
        let order = json!({ "uuid": uuid, "path": at });
        self.world.control("disk-mount", order).await.map(drop)
    }

    /// What is asked at the prompt, and what the command reads from files.
    fn secrets(&self, id: &str, mut options: Options) -> Result<Options, String> {
        if options.get("password").is_some_and(String::is_empty) {
            let password = self.passwords.get(id).ok_or("nobody knows that password")?;
            options.insert("password".into(), password.clone());
        }
        if let Some(path) = options.get("encryption-key") {
            let key = self
                .files
                .get(path)
                .ok_or_else(|| format!("no such file: {path}"))?;
            options.insert("encryption-key".into(), key.clone());
        }
        Ok(options)
    }

    async fn storages(&self, options: &Options) -> Result<(), String> {
        let all = self.get(&["nodes", &self.node, "storage"]).await?;
        let Some(wanted) = options.get("storage") else {
            return Ok(());
        };
        let mut all = all.as_array().into_iter().flatten();
        let found = all.find(|one| one["storage"] == wanted.as_str());
        match found {
            Some(one) if one["active"] == 1 => Ok(()),
            other => Err(format!("{wanted} is not active: {other:?}")),
        }
    }

    async fn look(&self, kind: &str) -> Result<(), String> {
        self.get(&["nodes", &self.node, kind]).await.map(drop)
    }

    pub(super) async fn get(&self, path: &[&str]) -> Result<Value, String> {
        let path: Vec<&dyn Display> = path.iter().map(part).collect();
        let answer = self.client.send(&Request::new(Method::Get, &path)).await;
        answer.map_err(|error| error.to_string())
    }

    async fn on_node(
        &mut self,
        method: Method,
        path: &[&str],
        options: Options,
    ) -> Result<(), String> {
        let node = self.node.clone();
        let whole = [&["nodes", node.as_str()], path].concat();
        self.ask(method, &whole, options).await
    }

    /// Asks, and waits for the task that the answer names, if it does.
    async fn ask(&mut self, method: Method, path: &[&str], options: Options) -> Result<(), String> {
        let named = path.iter().map(|part| match *part {
            part if part == self.node => "{node}".to_owned(),
            part if part.bytes().all(|b| b.is_ascii_digit()) => "{vmid}".to_owned(),
            part => part.to_owned(),
        });
        let named = format!("/{}", named.collect::<Vec<_>>().join("/"));
        for key in options.keys() {
            let one = (
                format!("{method:?}").to_uppercase(),
                named.clone(),
                key.clone(),
            );
            self.asked.insert(one);
        }
        let path: Vec<&dyn Display> = path.iter().map(part).collect();
        let mut request = Request::new(method, &path);
        for (key, value) in &options {
            request = request.with(key, value);
        }
        let answer: Value = self.client.send(&request).await.map_err(|error| {
            let causes = std::error::Error::source(&error);
            format!(
                "{error} {}",
                causes.map(ToString::to_string).unwrap_or_default()
            )
        })?;
        match answer.as_str().filter(|text| text.starts_with("UPID:")) {
            Some(upid) => self.ended(upid).await,
            None => Ok(()),
        }
    }

    async fn ended(&self, upid: &str) -> Result<(), String> {
        for _ in 0..2000 {
            let status = self
                .get(&["nodes", &self.node, "tasks", upid, "status"])
                .await?;
            if status["status"] == "stopped" {
                let end = status["exitstatus"].as_str().unwrap_or_default();
                let good = end == "OK" || end.starts_with("WARNINGS");
                return good.then_some(()).ok_or_else(|| end.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("{upid} does not end"))
    }
}

/// `--key value`; a key without one is asked for at the prompt.
fn options(words: &[&str]) -> Result<Options, String> {
    let (mut all, mut words) = (Options::new(), words.iter().peekable());
    while let Some(word) = words.next() {
        let key = word
            .strip_prefix("--")
            .ok_or_else(|| format!("too many arguments: {word}"))?;
        let value = words.next_if(|next| !next.starts_with("--"));
        let value = value.map(|value| (*value).to_owned()).unwrap_or_default();
        if all.insert(key.to_owned(), value).is_some() {
            return Err(format!("--{key} is given twice"));
        }
    }
    Ok(all)
}

/// A part of a path, as requests take them.
pub(super) fn part<'a>(part: &'a &str) -> &'a dyn Display {
    part
}
