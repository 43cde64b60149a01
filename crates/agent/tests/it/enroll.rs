//! Enrolling a node that has nothing of ours: planned, carried out, interrupted, repeated, taken back.

mod comeback;
mod node;

use felhom_agent::exit::Exit;
use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use node::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_planned_is_what_is_done_and_the_second_time_nothing() {
    let node = Node::virgin().await;
    let before = node.looks().await;
    let printed = node
        .run(&["enroll", "pve", "--print", "--node", "demo-felhom"])
        .await;
    let planned = node.enroll(&["--dry-run"]).await;
    assert_eq!(planned.exit, Exit::Done, "{}", planned.text());
    assert_eq!(node.looks().await, before, "a dry run changes nothing");
    assert!(!node.config.exists());

    let counted = node.mutations();
    let done = node.enroll(&[]).await;
    assert_eq!(done.exit, Exit::Done, "{}", done.text());
    assert_eq!(done.data()["steps"], planned.data()["steps"]);
    assert_eq!(
        printed.data()["steps"].as_array().unwrap().len(),
        planned.data()["steps"].as_array().unwrap().len(),
        "who prints it has as many commands"
    );
    let steps = done.data()["steps"].as_array().unwrap().clone();
    let requests = steps.iter().filter(|step| step["request"].is_string());
    assert_eq!(
        u64::try_from(requests.count()).unwrap(),
        node.mutations() - counted,
        "each step is one request, and no request is not a step"
    );
    for step in &steps {
        let command = step["command"].as_str().unwrap();
        assert!(done.text().contains(command), "unsaid: {command}");
    }
    assert_eq!(done.data()["proofs"].as_array().unwrap().len(), 2);

    let (after, files) = (node.looks().await, node.files());
    let again = node.enroll(&[]).await;
    assert_eq!(again.exit, Exit::Done, "{}", again.text());
    assert_eq!(again.data()["steps"], json!([]));
    assert_eq!(again.data()["proofs"].as_array().unwrap().len(), 2);
    assert_eq!((node.looks().await, node.files()), (after, files));

    let said = format!("{printed:?}{planned:?}{done:?}{again:?}");
    for secret in node.secrets() {
        assert!(!said.contains(&secret), "a secret was printed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_at_any_step_it_goes_on_and_ends_alike() {
    let node = Node::virgin().await;
    let virgin = node.looks().await;
    let done = node.enroll(&[]).await;
    let reference = node.looks().await;
    let steps = done.data()["steps"].as_array().unwrap().clone();
    assert_eq!(node.enroll(&["--remove"]).await.exit, Exit::Done);
    assert_eq!(node.looks().await, virgin);
    assert!(steps.len() > 15);
    for kind in [FaultKind::Refuse, FaultKind::CutAnswer] {
        for place in 0..steps.len() {
            if !node.cut(&steps, place, &kind) {
                continue;
            }
            let broken = node.enroll(&[]).await;
            assert_ne!(broken.exit, Exit::Done, "{place}: {}", broken.text());
            if kind == FaultKind::CutAnswer {
                assert_eq!(broken.exit, Exit::Undetermined, "{}", broken.text());
            }
            node.world.clear_faults();
            let mended = node.enroll(&[]).await;
            assert_eq!(mended.exit, Exit::Done, "{place}: {}", mended.text());
            assert_eq!(node.looks().await, reference, "{kind:?} at {place}");
            assert_eq!(node.enroll(&["--remove"]).await.exit, Exit::Done);
            assert_eq!(node.looks().await, virgin);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_leaves_the_node_as_it_was_also_when_interrupted() {
    let node = Node::virgin().await;
    let (virgin, files) = (node.looks().await, node.files());
    node.enroll(&[]).await;
    let planned = node.enroll(&["--remove", "--dry-run"]).await;
    let steps = planned.data()["steps"].as_array().unwrap().clone();
    for kind in [FaultKind::Refuse, FaultKind::CutAnswer] {
        for place in 0..steps.len() {
            if !node.cut(&steps, place, &kind) {
                continue;
            }
            let broken = node.enroll(&["--remove"]).await;
            assert_ne!(broken.exit, Exit::Done, "{place}: {}", broken.text());
            node.world.clear_faults();
            let removed = node.enroll(&["--remove"]).await;
            assert_eq!(removed.exit, Exit::Done, "{place}: {}", removed.text());
            assert_eq!(removed.data()["left"], json!([]));
            assert_eq!(node.looks().await, virgin, "{kind:?} at {place}");
            assert_eq!(node.files(), files, "{kind:?} at {place}");
            assert_eq!(node.enroll(&[]).await.exit, Exit::Done);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_secret_is_made_anew_and_nothing_else() {
    let node = Node::virgin().await;
    node.enroll(&[]).await;
    let looks = node.looks().await;
    for content in [None, Some("00000000-0000-0000-0000-000000000000")] {
        let path = node.config.with_file_name("credentials").join("agent");
        std::fs::remove_file(&path).unwrap();
        if let Some(content) = content {
            crate::support::secret(&path, content, 0o600);
        }
        let ran = node.enroll(&[]).await;
        assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
        let steps = ran.data()["steps"].clone();
        assert_eq!(steps.as_array().unwrap().len(), 1, "{steps}");
        assert_eq!(
            steps[0]["request"],
            "PUT /access/users/felhom-agent%40pve/token/agent"
        );
        assert_eq!(node.looks().await, looks);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_made_is_refused_and_left() {
    type Call = (&'static str, &'static str, &'static str);
    let cases: [(&[Call], &[&str], &str); 7] = [
        (
            &[("POST", "roles", "roleid=FelhomAgent privs=VM.Console")],
            &[],
            "role `FelhomAgent` with other privileges",
        ),
        (
            &[("POST", "users", "userid=felhom-test@pve")],
            &[],
            "user `felhom-test@pve`",
        ),
        (&[], &["--bridge", "vmbr0"], "`vmbr0` is no bridge without"),
        (&[], &["--target-storage", "gone"], "no storage `gone`"),
        (
            &[
                ("POST", "pools", "poolid=felhom-scratch"),
                ("PUT", "pools", "poolid=felhom-scratch storage=local"),
            ],
            &[],
            "pool `felhom-scratch` holds `storage/",
        ),
        (
            &[("POST", "network", "iface=vmbr5 type=bridge")],
            &[],
            "changes of the host's network are pending",
        ),
        (
            &[],
            &["--guests", "101,9150"],
            "guest 9150 stands in the range",
        ),
    ];
    for (calls, options, reason) in cases {
        let node = Node::virgin().await;
        for (method, what, params) in calls {
            node.as_root(method, what, params).await;
        }
        let looks = node.looks().await;
        let ran = node.enroll(options).await;
        assert_eq!(ran.exit, Exit::Refused, "{reason}: {}", ran.text());
        assert!(ran.text().contains(reason), "{reason}: {}", ran.text());
        assert_eq!(node.looks().await, looks, "{reason}");
        assert!(!node.config.exists(), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_leaves_what_others_made_or_use() {
    let node = Node::virgin().await;
    node.enroll(&[]).await;
    let config = std::fs::read_to_string(&node.config).unwrap();
    std::fs::write(&node.config, format!("{config}# mine\n")).unwrap();
    node.as_root("POST", "users", "userid=eve@pve").await;
    node.as_root(
        "PUT",
        "acl",
        "path=/vms roles=FelhomTestSource users=eve@pve",
    )
    .await;
    node.container(101, "vmbr9").await;
    node.as_root("PUT", "pools", "poolid=felhom-scratch vms=101")
        .await;
    let ran = node.enroll(&["--remove"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let left = ran.data()["left"].to_string();
    for (what, why) in [
        ("role `FelhomTestSource`", "eve@pve"),
        ("pool `felhom-scratch`", "lxc/101"),
        ("bridge `vmbr9`", "guest 101"),
        ("agent.toml", "edited"),
    ] {
        assert!(left.contains(what) && left.contains(why), "{what}: {left}");
    }
    let looks = node.looks().await;
    assert!(!looks.to_string().contains("felhom-agent@pve"));
    assert!(looks.to_string().contains("felhom-scratch"));
    assert!(node.config.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_abilities_change_the_rights_and_no_more() {
    let node = Node::virgin().await;
    assert_eq!(node.enroll(&[]).await.exit, Exit::Done);
    let wider = node
        .enroll(&["--abilities", "backup,restore-test,snapshot"])
        .await;
    assert_eq!(wider.exit, Exit::Done, "{}", wider.text());
    let steps = wider.data()["steps"].clone();
    assert_eq!(steps.as_array().unwrap().len(), 1, "{steps}");
    assert!(
        steps[0]["command"]
            .as_str()
            .unwrap()
            .contains("VM.Snapshot")
    );
    assert!(wider.text().contains("rolling guests back"));

    let some = node.enroll(&["--guests", "101"]).await;
    assert_eq!(some.exit, Exit::Done, "{}", some.text());
    let commands = some.data()["steps"].to_string();
    assert!(commands.contains("pveum acl delete / "), "{commands}");
    let looks = node.looks().await.to_string();
    assert!(looks.contains("/vms/101") && !looks.contains("VM.Snapshot\""));
    assert_eq!(
        node.enroll(&["--guests", "101"]).await.data()["steps"],
        json!([])
    );

    let own = ["--abilities", "self-backup", "--guests", "101"];
    let ran = node.enroll(&own).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert!(ran.text().contains("no guest needs one"), "{}", ran.text());
    let secret = node
        .config
        .with_file_name("credentials")
        .join("self-backup-101");
    assert!(secret.exists());
    let refused = node.enroll(&["--abilities", "self-backup"]).await;
    assert_eq!(refused.exit, Exit::Refused, "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_who_may_not_change_the_network_gets_the_stanza() {
    let node = Node::virgin().await;
    node.as_root("POST", "users", "userid=adm@pve password=long-enough-1")
        .await;
    node.as_root("PUT", "acl", "path=/ roles=Administrator users=adm@pve")
        .await;
    node.as_root("PUT", "acl", "path=/nodes roles=PVEAuditor users=adm@pve")
        .await;
    let ran = node.enroll_as("adm@pve", "long-enough-1", &[]).await;
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    assert!(ran.text().contains("iface vmbr9 inet manual"));
    assert_eq!(ran.data()["proofs"].as_array().unwrap().len(), 2);

    // Who is shown only a part of it could take others' things for nobody's.
    node.as_root("PUT", "acl", "path=/pool roles=NoAccess users=adm@pve")
        .await;
    let looks = node.looks().await;
    for more in [&[][..], &["--remove"]] {
        let ran = node.enroll_as("adm@pve", "long-enough-1", more).await;
        assert_eq!(ran.exit, Exit::Permission, "{}", ran.text());
        assert!(ran.text().contains("Pool.Audit"), "{}", ran.text());
    }
    assert_eq!(node.looks().await, looks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_let_in_by_a_wrong_password_or_to_a_wrong_server() {
    let node = Node::virgin().await;
    let ran = node.enroll_as("root@pam", "wrong", &[]).await;
    assert_eq!(ran.exit, Exit::Permission, "{}", ran.text());
    assert!(ran.text().contains("[login]"), "{}", ran.text());
    let counted = node.mutations();
    let zeros = ["00"; 32].join(":");
    let ran = node.enroll_pinned(&zeros).await;
    assert_eq!(ran.exit, Exit::Remote, "{}", ran.text());
    // No other command could look: there is no configuration.
    let (exit, said) = node.told("--fingerprint", &zeros).await;
    let hint = format!("give `--fingerprint {}`", node.world.fingerprint());
    assert_eq!(exit, Some(7), "{said}");
    assert!(said.contains(&hint), "{said}");
    assert!(!said.contains("felhom-agent trust"), "{said}");
    let ran = node.enroll_pinned("").await;
    assert!(ran.text().contains("[not-pinned]"), "{}", ran.text());
    assert_eq!(node.mutations(), counted);
    let open = node.directory.path().join("open");
    crate::support::secret(&open, "x", 0o644);
    let args = ["enroll", "pve", "--admin", "root@pam", "--password-file"];
    let open = open.display().to_string();
    let pin = node.world.fingerprint();
    let url = node.world.url();
    let more = [open.as_str(), "--fingerprint", &pin, "--url", &url];
    let ran = node.run(&[&args[..], &more[..]].concat()).await;
    assert!(ran.text().contains("[password]"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_known_by_its_own_certificate() {
    let node = Node::virgin().await;
    let own = node.world.state_dir().join("pve-ssl.pem");
    let other = node.directory.path().join("other.pem");
    let pin = node.world.fingerprint();

    let counted = node.mutations();
    let another = Node::virgin().await;
    std::fs::copy(another.world.state_dir().join("pve-ssl.pem"), &other).unwrap();
    let (exit, said) = node
        .told("--certificate", &other.display().to_string())
        .await;
    assert_eq!(exit, Some(7), "{said}");
    assert!(
        said.contains(&format!("give `--fingerprint {pin}`")),
        "{said}"
    );
    std::fs::write(&other, "no certificate\n").unwrap();
    let ran = node.enroll_by(&other).await;
    assert_eq!(ran.exit, Exit::Configuration, "{}", ran.text());
    assert!(ran.text().contains("[certificate]"), "{}", ran.text());
    assert!(!node.config.exists() && node.mutations() == counted);

    let ran = node.enroll_by(&own).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let text = std::fs::read_to_string(&node.config).unwrap();
    assert!(text.contains(&format!("fingerprint = \"{pin}\"")), "{text}");
    // The configuration pins it from now on.
    let ran = node.enroll_pinned("").await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let again = std::fs::read_to_string(&node.config).unwrap();
    assert_eq!(again, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolled_node_is_checked_backed_up_and_tested_without_a_hand() {
    for guests in ["all", "101"] {
        let node = Node::virgin().await;
        let ran = node.enroll(&["--guests", guests]).await;
        assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
        node.hurry();
        node.container(101, "vmbr0").await;
        for line in [
            &["config", "check"][..],
            &["doctor", "--probe", "--blast-radius"],
            &["selftest"],
            &["backup", "run", "101"],
            &["restore-test", "run", "101"],
        ] {
            let ran = node.run(line).await;
            let fine = matches!(ran.exit, Exit::Done | Exit::Findings);
            assert!(fine, "{guests}: {line:?}: {}", ran.text());
            let text = ran.text();
            assert!(!text.contains("list-may-be-shortened"), "{text}");
        }
        let verdicts = node.run(&["restore-test", "list"]).await.data();
        assert!(verdicts.to_string().contains("passed"), "{verdicts}");
        let removed = node.enroll(&["--remove"]).await;
        assert_eq!(removed.exit, Exit::Done, "{}", removed.text());
        let archives: Value = node.backups().await;
        assert_eq!(archives.as_array().unwrap().len(), 1, "backups stay");
        assert!(node.directory.path().join("journal").exists());
    }
}

impl Node {
    /// The request of this step will be lost; not, where the step is none.
    fn cut(&self, steps: &[Value], place: usize, kind: &FaultKind) -> bool {
        let request = |step: &Value| {
            let text = step["request"].as_str()?.to_owned();
            let (method, path) = text.split_once(' ')?;
            let path: Vec<&str> = path
                .split('/')
                .map(|segment| if segment.contains('%') { "*" } else { segment })
                .collect();
            Some((method.to_owned(), path.join("/")))
        };
        let Some((method, path)) = request(&steps[place]) else {
            return false;
        };
        let earlier = steps[..place]
            .iter()
            .filter(|step| request(step).is_some_and(|one| one == (method.clone(), path.clone())));
        let skip = u32::try_from(earlier.count()).unwrap();
        self.world.inject(Fault {
            skip,
            ..Fault::request(&method, &path, kind.clone())
        });
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_proxmox_would_not_make_is_refused_before_anything_is_made() {
    for name in ["lan-1", "9lan", "x", "much_too_long_for_a_bridge"] {
        let node = Node::virgin().await;
        let before = node.world.counts();
        let refused = node.enroll(&["--bridge", name]).await;
        assert_eq!(refused.exit, Exit::Refused, "{}", refused.text());
        assert!(refused.text().contains("makes no bridge of that name"));
        let mut after = node.world.counts();
        // The admin's login.
        after.retain(|what, _| !what.contains("/access/ticket"));
        assert!(
            after
                .iter()
                .all(|(what, count)| before.get(what) == Some(count))
        );
    }
}

/// What the doctor finds wrong with the rights; the storage's own retention and clocks that run apart are other matters.
fn about_rights(data: &Value) -> Vec<String> {
    let findings = data["findings"].as_array().unwrap().iter();
    let codes = findings.map(|one| (one["code"].as_str().unwrap(), one));
    codes
        .filter(|(code, _)| !["retention-prunes", "clock-off"].contains(code))
        .map(|(_, one)| one.to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_granted_is_what_the_doctor_asks_for_no_less_and_no_more() {
    let every = [
        "backup run",
        "backup prune",
        "restore-test run",
        "selftest task",
    ];
    for (abilities, guests, commands) in [
        ("backup,restore-test,snapshot", "all", &every[..]),
        ("backup,restore-test,snapshot", "101", &every[..]),
        ("backup,restore-test", "101", &every[..3]),
        ("backup,restore-test", "all", &every[..3]),
        ("backup", "101", &every[..2]),
        ("backup", "all", &every[..2]),
    ] {
        let what = format!("{abilities} of {guests}");
        let node = Node::virgin().await;
        node.container(101, "vmbr0").await;
        let wanted = ["--abilities", abilities, "--guests", guests];
        let ran = node.enroll(&wanted).await;
        assert_eq!(ran.exit, Exit::Done, "{what}: {}", ran.text());
        let ran = node.run(&["doctor", "--probe"]).await;
        let data = ran.data();
        assert!(!data.is_null(), "{what}: {}", ran.text());
        for one in data["operations"].as_array().unwrap() {
            let command = one["command"].as_str().unwrap();
            let works = one["state"] == "works";
            let due = commands.contains(&command);
            assert!(works || !due, "{what}: {one}: {}", ran.text());
        }
        assert_eq!(about_rights(&data), Vec::<String>::new(), "{what}");
        for one in data["probed"].as_array().unwrap() {
            assert_ne!(one["answer"], "allowed", "{what}: {one}");
        }
    }
}
