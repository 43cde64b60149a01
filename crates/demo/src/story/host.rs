//! What only root can do: a disk that is carried about, an image in which Docker runs, and what a power cut left.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use felhom_agent::exit::Exit;
use felhom_proxmox::pve::storage::{CreateStorage, StoragePlace};
use felhom_proxmox::{Client, Pve, Settings, Token, Trust};
use felhom_simulator::{Fault, FaultKind};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Teller, at, run, volid};

/// The file system of the disk that hangs on the node's USB port.
const UUID: &str = "0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11";
const TEMPLATE: &str = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst";
const TO_DISK: [&str; 5] = ["backup", "run", "9001", "--storage", "usb1"];
/// Longer than anything here lasts.
const PATIENCE: Duration = Duration::from_mins(1);
/// As long the host is without power.
const DOWN: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(20);

impl Teller<'_> {
    pub(super) async fn host(&mut self) -> anyhow::Result<()> {
        self.disk().await?;
        self.golden().await?;
        self.power_cut().await
    }

    async fn disk(&mut self) -> anyhow::Result<()> {
        self.chapter("A disk that is carried away: root takes it by what is on it");
        self.agent(&["host", "devices"], Exit::Done).await?;
        let uuid = format!("UUID={UUID}");
        let adopt = ["storage", "adopt", &uuid, "--name", "usb1"];
        let adopted = self.agent(&adopt, Exit::Done).await?;
        let line = at(&adopted, "/commands/0").and_then(Value::as_str);
        self.promise(
            "the storage is to be one that PVE refuses while nothing is mounted",
            line.is_some_and(|line| line.contains("is_mountpoint")),
        );
        self.define().await?;
        (self.say)("  (root types that line)");
        self.agent(&TO_DISK, Exit::Done).await?;

        self.chapter(
            "Pulled out in the middle of a backup: soft, since that is what such disks are for",
        );
        let pulled = self.pulled().await?;
        self.promise(
            "the disk is `detached`, and the exit code says to try again later",
            says(&pulled, "/target") == "detached",
        );
        self.agent(&TO_DISK, Exit::Busy).await?;

        self.chapter("Another disk in its place, with the same UUID");
        let other = json!({ "id": "other", "uuid": UUID, "serial": "SIM-USB-0002" });
        self.order("disk-attach", other).await?;
        (self.say)("  (somebody plugs a copy in)");
        let refused = self.agent(&TO_DISK, Exit::Refused).await?;
        self.promise("it is `wrong`", says(&refused, "/code") == "target-wrong");
        let folder = self.world.state_dir().join("disks/other");
        let untouched = folder.read_dir().is_ok_and(|mut all| all.next().is_none());
        self.promise("nothing was written to it", untouched);
        self.order("disk-detach", json!({ "id": "other" })).await?;
        self.order("disk-attach", json!({ "id": "usb1" })).await?;
        (self.say)("  (the right one is back)");
        self.agent(&TO_DISK, Exit::Done).await?;
        let eject = ["storage", "eject", "usb1"];
        self.agent(&eject, Exit::Done).await?;
        self.order("disk-detach", json!({ "id": "usb1" })).await?;
        (self.say)("  (somebody takes it along)");
        Ok(())
    }

    async fn golden(&mut self) -> anyhow::Result<()> {
        self.chapter("An image in which Docker runs: made once by root, then guests by a token");
        let create = ["golden", "create", TEMPLATE, "--vmid", "9900"];
        self.agent(&create, Exit::Done).await?;
        let provision = ["provision", "--to", "9020", "--hostname", "web"];
        self.agent(&provision, Exit::Done).await?;
        let config = self.config_of("9020");
        self.promise(
            "no token may set `keyctl`, and the new guest has it",
            config.contains("keyctl=1") && config.contains("unprivileged: 1"),
        );
        Ok(())
    }

    async fn power_cut(&mut self) -> anyhow::Result<()> {
        self.chapter("The power goes in the middle of a restore test");
        let backup = self
            .agent(&["--quiet", "backup", "run", "9001"], Exit::Done)
            .await?;
        self.cut(&volid(&backup)?).await?;
        (self.say)("$ felhom-agent restore-test run 9001");
        (self.say)("  (the power goes while the copy is written, and comes back)");
        let stub = self.config_of("9100");
        self.promise(
            "what is left is locked, and no token may take a lock away",
            stub.trim() == "lock: create",
        );
        self.agent(&["restore-test", "reap"], Exit::Done).await?;
        self.nothing_left();
        let state = self.world.state();
        let volumes = at(&state, "/world/volumes").map(Value::to_string);
        self.promise(
            "and no volume of it",
            volumes.is_some_and(|all| !all.contains("vm-91")),
        );
        Ok(())
    }

    /// A restore test that ends with the power: the agent stands on the same host.
    async fn cut(&mut self, volid: &str) -> anyhow::Result<()> {
        let world = self.world;
        // A slow disk, so that the copy is not whole yet.
        let kind = FaultKind::TaskDelay { seconds: 60.0 };
        world.inject(Fault::task("vzrestore:extract", kind));
        let (config, volid) = (self.config.clone(), volid.to_owned());
        let agent =
            tokio::spawn(async move { run(&config, &["restore-test", "run", &volid]).await });
        let begun = async {
            loop {
                let state = world.state();
                let volumes = at(&state, "/world/volumes").map(Value::to_string);
                if volumes.is_some_and(|all| all.contains("vm-91")) {
                    return;
                }
                tokio::time::sleep(MOMENT).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, begun).await;
        agent.abort();
        waited.context("the restore does not begin")?;
        if let Ok(ended) = agent.await {
            bail!("the test ended before the power went: {:?}", ended?.0);
        }
        world.power_cut(DOWN).await;
        Ok(())
    }

    /// A backup whose disk is pulled while the archive is written.
    async fn pulled(&mut self) -> anyhow::Result<Value> {
        let world = self.world;
        world.inject(Fault::task("vzdump:archive", FaultKind::TaskHold));
        let pull = async {
            while world.held_answers() == 0 {
                tokio::time::sleep(MOMENT).await;
            }
            let gone = world.control("disk-detach", json!({ "id": "usb1" })).await;
            world.release();
            gone
        };
        let (told, gone) = tokio::join!(self.agent(&TO_DISK, Exit::Busy), pull);
        gone.map_err(anyhow::Error::msg)?;
        told
    }

    /// What root types: the storage on the target, and where the agent reads its archives.
    async fn define(&mut self) -> anyhow::Result<()> {
        let tokens = self.world.tokens();
        let secret = tokens.get("root@pam!root").context("root has no token")?;
        let token = Token::new(
            "root@pam!root".parse()?,
            &SecretString::from(secret.clone()),
        );
        let trust = Trust::PinnedLeaf(self.world.fingerprint().parse()?);
        let address = self.world.address().to_string().parse()?;
        let client = Client::new(Settings::new(address, token, trust))?;
        let root = Pve::new(client, self.world.node().parse()?);
        let create = CreateStorage {
            storage: "usb1".parse()?,
            place: StoragePlace::Dir {
                path: "/mnt/felhom/usb1".to_owned(),
                is_mountpoint: true,
            },
            content: vec!["backup".to_owned()],
            prune_backups: Some("keep-all=1".parse()?),
        };
        root.call(&create).await?;
        let dump = self.world.state_dir().join("host/mnt/felhom/usb1/dump");
        let mut config = std::fs::OpenOptions::new()
            .append(true)
            .open(&self.config)?;
        let path = dump.display();
        writeln!(
            config,
            "\n[[archives]]\nstorage = \"usb1\"\npath = \"{path}\""
        )?;
        Ok(())
    }

    async fn order(&self, name: &str, order: Value) -> anyhow::Result<()> {
        let done = self.world.control(name, order).await;
        done.map(drop).map_err(anyhow::Error::msg)
    }

    /// A guest's configuration, read from the world itself.
    fn config_of(&self, vmid: &str) -> String {
        let state = self.world.state();
        let config = at(&state, &format!("/world/guests/{vmid}/config"));
        let config = config.and_then(Value::as_str);
        config.unwrap_or_default().to_owned()
    }
}

fn says<'a>(data: &'a Value, pointer: &str) -> &'a str {
    at(data, pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
