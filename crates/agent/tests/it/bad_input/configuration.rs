//! The configuration and the secret files that it names.

use std::os::unix::fs::PermissionsExt;

use super::{MUTATING, assert_untouched, refused};
use crate::support::*;

/// Puts a line behind another one; returns its number.
fn insert(bench: &Bench, after: &str, line: &str) -> usize {
    let mut number = 0;
    bench.reconfigure(|text| {
        let at = text.lines().position(|old| old.trim() == after).unwrap();
        number = at + 2;
        let mut lines: Vec<&str> = text.lines().collect();
        lines.insert(at + 1, line);
        lines.join("\n")
    });
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_key_is_named_with_file_and_line() {
    for (section, key) in [
        ("[pve]", "fingerprnt"),
        ("[restore-test.floors]", "metadata_percnt"),
        ("[principals.agent]", "secret"),
        ("[limits]", "setle"),
    ] {
        let bench = Bench::new().await;
        let line = insert(&bench, section, &format!("{key} = 1"));
        let place = format!("{}:{line}: ", bench.config.display());
        for args in [&["config", "check"][..], &["config", "show"], &["status"]] {
            let told = refused(&bench, args).await;
            told.says(78, &[&place, key, "unknown field", "expected"]);
        }
        for args in MUTATING {
            refused(&bench, args).await.says(78, &[&place, key]);
        }
        assert_untouched(&bench).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_type_is_named_with_its_line_and_what_was_expected() {
    for (section, line, words) in [
        ("[restore-test]", "cores = \"two\"", ["two", "u32"]),
        ("[restore-test]", "first_vmid = -1", ["-1", "u32"]),
        ("[backup]", "mode = 7", ["7", "string"]),
        ("[limits]", "lockwait_min = \"1m\"", ["1m", "u32"]),
        ("[pve]", "insecure = \"no\"", ["no", "bool"]),
        ("[pve]", "ca_file = [", ["", ""]),
    ] {
        let bench = Bench::new().await;
        let number = insert(&bench, section, line);
        let place = format!("{}:{number}: ", bench.config.display());
        let told = refused(&bench, &["config", "check"]).await;
        if line.ends_with('[') {
            // What follows an open bracket is wrong where it stands.
            told.says(78, &[&bench.config.display().to_string()]);
        } else {
            told.says(78, &[&place, words[0], words[1]]);
        }
        assert!(told.hint().contains("config check"), "{}", told.error);
        assert_untouched(&bench).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_without_its_unit_says_how_to_write_it() {
    let bench = Bench::new().await;
    bench.reconfigure(|text| text.replace("settle = \"300ms\"", "settle = \"15\""));
    let told = refused(&bench, &["config", "check"]).await;
    told.says(78, &["`15` is no length of time", "`15s`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_about_volumes_that_makes_no_sense_says_why() {
    for (rule, words) in [
        (
            "class = \"bulk\"",
            "at least one of `name`, `image` and `path`",
        ),
        ("name = \"\"\nclass = \"bulk\"", "none may be empty"),
        ("name = \"x\"\nclass = \"warm\"", "`warm` is no class"),
        (
            "vmid = 7\nname = \"x\"\nclass = \"hot\"",
            "volumes.rules[0].vmid",
        ),
        (
            "name = \"x\"\nclass = \"hot\"\nprotected_by = \"a NAS\"",
            "for bulk volumes",
        ),
        (
            "name = \"x\"\nclass = \"bulk\"\nprotected_by = \" \"",
            "say what protects it",
        ),
        (
            "name = \"x\"\nclass = \"bulk\"\naccepted_loss = { by = \"\", on = \"2026-11-23\" }",
            "say who accepts",
        ),
        (
            "name = \"x\"\nclass = \"bulk\"\naccepted_loss = { by = \"Ada\", on = \"someday\" }",
            "volumes.rules[0].accepted_loss.on",
        ),
        (
            "name = \"x\"\nclass = \"bulk\"\nprotected_by = \"a\"\naccepted_loss = { by = \"Ada\", on = \"2026-11-23\" }",
            "not both",
        ),
        ("name = \"x\"\nklass = \"bulk\"", "klass"),
    ] {
        let bench = Bench::new().await;
        bench.reconfigure(|text| format!("{text}\n[[volumes.rules]]\n{rule}\n"));
        let told = refused(&bench, &["config", "check"]).await;
        told.says(78, &[words]);
        assert_untouched(&bench).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_problems_are_told_at_once() {
    let bench = Bench::new().await;
    bench.reconfigure(|text| {
        text.replace("node = \"demo-felhom\"", "node = \"no node\"")
            .replace("url = \"https://", "url = \"http://")
            .replace(
                "token = \"felhom-agent@pve!agent\"",
                "token = \"felhom-agent\"",
            )
            .replace(
                "memory_mib = 256",
                "memory_mib = 256\nfirst_vmid = 9200\nlast_vmid = 9100\nevidence = \"hope\"",
            )
            .replace("[backup]", "[backup]\nmode = \"fast\"")
            .replace("root_mib = 16", "root_mib = 16\nstorage_percent = 95")
    });
    let told = refused(&bench, &["config", "check"]).await;
    let problems = [
        "node: ",
        "pve.url: ",
        "principals.agent.token: ",
        "backup.mode: ",
        "restore-test.evidence: ",
        "restore-test: first_vmid is above last_vmid",
        "restore-test.floors: ",
    ];
    told.says(78, &problems);
    told.says(78, &[&format!("has {} problem(s)", problems.len())]);
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_is_exactly_one_thing_and_an_address_holds_no_password() {
    let bench = Bench::new().await;
    let whole = std::fs::read_to_string(&bench.config).unwrap();
    let pin = whole
        .lines()
        .find(|line| line.starts_with("fingerprint"))
        .unwrap()
        .to_owned();
    for changed in [
        whole.replace(&pin, ""),
        whole.replace(&pin, &format!("{pin}\nca_file = \"ca.pem\"")),
        whole.replace(&pin, &format!("{pin}\ninsecure = true")),
    ] {
        bench.reconfigure(|_| changed);
        let told = refused(&bench, &["config", "check"]).await;
        told.says(78, &["exactly one of `fingerprint` and `ca_file`"]);
    }
    bench.reconfigure(|_| whole.replace("https://", "https://root:hunter2@"));
    let told = refused(&bench, &["config", "check"]).await;
    told.says(78, &["pve.url: "]);
    assert!(
        !told.error.to_string().contains("hunter2"),
        "{}",
        told.error
    );
    bench.reconfigure(|_| whole.replace(&pin, "fingerprint = \"AB:CD\""));
    let told = refused(&bench, &["config", "check"]).await;
    told.says(78, &["pve.fingerprint: "]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_configuration_says_where_it_was_looked_for() {
    let mut bench = Bench::new().await;
    bench.config = bench.directory.path().join("box/absent.toml");
    let path = bench.config.display().to_string();
    for args in [
        &["config", "check"][..],
        &["status"],
        &["backup", "run", "9001"],
    ] {
        let told = refused(&bench, args).await;
        told.says(78, &[&path, "cannot be read"]);
        assert!(told.hint().contains("--config"), "{}", told.error);
        assert!(
            told.error["causes"][0]
                .as_str()
                .unwrap()
                .contains("No such file")
        );
    }
    bench.config = bench.directory.path().join("box");
    refused(&bench, &["config", "check"])
        .await
        .says(78, &["cannot be read"]);
    assert!(!bench.state_dir().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_json_configuration_has_lines_too() {
    let mut bench = Bench::new().await;
    bench.config = bench.directory.path().join("box/agent.json");
    std::fs::write(
        &bench.config,
        "{\n \"node\": \"demo-felhom\",\n \"nod\": 1\n}\n",
    )
    .unwrap();
    let told = refused(&bench, &["config", "check"]).await;
    told.says(78, &[&format!("{}:3: ", bench.config.display()), "`nod`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_file_that_is_missing_empty_or_open_is_refused() {
    let bench = Bench::new().await;
    let path = bench.directory.path().join("box/agent");
    let name = path.display().to_string();
    let good = std::fs::read_to_string(&path).unwrap();
    let all = async |words: &[&str], hint: &str| {
        for args in [&["config", "check"][..]].into_iter().chain(MUTATING) {
            let told = refused(&bench, args).await;
            told.says(78, words);
            assert_eq!(told.code(), "credentials");
            assert!(told.hint().contains(hint), "{}", told.error);
            assert!(!told.error.to_string().contains(good.trim()));
        }
    };
    for mode in [0o640, 0o604, 0o620] {
        secret(&path, &good, mode);
        all(
            &[&name, &format!("mode {mode:04o}")],
            &format!("chmod 600 {name}"),
        )
        .await;
    }
    secret(&path, " \n", 0o600);
    all(&[&name, "is empty"], "write the secret").await;
    std::fs::remove_file(&path).unwrap();
    all(&[&name, "cannot be read"], "mode 0600").await;
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    all(&[&name, "cannot be read"], "mode 0600").await;
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secrets_of_who_is_told_are_looked_at_too() {
    let bench = Bench::new().await;
    let channel = "[[notify.channels]]\nname = \"hub\"\nkind = \"webhook\"\nurl = \"https://hub.example\"\nsecret_file = \"hub\"\n";
    let pings = "[notify.ping]\nalive_file = \"alive\"\n";
    bench.reconfigure(|text| format!("{text}\n{channel}\n{pings}"));
    let base = bench.config.parent().unwrap();
    for name in ["hub", "alive"] {
        let told = refused(&bench, &["config", "check"]).await;
        told.says(78, &[&format!("/{name}`"), "cannot be read"]);
        assert_eq!(told.code(), "credentials");
        secret(&base.join(name), "https://a.example/1", 0o644);
        let told = refused(&bench, &["config", "check"]).await;
        told.says(78, &[&format!("/{name}`"), "readable by others"]);
        secret(&base.join(name), "https://a.example/1", 0o600);
    }
    let checked = bench.program(&["config", "check"], "").await;
    assert_eq!(checked.exit, Some(0), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_needs_systemd() {
    let bench = Bench::new().await;
    bench.reconfigure(|text| text.replace("secret_file = \"agent\"", "credential = \"agent\""));
    let told = refused(&bench, &["config", "check"]).await;
    told.says(78, &["principals.agent.credential: ", "LoadCredential="]);
    bench.reconfigure(|text| {
        text.replace(
            "credential = \"agent\"",
            "credential = \"agent\"\nsecret_file = \"agent\"",
        )
    });
    // With both, a shell without systemd has the file.
    let output = bench.program(&["config", "check"], "").await;
    assert_eq!(output.exit, Some(0), "{output:?}");
    bench.reconfigure(|text| text.replace("credential = \"agent\"\nsecret_file = \"agent\"\n", ""));
    let told = refused(&bench, &["config", "check"]).await;
    told.says(78, &["`secret_file` or `credential` is needed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_holds_every_default_and_no_secret() {
    let bench = Bench::with("", None).await;
    let output = bench.program(&["config", "show"], "").await;
    assert_eq!(output.exit, Some(0), "{output:?}");
    for line in [
        "node = \"demo-felhom\"",
        "principals.agent.token = \"felhom-agent@pve!agent\"",
        "principals.restore-test.token = \"felhom-test@pve!restore-test\"",
        "limits.request = \"45s\"",
        "limits.no_progress = \"2h\"",
        "limits.settle = \"25s\"",
        "limits.lockwait_min = 1",
        "backup.storage = \"local\"",
        "backup.mode = \"snapshot\"",
        "backup.wait = \"15m\"",
        "backup.storage_floor_mib = 1024",
        "restore-test.first_vmid = 9100",
        "restore-test.last_vmid = 9199",
        "restore-test.pool = \"felhom-scratch\"",
        "restore-test.bridge = \"vmbr9\"",
        "restore-test.storage = \"local-lvm\"",
        "restore-test.memory_mib = 1024",
        "restore-test.cores = 1",
        "restore-test.evidence = \"booted\"",
        "restore-test.stable_for = \"5s\"",
        "restore-test.evidence_timeout = \"2m\"",
        "restore-test.wait = \"15m\"",
        "restore-test.floors.storage_percent = 10",
        "restore-test.floors.metadata_percent = 10",
        "restore-test.floors.root_mib = 1024",
        "restore-test.floors.memory_mib = 512",
    ] {
        assert!(
            output.stdout.lines().any(|shown| shown == line),
            "`{line}` is not in:\n{}",
            output.stdout
        );
    }
    let json = bench.program(&["config", "show", "--json"], "").await;
    for secret in bench.world.tokens().values() {
        assert!(!output.stdout.contains(secret.as_str()));
        assert!(!json.stdout.contains(secret.as_str()));
    }
}
