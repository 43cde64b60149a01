//! A node that has nothing of ours, an admin with a password, and ways to look at both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use felhom_ids::UserId;
use felhom_proxmox::pve::identities::{self, Door, Login};
use felhom_proxmox::{Client, Method, Pve, Request, Settings, Trust};
use felhom_simulator::{Options, Running, Scenario, Simulator, Time};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::{Ran, SPEED, program, run, secret};

const NAME: &str = "demo-felhom";

pub(super) struct Node {
    pub(super) world: Running,
    pub(super) directory: tempfile::TempDir,
    pub(super) config: PathBuf,
}

impl Node {
    pub(super) async fn virgin() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            scenario: Scenario::Virgin,
            time: Time::Scaled(SPEED),
            ..Options::new(directory.path().join("world"))
        };
        let world = Simulator::start(options).await.unwrap();
        let config = directory.path().join("etc/agent.toml");
        let node = Self {
            world,
            directory,
            config,
        };
        std::fs::create_dir(node.config.parent().unwrap()).unwrap();
        // Storages are the admin's.
        let thin = "storage=local-lvm type=lvmthin vgname=pve thinpool=data content=rootdir,images";
        node.as_root("POST", "storage", thin).await;
        node
    }

    pub(super) async fn run(&self, args: &[&str]) -> Ran {
        run(&self.config, args).await
    }

    pub(super) async fn enroll(&self, more: &[&str]) -> Ran {
        let password = self.world.passwords()["root@pam"].clone();
        self.enroll_as("root@pam", &password, more).await
    }

    pub(super) async fn enroll_as(&self, admin: &str, password: &str, more: &[&str]) -> Ran {
        let pin = self.world.fingerprint();
        self.ask(admin, password, &pin, more).await
    }

    /// With another pin, or none.
    pub(super) async fn enroll_pinned(&self, pin: &str) -> Ran {
        let password = self.world.passwords()["root@pam"].clone();
        self.ask("root@pam", &password, pin, &[]).await
    }

    /// By this certificate instead of a pin.
    pub(super) async fn enroll_by(&self, certificate: &Path) -> Ran {
        let password = self.world.passwords()["root@pam"].clone();
        let certificate = certificate.display().to_string();
        let more = ["--certificate", &certificate];
        self.ask("root@pam", &password, "", &more).await
    }

    /// How the program itself ends that knows the node by this option's value, and what it says, hints too.
    pub(super) async fn told(&self, option: &str, value: &str) -> (Option<i32>, String) {
        let password = self.world.passwords()["root@pam"].clone();
        let args = self.line("root@pam", &password, "", &[option, value]);
        let ended = tokio::task::spawn_blocking({
            let config = self.config.clone();
            move || {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let child = program(&config, &args).spawn().unwrap();
                child.wait_with_output().unwrap()
            }
        });
        let ended = ended.await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        (ended.status.code(), said)
    }

    async fn ask(&self, admin: &str, password: &str, pin: &str, more: &[&str]) -> Ran {
        let args = self.line(admin, password, pin, more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.run(&args).await
    }

    fn line(&self, admin: &str, password: &str, pin: &str, more: &[&str]) -> Vec<String> {
        let file = self.directory.path().join("password");
        secret(&file, &format!("{password}\n"), 0o600);
        let dump = self.world.state_dir().join("storage/local/dump");
        let journal = self.directory.path().join("journal");
        let url = self.world.url();
        let mut args = vec!["enroll", "pve", "--admin", admin, "--url", &url];
        let (file, dump, journal) = (
            file.display().to_string(),
            dump.display().to_string(),
            journal.display().to_string(),
        );
        args.extend(["--password-file", &file, "--dump-dir", &dump]);
        args.extend(["--state-dir", &journal]);
        if !pin.is_empty() {
            args.extend(["--fingerprint", pin]);
        }
        args.extend(more);
        args.into_iter().map(str::to_owned).collect()
    }

    pub(super) async fn root(&self) -> Pve {
        let door = Door {
            address: self.world.address().to_string().parse().unwrap(),
            trust: Trust::PinnedLeaf(self.world.fingerprint().parse().unwrap()),
            timeout: Duration::from_secs(20),
        };
        let user: UserId = "root@pam".parse().unwrap();
        let password = SecretString::from(self.world.passwords()["root@pam"].clone());
        let login = identities::login(&door, &user, &password).await.unwrap();
        let Login::Ticket(ticket) = login else {
            panic!("no ticket: {login:?}")
        };
        let client = Client::new(Settings::new(door.address, ticket, door.trust)).unwrap();
        Pve::new(client, NAME.parse().unwrap())
    }

    /// A call of root's, its parameters as `key=value` words.
    pub(super) async fn as_root(&self, method: &str, what: &str, params: &str) -> Value {
        let method = match method {
            "POST" => Method::Post,
            "PUT" => Method::Put,
            _ => Method::Get,
        };
        let mut request = match what {
            "network" => Request::new(method, &[&"nodes", &NAME, &"network"]),
            "lxc" => Request::new(method, &[&"nodes", &NAME, &"lxc"]),
            "pools" | "storage" => Request::new(method, &[&what]),
            _ => Request::new(method, &[&"access", &what]),
        };
        for word in params.split(' ').filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').unwrap();
            request = request.with(key, value);
        }
        self.root().await.client().send(&request).await.unwrap()
    }

    /// A container from the template, plugged into this bridge.
    pub(super) async fn container(&self, vmid: u32, bridge: &str) {
        let params = format!(
            "vmid={vmid} ostemplate=local:vztmpl/debian-13-mini_13.1-1_amd64.tar.zst rootfs=local-lvm:1 \
             hostname=customer memory=256 swap=0 cores=1 unprivileged=1 \
             net0=name=eth0,bridge={bridge},ip=dhcp"
        );
        let upid = self.as_root("POST", "lxc", &params).await;
        let root = self.root().await;
        let path: [&dyn std::fmt::Display; 5] = [
            &"nodes",
            &NAME,
            &"tasks",
            &upid.as_str().unwrap(),
            &"status",
        ];
        for _ in 0..500 {
            let status: Value = root
                .client()
                .send(&Request::new(Method::Get, &path))
                .await
                .unwrap();
            if status["status"] == "stopped" {
                assert_eq!(status["exitstatus"], "OK");
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the container is never there");
    }

    pub(super) async fn backups(&self) -> Value {
        let path: [&dyn std::fmt::Display; 5] = [&"nodes", &NAME, &"storage", &"local", &"content"];
        let request = Request::new(Method::Get, &path).with("content", "backup");
        self.root().await.client().send(&request).await.unwrap()
    }

    /// Identities, pools and network, as root sees them: all that enrolling may change there.
    pub(super) async fn looks(&self) -> Value {
        let mut looks = BTreeMap::new();
        for what in ["roles", "users", "acl", "pools", "network", "storage"] {
            let params = if what == "users" { "full=1" } else { "" };
            looks.insert(what, self.as_root("GET", what, params).await);
        }
        json!(looks)
    }

    /// Mutations that were carried out, logins left out.
    pub(super) fn mutations(&self) -> u64 {
        let counts = self.world.counts();
        counts
            .iter()
            .filter(|(what, _)| what.starts_with(['P', 'D']) && !what.contains("/access/ticket"))
            .map(|(_, count)| count)
            .sum()
    }

    /// The files below the configuration's directory.
    pub(super) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut open = vec![self.config.parent().unwrap().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path.clone());
                    files.insert(path, Vec::new());
                } else {
                    files.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        files
    }

    /// Everything that must not be seen.
    pub(super) fn secrets(&self) -> Vec<String> {
        let files = self.files();
        let tokens = files
            .iter()
            .filter(|(path, content)| {
                path.parent().unwrap().ends_with("credentials") && !content.is_empty()
            })
            .map(|(_, content)| {
                String::from_utf8(content.clone())
                    .unwrap()
                    .trim()
                    .to_owned()
            });
        let all: Vec<String> = tokens
            .chain([self.world.passwords()["root@pam"].clone()])
            .collect();
        assert_eq!(all.len(), 3);
        all
    }

    /// Patience that fits fast time, and the evidence that this template's shell can give.
    pub(super) fn hurry(&self) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        let text = text
            .replace("[backup]\n", "[backup]\nwait = \"5s\"\n")
            .replace(
                "[restore-test]\n",
                "[restore-test]\nevidence = \"started\"\nstable_for = \"50ms\"\nevidence_timeout = \"5s\"\n\
                 wait = \"5s\"\nmemory_mib = 256\nfloors = { root_mib = 16 }\n",
            );
        let limits = "\n[limits]\nsettle = \"300ms\"\nrequest = \"2s\"\nno_progress = \"5s\"\n";
        std::fs::write(&self.config, text + limits).unwrap();
    }
}
