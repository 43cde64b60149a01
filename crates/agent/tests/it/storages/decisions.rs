//! What a person decides about storages: to take another one over, to have one away.

use felhom_agent::exit::Exit;
use serde_json::{Value, json};

use super::*;

/// Somebody defines another export under the same name.
async fn swap(bench: &Bench) {
    undefine(bench, "nas").await;
    export(bench, "nfs", "/export/b", 1).await;
    define(bench, "nas", nfs("/export/b")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_storage_under_the_same_name_is_wrong_until_it_is_adopted() {
    let bench = with_nas(SPEED, FAST).await;
    assert_eq!(state(&bench, "nas").await, (Exit::Done, "attached".into()));
    swap(&bench).await;
    for _ in 0..2 {
        let (exit, nas) = listed(&bench, "nas").await;
        assert_eq!((exit, &nas["state"]), (Exit::Findings, &json!("wrong")));
        assert_eq!(nas["durable_id"], "192.0.2.20:/export/b");
        assert_eq!(nas["remembered"], "192.0.2.20:/export/a");
    }
    assert_eq!(doctor(&bench).await, one("storage-swapped", "nas"));
    let page = bench.run(&["status"]).await;
    assert!(
        page.text().contains("nas: ANOTHER ONE than before"),
        "{page:?}"
    );

    let dry = bench.run(&["storage", "adopt", "nas", "--dry-run"]).await;
    assert_eq!(dry.exit, Exit::Done);
    assert_eq!(dry.data()["changes"], true);
    assert_eq!(state(&bench, "nas").await, (Exit::Findings, "wrong".into()));

    let adopted = bench.run(&["storage", "adopt", "nas"]).await;
    assert_eq!(adopted.exit, Exit::Done, "{adopted:?}");
    assert_eq!(
        adopted.data(),
        json!({
            "storage": "nas", "deed": "adopt", "is": "192.0.2.20:/export/b", "was": "192.0.2.20:/export/a",
            "changes": true, "dry_run": false,
        })
    );
    assert_eq!(state(&bench, "nas").await, (Exit::Done, "attached".into()));
    assert_eq!(doctor(&bench).await, []);
    let again = bench.run(&["storage", "adopt", "nas"]).await;
    assert_eq!(
        (again.exit, &again.data()["changes"]),
        (Exit::Done, &json!(false))
    );
}

/// A disk is carried away and brought back: it is not missed meanwhile, and is missed the next time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ejected_is_not_missed_until_it_was_there_again() {
    let bench = with_nas(SPEED, FAST).await;
    assert_eq!(state(&bench, "nas").await, (Exit::Done, "attached".into()));
    behave(&bench, "nas", "offline").await;
    assert_eq!(
        state(&bench, "nas").await,
        (Exit::Findings, "detached".into())
    );
    assert_eq!(doctor(&bench).await, one("storage-vanished", "nas"));
    behave(&bench, "nas", "online").await;

    let dry = bench.run(&["storage", "eject", "nas", "--dry-run"]).await;
    assert_eq!(dry.data()["changes"], true);
    assert_eq!(listed(&bench, "nas").await.1["ejected"], false);
    let ejected = bench.run(&["storage", "eject", "nas"]).await;
    assert_eq!(ejected.exit, Exit::Done, "{ejected:?}");
    assert!(ejected.text().contains("it is still there"), "{ejected:?}");
    // It is told before it is done: looks in between do not undo it.
    assert_eq!(state(&bench, "nas").await, (Exit::Done, "attached".into()));
    behave(&bench, "nas", "offline").await;
    for _ in 0..2 {
        let ran = bench.run(&["storage", "list"]).await;
        assert_eq!(ran.exit, Exit::Done, "{ran:?}");
        assert_eq!(of(&ran.data(), "nas")["ejected"], true);
        assert!(ran.text().contains("ejected"), "{ran:?}");
    }
    assert_eq!(doctor(&bench).await, []);
    behave(&bench, "nas", "online").await;
    assert_eq!(listed(&bench, "nas").await.1["ejected"], true);
    assert_eq!(
        listed(&bench, "nas").await.1["ejected"],
        false,
        "it came back"
    );
    behave(&bench, "nas", "offline").await;
    assert_eq!(
        state(&bench, "nas").await,
        (Exit::Findings, "detached".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_mean_nothing_are_refused_with_what_to_do_next() {
    let bench = Bench::new().await;
    for deed in ["adopt", "eject"] {
        for (name, exit, code) in [("nas", 5, "no-such-storage"), ("-x/y", 2, "usage")] {
            let output = bench
                .program(&["--json", "storage", deed, "--", name], "")
                .await;
            assert_eq!(output.exit, Some(exit), "{output:?}");
            let error = &output.json()["error"];
            assert_eq!(error["code"], code, "{error}");
            let hint = error["hint"].as_str().unwrap();
            assert!(hint.contains("`felhom-agent storage list`"), "{hint}");
        }
    }
    let known = bench.run(&["storage", "adopt", "local-lvm"]).await;
    assert_eq!(known.data()["was"], Value::Null, "nobody had looked before");
    assert_eq!(known.data()["is"], "pve/data");
}
