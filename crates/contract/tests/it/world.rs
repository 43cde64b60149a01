//! A simulated box, and the target file that an admin would write for it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use felhom_contract::Target;
use felhom_simulator::{Options, Running, Simulator, Time};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) running: Running,
    pub(crate) dir: TempDir,
}

impl World {
    /// The built-in world, so many times faster than life.
    pub(crate) async fn start(speed: f64) -> Self {
        let dir = TempDir::new().unwrap();
        let options = Options {
            time: Time::Scaled(speed),
            ..Options::new(dir.path().join("sim"))
        };
        let running = Simulator::start(options).await.unwrap();
        Self { running, dir }
    }

    fn secret(&self, name: &str, secret: &str) -> String {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.dir.path().join(name))
            .unwrap();
        file.write_all(secret.as_bytes()).unwrap();
        name.to_owned()
    }

    /// Writes the target file and the secrets beside it.
    pub(crate) fn target_file(&self) -> PathBuf {
        let mut text = format!(
            "url = {:?}\nfingerprint = {:?}\nnode = {:?}\n",
            self.running.url(),
            self.running.fingerprint(),
            self.running.node()
        );
        text.push_str(include_str!("../../targets/simulator.toml"));
        let tokens = self.running.tokens();
        for (name, token) in [
            ("root-token", "root@pam!root"),
            ("agent", "felhom-agent@pve!agent"),
            ("self-backup", "felhom-ctl@pve!ctl"),
            ("restore-test", "felhom-test@pve!restore-test"),
        ] {
            let file = self.secret(name, &tokens[token]);
            writeln!(
                text,
                "[principals.{name}]\ntoken = {token:?}\nsecret-file = {file:?}"
            )
            .unwrap();
        }
        let file = self.secret("root", &self.running.passwords()["root@pam"]);
        writeln!(
            text,
            "[principals.root]\nuser = \"root@pam\"\npassword-file = {file:?}"
        )
        .unwrap();
        let path = self.dir.path().join("target.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn target(&self) -> Target {
        Target::read(&self.target_file()).unwrap()
    }
}
