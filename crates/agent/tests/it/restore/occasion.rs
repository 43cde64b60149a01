//! The token that is given for one restore: named when it lacks rights, enough when it has what was named, and missed when it
//! is not there.

use std::path::Path;

use felhom_agent::exit::Exit;
use felhom_ids::Upid;
use felhom_proxmox::{Method, Pve, Request};
use serde_json::{Value, json};

use super::config;
use crate::support::*;

const TOKEN: &str = "felhom-restore@pve!once";

/// A user and a token without any right, and the configuration that names it.
async fn given(bench: &Bench) {
    given_to(&bench.root(), &bench.config).await;
}

/// The same for any node, by its root.
pub(crate) async fn given_to(root: &Pve, config: &Path) {
    let user =
        Request::new(Method::Post, &[&"access", &"users"]).with("userid", "felhom-restore@pve");
    let () = root.client().send(&user).await.unwrap();
    let path: [&dyn std::fmt::Display; 5] = [
        &"access",
        &"users",
        &"felhom-restore@pve",
        &"token",
        &"once",
    ];
    let token = Request::new(Method::Post, &path).flag("privsep", true);
    let made: Value = root.client().send(&token).await.unwrap();
    let secret_file = config.with_file_name("once");
    secret(&secret_file, made["value"].as_str().unwrap(), 0o600);
    let text = std::fs::read_to_string(config).unwrap();
    let section = format!("\n[principals.restore]\ntoken = \"{TOKEN}\"\nsecret_file = \"once\"\n");
    std::fs::write(config, text + &section).unwrap();
}

/// The admin types the lines that were printed.
pub(crate) async fn typed(root: &Pve, lines: &[String]) {
    for line in lines.iter().take_while(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line
            .split(' ')
            .map(|word| word.trim_matches('\''))
            .collect();
        let request = match words.as_slice() {
            [
                "pveum",
                "role",
                "modify",
                role,
                "--privs",
                privileges,
                "||",
                "pveum",
                "role",
                "add",
                ..,
            ] => Request::new(Method::Post, &[&"access", &"roles"])
                .with("roleid", role)
                .with("privs", privileges),
            [
                "pveum",
                "acl",
                "modify",
                path,
                "--users",
                user,
                "--tokens",
                token,
                "--roles",
                role,
            ] => Request::new(Method::Put, &[&"access", &"acl"])
                .with("path", path)
                .with("users", user)
                .with("tokens", token)
                .with("roles", role),
            other => panic!("{other:?}"),
        };
        let () = root.client().send(&request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_rights_is_told_the_lines_and_with_them_it_restores() {
    let bench = Bench::new().await;
    let volid = bench.backup(9010).await.to_string();
    given(&bench).await;
    let run = [
        "restore",
        "run",
        &volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
        "--start",
    ];
    // It may not even read what is in the archive: that comes first.
    let ran = bench.run(&run).await;
    assert_eq!(ran.exit, Exit::Permission, "{}", ran.text());
    assert!(
        ran.text().contains("VM.Backup on the guest"),
        "{}",
        ran.text()
    );
    let first: Vec<String> = serde_json::from_value(ran.data()["grants"].clone()).unwrap();
    let taken_back = |line: &String| line.starts_with("pveum acl delete /vms/9020");
    assert!(first.iter().any(taken_back), "{first:?}");
    typed(&bench.root(), &first).await;

    let ran = bench.run(&run).await;
    assert_eq!(ran.exit, Exit::Permission, "{}", ran.text());
    assert_eq!(config(&bench, RESTORED), json!(null));
    let lines: Vec<String> = serde_json::from_value(ran.data()["grants"].clone()).unwrap();
    let bridge = "/sdn/zones/localnetwork/vmbr0";
    assert!(lines.iter().any(|line| line.contains(bridge)), "{lines:?}");
    typed(&bench.root(), &lines).await;
    let ran = bench.run(&run).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    for task in ["restore_upid", "start_upid"] {
        let upid: Upid = ran.data()[task].as_str().unwrap().parse().unwrap();
        assert_eq!(upid.user(), TOKEN, "{task}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_secret_only_restores_stand_still() {
    let bench = Bench::new().await;
    let volid = bench.backup(9010).await.to_string();
    given(&bench).await;
    std::fs::remove_file(bench.config.with_file_name("once")).unwrap();
    let ran = bench.run(&["restore", "plan", &volid]).await;
    assert_eq!(ran.exit, Exit::Configuration, "{}", ran.text());
    assert!(ran.text().contains("principals.restore"), "{}", ran.text());
    let ran = bench.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(bench.run(&["config", "check"]).await.exit, Exit::Done);
}
