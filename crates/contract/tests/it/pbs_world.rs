//! A simulated backup server, filled as docs/operations/contract.md says, and the target file for it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use felhom_contract::Target;
use serde_json::{Value, json};

use crate::world::World;

pub(crate) const STORE: &str = "felhom-contract";
const KEY: &str = "the key of a client";
const FIRST: i64 = 1_795_390_000;

pub(crate) struct Filled {
    pub(crate) world: World,
}

impl Filled {
    /// A server with everything that is asked about.
    pub(crate) async fn start() -> Self {
        let filled = Self::empty().await;
        filled
            .control("pbs-datastore", json!({ "name": STORE }))
            .await;
        for place in 0..3 {
            filled.snapshot("9010", FIRST + 10 * place, json!({})).await;
        }
        for (id, key) in [
            ("9001", None),
            ("9002", Some(KEY)),
            ("9021", None),
            ("9022", None),
            ("9023", Some(KEY)),
        ] {
            filled
                .snapshot(id, FIRST + 100, json!({ "key": key }))
                .await;
        }
        for place in 0..4 {
            let id = format!("{}", 9041 + place);
            filled.snapshot(&id, FIRST, json!({})).await;
        }
        let below = json!({ "ns": "site" });
        filled.snapshot("9001", FIRST + 200, below).await;
        for (id, how) in [("9021", "flip"), ("9022", "remove"), ("9023", "resum")] {
            let order = json!({
                "store": STORE, "type": "ct", "id": id, "archive": "root.pxar.didx", "how": how,
            });
            filled.control("pbs-corrupt", order).await;
        }
        let begun = json!({
            "store": STORE, "type": "ct", "id": "9030", "owner": "root@pam", "time": FIRST + 300,
        });
        filled.control("pbs-begin", begun).await;
        filled
    }

    /// A server on which nobody prepared anything.
    pub(crate) async fn empty() -> Self {
        let world = World::start(100.0).await;
        Self { world }
    }

    pub(crate) async fn control(&self, name: &str, order: Value) -> Value {
        self.world.running.control(name, order).await.unwrap()
    }

    /// A snapshot of its own content, so that no damage hits two.
    async fn snapshot(&self, id: &str, time: i64, more: Value) {
        let seed = id.parse::<i64>().unwrap() * 1000 + time - FIRST;
        let mut order = json!({
            "store": STORE, "type": "ct", "id": id, "time": time, "owner": "root@pam", "noise": 20_000, "seed": seed,
            "files": { "pct.conf.blob": "arch: amd64\nhostname: felhom-ct\n" },
            "tree": { "etc/hostname": format!("{id}-{time}\n") },
        });
        let more = more.as_object().cloned().unwrap();
        order.as_object_mut().unwrap().extend(more);
        self.control("pbs-snapshot", order).await;
    }

    /// Writes the target file with these lines in `[pbs]`.
    pub(crate) fn target_file(&self, lines: &str) -> PathBuf {
        let (dir, running) = (&self.world.dir, &self.world.running);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(dir.path().join("pbs-root")).unwrap();
        let password = running.pbs_passwords()["root@pam"].clone();
        file.write_all(password.as_bytes()).unwrap();
        let text = format!(
            "[pbs]\nurl = {:?}\nfingerprint = {:?}\npatience-s = 60\n{lines}\n[pbs.admin]\nuser = \"root@pam\"\n\
             password-file = \"pbs-root\"\n",
            running.pbs_url(),
            running.pbs_fingerprint(),
        );
        let path = dir.path().join("pbs.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn target(&self) -> Target {
        let lines = format!("datastore = {STORE:?}\nabilities = [\"many\"]");
        Target::read(&self.target_file(&lines)).unwrap()
    }
}
