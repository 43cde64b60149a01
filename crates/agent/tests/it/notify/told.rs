//! `notify` on the command line, and what it says of secrets: nothing.

use felhom_agent::exit::Exit;
use serde_json::json;

use super::receiver::{Receiver, Reply};
use super::*;
use crate::support::{program, run};

/// A configuration file with these sections.
fn written(sections: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    secrets(directory.path());
    let path = directory.path().join("agent.toml");
    std::fs::write(&path, format!("{LEAST}{sections}")).unwrap();
    (directory, path)
}

#[tokio::test]
async fn a_test_goes_through_each_channel_and_says_what_became_of_it() {
    let (fine, broken) = (Receiver::new().await, Receiver::new().await);
    let (_directory, config) =
        written(&(hook("fine", fine.port()) + &hook("broken", broken.port())));
    let dry = run(&config, &["notify", "test", "--dry-run"]).await;
    assert_eq!(dry.exit, Exit::Done, "{dry:?}");
    assert!(
        dry.text()
            .contains(&format!("through fine to 127.0.0.1:{}", fine.port())),
        "{dry:?}"
    );
    assert_eq!(
        fine.count() + broken.count(),
        0,
        "a rehearsal sends nothing"
    );
    broken.answer([Reply::Status(403)]);
    let ran = run(&config, &["notify", "test"]).await;
    assert_eq!(ran.exit, Exit::Remote, "{ran:?}");
    let text = ran.text();
    assert!(text.contains("ok   channel fine: taken"), "{text}");
    assert!(
        text.contains("BAD  channel broken: 127.0.0.1:") && text.contains("answered 403"),
        "{text}"
    );
    let notice = fine.take().remove(0).notice();
    assert_eq!(
        (&notice["event"], &notice["code"]),
        (&json!("test"), &json!("test"))
    );
    broken.take();
    let one = run(&config, &["notify", "test", "broken"]).await;
    assert_eq!(one.exit, Exit::Done, "{one:?}");
    assert_eq!((fine.count(), broken.count()), (0, 1));
    let none = run(&config, &["notify", "test", "elsewhere"]).await;
    assert_eq!(none.exit, Exit::NoSuchThing);
}

#[tokio::test]
async fn signs_of_life_are_given_only_when_they_are_asked_for() {
    let receiver = Receiver::new().await;
    let (directory, config) = written("[notify.ping]\nalive_file = \"alive\"\n");
    let url = format!("http://127.0.0.1:{}/ping/canary", receiver.port());
    secret(&directory.path().join("alive"), &url, 0o600);
    let ran = run(&config, &["notify", "test"]).await;
    assert_eq!(
        ran.exit,
        Exit::Configuration,
        "there is no channel: {ran:?}"
    );
    let ran = run(&config, &["notify", "test", "--pings", "--dry-run"]).await;
    assert_eq!((ran.exit, receiver.count()), (Exit::Done, 0));
    let ran = run(&config, &["notify", "test", "--pings"]).await;
    assert_eq!(
        (ran.exit, receiver.take().len()),
        (Exit::Done, 1),
        "{ran:?}"
    );
    assert!(!ran.text().contains("canary"), "{ran:?}");
}

#[tokio::test]
async fn the_list_has_what_is_open_and_how_each_channel_did() {
    let receiver = Receiver::new().await;
    let sections = hook("hook", receiver.port()) + "[notify.ping]\nbackup_file = \"backup\"\n";
    let room = Room::new(&sections);
    let config = room.directory.path().join("agent.toml");
    std::fs::write(&config, format!("{LEAST}{sections}")).unwrap();
    let empty = run(&config, &["notify", "list"]).await;
    assert!(empty.text().contains("no incident is open"), "{empty:?}");
    receiver.answer([Reply::Status(503)]);
    room.pass(&failed(), minute(0)).await;
    let listed = run(&config, &["notify", "list"]).await;
    assert_eq!(listed.exit, Exit::Done);
    let data = listed.data();
    assert_eq!(data["incidents"][0]["code"], "backup-failed");
    let record = &data["channels"][0]["record"];
    assert_eq!(
        (&record["waiting"], &record["delivered"]),
        (&json!(1), &json!(0))
    );
    assert!(
        record["error"].as_str().unwrap().contains("answered 503"),
        "{record}"
    );
    assert_eq!(data["pings"], json!(["backup"]));
    let text = listed.text();
    assert!(
        text.contains("guest 101: backup failed") && text.contains("never"),
        "{text}"
    );
    room.pass(&failed(), minute(10)).await;
    let data = run(&config, &["notify", "list"]).await.data();
    let record = &data["channels"][0]["record"];
    assert_eq!(
        (&record["waiting"], &record["delivered"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(
        (&record["last_delivered_ms"], &record["error"]),
        (&json!(minute(10)), &json!(null))
    );
}

/// What must not be anywhere but on the way to its receiver.
const CANARIES: [&str; 4] = [NTFY_TOKEN, HOOK_KEY, MAIL_PASSWORD, "canary-in-the-path"];

fn assert_absent(place: &str, bytes: &[u8]) {
    for canary in CANARIES {
        let found = bytes
            .windows(canary.len())
            .any(|window| window == canary.as_bytes());
        assert!(
            !found,
            "`{canary}` is in {place}: {}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secrets_of_channels_are_in_no_output_no_log_and_no_journal() {
    let receiver = Receiver::new().await;
    let port = receiver.port();
    let sections = format!(
        "{}[[notify.channels]]\nname = \"phone\"\nkind = \"ntfy\"\nurl = \"http://127.0.0.1:{port}\"\ntopic = \"box\"\n\
         secret_file = \"ntfy\"\n[[notify.channels]]\nname = \"mail\"\nkind = \"smtp\"\nserver = \"127.0.0.1\"\n\
         port = {port}\ntls = \"none\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\nuser = \"box\"\n\
         secret_file = \"mail\"\n[notify.ping]\nalive_file = \"alive\"\n",
        hook("hook", port)
    );
    let room = Room::new(&sections);
    let config = room.directory.path().join("agent.toml");
    std::fs::write(&config, format!("{LEAST}{sections}")).unwrap();
    let alive = format!("http://127.0.0.1:{port}/canary-in-the-path");
    secret(&room.directory.path().join("alive"), &alive, 0o600);
    let kept = |when: &str| {
        for entry in std::fs::read_dir(&room.config.state_dir).unwrap() {
            let path = entry.unwrap().path();
            // A log beside the database goes away when its last reader does.
            let Ok(bytes) = std::fs::read(&path) else {
                assert!(!path.ends_with("journal.sqlite"), "{}", path.display());
                continue;
            };
            assert_absent(&format!("{} {when}", path.display()), &bytes);
        }
    };
    let replies = [
        Reply::Status(200),
        Reply::Status(401),
        Reply::Garbage,
        Reply::Cut,
    ];
    for (sent, reply) in (0..).zip(replies) {
        receiver.answer(vec![reply.clone(); 3]);
        room.pass(&failed(), minute(sent * 100)).await;
        kept("after a pass");
        for line in [
            &["-vvv", "notify", "test", "--pings"][..],
            &["-vvv", "--json", "notify", "test", "--pings"],
            &["-vvv", "notify", "list"],
            &["--json", "config", "show"],
        ] {
            receiver.answer(vec![reply.clone(); 3]);
            let mut command = program(&config, line);
            let run = move || command.spawn().unwrap().wait_with_output().unwrap();
            let output = tokio::task::spawn_blocking(run).await.unwrap();
            assert_absent(&format!("stdout of {line:?}"), &output.stdout);
            assert_absent(&format!("stderr of {line:?}"), &output.stderr);
        }
        kept("after commands");
        receiver.forget();
    }
    // They are alive: the receiver was shown them.
    let seen = receiver.take();
    assert!(seen.iter().any(|seen| {
        seen.headers
            .get("authorization")
            .is_some_and(|h| h.contains(NTFY_TOKEN))
    }));
    assert!(
        seen.iter()
            .any(|seen| seen.line.contains("canary-in-the-path"))
    );
}
