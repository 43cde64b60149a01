//! Exactly what each channel is sent, and whom it believes.

use std::io::Write;

use felhom_agent::clock;
use serde_json::json;

use super::receiver::{Receiver, Reply, Seen, certified};
use super::*;

fn ntfy(port: u16) -> String {
    format!(
        "[[notify.channels]]\nname = \"phone\"\nkind = \"ntfy\"\nurl = \"http://127.0.0.1:{port}\"\n\
         topic = \"felhom-box\"\nsecret_file = \"ntfy\"\n"
    )
}

#[tokio::test]
async fn ntfy_gets_topic_title_message_priority_tags_and_the_token() {
    let receiver = Receiver::new().await;
    let room = Room::new(&ntfy(receiver.port()));
    room.pass(&failed(), minute(0)).await;
    let seen = receiver.take().remove(0);
    assert_eq!(seen.line, "POST / HTTP/1.1");
    assert_eq!(
        seen.headers["authorization"],
        format!("Bearer {NTFY_TOKEN}")
    );
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(
        seen.headers["host"],
        format!("127.0.0.1:{}", receiver.port())
    );
    let id = seen.headers["x-felhom-notice"].clone();
    let since = clock::local(minute(0));
    let expected = json!({
        "topic": "felhom-box",
        "title": "pve: guest 101: backup failed",
        "message": format!(
            "what was seen – näher besehen\nWhat to do: felhom-agent backup run 101\n\
             critical, `backup-failed`, since {since}\nnotice {id}"
        ),
        "priority": 5,
        "tags": ["rotating_light", "backup-failed"],
    });
    assert_eq!(seen.json(), expected);
    room.pass(&well(), minute(90)).await;
    let seen = receiver.take().remove(0).json();
    assert_eq!(seen["title"], "pve: over: guest 101: backup failed");
    assert_eq!(
        (&seen["priority"], &seen["tags"][0]),
        (&json!(2), &json!("white_check_mark"))
    );
    assert!(
        !seen["message"].as_str().unwrap().contains("What to do"),
        "{seen}"
    );
}

async fn hooked() -> Seen {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    room.pass(&failed(), minute(0)).await;
    receiver.take().remove(0)
}

#[tokio::test]
async fn a_webhook_gets_the_document_with_its_name_and_its_signature() {
    let seen = hooked().await;
    assert_eq!(seen.line, "POST /hook HTTP/1.1");
    let mut notice = seen.notice();
    let id = seen.headers["x-felhom-notice"].clone();
    assert_eq!(seen.headers["idempotency-key"], id);
    let installation = notice["installation"].take();
    let installation = installation.as_str().unwrap();
    let short: String = installation.chars().take(12).collect();
    assert_eq!(id, format!("{short}-1-1"));
    let expected = json!({
        "id": id, "repeated": false, "event": "opened", "installation": null, "node": "pve",
        "severity": "critical", "code": "backup-failed", "subject": "guest 101",
        "headline": "guest 101: backup failed", "detail": "what was seen – näher besehen",
        "remedy": "felhom-agent backup run 101",
        "since_s": minute(0).secs(), "made_s": minute(0).secs(),
    });
    assert_eq!(notice, expected);
    let read = felhom_protocol::read::<felhom_protocol::notice::Notice>(seen.body.as_bytes());
    assert_eq!(read.unwrap().code, "backup-failed");
}

/// The lines of Python that the page shows to whoever receives a webhook.
fn shown_lines() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/notifications.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, after) = page.split_once("```python\n").unwrap();
    after.split("```").next().unwrap().to_owned()
}

/// Runs them in a Python that is none of ours. `None` where there is no Python.
#[expect(
    clippy::disallowed_types,
    reason = "the receiver of a webhook is another program"
)]
fn verify(directory: &Path, seen: &Seen, body: &str, now: i64) -> Option<bool> {
    std::fs::write(directory.join("body"), body).unwrap();
    let script = format!(
        "{}\nimport sys\nkey, header, now = sys.argv[1:4]\nbody = open('body', 'rb').read()\n\
         sys.exit(0 if verify(key.encode(), header, body, int(now)) else 9)\n",
        shown_lines()
    );
    std::fs::write(directory.join("verify.py"), script).unwrap();
    let now = now.to_string();
    let signature = &seen.headers["x-felhom-signature"];
    let python = std::process::Command::new("python3")
        .args(["verify.py", HOOK_KEY, signature, &now])
        .current_dir(directory)
        .status();
    match python.ok()?.code() {
        Some(0) => Some(true),
        Some(9) => Some(false),
        other => panic!("the lines of the page do not run: {other:?}"),
    }
}

#[tokio::test]
async fn the_page_s_lines_believe_what_was_signed_and_nothing_else() {
    let seen = hooked().await;
    let directory = tempfile::tempdir().unwrap();
    let now = minute(0).secs();
    let signed = |body: &str, now| verify(directory.path(), &seen, body, now);
    let Some(believed) = signed(&seen.body, now) else {
        let line = "skipped: the_page_s_lines_believe_what_was_signed_and_nothing_else: there is no python3\n";
        drop(std::io::stderr().lock().write_all(line.as_bytes()));
        return;
    };
    assert!(believed);
    assert_eq!(signed(&seen.body, now + 200), Some(true));
    assert_eq!(
        signed(&seen.body, now + 4000),
        Some(false),
        "an old one, sent again by somebody"
    );
    let changed = seen.body.replace("critical", "notice");
    assert_eq!(signed(&changed, now), Some(false));
}

fn secure(port: u16, ca_file: &str) -> String {
    hook("hook", port).replace("http://127.0.0.1", "https://localhost") + ca_file
}

#[tokio::test]
async fn a_receiver_is_believed_when_an_authority_that_is_trusted_vouches_for_it() {
    let (tls, pem) = certified();
    let receiver = Receiver::with(Some(tls)).await;
    let (_, other) = certified();
    let mut room = Room::new(&secure(receiver.port(), ""));
    std::fs::write(room.directory.path().join("own.pem"), pem).unwrap();
    std::fs::write(room.directory.path().join("other.pem"), other).unwrap();
    std::fs::write(room.directory.path().join("none.pem"), "no certificate\n").unwrap();
    for (ca_file, says) in [
        // On a machine without any authority that is what is told instead.
        ("", "cert"),
        ("ca_file = \"other.pem\"\n", "not trusted"),
        ("ca_file = \"none.pem\"\n", "no certificate"),
        ("ca_file = \"absent.pem\"\n", "absent.pem"),
    ] {
        room.reconfigure(&secure(receiver.port(), ca_file));
        let announced = room.pass(&failed(), minute(0)).await;
        drop(std::fs::remove_dir_all(&room.config.state_dir));
        let error = announced.channels[0].error.clone().unwrap();
        assert!(error.contains(says), "{ca_file}: {error}");
    }
    assert_eq!(
        receiver.count(),
        0,
        "nothing was sent to whom nobody trusts"
    );
    room.reconfigure(&secure(receiver.port(), "ca_file = \"own.pem\"\n"));
    let announced = room.pass(&failed(), minute(10)).await;
    assert_eq!(announced.channels[0].delivered, 1, "{announced:?}");
    let seen = receiver.take();
    assert_eq!(
        seen[0].headers["host"],
        format!("localhost:{}", receiver.port())
    );
    // The same authority vouches for no other name.
    let elsewhere =
        secure(receiver.port(), "ca_file = \"own.pem\"\n").replace("localhost", "127.0.0.2");
    room.reconfigure(&elsewhere);
    let announced = room.pass(&well(), minute(200)).await;
    assert_eq!(announced.channels[0].waiting, 1, "{announced:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_a_secret_in_hand() {
    let (first, second) = (Receiver::new().await, Receiver::new().await);
    let room = Room::new(&ntfy(first.port()));
    for status in [301, 302, 307, 308] {
        let location = format!("location: http://127.0.0.1:{}/", second.port());
        first.answer([Reply::With(status, location)]);
    }
    for pass in 0..4 {
        let announced = room.pass(&failed(), minute(pass * 60)).await;
        let error = announced.channels[0].error.clone().unwrap();
        assert!(error.contains("redirects are not followed"), "{error}");
    }
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_told_by_its_file() {
    let receiver = Receiver::new().await;
    let room = Room::new(&ntfy(receiver.port()));
    secret(&room.directory.path().join("ntfy"), NTFY_TOKEN, 0o644);
    let announced = room.pass(&failed(), minute(0)).await;
    let error = announced.channels[0].error.clone().unwrap();
    assert!(
        error.contains("readable by others") && error.contains("chmod 600"),
        "{error}"
    );
    secret(&room.directory.path().join("ntfy"), "one\ntwo", 0o600);
    let announced = room.pass(&failed(), minute(10)).await;
    let error = announced.channels[0].error.clone().unwrap();
    assert!(error.contains("characters that no token has"), "{error}");
    assert_eq!(receiver.count(), 0);
}
