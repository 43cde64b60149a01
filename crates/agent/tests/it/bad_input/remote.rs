//! A server that is away, is another one, or answers what it should not; and lists that permissions shortened.

use std::time::{Duration, Instant};

use felhom_simulator::{Fault, FaultKind};

use super::{LOOKING, MUTATING, assert_untouched, refused};
use crate::support::*;

fn elsewhere(bench: &Bench, address: &str) {
    let url = bench.world.url();
    bench.reconfigure(|text| text.replace(&url, &format!("https://{address}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_told_quickly() {
    let bench = Bench::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    elsewhere(&bench, &closed.to_string());
    for args in LOOKING
        .into_iter()
        .chain(MUTATING)
        .chain([&["trust", "show"][..]])
    {
        #[expect(clippy::disallowed_methods, reason = "another process is being timed")]
        let began = Instant::now();
        let told = refused(&bench, args).await;
        told.says(7, &["cannot connect to", &closed.to_string()]);
        assert_eq!(told.code(), "unreachable", "{args:?}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{args:?}: {:?}",
            began.elapsed()
        );
    }
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_given_up_and_one_without_tls_is_named() {
    let bench = Bench::new().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere(&bench, &silent.local_addr().unwrap().to_string());
    bench.reconfigure(|text| text.replace("request = \"2s\"", "request = \"300ms\""));
    let told = refused(&bench, &["backup", "run", "9001"]).await;
    told.says(7, &["timed out", "the TLS handshake"]);

    let bench = Bench::new().await;
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    elsewhere(&bench, &plain.local_addr().unwrap().to_string());
    let serving = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut stream, _)) = plain.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            drop(stream.write_all(answer).await);
        }
    });
    let told = refused(&bench, &["backup", "run", "9001"]).await;
    told.says(7, &["no trusted TLS connection"]);
    assert!(told.hint().contains("does not speak TLS"), "{}", told.error);
    serving.abort();
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_than_the_pinned_one_ends_everything() {
    let bench = Bench::new().await;
    let seen = bench.world.fingerprint();
    let other = "AB:".repeat(31) + "AB";
    bench.reconfigure(|text| text.replace(&seen, &other));
    for args in LOOKING.into_iter().chain(MUTATING) {
        let told = refused(&bench, args).await;
        told.says(7, &[&seen, &other, "felhom-agent trust repin"]);
        assert_eq!(told.code(), "untrusted");
    }
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_known_is_no_permission() {
    let bench = Bench::new().await;
    let path = bench.directory.path().join("box/agent");
    secret(&path, "00000000-0000-0000-0000-000000000000", 0o600);
    for args in LOOKING.into_iter().chain(MUTATING) {
        let told = refused(&bench, args).await;
        told.says(77, &["not authenticated"]);
        assert!(
            told.hint().contains("token's id and secret"),
            "{}",
            told.error
        );
    }
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_looks_that_make_no_sense_end_it_before_anything_is_begun() {
    let bench = Bench::new().await;
    for (kind, words) in [
        (FaultKind::Html, "the answer is not what it should be"),
        (FaultKind::Garbage, "the answer is not what it should be"),
        (FaultKind::Truncated, "broke before the answer was complete"),
        (FaultKind::Refuse, "the connection broke"),
        (
            FaultKind::Status {
                code: 596,
                text: "Connection timed out".into(),
            },
            "proxy error 596",
        ),
    ] {
        bench.world.inject(Fault {
            count: None,
            ..Fault::request("GET", "*", kind.clone())
        });
        for args in LOOKING.into_iter().chain(MUTATING) {
            let told = refused(&bench, args).await;
            assert_eq!(told.exit, 7, "{kind:?}, {args:?}: {}", told.error);
            let whole = told.error.to_string();
            assert!(whole.contains(words), "{kind:?}, {args:?}: {whole}");
        }
        bench.world.clear_faults();
    }
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_makes_no_sense_late_in_the_looks_ends_the_job_rightly() {
    let bench = Bench::new().await;
    for kind in [FaultKind::Html, FaultKind::Garbage, FaultKind::Truncated] {
        // What a preflight looks at, and nothing that is looked at before the job begins.
        let fault = Fault {
            count: None,
            ..Fault::request("GET", "*/nodes/*/status", kind.clone())
        };
        bench.world.inject(fault);
        let output = bench
            .program(&["backup", "run", "9001", "--json"], "")
            .await;
        assert_eq!(output.exit, Some(7), "{kind:?}: {output:?}");
        bench.world.clear_faults();
    }
    assert!(bench.mutations().is_empty());
    let journal = bench.journal().await;
    assert!(journal.unfinished().await.unwrap().is_empty());
    drop(journal);
    bench.backup(9001).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_whose_answer_makes_no_sense_is_looked_for_and_not_repeated() {
    for kind in [
        FaultKind::Html,
        FaultKind::Garbage,
        FaultKind::Truncated,
        FaultKind::CutAnswer,
    ] {
        let bench = Bench::new().await;
        let every = Fault {
            count: None,
            ..Fault::request("POST", "*", kind.clone())
        };
        bench.world.inject(every);
        bench.world.inject(Fault {
            count: None,
            ..Fault::request("DELETE", "*", kind.clone())
        });
        let output = bench.program(&["backup", "run", "9001"], "").await;
        assert_eq!(output.exit, Some(0), "{kind:?}: {output:?}");
        let output = bench.program(&["restore-test", "run", "9001"], "").await;
        assert_eq!(output.exit, Some(0), "{kind:?}: {output:?}");
        let output = bench.program(&["selftest", "task", "9001"], "").await;
        assert_eq!(output.exit, Some(0), "{kind:?}: {output:?}");
        let counts = bench.mutations();
        for effect in [
            "vzdump 9001",
            "vzrestore 9100",
            "vzstart 9100",
            "vzstop 9100",
            "vzdestroy 9100",
        ] {
            assert_eq!(
                counts.get(effect),
                Some(&1),
                "{kind:?}, {effect}: {counts:?}"
            );
        }
        for (what, count) in counts {
            // An archive's attributes are written twice: the verdict, then the protection.
            let times = if what.contains("/content/") { 2 } else { 1 };
            assert_eq!(count, times, "{kind:?}: `{what}`");
        }
        assert!(bench.scratch_guests().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_permissions_shortened_proves_nothing() {
    let bench = Bench::new().await;
    bench.backup(9001).await;
    let whole = bench.program(&["backup", "list", "--json"], "").await;
    assert_eq!((whole.exit, whole.json().get("findings")), (Some(0), None));

    bench.revoke("FelhomAgent", "VM.Backup").await;
    bench.revoke("FelhomAgent", "Datastore.Allocate").await;
    let ran = bench.program(&["backup", "list"], "").await;
    assert_eq!(ran.exit, Some(3), "{ran:?}");
    assert!(ran.stdout.contains("no backup can be seen"), "{ran:?}");
    assert!(ran.stdout.contains("[list-may-be-shortened]"), "{ran:?}");
    let ran = bench
        .program(&["backup", "list", "9001", "--json"], "")
        .await;
    assert_eq!(ran.exit, Some(3));
    assert_eq!(
        ran.json()["findings"][0]["code"],
        "list-may-be-shortened",
        "{ran:?}"
    );

    let ran = bench.program(&["status", "--json"], "").await;
    for guest in ran.json()["data"]["guests"].as_array().unwrap() {
        assert_eq!(guest["posture"], "unknown", "{guest}");
    }
    let before = (bench.mutations(), bench.jobs().await);
    for args in [
        &["restore-test", "run"][..],
        &["restore-test", "run", "9001"],
    ] {
        refused(&bench, args).await.says(5, &["no backup"]);
    }
    let ran = bench.program(&["backup", "run", "9001"], "").await;
    assert_eq!(ran.exit, Some(4), "{ran:?}");
    assert!(
        ran.stdout
            .contains("the token lacks VM.Backup on /vms/9001")
    );
    assert_eq!(
        (bench.mutations(), bench.jobs().await),
        (before.0, before.1 + 1)
    );
}
