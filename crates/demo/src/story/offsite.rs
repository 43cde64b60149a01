//! A second copy off the box: encrypted before it leaves, verified without taking a green task's word, and proven to come back.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use felhom_agent::exit::Exit;
use felhom_proxmox::pbs::Place;
use felhom_proxmox::pbs::identities::{Door, Login, login};
use felhom_proxmox::pbs::verify::{Scope, Verify};
use felhom_proxmox::pve::identities::Change;
use felhom_proxmox::{Client, FollowOptions, LogLine, Pbs, Product, Pve, Settings, Token, Trust};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Teller, at, verdict, volid};
use crate::equip::RESTORE_TEST;

const STORAGE: &str = "offsite";
const STORE: &str = "customers";

impl Teller<'_> {
    pub(super) async fn offsite(&mut self) -> anyhow::Result<()> {
        self.chapter(
            "A second copy, off the box: first the key and its recovery kit, then the server",
        );
        self.enroll().await?;

        self.chapter("Encrypted before it leaves; and nobody has verified it yet");
        let to_server = ["backup", "run", "9001", "--storage", STORAGE];
        let backup = volid(&self.agent(&to_server, Exit::Done).await?)?;
        let listed = self.agent(&["pbs", "snapshots"], Exit::Findings).await?;
        self.promise(
            "it is encrypted, and its verify state is `none`",
            says(&listed, "encrypted") == "encrypted" && says(&listed, "verify_state") == "none",
        );
        let audit = self.agent(&["pbs", "audit"], Exit::Done).await?;
        self.promise(
            "the server can read nothing of it",
            audit.to_string().contains(r#""verdict":"passed""#),
        );
        self.agent(&["pbs", "verify"], Exit::Done).await?;
        let listed = self.agent(&["pbs", "snapshots"], Exit::Findings).await?;
        self.promise("now it is `ok`", says(&listed, "verify_state") == "ok");

        self.chapter("It comes back from there, with the rights of the scoped token");
        let test = ["restore-test", "run", &backup];
        let passed = self.agent(&test, Exit::Done).await?;
        self.promise("the verdict is `passed`", verdict(&passed) == "passed");
        self.nothing_left();

        self.chapter("A chunk rots on the server: a green task, and the truth");
        self.rot().await?;
        let words = self.usual_verify().await?;
        (self.say)("  (the server's admin verifies everything, in the usual way; the task's log)");
        for line in &words {
            (self.say)(&format!("    {line}"));
        }
        self.promise(
            "the server's task ends with `TASK OK`, since it skipped what it knew",
            words.last().is_some_and(|line| line.ends_with("TASK OK")),
        );
        let name = backup.split_once("backup/").map_or("", |(_, name)| name);
        let failed = self
            .agent(&["pbs", "verify", name], Exit::VerdictFailed)
            .await?;
        self.promise(
            "ours says `failed`, and names the chunk",
            failed.to_string().contains(r#""verdict":"failed""#),
        );
        Ok(())
    }

    async fn control(&self, name: &str, order: Value) -> anyhow::Result<Value> {
        self.world
            .control(name, order)
            .await
            .map_err(anyhow::Error::msg)
    }

    async fn enroll(&mut self) -> anyhow::Result<()> {
        self.control("pbs-datastore", json!({ "name": STORE }))
            .await?;
        let passwords = [
            ("pve-password", self.world.passwords()),
            ("pbs-password", self.world.pbs_passwords()),
        ];
        let mut files = Vec::new();
        for (name, passwords) in passwords {
            let password = passwords.get("root@pam").context("root has no password")?;
            let file = self.directory.join(name);
            write_secret(&file, password)?;
            files.push(file.display().to_string());
        }
        let [pve, pbs] = files.as_slice() else {
            bail!("two servers have two passwords");
        };
        let (server, pin) = (
            self.world.pbs_address().to_string(),
            self.world.pbs_fingerprint(),
        );
        let kit = self.directory.join("kit").display().to_string();
        let args = words([&server, &pin, &kit, pve, pbs]);
        let told = words([
            "192.168.0.180",
            "3B:95:…",
            "KIT",
            "PVE-PASSWORD",
            "PBS-PASSWORD",
        ]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let done = self.agent_as(&args, &told, Exit::Done).await?;
        let proofs = at(&done, "/proofs")
            .map(Value::to_string)
            .unwrap_or_default();
        self.promise(
            "what is on the server opens with the kit's key, and with nothing else",
            proofs.contains("opens with the kit's key"),
        );
        self.grant().await
    }

    /// What `enroll pve` does on a box that it set up.
    async fn grant(&mut self) -> anyhow::Result<()> {
        let token = self.world.tokens().get("root@pam!root").cloned();
        let token = SecretString::from(token.context("root has no token")?);
        let pve = Token::new("root@pam!root".parse()?, &token);
        let trust = Trust::PinnedLeaf(self.world.fingerprint().parse()?);
        let client = Client::new(Settings::new(
            self.world.address().to_string().parse()?,
            pve,
            trust,
        ))?;
        let grant = Change::Acl {
            path: format!("/storage/{STORAGE}"),
            role: "FelhomTarget".to_owned(),
            token: RESTORE_TEST.parse()?,
            delete: false,
        };
        Pve::new(client, self.world.node().parse()?)
            .call(&grant)
            .await?;
        (self.say)(
            "  (root grants the token of restore tests on the new storage what it has on the old one)",
        );
        Ok(())
    }

    async fn rot(&mut self) -> anyhow::Result<()> {
        let order = json!({ "store": STORE, "type": "ct", "id": "9001", "archive": "root.pxar.didx", "how": "flip" });
        self.control("pbs-corrupt", order).await?;
        (self.say)("  (a byte of a chunk flips on the server's disk)");
        Ok(())
    }

    /// The log of a verify of the whole datastore with Proxmox's own defaults.
    async fn usual_verify(&self) -> anyhow::Result<Vec<String>> {
        let door = Door {
            address: felhom_proxmox::Address::of(
                Product::BackupServer,
                &self.world.pbs_address().to_string(),
            )?,
            trust: Trust::PinnedLeaf(self.world.pbs_fingerprint().parse()?),
            timeout: Duration::from_secs(20),
        };
        let passwords = self.world.pbs_passwords();
        let password = SecretString::from(
            passwords
                .get("root@pam")
                .context("root has no password")?
                .clone(),
        );
        let Login::Ticket(ticket) = login(&door, &"root@pam".parse()?, &password).await? else {
            bail!("the server wants a second factor");
        };
        let server = Pbs::new(Client::new(Settings::new(
            door.address,
            ticket,
            door.trust,
        ))?);
        let verify = Verify {
            store: STORE.parse()?,
            scope: Scope::Below {
                namespace: Place::root(STORE.parse()?).namespace,
                max_depth: None,
            },
            ignore_verified: true,
            outdated_after: None,
        };
        let task = server.verify(&verify).await?;
        let mut log = Vec::new();
        let mut keep = |line: &LogLine| log.push(line.text.clone());
        server
            .follow(task.upid(), &FollowOptions::default(), &mut keep)
            .await?;
        Ok(log)
    }
}

/// The command with server, fingerprint, kit and the two files with passwords.
fn words([server, pin, kit, pve, pbs]: [&str; 5]) -> Vec<String> {
    let line = [
        ["--quiet", "enroll", "pbs", "--storage", STORAGE].as_slice(),
        &[
            "--server",
            server,
            "--fingerprint",
            pin,
            "--datastore",
            STORE,
        ],
        &["--kit", kit, "--admin", "root@pam", "--password-file", pve],
        &["--pbs-admin", "root@pam", "--pbs-password-file", pbs],
        &["--prove", "9001"],
    ];
    line.concat().into_iter().map(str::to_owned).collect()
}

/// A word of the newest backup of the first server.
fn says<'a>(listed: &'a Value, key: &str) -> &'a str {
    let newest = at(listed, "/servers/0/snapshots/0");
    newest.and_then(|one| one[key].as_str()).unwrap_or_default()
}

fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{secret}")?;
    Ok(())
}
