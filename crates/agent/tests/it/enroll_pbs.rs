//! Enrolling with a backup server: planned, carried out, interrupted at every request, repeated; and the key is never lost.

mod death;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use felhom_agent::exit::Exit;
use felhom_proxmox::pbs::format::Key;
use felhom_proxmox::pve::storage::StorageConfig;
use felhom_simulator::{Fault, FaultKind};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::*;

/// A box with an agent, and a backup server with an empty datastore.
pub(crate) struct Site {
    pub(crate) bench: Bench,
    kit: PathBuf,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let bench = Bench::new().await;
        let order = json!({ "name": "store" });
        bench.world.control("pbs-datastore", order).await.unwrap();
        let kit = bench.directory.path().join("kit");
        Self { bench, kit }
    }

    pub(crate) async fn enroll(&self, more: &[&str]) -> Ran {
        let folder = self.bench.directory.path();
        let passwords = [
            (
                "pve-password",
                self.bench.world.passwords()["root@pam"].clone(),
            ),
            (
                "pbs-password",
                self.bench.world.pbs_passwords()["root@pam"].clone(),
            ),
        ];
        let files = passwords.map(|(name, password)| {
            let file = folder.join(name);
            secret(&file, &format!("{password}\n"), 0o600);
            file.display().to_string()
        });
        let mut args = vec![
            "--admin",
            "root@pam",
            "--password-file",
            &files[0],
            "--pbs-admin",
            "root@pam",
            "--pbs-password-file",
            &files[1],
        ];
        args.extend(more);
        self.ask(&args).await
    }

    /// Without any login.
    async fn ask(&self, more: &[&str]) -> Ran {
        let (server, pin) = (
            self.bench.world.pbs_address().to_string(),
            self.bench.world.pbs_fingerprint(),
        );
        let kit = self.kit.display().to_string();
        let mut args = vec!["enroll", "pbs"];
        let usual = [
            ("--storage", "offsite"),
            ("--datastore", "store"),
            ("--server", &server),
            ("--fingerprint", &pin),
            ("--kit", &kit),
        ];
        for (option, value) in usual {
            if !more.contains(&option) {
                args.extend([option, value]);
            }
        }
        args.extend(more);
        self.bench.run(&args).await
    }

    /// The definition as the node has it.
    async fn definition(&self) -> Option<StorageConfig> {
        let all = self.bench.root().storage_configs().await.unwrap();
        all.into_iter()
            .find(|one| one.storage.as_str() == "offsite")
    }

    async fn key_of_node(&self) -> Option<String> {
        self.definition().await?.encryption_key
    }

    fn key_of_kit(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.kit.join("key.json")).ok()?;
        let key = Key::from_file(&SecretString::from(text)).unwrap();
        Some(key.fingerprint().to_string())
    }

    /// Whatever the node encrypts with lies in the kit.
    async fn key_is_safe(&self) {
        if let Some(of_node) = self.key_of_node().await {
            assert_eq!(Some(of_node), self.key_of_kit());
        }
    }

    /// Kit, storage and configuration, each as it should be.
    async fn is_as_wanted(&self) {
        self.key_is_safe().await;
        assert!(self.key_of_node().await.is_some());
        let mode = |name: &str| std::fs::metadata(self.kit.join(name)).unwrap().mode() & 0o777;
        assert_eq!(
            (mode(""), mode("key.json"), mode("recovery.txt")),
            (0o700, 0o600, 0o600)
        );
        let page = std::fs::read_to_string(self.kit.join("recovery.txt")).unwrap();
        for wanted in [
            self.key_of_kit().unwrap().split_at(47).0,
            "pvesm add pbs offsite",
            "proxmox-backup-client restore",
        ] {
            assert!(page.contains(wanted), "{wanted}: {page}");
        }
        // Fingerprints and the key itself are longer than a line of a terminal.
        let pin = self.bench.world.pbs_fingerprint().to_lowercase();
        let long = |line: &&str| line.len() > 80 && !line.to_lowercase().contains(&pin);
        let long: Vec<&str> = page.lines().filter(long).collect();
        assert!(long.iter().all(|line| line.contains('"')), "{long:?}");
        let config = felhom_agent::config::load(&self.bench.config).unwrap();
        let section = &config.pbs[&"offsite".parse().unwrap()];
        assert_eq!(
            section.key.as_ref().map(ToString::to_string),
            self.key_of_node().await
        );
        assert_eq!(
            section.owner.as_ref().map(ToString::to_string).as_deref(),
            self.definition().await.unwrap().username.as_deref()
        );
        let writer = self
            .bench
            .config
            .with_file_name("credentials")
            .join("pbs-offself-storage");
        assert!(section.identity.secret_file.exists() && !writer.exists());
    }

    /// The key's bytes as files and requests carry them, and the tokens' secrets.
    fn secrets(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.kit.join("key.json")).unwrap_or_default();
        let key: Value = serde_json::from_str(&text).unwrap_or_default();
        let mut all: Vec<String> = key["data"]
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .collect();
        all.extend(self.bench.world.pbs_tokens().into_values());
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_planned_is_done_and_the_second_time_nothing() {
    let site = Site::new().await;
    let printed = site.ask(&["--print"]).await;
    assert_eq!(printed.exit, Exit::Done, "{}", printed.text());
    let planned = site.enroll(&["--dry-run"]).await;
    assert_eq!(planned.exit, Exit::Done, "{}", planned.text());
    // The runbook is for a server on which nothing is; this one has the user.
    let made = |ran: &Ran| {
        let steps = ran.data()["steps"].as_array().unwrap().clone();
        let user = |step: &&Value| step.to_string().contains("user create");
        steps
            .iter()
            .filter(|step| !user(step))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(made(&printed), made(&planned));
    assert!(!site.kit.exists() && site.definition().await.is_none());

    let done = site.enroll(&[]).await;
    assert_eq!(done.exit, Exit::Done, "{}", done.text());
    let words = |ran: &Ran| {
        let steps = ran.data()["steps"].as_array().unwrap().clone();
        steps
            .into_iter()
            .map(|step| step["command"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (first, all) = (words(&planned), words(&done));
    // Only with the key its fingerprint is known, and the secret goes when the storage has it.
    assert!(
        first[0].contains("key create") && all[0] == first[0],
        "{all:?}"
    );
    assert_eq!(all.len(), first.len() + 1, "{all:?}");
    site.is_as_wanted().await;
    let (before, text) = (
        site.definition().await,
        std::fs::read_to_string(&site.bench.config).unwrap(),
    );
    let again = site.enroll(&[]).await;
    assert_eq!(again.exit, Exit::Done, "{}", again.text());
    assert_eq!(again.data()["steps"], json!([]));
    assert_eq!(site.definition().await, before);
    assert_eq!(std::fs::read_to_string(&site.bench.config).unwrap(), text);
    let said = format!("{printed:?}{planned:?}{done:?}{again:?}");
    for secret in site.secrets() {
        assert!(!said.contains(&secret), "a secret was printed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_at_any_request_it_goes_on_and_the_key_is_never_lost() {
    for kind in [
        FaultKind::Refuse,
        FaultKind::CutAnswer,
        FaultKind::Truncated,
    ] {
        let mut clean = false;
        for skip in 0..80 {
            let site = Site::new().await;
            site.bench.world.inject(Fault {
                skip,
                count: Some(1),
                ..Fault::request("*", "*", kind.clone())
            });
            let broken = site.enroll(&[]).await;
            site.key_is_safe().await;
            site.bench.world.clear_faults();
            let key = site.key_of_kit();
            let mended = site.enroll(&[]).await;
            assert_eq!(
                mended.exit,
                Exit::Done,
                "{kind:?} {skip}: {}",
                mended.text()
            );
            site.key_is_safe().await;
            assert!(
                key.is_none() || key == site.key_of_kit(),
                "{kind:?} {skip}: the key was replaced"
            );
            assert!(site.key_of_node().await.is_some());
            clean = broken.exit == Exit::Done && mended.data()["steps"] == json!([]);
            site.bench.world.stop().await.unwrap();
            if clean && skip > 20 {
                break;
            }
        }
        assert!(clean, "{kind:?}: more than 80 requests");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_is_there_is_used_as_it_is_or_not_at_all() {
    let site = Site::new().await;
    assert_eq!(site.enroll(&[]).await.exit, Exit::Done);
    let before = site.definition().await;
    // Another kit, and none.
    let elsewhere = site
        .bench
        .directory
        .path()
        .join("elsewhere")
        .display()
        .to_string();
    let ran = site.enroll(&["--kit", &elsewhere]).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
    assert!(ran.text().contains("offsite.enc"), "{}", ran.text());
    felhom_agent::enroll::pbs::kit::make(std::path::Path::new(&elsewhere), 0, "x").unwrap();
    let ran = site.enroll(&["--kit", &elsewhere]).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
    for option in [
        ["--datastore", "other"],
        ["--namespace", "a"],
        ["--user", "else@pbs"],
    ] {
        let ran = site.enroll(&option).await;
        assert_eq!(ran.exit, Exit::Refused, "{option:?}: {}", ran.text());
    }
    assert_eq!(site.definition().await, before);
    site.key_is_safe().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_secret_is_made_anew_with_its_grants() {
    let site = Site::new().await;
    assert_eq!(site.enroll(&[]).await.exit, Exit::Done);
    let config = felhom_agent::config::load(&site.bench.config).unwrap();
    let file = &config.pbs[&"offsite".parse().unwrap()].identity.secret_file;
    std::fs::remove_file(file).unwrap();
    let before = site.bench.world.pbs_tokens();
    let ran = site.enroll(&[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert!(file.exists());
    let after = site.bench.world.pbs_tokens();
    let changed = before
        .iter()
        .filter(|(token, secret)| after.get(*token) != Some(secret));
    assert_eq!(changed.count(), 1, "{:?}", after.keys());
    assert_eq!(site.enroll(&[]).await.data()["steps"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proof_is_a_backup_that_only_the_kits_key_opens() {
    let site = Site::new().await;
    let ran = site.enroll(&["--prove", "9001"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let proofs = ran.data()["proofs"].to_string();
    assert!(proofs.contains("opens with the kit's key"), "{proofs}");
    let ran = site.enroll(&["--prove", "4711"]).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_private_half_of_a_master_key_is_never_taken() {
    let site = Site::new().await;
    let file = site.bench.directory.path().join("master.pem");
    for (text, word) in [
        ("-----BEGIN PRIVATE KEY-----\n", "private key"),
        ("ssh-rsa AAAA\n", "no public key"),
        (include_str!("enroll_pbs/master-2048.pem"), "4096 bits"),
    ] {
        std::fs::write(&file, text).unwrap();
        let ran = site
            .enroll(&["--master-key", &file.display().to_string()])
            .await;
        assert_eq!(ran.exit, Exit::Usage, "{}", ran.text());
        assert!(ran.text().contains(word), "{}", ran.text());
    }
    assert!(!site.kit.exists());
    std::fs::write(&file, include_str!("enroll_pbs/master-4096.pem")).unwrap();
    let ran = site
        .enroll(&["--master-key", &file.display().to_string()])
        .await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(
        site.definition().await.unwrap().master_key.as_deref(),
        Some("1")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_storage_on_the_same_server_leaves_the_tokens_of_the_first() {
    let site = Site::new().await;
    assert_eq!(site.enroll(&[]).await.exit, Exit::Done);
    let before = site.bench.world.pbs_tokens();
    let order = json!({ "name": "other" });
    site.bench
        .world
        .control("pbs-datastore", order)
        .await
        .unwrap();
    let kit = site
        .bench
        .directory
        .path()
        .join("second")
        .display()
        .to_string();
    let second = ["--storage", "second", "--datastore", "other", "--kit", &kit];
    let ran = site.enroll(&second).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let after = site.bench.world.pbs_tokens();
    for (token, secret) in before {
        assert_eq!(after.get(&token), Some(&secret), "{token}");
    }
    // A box of the same name with another key does not take what is not its own.
    let config = felhom_agent::config::load(&site.bench.config).unwrap();
    for section in config.pbs.values() {
        std::fs::remove_file(&section.identity.secret_file).unwrap();
    }
    let elsewhere = site
        .bench
        .directory
        .path()
        .join("elsewhere")
        .display()
        .to_string();
    felhom_agent::enroll::pbs::kit::make(std::path::Path::new(&elsewhere), 0, "x").unwrap();
    let ran = site.enroll(&["--kit", &elsewhere]).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
    assert!(
        ran.text().contains("not made with the key of this kit"),
        "{}",
        ran.text()
    );
    assert_eq!(site.bench.world.pbs_tokens(), after);
}
