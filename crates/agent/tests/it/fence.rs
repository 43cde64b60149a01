//! The way to the root helper: absent, hung, garbage, late, refusing; and what `doctor` says of each.

use felhom_agent::exit::Exit;
use felhom_agent::fence::{Fence, FenceError};
use felhom_host::{Code, Operation, Report};
use std::time::Duration;

use crate::helper::{Helper, Manner};
use crate::support::*;

const HOST: &str = "\n[host]\nsocket = \"hostd.sock\"\n";
const PATIENCE: Duration = Duration::from_millis(500);

async fn bench() -> (Bench, Helper) {
    let bench = Bench::with(&format!("{FAST}{HOST}"), None).await;
    let helper = Helper::listen(&bench.directory.path().join("box/hostd.sock"));
    (bench, helper)
}

fn fence(bench: &Bench) -> Fence {
    Fence::new(&felhom_agent::config::load(&bench.config).unwrap())
}

/// What `doctor` says of the helper: its state, whether that is a finding, and the page.
async fn told(bench: &Bench) -> (String, bool, String) {
    let ran = bench.run(&["doctor"]).await;
    let data = ran.data();
    let state = data["root_helper"]["state"].as_str().unwrap().to_owned();
    let mut findings = data["findings"].as_array().unwrap().iter();
    let found = findings.any(|one| one["code"].as_str().unwrap().starts_with("root-helper-"));
    (state, found, ran.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_of_a_question_is_told_apart() {
    let (bench, helper) = bench().await;
    let ask = || {
        let fence = fence(&bench);
        async move { fence.ask(Operation::ReadSensors {}, PATIENCE).await }
    };
    assert!(matches!(ask().await, Ok(Report::Sensors(_))));
    let lost = [
        Manner::Hangs,
        Manner::Says(String::new()),
        Manner::Says("{\"result\":\"done\"".into()),
        Manner::Says("{\"result\":\"done\",\"done\":{\"report\":\"of-tomorrow\"}}".into()),
        Manner::Says("x".repeat(5 << 20)),
        Manner::Forgets,
    ];
    for manner in lost {
        helper.set(|desk| desk.manner = manner.clone());
        let answer = ask().await;
        let Err(error @ FenceError::Lost(_)) = answer else {
            panic!("{answer:?}");
        };
        assert!(!error.is_clean());
        assert_eq!(error.failure().exit, Exit::Undetermined);
    }
    helper.set(|desk| desk.manner = Manner::Refuses(Code::Busy));
    let refused = ask().await.unwrap_err();
    assert!(refused.is_clean() && refused.failure().exit == Exit::Busy);
    std::fs::remove_file(bench.directory.path().join("box/hostd.sock")).unwrap();
    let absent = ask().await.unwrap_err();
    assert!(absent.is_clean(), "{absent}");
    assert!(matches!(absent, FenceError::Absent(_)));
    assert!(absent.failure().hint.unwrap().contains("systemctl enable"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_what_does_not_work_without_a_helper_and_finds_nothing_wrong_with_that() {
    let bench = Bench::with(&format!("{FAST}{HOST}"), None).await;
    let (state, found, page) = told(&bench).await;
    assert_eq!((state.as_str(), found), ("absent", false));
    for words in [
        "no root helper",
        "storage adopt UUID",
        "systemctl enable --now felhom-hostd.socket",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_tells_a_helper_that_works_from_one_that_does_not_fit() {
    let (bench, helper) = bench().await;
    let (state, found, page) = told(&bench).await;
    assert_eq!((state.as_str(), found), ("works", false), "{page}");
    let questions = [
        "read-sensors",
        "release-unfinished-restore",
        "release-unfinished-restore",
    ];
    assert_eq!(helper.asked(), questions);
    for refusal in [
        (Code::OutsideRange, "9100 is not in 9200-9299"),
        (
            Code::NotConfigured,
            "/etc/felhom/hostd.toml has no [scratch]",
        ),
        (
            Code::NotProven,
            "the task is of x, which is not in `scratch.tokens` of /etc/felhom/hostd.toml",
        ),
    ] {
        helper.set(|desk| desk.release = Some(refusal));
        let (state, found, page) = told(&bench).await;
        assert_eq!(
            (state.as_str(), found),
            ("not-configured", true),
            "{refusal:?}"
        );
        assert!(page.contains("felhom-agent host config"), "{page}");
    }
    helper.set(|desk| desk.release = None);
    for (manner, expected) in [
        (Manner::Refuses(Code::NotAllowed), "wrong-user"),
        (Manner::Refuses(Code::Malformed), "other-version"),
        (Manner::Refuses(Code::NotConfigured), "not-configured"),
        (
            Manner::Says("{\"result\":\"of-tomorrow\"}".into()),
            "other-version",
        ),
        (Manner::Hangs, "silent"),
    ] {
        helper.set(|desk| desk.manner = manner.clone());
        let (state, found, page) = told(&bench).await;
        assert_eq!(
            (state.as_str(), found),
            (expected, true),
            "{manner:?}: {page}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_are_listed_with_what_stands_in_their_way() {
    let (bench, helper) = bench().await;
    helper.plug(crate::helper::UUID, "S1");
    let ran = bench.run(&["host", "devices"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let text = ran.text();
    assert!(text.contains("no: `/` is mounted from this"), "{text}");
    let adopt = format!("felhom-agent storage adopt UUID={}", crate::helper::UUID);
    assert!(text.contains(&adopt), "{text}");
    let ran = bench.run(&["host", "sensors"]).await;
    assert!(ran.text().contains("48.5 °C"), "{ran:?}");
    assert!(ran.text().contains("a core 3 times"), "{ran:?}");
    // What is printed for root fits, whether or not there is a helper.
    let printed = bench.run(&["host", "config"]).await.data();
    let config = felhom_host::Config::parse(printed["text"].as_str().unwrap()).unwrap();
    let ours = felhom_agent::config::load(&bench.config).unwrap();
    assert_eq!(config.scratch.unwrap().tokens, [ours.restore_test.token]);
    helper.set(|desk| desk.manner = Manner::Refuses(Code::NotAllowed));
    let ran = bench.run(&["host", "devices"]).await;
    assert_eq!(ran.exit, Exit::Permission, "{ran:?}");
}
