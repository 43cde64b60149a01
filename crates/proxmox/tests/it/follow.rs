//! Following tasks: when the end is noticed, what it means, and when a running task is left alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use felhom_ids::Upid;
use felhom_proxmox::task::{Finished, Left, Progress, Seen};
use felhom_proxmox::{Ending, Error, FollowOptions, LogLine, Outcome, Silent, Watch};
use tokio::time::Instant;

use crate::scripted::{Reply, Scripted, json, ok};

const UPID: &str =
    "UPID:demo-felhom:000007D9:00010F40:6B0384E7:vzdump:9001:felhom-agent@pve!agent:";

fn upid() -> Upid {
    UPID.parse().unwrap()
}

/// A task that runs for a while, and whose log grows by a line every 100 ms.
#[derive(Clone)]
struct Task {
    length: Duration,
    /// What the n-th question after its end is told.
    exits: Vec<&'static str>,
    last: &'static str,
}

impl Task {
    fn ends(milliseconds: u64, exit: &'static str, last: &'static str) -> Self {
        Self {
            length: Duration::from_millis(milliseconds),
            exits: vec![exit],
            last,
        }
    }

    async fn start(self) -> Scripted {
        let began = Instant::now();
        let asked = Mutex::new(0_usize);
        Scripted::start(move |request| {
            let line = request.lines().next().unwrap();
            let over = began.elapsed() >= self.length;
            if line.contains("/status ") {
                let exit = over.then(|| {
                    let mut asked = asked.lock().unwrap();
                    let exit = self.exits.get(*asked).or(self.exits.last()).unwrap();
                    *asked += 1;
                    format!(r#","exitstatus":"{exit}""#)
                });
                let state = if over { "stopped" } else { "running" };
                return ok(&format!(
                    r#"{{"data":{{"upid":"{UPID}","status":"{state}","pid":2009,"type":"vzdump"{}}}}}"#,
                    exit.unwrap_or_default()
                ));
            }
            let start: u128 =
                line.split("start=").nth(1).unwrap().split(['&', ' ']).next().unwrap().parse().unwrap();
            let mut lines: Vec<String> = (0..began.elapsed().min(self.length).as_millis() / 100)
                .map(|n| format!("INFO: line {}", n + 1))
                .collect();
            if over && !self.last.is_empty() {
                lines.push(self.last.to_owned());
            }
            if lines.is_empty() {
                return ok(r#"{"data":[{"n":1,"t":"no content"}],"total":1}"#);
            }
            let shown: Vec<String> = (1_u128..)
                .zip(&lines)
                .filter(|(n, _)| *n > start)
                .map(|(n, text)| format!(r#"{{"n":{n},"t":"{text}"}}"#))
                .collect();
            ok(&format!(r#"{{"data":[{}],"total":{}}}"#, shown.join(","), lines.len()))
        })
        .await
    }
}

async fn finished(server: &Scripted, options: FollowOptions, watch: &mut impl Watch) -> Finished {
    match server.pve().follow(&upid(), &options, watch).await.unwrap() {
        Ending::Finished(finished) => finished,
        left @ Ending::LeftRunning { .. } => panic!("{left:?}"),
    }
}

#[tokio::test]
async fn the_end_is_noticed_soon_and_every_line_is_heard_once() {
    let began = Instant::now();
    let server = Task::ends(1_500, "OK", "TASK OK").start().await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let mut listen = move |line: &LogLine| ear.lock().unwrap().push((line.n, line.text.clone()));
    let end = finished(&server, FollowOptions::default(), &mut listen).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert_eq!(end.last_line.as_deref(), Some("TASK OK"));
    let late = began.elapsed().saturating_sub(Duration::from_millis(1_500));
    // Twice the promise, for a machine that is busy with other tests.
    assert!(late < Duration::from_millis(500), "{late:?}");
    let heard = heard.lock().unwrap();
    let numbers: Vec<u64> = heard.iter().map(|(n, _)| *n).collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    assert_eq!(end.next_line, 16);
    assert!(server.seen().len() < 25, "{} requests", server.seen().len());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn stand_in_lines_are_not_log_lines() {
    let server = Task::ends(0, "OK", "").start().await;
    let mut nothing = |line: &LogLine| panic!("{line:?}");
    let end = finished(&server, FollowOptions::default(), &mut nothing).await;
    assert_eq!((end.last_line, end.next_line), (None, 0));
}

#[tokio::test]
async fn following_can_be_a_task_of_its_own() {
    let server = Task::ends(0, "OK", "TASK OK").start().await;
    let pve = server.pve();
    let following = tokio::spawn(async move {
        let options = FollowOptions::default();
        pve.follow(&upid(), &options, &mut Silent).await
    });
    assert!(matches!(following.await.unwrap(), Ok(Ending::Finished(_))));
}

#[tokio::test]
async fn following_goes_on_from_a_known_line() {
    let server = Task::ends(300, "job errors", "TASK ERROR: job errors")
        .start()
        .await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let mut listen = move |line: &LogLine| ear.lock().unwrap().push(line.n);
    let options = FollowOptions {
        from_line: 2,
        ..FollowOptions::default()
    };
    let end = finished(&server, options, &mut listen).await;
    assert_eq!(end.outcome, Outcome::Failed("job errors".to_owned()));
    assert_eq!(*heard.lock().unwrap(), [3, 4]);
}

#[tokio::test]
async fn an_odd_exit_status_is_asked_for_again_on_a_new_connection() {
    let mut task = Task::ends(0, "unexpected status", "TASK OK");
    task.exits.push("WARNINGS: 1");
    let server = task.start().await;
    let end = finished(&server, FollowOptions::default(), &mut Silent).await;
    assert_eq!(end.outcome, Outcome::Warnings(1));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn the_log_has_the_last_word_over_a_status_that_stays_odd() {
    let server = Task::ends(0, "unexpected status", "TASK OK").start().await;
    let end = finished(&server, FollowOptions::default(), &mut Silent).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    // Also when all of its lines were known before.
    let options = FollowOptions {
        from_line: 1,
        ..FollowOptions::default()
    };
    let end = finished(&server, options, &mut Silent).await;
    assert_eq!((end.outcome, end.next_line), (Outcome::Succeeded, 1));
}

#[tokio::test]
async fn nobody_knows_stays_nobody_knows() {
    for last in [
        "ERROR: can't acquire lock '/var/run/vzdump.lock' - got timeout",
        "TASK ERROR: interrupted by signal",
    ] {
        let server = Task::ends(0, "unexpected status", last).start().await;
        let end = finished(&server, FollowOptions::default(), &mut Silent).await;
        assert!(end.outcome.is_undetermined(), "{end:?}");
        assert_eq!(end.last_line.as_deref(), Some(last));
    }
}

/// Sees progress a few times, then a reason to leave.
struct Sees(u32);

impl Watch for Sees {
    async fn check(&mut self, progress: Progress) -> Seen {
        assert_eq!(progress.lines, 1);
        self.0 += 1;
        if self.0 < 6 {
            Seen::Progress
        } else {
            Seen::Leave("the pool is at its floor".to_owned())
        }
    }
}

#[tokio::test]
async fn a_silent_task_is_left_running_and_said_to_be() {
    let server = Scripted::start(|request| {
        if request.lines().next().unwrap().contains("/status ") {
            ok(&format!(
                r#"{{"data":{{"upid":"{UPID}","status":"running"}}}}"#
            ))
        } else {
            ok(r#"{"data":[{"n":1,"t":"extracting archive"}],"total":1}"#)
        }
    })
    .await;
    let options = FollowOptions {
        no_progress: Duration::from_millis(300),
        ..FollowOptions::default()
    };
    let ending = server
        .pve()
        .follow(&upid(), &options, &mut Silent)
        .await
        .unwrap();
    let Ending::LeftRunning {
        why: Left::NoProgress(silent),
        next_line: 1,
    } = ending
    else {
        panic!("{ending:?}")
    };
    assert!(silent >= options.no_progress);
    assert!(
        server
            .seen()
            .iter()
            .all(|request| request.starts_with("GET "))
    );

    // Somebody who sees that it gets on keeps it going.
    let ending = server
        .pve()
        .follow(&upid(), &options, &mut Sees(0))
        .await
        .unwrap();
    let Ending::LeftRunning {
        why: Left::Watch(why),
        ..
    } = ending
    else {
        panic!("{ending:?}")
    };
    assert_eq!(why, "the pool is at its floor");
}

#[tokio::test]
async fn passing_trouble_is_sat_out_and_a_refusal_is_not() {
    let asked = Mutex::new(0);
    let server = Scripted::start(move |request| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        if *asked == 1 {
            return Reply::SendAndClose(json(596, "Connection timed out", ""));
        }
        if request.lines().next().unwrap().contains("/status ") {
            ok(&format!(r#"{{"data":{{"upid":"{UPID}","status":"stopped","exitstatus":"OK"}}}}"#))
        } else {
            ok(r#"{"data":[{"n":1,"t":"unable to open file - No such file or directory"}],"total":1}"#)
        }
    })
    .await;
    let end = finished(&server, FollowOptions::default(), &mut Silent).await;
    assert_eq!((end.outcome, end.last_line), (Outcome::Succeeded, None));

    let body = r#"{"data":null,"errors":{"upid":"no such task"},"message":"Parameter verification failed.\n"}"#;
    let server =
        Scripted::start(|_| Reply::Send(json(400, "Parameter verification failed.", body))).await;
    let error = server
        .pve()
        .follow(&upid(), &FollowOptions::default(), &mut Silent)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn a_log_longer_than_a_page_is_read_whole() {
    let server = Scripted::start(|request| {
        let line = request.lines().next().unwrap();
        if line.contains("/status ") {
            return ok(&format!(
                r#"{{"data":{{"upid":"{UPID}","status":"stopped","exitstatus":"OK"}}}}"#
            ));
        }
        let start: u64 = line
            .split("start=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let limit: u64 = line
            .split("limit=")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let lines: Vec<String> = (start + 1..=1_234.min(start + limit))
            .map(|n| format!(r#"{{"n":{n},"t":"x"}}"#))
            .collect();
        ok(&format!(r#"{{"data":[{}],"total":1234}}"#, lines.join(",")))
    })
    .await;
    let end = finished(&server, FollowOptions::default(), &mut Silent).await;
    assert_eq!(end.next_line, 1_234);
}
