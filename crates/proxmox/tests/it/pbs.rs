//! A backup server's manners against real sockets: plain refusals, tasks, long lists, beginnings of files, logins.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use felhom_ids::{BackupSnapshot, Upid};
use felhom_proxmox::pbs::download::Download;
use felhom_proxmox::pbs::identities::{self, Change, Door, Login};
use felhom_proxmox::pbs::snapshots::ListSnapshots;
use felhom_proxmox::pbs::verify::Verify;
use felhom_proxmox::pbs::{Pbs, Place};
use felhom_proxmox::{
    Client, Delivery, Ending, Error, FollowOptions, Outcome, Settings, Token, Trust,
};
use secrecy::SecretString;

use crate::scripted::{Reply, SECRET, Scripted, json, ok};

const UPID: &str = "UPID:vm:00004F7B:0003D00B:0000001B:6B037E39:verify_snapshot:felhom\\x2dspike\\x3a-ct-9001-6B037C64:felhom@pbs!n100:";

pub(crate) fn pbs(server: &Scripted) -> Pbs {
    let secret = SecretString::from(SECRET);
    let token = Token::pbs("felhom@pbs!n100".parse().unwrap(), &secret);
    let trust = Trust::PinnedLeaf(server.fingerprint);
    Pbs::new(Client::new(Settings::new(server.address.clone(), token, trust)).unwrap())
}

fn place() -> Place {
    Place {
        store: "felhom-spike".parse().unwrap(),
        namespace: "felhomns".parse().unwrap(),
    }
}

fn snapshot() -> BackupSnapshot {
    "ct/9001/2026-11-22T23:36:04Z".parse().unwrap()
}

/// A refusal as a backup server sends it: nothing but text, whatever the header says.
fn refusal(status: u16, text: &str) -> Reply {
    Reply::SendAndClose(json(status, "Bad Request", text))
}

#[tokio::test]
async fn a_token_has_its_own_header_and_shows_in_no_error() {
    let server = Scripted::start(|request| {
        let header = "authorization: PBSAPIToken=felhom@pbs!n100:";
        assert!(request.contains(&format!("{header}{SECRET}\r\n")));
        refusal(401, &format!("authentication failed - {SECRET}"))
    })
    .await;
    let error = pbs(&server).version().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert!(!format!("{error:?} {error}").contains(SECRET));
}

#[tokio::test]
async fn what_is_denied_is_named() {
    let server = Scripted::start(|_| {
        refusal(
            403,
            "permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/felhom-spike",
        )
    })
    .await;
    let error = pbs(&server).groups(&place()).await.unwrap_err();
    let hint = error.hint().unwrap();
    assert_eq!(
        hint,
        "grant Datastore.Audit or Datastore.Backup on /datastore/felhom-spike to the user and to its token"
    );
    assert_eq!(error.delivery(), Delivery::Answered);
}

#[tokio::test]
async fn a_task_is_started_and_followed_by_its_own_node() {
    let asked = AtomicUsize::new(0);
    let server = Scripted::start(move |request| {
        let line = request.lines().next().unwrap();
        if line.starts_with("POST ") {
            assert!(line.contains("/admin/datastore/felhom-spike/verify "));
            assert!(request.ends_with(
                "ns=felhomns&backup-type=ct&backup-id=9001&backup-time=1795390564&ignore-verified=0"
            ));
            return ok(&format!(r#"{{"data":{}}}"#, serde_json::Value::from(UPID)));
        }
        assert!(line.contains("/nodes/vm/tasks/UPID%3Avm%3A00004F7B"), "{line}");
        assert!(line.contains("felhom%5Cx2dspike%5Cx3a-ct-9001-6B037C64%3Afelhom%40pbs%21n100%3A/"));
        if line.contains("/log?") {
            return ok(r#"{"data":[{"n":1,"t":"2026-11-22T23:43:53+00:00: verify felhom-spike:ct/9001/2026-11-22T23:36:04Z"},{"n":2,"t":"2026-11-22T23:43:53+00:00: TASK ERROR: verification failed - please check the log for details"}],"total":2}"#);
        }
        let upid = serde_json::Value::from(UPID);
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            return ok(&format!(r#"{{"data":{{"upid":{upid},"status":"running","node":"vm"}}}}"#));
        }
        ok(&format!(
            r#"{{"data":{{"upid":{upid},"status":"stopped","exitstatus":"verification failed - please check the log for details"}}}}"#
        ))
    })
    .await;
    let pbs = pbs(&server);
    let verify = Verify::snapshot(place().store, place().namespace, snapshot());
    let task = pbs.verify(&verify).await.unwrap();
    assert_eq!(task.upid().as_str(), UPID);
    let mut lines = 0;
    let mut watch = |_: &felhom_proxmox::LogLine| lines += 1;
    let ending = pbs
        .follow(task.upid(), &FollowOptions::default(), &mut watch)
        .await
        .unwrap();
    let Ending::Finished(finished) = ending else {
        panic!("{ending:?}")
    };
    assert!(matches!(finished.outcome, Outcome::Failed(text) if text.starts_with("verification")));
    assert_eq!(lines, 2);
}

#[tokio::test]
async fn a_task_that_nobody_remembers_is_undetermined() {
    let server = Scripted::start(|request| {
        if request.lines().next().unwrap().contains("/log?") {
            return refusal(400, "unable to open task log: No such file or directory");
        }
        let upid = serde_json::Value::from(UPID);
        ok(&format!(
            r#"{{"data":{{"upid":{upid},"status":"stopped","exitstatus":"unknown"}}}}"#
        ))
    })
    .await;
    let upid: Upid = UPID.parse().unwrap();
    let options = FollowOptions::default();
    let ending = pbs(&server)
        .follow(&upid, &options, &mut felhom_proxmox::Silent)
        .await
        .unwrap();
    let Ending::Finished(finished) = ending else {
        panic!("{ending:?}")
    };
    assert_eq!(
        finished.outcome,
        Outcome::Undetermined("unknown".to_owned())
    );
}

#[tokio::test]
async fn the_log_knows_the_end_of_a_task_whose_status_is_unknown() {
    let server = Scripted::start(|request| {
        if request.lines().next().unwrap().contains("/log?") {
            return ok(r#"{"data":[{"n":1,"t":"2026-11-22T23:43:53+00:00: TASK WARNINGS: 5"}]}"#);
        }
        let upid = serde_json::Value::from(UPID);
        ok(&format!(
            r#"{{"data":{{"upid":{upid},"status":"stopped","exitstatus":"unknown"}}}}"#
        ))
    })
    .await;
    let pbs = pbs(&server);
    let options = FollowOptions::default();
    let ending = pbs
        .follow(
            &UPID.parse().unwrap(),
            &options,
            &mut felhom_proxmox::Silent,
        )
        .await
        .unwrap();
    let Ending::Finished(finished) = ending else {
        panic!("{ending:?}")
    };
    assert_eq!(finished.outcome, Outcome::Warnings(5));
}

/// An entry as long as that of a real encrypted backup.
fn entry(number: u64) -> String {
    let file =
        |name: &str| format!(r#"{{"filename":"{name}","crypt-mode":"encrypt","size":31333168}}"#);
    format!(
        r#"{{"backup-type":"ct","backup-id":"9001","backup-time":{},"fingerprint":"{}bb","files":[{},{},{},{}],"size":31338044,"owner":"felhom@pbs!n100","protected":false,"comment":"[brackets], \"quotes\"","verification":{{"state":"ok","upid":{}}}}}"#,
        number + 1,
        "bb:".repeat(31),
        file("root.pxar.didx"),
        file("pct.conf.blob"),
        file("catalog.pcat1.didx"),
        file("index.json.blob"),
        serde_json::Value::from(UPID)
    )
}

#[tokio::test]
async fn a_hundred_thousand_backups_are_read_one_by_one() {
    const MANY: u64 = 100_000;
    let mut body = r#"{"data":["#.to_owned();
    for number in 0..MANY {
        body.push_str(if number == 0 { "" } else { "," });
        body.push_str(&entry(number));
    }
    body.push_str("]}");
    assert!(body.len() > 64 << 20, "{}", body.len());
    let reply = json(200, "OK", &body);
    drop(body);
    let server = Scripted::start(move |_| Reply::Send(reply.clone())).await;
    let (mut count, mut last) = (0, 0);
    let all = ListSnapshots::all(place());
    let number = pbs(&server)
        .each_snapshot(&all, |one| {
            count += 1;
            last = one.snapshot.time();
            assert!(one.is_encrypted());
        })
        .await
        .unwrap();
    assert_eq!((number, count, last), (MANY, MANY, 100_000));
    // As a whole it is more than the client keeps.
    let error = pbs(&server).snapshots(&all).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLong {
                limit: 33_554_432,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_list_that_breaks_off_or_holds_something_else_is_an_error() {
    let whole = format!(r#"{{"data":[{},{}]}}"#, entry(1), entry(2));
    let odd = format!(
        r#"{{"data":[{},{{"backup-type":"xx","comment":"{SECRET}"}}]}}"#,
        entry(1)
    );
    for body in [
        whole.trim_end_matches("]}").to_owned(),
        odd,
        "null".to_owned(),
    ] {
        let server = Scripted::start(move |_| ok(&body)).await;
        let list = ListSnapshots::all(place());
        let error = pbs(&server).each_snapshot(&list, drop).await.unwrap_err();
        assert!(matches!(error, Error::Decode { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains(SECRET));
    }
}

#[tokio::test]
async fn the_beginning_of_a_file_is_enough() {
    let body = "x".repeat(3 << 20);
    let server = Scripted::start(move |request| {
        let line = request.lines().next().unwrap();
        assert!(line.contains("/download?ns=felhomns&backup-type=ct&backup-id=9001&backup-time=1795390564&file-name=root.pxar.didx "), "{line}");
        ok(&body)
    })
    .await;
    let (pbs, file) = (
        pbs(&server),
        Download::raw(place(), snapshot(), "root.pxar.didx"),
    );
    for most in [0, 1, 4096] {
        let head = pbs.download_head(&file, most).await.unwrap();
        assert_eq!((head.bytes.len(), head.is_whole), (most, false));
    }
    // A connection that was given up is not used again.
    assert_eq!(server.connections(), 3);
    let head = pbs.download_head(&file, 4 << 20).await.unwrap();
    assert_eq!((head.bytes.len(), head.is_whole), (3 << 20, true));
    let error = pbs.download(&file, 1 << 20).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLong {
                limit: 1_048_576,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(pbs.download(&file, 3 << 20).await.unwrap().len(), 3 << 20);
}

#[tokio::test]
async fn a_refusal_is_read_whole_though_little_was_wanted() {
    let server = Scripted::start(|_| {
        refusal(
            400,
            "File open failed: No such file or directory (os error 2)",
        )
    })
    .await;
    let file = Download::raw(place(), snapshot(), "nope.blob");
    for error in [
        pbs(&server).download_head(&file, 8).await.unwrap_err(),
        pbs(&server).download(&file, 8).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_breaks_off_is_no_file() {
    // A backup server announces no length, but sends in chunks.
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, is_whole) in [
        ("5\r\nhello\r\n0\r\n\r\n", true),
        ("5\r\nhello\r\n", false),
        ("5\r\nhel", false),
        ("", false),
    ] {
        let answer = format!("{head}{body}").into_bytes();
        let server = Scripted::start(move |_| Reply::SendAndDrop(answer.clone())).await;
        let file = Download::raw(place(), snapshot(), "index.json.blob");
        let read = pbs(&server).download(&file, 1 << 20).await;
        assert_eq!(read.is_ok(), is_whole, "{body:?}: {read:?}");
    }
}

#[tokio::test]
async fn a_refusal_without_an_end_fills_no_memory() {
    let server = Scripted::start(|_| refusal(400, &"no such thing ".repeat(1 << 20))).await;
    let list = ListSnapshots::all(place());
    let error = pbs(&server).each_snapshot(&list, drop).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotFound { what, .. } if what.len() <= 4_000),
        "{error}"
    );
}

/// Logs in with a second factor and changes something; the requests of the login.
pub(crate) async fn login() -> Vec<String> {
    let server = Scripted::start(|request| {
        if !request.starts_with("POST /api2/json/access/ticket ") {
            return ok(r#"{"data":null}"#);
        }
        let ticket = if request.contains("tfa-challenge=") {
            "PBS:admin@pbs:6B::ti+ck/et="
        } else {
            "PBS:!tfa!%7B%22totp%22%3Atrue%7D:6B::si+g/n="
        };
        ok(&format!(
            r#"{{"data":{{"username":"admin@pbs","ticket":"{ticket}","CSRFPreventionToken":"6B:cs/rf+"}}}}"#
        ))
    })
    .await;
    let door = Door {
        address: server.address.clone(),
        trust: Trust::PinnedLeaf(server.fingerprint),
        timeout: Duration::from_secs(5),
    };
    let (user, password) = (
        "admin@pbs".parse().unwrap(),
        SecretString::from("pass&word"),
    );
    let first = identities::login(&door, &user, &password).await.unwrap();
    let Login::SecondFactor(challenge) = first else {
        panic!("no challenge: {first:?}")
    };
    let factor = SecretString::from("totp:123456");
    let second = identities::answer_challenge(&door, &user, &challenge, &factor).await;
    let Login::Ticket(ticket) = second.unwrap() else {
        panic!("no ticket")
    };
    let settings = Settings::new(door.address, ticket, door.trust);
    let pbs = Pbs::new(Client::new(settings).unwrap());
    let change = Change::DeleteUser("felhom@pbs".parse().unwrap());
    pbs.call(&change).await.unwrap();
    let mut seen = server.seen();
    let head = seen.pop().unwrap().to_lowercase();
    assert!(head.contains("cookie: pbsauthcookie=pbs%3aadmin%40pbs%3a6b%3a%3ati%2bck%2fet%3d\r\n"));
    assert!(head.contains("csrfpreventiontoken: 6b:cs/rf+\r\n"));
    seen
}

#[tokio::test]
async fn an_admin_logs_in_with_a_cookie_of_the_backup_server() {
    assert_eq!(login().await.len(), 2);
}
