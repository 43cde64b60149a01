//! The pin follows the node's certificate by itself: learned over the pinned connection, taken only when exactly that is shown.

use felhom_agent::exit::Exit;
use felhom_agent::journal::PinChange;
use serde_json::{Value, json};

use crate::support::*;

/// Another certificate is in place, and not shown yet.
async fn placed(bench: &Bench) -> String {
    let placed = bench.world.control("place-certificate", json!({})).await;
    placed.unwrap()["fingerprint"].as_str().unwrap().to_owned()
}

/// pveproxy starts anew, and shows what is in place.
async fn restarted(bench: &Bench) {
    let shown = bench.world.control("restart-proxy", json!({})).await;
    shown.unwrap();
}

fn text(bench: &Bench) -> String {
    std::fs::read_to_string(&bench.config).unwrap()
}

async fn changes(bench: &Bench) -> Vec<PinChange> {
    bench.journal().await.pin_changes().await.unwrap()
}

async fn doctor_tells(bench: &Bench) -> bool {
    let data: Value = bench.run(&["doctor"]).await.data();
    let mut findings = data["findings"].as_array().unwrap().iter();
    findings.any(|one| one["code"] == "certificate-changes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_was_seen_coming_needs_nobody() {
    let bench = Bench::new().await;
    let old = bench.world.fingerprint();
    bench.reconfigure(|text| text.replace("[pve]", "# checked by Eva\n[pve]"));
    let before = text(&bench);
    assert!(!doctor_tells(&bench).await);
    assert!(
        changes(&bench).await.is_empty(),
        "nothing is noted of nothing"
    );
    let next = placed(&bench).await;
    assert_ne!(next, old);
    assert!(doctor_tells(&bench).await);
    assert_eq!(text(&bench), before, "what is only prepared is not trusted");
    let prepared = changes(&bench).await;
    assert_eq!(prepared.len(), 1);
    assert_eq!(
        (prepared[0].next.to_string(), prepared[0].taken),
        (next.clone(), None)
    );
    // The old one is still shown: nothing changes.
    assert_eq!(bench.run(&["guests"]).await.exit, Exit::Done);
    assert_eq!(text(&bench), before);
    restarted(&bench).await;
    let ran = bench.run(&["guests"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert!(
        ran.text()
            .contains(&format!("{next} is pinned from now on")),
        "{ran:?}"
    );
    assert_eq!(text(&bench), before.replace(&old, &next), "comments stay");
    let taken = changes(&bench).await;
    assert!(taken[0].taken.is_some() && taken[0].written, "{taken:?}");
    assert_eq!(taken[0].former.to_string(), old);
    let again = bench.run(&["guests"]).await;
    assert!(!again.text().contains("from now on"), "{again:?}");
    let told = bench.run(&["trust", "rotate"]).await.data();
    assert_eq!(told["history"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&told["next"], &told["in_configuration"]),
        (&Value::Null, &json!(true))
    );
    assert!(!doctor_tells(&bench).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_saw_coming_is_trusted_by_nobody() {
    let bench = Bench::new().await;
    let before = text(&bench);
    bench.world.renew_certificate().unwrap();
    for args in [&["guests"][..], &["doctor"], &["trust", "rotate"]] {
        let ran = bench.run(args).await;
        assert_eq!(ran.exit, Exit::Remote, "{args:?}: {ran:?}");
    }
    assert_eq!(text(&bench), before);
    assert!(changes(&bench).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_than_the_prepared_one_is_not_taken() {
    let bench = Bench::new().await;
    let before = text(&bench);
    let told = bench.run(&["trust", "rotate"]).await;
    assert!(told.text().contains("nothing follows"), "{told:?}");
    placed(&bench).await;
    let dry = bench.run(&["trust", "rotate", "--dry-run"]).await;
    assert!(dry.text().contains("would be prepared"), "{dry:?}");
    assert!(changes(&bench).await.is_empty());
    let told = bench.run(&["trust", "rotate"]).await;
    assert!(told.text().contains("it is prepared"), "{told:?}");
    assert_eq!(told.data()["prepared"], true);
    // Somebody in between, or a renewal that went otherwise.
    bench.world.renew_certificate().unwrap();
    for args in [
        &["guests"][..],
        &["trust", "rotate"],
        &["backup", "run", "9001"],
    ] {
        let ran = bench.run(args).await;
        assert_eq!(ran.exit, Exit::Remote, "{args:?}: {ran:?}");
    }
    assert_eq!(text(&bench), before);
    assert_eq!(changes(&bench).await[0].taken, None);
    // A person decides, as ever.
    let seen = bench.world.fingerprint();
    let ran = bench.run(&["trust", "repin", "--accept", &seen]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert_eq!(bench.run(&["guests"]).await.exit, Exit::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_is_prepared_and_looking_takes_nothing() {
    let bench = Bench::new().await;
    placed(&bench).await;
    bench.run(&["trust", "rotate"]).await;
    let later = placed(&bench).await;
    bench.run(&["trust", "rotate"]).await;
    let prepared = changes(&bench).await;
    assert_eq!(prepared.len(), 1, "one at a time: {prepared:?}");
    assert_eq!(prepared[0].next.to_string(), later);
    // `trust show` looks, and takes nothing.
    restarted(&bench).await;
    let shown = bench.run(&["trust", "show"]).await;
    assert_eq!(shown.exit, Exit::Remote, "{shown:?}");
    assert_eq!(changes(&bench).await[0].taken, None);
    let rotated = bench.run(&["trust", "rotate"]).await;
    assert_eq!(rotated.exit, Exit::Done, "{rotated:?}");
    assert!(changes(&bench).await[0].taken.is_some());
}

/// `/etc/felhom` is root's, so the agent's user can replace no file in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_cannot_be_written_is_no_reason_to_stop() {
    let bench = Bench::new().await;
    let before = text(&bench);
    std::fs::create_dir(bench.config.with_extension("new")).unwrap();
    let mut pins = vec![bench.world.fingerprint()];
    for _ in 0..2 {
        pins.push(placed(&bench).await);
        assert!(doctor_tells(&bench).await);
        restarted(&bench).await;
        let ran = bench.run(&["guests"]).await;
        assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    }
    assert_eq!(text(&bench), before);
    let told = bench.run(&["trust", "rotate"]).await;
    let data = told.data();
    assert_eq!(
        (&data["pinned"], &data["in_configuration"]),
        (&json!(pins[2]), &json!(false))
    );
    assert!(
        told.text()
            .contains(&format!("fingerprint = \"{}\"", pins[2])),
        "{told:?}"
    );
    assert_eq!(bench.run(&["trust", "show"]).await.exit, Exit::Done);
    // What the file names is trusted no more, though it stands there.
    bench.world.renew_certificate().unwrap();
    assert_eq!(bench.run(&["guests"]).await.exit, Exit::Remote);
    // As soon as the file can be written, it names the pin, whatever it is.
    std::fs::remove_dir(bench.config.with_extension("new")).unwrap();
    let seen = bench.world.fingerprint();
    let ran = bench.run(&["trust", "repin", "--accept", &seen]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert_eq!(text(&bench), before.replace(&pins[0], &seen));
    assert_eq!(bench.run(&["guests"]).await.exit, Exit::Done);
    assert_eq!(changes(&bench).await.len(), 2, "the record stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_pin_there_is_nothing_to_rotate() {
    let bench = Bench::new().await;
    let seen = bench.world.fingerprint();
    bench.reconfigure(|text| text.replace(&format!("fingerprint = \"{seen}\""), "insecure = true"));
    let ran = bench.run(&["trust", "rotate"]).await;
    assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
    let output = bench.program(&["trust", "rotate", "--json"], "").await;
    assert_eq!(output.json()["error"]["code"], "no-pin");
}
