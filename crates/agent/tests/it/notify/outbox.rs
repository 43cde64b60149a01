//! What becomes of a notice: told once on each channel, tried again where it did not arrive, given up in the end.

use felhom_agent::journal::Suppression;
use felhom_agent::notify::{announce, findings};
use felhom_protocol::host::HostReport;

use super::receiver::{Dead, Receiver, Reply, certified};
use super::*;

/// What a webhook was told: event, id, whether it may be a repetition.
fn told(receiver: &Receiver) -> Vec<(String, String, bool)> {
    let each = receiver.take().into_iter().map(|seen| {
        let notice = seen.notice();
        let text = |key: &str| notice[key].as_str().unwrap().to_owned();
        (text("event"), text("id"), notice["repeated"] == true)
    });
    each.collect()
}

fn events(receiver: &Receiver) -> Vec<String> {
    told(receiver)
        .into_iter()
        .map(|(event, ..)| event)
        .collect()
}

#[tokio::test]
async fn an_incident_is_told_once_and_so_is_its_end() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    let announced = room.pass(&failed(), minute(0)).await;
    assert_eq!((announced.opened, announced.open), (1, 1), "{announced:?}");
    assert_eq!(announced.channels[0].delivered, 1);
    assert_eq!(events(&receiver), ["opened"]);
    for hour in 1..24 {
        let mut report = failed();
        report.findings[0].detail = format!("{hour} hours ago");
        let announced = room.pass(&report, minute(hour * 60)).await;
        assert_eq!(announced.lines(), [""; 0], "nothing is new");
    }
    assert_eq!(receiver.count(), 0);
    let announced = room.pass(&well(), minute(24 * 60)).await;
    assert_eq!((announced.resolved, announced.open), (1, 0));
    assert_eq!(events(&receiver), ["resolved"]);
    room.pass(&well(), minute(25 * 60)).await;
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn what_did_not_arrive_is_tried_again_later_under_the_same_name() {
    for (reply, repeated) in [
        (Reply::Status(503), false),
        (Reply::Status(500), true),
        (Reply::Cut, true),
        (Reply::Silence, true),
        (Reply::Garbage, true),
        (Reply::Status(401), false),
        (
            Reply::With(302, "location: http://127.0.0.1:1/".into()),
            false,
        ),
        (Reply::Status(422), false),
    ] {
        let receiver = Receiver::new().await;
        let room = Room::hook(&receiver);
        receiver.answer([reply.clone()]);
        let announced = room.pass(&failed(), minute(0)).await;
        let end = &announced.channels[0];
        assert_eq!(
            (end.delivered, end.waiting, end.given_up),
            (0, 1, 0),
            "{reply:?}"
        );
        let first = told(&receiver);
        assert_eq!(first.len(), 1, "{reply:?}");
        room.pass(&failed(), minute(1)).await;
        assert_eq!(receiver.count(), 0, "{reply:?}: the pause is not over");
        let announced = room.pass(&failed(), minute(3)).await;
        assert_eq!(
            announced.channels[0].delivered, 1,
            "{reply:?}: {announced:?}"
        );
        let again = told(&receiver);
        assert_eq!(
            again,
            [("opened".to_owned(), first[0].1.clone(), repeated)],
            "{reply:?}"
        );
        room.pass(&failed(), minute(600)).await;
        assert_eq!(receiver.count(), 0, "{reply:?}: told once");
    }
}

#[tokio::test]
async fn nobody_who_refuses_the_connection_is_told_of_a_repetition() {
    let gone = Receiver::new().await.port();
    let mut room = Room::new(&hook("hook", gone));
    let announced = room.pass(&failed(), minute(0)).await;
    let error = announced.channels[0].error.clone().unwrap();
    assert!(error.contains("cannot be reached"), "{error}");
    let receiver = Receiver::new().await;
    room.reconfigure(&hook("hook", receiver.port()));
    room.pass(&failed(), minute(10)).await;
    let told = told(&receiver);
    assert_eq!(told.len(), 1);
    assert!(!told[0].2, "it surely did not arrive before: {told:?}");
}

/// Neither a connection that nobody takes nor one on which TLS does not come about carried anything.
#[tokio::test]
async fn nobody_who_lets_the_connection_wait_is_told_of_a_repetition() {
    let dead = Dead::new().await;
    let silent = Receiver::new().await;
    silent.answer([Reply::Silence]);
    let (_, pem) = certified();
    let secure = hook("hook", silent.port()).replace("http://127.0.0.1", "https://localhost");
    let secure = secure + "ca_file = \"own.pem\"\n";
    for section in [hook("hook", dead.port), secure] {
        let mut room = Room::new(&section);
        std::fs::write(room.directory.path().join("own.pem"), &pem).unwrap();
        room.config.request_timeout = std::time::Duration::from_millis(600);
        let announced = room.pass(&failed(), minute(0)).await;
        let error = announced.channels[0].error.clone().unwrap();
        assert!(error.contains("cannot be reached"), "{error}");
        let receiver = Receiver::new().await;
        room.reconfigure(&hook("hook", receiver.port()));
        room.pass(&failed(), minute(10)).await;
        let told = told(&receiver);
        assert_eq!(told.len(), 1, "{section}");
        assert!(!told[0].2, "it surely did not arrive before: {told:?}");
    }
}

#[tokio::test]
async fn a_program_that_dies_after_sending_sends_again_and_says_so() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    receiver.answer([Reply::Silence]);
    {
        let journal = room.journal().await;
        let report = failed();
        let announcing = announce(&room.config, &journal, &report, minute(0));
        tokio::pin!(announcing);
        while receiver.count() == 0 {
            let patience = std::time::Duration::from_millis(10);
            assert!(
                tokio::time::timeout(patience, &mut announcing)
                    .await
                    .is_err()
            );
        }
        // It was sent, and nobody comes to write down what became of it.
    }
    let first = told(&receiver);
    room.pass(&failed(), minute(5)).await;
    let again = told(&receiver);
    assert_eq!(again, [("opened".to_owned(), first[0].1.clone(), true)]);
    room.pass(&failed(), minute(500)).await;
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn channels_do_not_wait_for_each_other() {
    let (well_off, broken) = (Receiver::new().await, Receiver::new().await);
    let room = Room::new(&(hook("a-broken", broken.port()) + &hook("b-well", well_off.port())));
    broken.answer(vec![Reply::Status(500); 5]);
    let announced = room.pass(&failed(), minute(0)).await;
    assert_eq!(announced.channels[0].waiting, 1, "{announced:?}");
    assert_eq!(announced.channels[1].delivered, 1, "{announced:?}");
    assert_eq!(events(&well_off), ["opened"]);
}

#[tokio::test]
async fn a_channel_that_fails_is_asked_once_a_pass() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    let mut report = failed();
    for vmid in 102..120 {
        let subject = format!("guest {vmid}");
        report
            .findings
            .push(finding("backup-failed", &subject, Severity::Warning));
    }
    receiver.answer([Reply::Status(503)]);
    let announced = room.pass(&report, minute(0)).await;
    assert_eq!(receiver.take().len(), 1);
    assert_eq!(announced.channels[0].waiting, 19);
    // What the message alone is to blame for hinders no other.
    receiver.answer([Reply::Status(422)]);
    let announced = room.pass(&report, minute(10)).await;
    assert_eq!(receiver.take().len(), 19);
    let end = &announced.channels[0];
    assert_eq!((end.delivered, end.waiting), (18, 1));
}

#[tokio::test]
async fn who_wants_to_be_left_alone_is() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    receiver.answer([Reply::With(429, "retry-after: 3600".into())]);
    room.pass(&failed(), minute(0)).await;
    room.pass(&failed(), minute(59)).await;
    assert_eq!(receiver.take().len(), 1);
    room.pass(&failed(), minute(60)).await;
    assert_eq!(events(&receiver), ["opened"]);
    // Not for longer than a day, whatever it says.
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    receiver.answer([Reply::With(429, "retry-after: 99999999999".into())]);
    room.pass(&failed(), minute(0)).await;
    room.pass(&failed(), minute(24 * 60)).await;
    assert_eq!(receiver.take().len(), 2);
}

#[tokio::test]
async fn nobody_hears_that_something_is_over_before_that_it_began() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    receiver.answer([Reply::With(503, "retry-after: 14400".into())]);
    room.pass(&failed(), minute(0)).await;
    receiver.take();
    room.pass(&well(), minute(120)).await;
    assert_eq!(receiver.count(), 0, "the end waits for the beginning");
    room.pass(&well(), minute(240)).await;
    assert_eq!(events(&receiver), ["opened", "resolved"]);
}

#[tokio::test]
async fn a_notice_that_does_not_arrive_is_a_finding_until_it_does() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    receiver.answer(vec![Reply::Status(500); 100]);
    let mut asked = 0;
    for day in 0..40 {
        room.pass(&failed(), minute(day * 60)).await;
        asked += receiver.take().len();
    }
    assert!((12..=16).contains(&asked), "bounded: {asked}");
    let journal = room.journal().await;
    let found = findings(&room.config, &journal).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, "notification-undelivered");
    assert_eq!(found[0].subject, "channel hook");
    assert!(found[0].detail.contains("answered 500"), "{found:?}");
    drop(journal);
    receiver.heal();
    room.pass(&well(), minute(100 * 60)).await;
    assert_eq!(events(&receiver), ["opened", "resolved"]);
    let journal = room.journal().await;
    assert!(findings(&room.config, &journal).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_channel_that_comes_back_after_two_weeks_hears_what_is_still_wrong() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    receiver.answer(vec![Reply::Status(500); 100]);
    let mut asked = 0;
    for hours in (0..14 * 24).step_by(3) {
        room.pass(&failed(), minute(hours * 60)).await;
        asked += receiver.take().len();
    }
    assert!(asked < 80, "bounded: {asked}");
    receiver.heal();
    let days = |days: i64| minute(days * 24 * 60);
    room.pass(&failed(), days(15)).await;
    room.pass(&failed(), days(16)).await;
    // What is critical was meant to be told again meanwhile, too.
    let heard = events(&receiver);
    assert!(!heard.is_empty() && heard.len() <= 3, "{heard:?}");
}

#[tokio::test]
async fn a_new_channel_hears_of_what_is_open_and_only_of_that() {
    let (first, second) = (Receiver::new().await, Receiver::new().await);
    let mut room = Room::new("");
    let announced = room.pass(&failed(), minute(0)).await;
    assert_eq!((announced.opened, announced.channels.len()), (1, 0));
    room.reconfigure(&hook("first", first.port()));
    room.pass(&failed(), minute(10)).await;
    assert_eq!(events(&first), ["opened"]);
    room.reconfigure(&(hook("first", first.port()) + &hook("second", second.port())));
    room.pass(&failed(), minute(20)).await;
    room.pass(&failed(), minute(30)).await;
    assert_eq!(events(&second), ["opened"]);
    assert_eq!(first.count(), 0);
}

#[tokio::test]
async fn what_somebody_accepts_is_not_told_late_either() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    receiver.answer([Reply::Status(503)]);
    room.pass(&failed(), minute(0)).await;
    receiver.take();
    let suppression = Suppression {
        code: "backup-failed".to_owned(),
        subject: Some("guest 101".to_owned()),
        until: minute(1000),
        reason: "it is being rebuilt".to_owned(),
    };
    room.journal()
        .await
        .suppress(&suppression, minute(1))
        .await
        .unwrap();
    // A report leaves out what is accepted.
    let announced = room.pass(&well(), minute(10)).await;
    assert_eq!((announced.resolved, announced.open), (0, 0));
    room.pass(&well(), minute(900)).await;
    assert_eq!(receiver.count(), 0);
    room.pass(&failed(), minute(1001)).await;
    assert_eq!(events(&receiver), ["opened"]);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_tells_nothing() {
    let receiver = Receiver::new().await;
    let room = Room::hook(&receiver);
    drop(room.journal().await);
    let path = room.config.state_dir.join("journal.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    sqlx::query("DROP TABLE deliveries")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let announced = room.pass(&failed(), minute(0)).await;
    assert!(announced.trouble.is_some(), "{announced:?}");
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn the_journal_holds_one_open_incident_a_key() {
    let room = Room::new("");
    let twice = HostReport {
        findings: vec![
            finding("backup-failed", "guest 101", Severity::Warning),
            finding("backup-failed", "guest 101", Severity::Critical),
        ],
        ..well()
    };
    room.pass(&twice, minute(0)).await;
    let (open, last) = room.journal().await.incidents().await.unwrap();
    assert_eq!((open.len(), last), (1, 1));
    assert_eq!(open[0].severity, felhom_engine::Severity::Critical);
}
