//! Signs of life: of success only, each by itself.

use std::time::Duration;

use felhom_agent::notify::{Concern, PassEnd, earned, ping};

use super::receiver::{Receiver, Reply, certified};
use super::*;

const DAY: Duration = Duration::from_hours(24);

fn backed_up(vmid: u32, days_ago: i64, verdict: &str) -> Guest {
    let ended_s = minute(0).secs() - days_ago * 86_400;
    Guest {
        last_backup: Some(Backup {
            verdict: verdict.to_owned(),
            ended_s,
            size: None,
            volid: None,
        }),
        last_proof: Some(Proof {
            verdict: if verdict == "good" {
                "passed"
            } else {
                "failed"
            }
            .to_owned(),
            evidence: None,
            ended_s,
            rto_ms: None,
            volid: "local:backup/x".to_owned(),
        }),
        ..guest(vmid, Posture::Protected)
    }
}

fn pass() -> PassEnd {
    PassEnd {
        ended: true,
        backed_up: true,
        proved: true,
        backup_within: DAY * 2,
        proof_within: DAY * 8,
    }
}

#[test]
fn a_sign_is_earned_by_success_of_its_own_kind() {
    use Concern::{Alive, Backup, Proof};
    let good = |days| backed_up(101, days, "good");
    let unselected = Guest {
        selected: false,
        ..backed_up(103, 99, "failed")
    };
    let never = guest(102, Posture::Attention);
    for (guests, pass, expected) in [
        (vec![good(1)], pass(), vec![Alive, Backup, Proof]),
        (
            vec![good(1), unselected],
            pass(),
            vec![Alive, Backup, Proof],
        ),
        (vec![good(3)], pass(), vec![Alive, Proof]),
        (vec![good(9)], pass(), vec![Alive]),
        (vec![good(1), never], pass(), vec![Alive]),
        (vec![backed_up(101, 0, "failed")], pass(), vec![Alive]),
        (
            vec![good(1)],
            PassEnd {
                backed_up: false,
                ..pass()
            },
            vec![Alive, Proof],
        ),
        (
            vec![good(1)],
            PassEnd {
                proved: false,
                ..pass()
            },
            vec![Alive, Backup],
        ),
        (
            vec![good(1)],
            PassEnd {
                ended: false,
                ..pass()
            },
            vec![],
        ),
        (vec![], pass(), vec![Alive]),
    ] {
        let report = HostReport { guests, ..well() };
        assert_eq!(
            earned(&report, &pass, minute(0)),
            expected,
            "{:?}",
            report.guests
        );
    }
}

#[tokio::test]
async fn each_sign_goes_to_its_own_address_and_only_when_it_is_earned() {
    let receiver = Receiver::new().await;
    let room = Room::new("[notify.ping]\nalive_file = \"alive\"\nproof_file = \"proof\"\n");
    for name in ["alive", "proof"] {
        let url = format!("http://127.0.0.1:{}/ping/{name}-canary\n", receiver.port());
        secret(&room.directory.path().join(name), &url, 0o600);
    }
    let given = ping(&room.config, &[Concern::Alive, Concern::Backup]).await;
    assert_eq!(given.len(), 1, "no address waits for a backup: {given:?}");
    let seen = receiver.take();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line, "GET /ping/alive-canary HTTP/1.1");
    assert_eq!(seen[0].body, "");
    let given = ping(&room.config, &Concern::ALL).await;
    assert!(given.iter().all(|one| one.error.is_none()), "{given:?}");
    let lines: Vec<String> = receiver.take().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "GET /ping/alive-canary HTTP/1.1",
            "GET /ping/proof-canary HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn a_sign_that_does_not_arrive_is_told_without_its_address() {
    let receiver = Receiver::new().await;
    let (tls, _) = certified();
    let untrusted = Receiver::with(Some(tls)).await;
    let room = Room::new("[notify.ping]\nalive_file = \"alive\"\n");
    let path = room.directory.path().join("alive");
    let (open, secure) = (receiver.port(), untrusted.port());
    for (reply, text) in [
        (
            Reply::Status(404),
            format!("http://127.0.0.1:{open}/canary"),
        ),
        (Reply::Garbage, format!("http://127.0.0.1:{open}/canary")),
        (Reply::Silence, format!("http://127.0.0.1:{open}/canary")),
        (
            Reply::Status(200),
            "http://elsewhere.example/canary".to_owned(),
        ),
        (
            Reply::Status(200),
            "https://me:canary@localhost/".to_owned(),
        ),
        (Reply::Status(200), "canary".to_owned()),
        (
            Reply::Status(200),
            format!("https://localhost:{secure}/canary"),
        ),
    ] {
        receiver.answer([reply]);
        secret(&path, &text, 0o600);
        let given = ping(&room.config, &Concern::ALL).await;
        let error = given[0].error.clone().unwrap();
        assert!(!error.contains("canary"), "{text}: {error}");
    }
    secret(&path, "http://127.0.0.1/canary", 0o644);
    let given = ping(&room.config, &Concern::ALL).await;
    assert!(
        given[0]
            .error
            .as_ref()
            .unwrap()
            .contains("readable by others")
    );
}
