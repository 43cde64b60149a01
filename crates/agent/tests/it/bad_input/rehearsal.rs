//! `--dry-run`: the plan that would be performed, and nothing of it.

use felhom_agent::output::Printed;
use serde_json::json;

use crate::support::*;

/// Without what is drawn anew each time.
fn settled(line: &str) -> String {
    let drawn = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        bare.parse::<std::net::Ipv4Addr>().is_ok()
            || word.contains("felhom-") && word.len() > 20
            || word.starts_with("203.0.")
            || word.starts_with("198.51.")
            || word.starts_with("192.0.")
    };
    let words: Vec<&str> = line.split(' ').collect();
    // The other guests go on writing, so what is free is less at the second look.
    let free = |at: usize| words.get(at + 1..at + 3) == Some(&["MiB", "free,"]);
    let masked = words.iter().enumerate().map(|(at, word)| match *word {
        word if drawn(word) || free(at) => "#",
        word => word,
    });
    masked.collect::<Vec<_>>().join(" ")
}

/// The plan's lines that a rehearsal prints, and those that the run narrates.
async fn plans(bench: &Bench, args: &[&str]) -> (Vec<String>, Vec<String>) {
    let before = (bench.mutations(), bench.jobs().await, bench.production());
    let scratch = bench.scratch_guests();
    let dry: Vec<&str> = args.iter().copied().chain(["--dry-run"]).collect();
    let rehearsed = bench.run(&dry).await;
    assert_eq!(rehearsed.data()["dry_run"], true, "{args:?}: {rehearsed:?}");
    assert_eq!(
        (bench.mutations(), bench.jobs().await, bench.production()),
        before,
        "{args:?}"
    );
    assert_eq!(bench.scratch_guests(), scratch);
    let data = rehearsed.data();
    let plan = data["plan"].as_array().unwrap();
    let plan: Vec<_> = plan
        .iter()
        .map(|line| settled(line.as_str().unwrap()))
        .collect();
    for line in &plan {
        let text: Vec<_> = rehearsed.text().lines().map(settled).collect();
        assert!(
            text.contains(line),
            "{args:?}: `{line}` is not printed: {text:?}"
        );
    }
    let ran = bench.run(args).await;
    let narrated = ran.printed.iter().filter_map(|printed| match printed {
        Printed::Narration(line) => Some(settled(line)),
        Printed::Document { .. } | Printed::Failure(..) => None,
    });
    (plan, narrated.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rehearsal_prints_the_plan_of_the_run_and_changes_nothing() {
    let bench = Bench::new().await;
    for args in [
        &["backup", "run", "9010"][..],
        &["backup", "run", "9001", "--mode", "stop"],
        &["restore-test", "run", "9010"],
        &["restore-test", "run"],
        &["selftest", "task", "9001"],
        &["selftest", "restore-test"],
    ] {
        let (plan, narrated) = plans(&bench, args).await;
        assert!(!plan.is_empty(), "{args:?}");
        assert_eq!(plan, narrated, "{args:?}");
    }
    assert!(bench.scratch_guests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsed_reap_says_what_it_would_go_on_with() {
    let bench = Bench::new().await;
    let volid = bench.backup(9001).await;
    // A job that ended before its first step.
    let journal = bench.journal().await;
    journal
        .insert(&test_job(&bench, &journal, &volid, 0xbeef))
        .await
        .unwrap();
    drop(journal);
    let (plan, narrated) = plans(&bench, &["restore-test", "reap"]).await;
    assert_eq!(plan.len(), 1, "{plan:?}");
    assert!(
        plan[0].contains("go on with restore-test") && plan[0].contains("000000000000beef"),
        "{plan:?}"
    );
    assert_eq!(plan[0], narrated[0]);
    assert!(bench.journal().await.unfinished().await.unwrap().is_empty());
    let (plan, narrated) = plans(&bench, &["restore-test", "reap"]).await;
    assert!(plan.is_empty() && narrated.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_makes_no_journal() {
    let bench = Bench::new().await;
    for args in [
        &["backup", "run", "9001", "--dry-run"][..],
        &["selftest", "task", "9001", "--dry-run"],
        &["restore-test", "reap", "--dry-run"],
    ] {
        let ran = bench.program(args, "").await;
        assert_eq!(ran.exit, Some(0), "{args:?}: {ran:?}");
    }
    assert!(!bench.state_dir().exists());
    assert!(bench.mutations().is_empty());
    // A refusal is the same refusal.
    bench.poke(9001, json!({ "set": { "lock": "disk" } })).await;
    let ran = bench
        .program(&["backup", "run", "9999", "--dry-run"], "")
        .await;
    assert_eq!(ran.exit, Some(5), "{ran:?}");
    assert!(!bench.state_dir().exists());
}
