//! Any history of trouble on the box and on the way: everything that is told arrives once, or says that it may have before.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::receiver::{Receiver, Reply};
use super::*;

#[derive(Debug, Clone)]
struct Pass {
    minutes: i64,
    wrong: Vec<u32>,
    replies: Vec<u16>,
}

fn pass() -> impl Strategy<Value = Pass> {
    let reply = prop_oneof![
        4 => Just(200_u16), 1 => Just(500), 1 => Just(503), 1 => Just(422), 1 => Just(0), 1 => Just(401),
    ];
    (
        10_i64..400,
        prop::collection::vec(101_u32..105, 0..4),
        prop::collection::vec(reply, 0..3),
    )
        .prop_map(|(minutes, wrong, replies)| Pass {
            minutes,
            wrong,
            replies,
        })
}

/// The requests that the receiver took, by their answers; a cut one may have been taken.
async fn play(passes: Vec<Pass>) {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    let (mut now, mut open) = (0, BTreeMap::new());
    // By the name of a notice: how often it was taken, and how often that was left open.
    let mut taken: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let healing = (0..40).map(|_| Pass {
        minutes: 400,
        wrong: vec![],
        replies: vec![],
    });
    for pass in passes.into_iter().chain(healing) {
        now += pass.minutes;
        let findings = pass.wrong.iter();
        let findings = findings.map(|vmid| {
            finding(
                "backup-failed",
                &format!("guest {vmid}"),
                Severity::Critical,
            )
        });
        let report = HostReport {
            findings: findings.collect(),
            ..well()
        };
        let mut script = pass.replies.clone().into_iter();
        receiver.answer(pass.replies.iter().map(|status| match status {
            0 => Reply::Cut,
            status => Reply::Status(*status),
        }));
        room.pass(&report, minute(now)).await;
        for seen in receiver.take() {
            let answered = script.next().unwrap_or(200);
            let notice = seen.notice();
            let text = |key: &str| notice[key].as_str().unwrap().to_owned();
            let (done, unsure) = taken.entry(text("id")).or_default();
            assert_eq!(*done, 0, "told again after it was taken: {notice}");
            assert_eq!(notice["repeated"] == true, *unsure > 0, "{notice}");
            match answered {
                200 => *done += 1,
                0 | 500 => *unsure += 1,
                _ => {}
            }
            if answered == 200 {
                let now_open = text("event") == "opened";
                let before = open.insert(text("subject"), now_open).unwrap_or(false);
                assert_ne!(before, now_open, "{notice}");
            }
        }
        receiver.forget();
    }
    assert!(
        open.values().all(|open| !open),
        "what was told as open is told as over: {open:?}"
    );
    assert!(taken.values().all(|(done, _)| *done == 1), "{taken:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn everything_arrives_once_or_says_that_it_may_have(passes in prop::collection::vec(pass(), 1..15)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.unwrap().block_on(play(passes));
    }
}
