//! A guest comes back from a backup server as it does from a directory.

use felhom_agent::exit::Exit;

use crate::enroll_pbs::Site;
use crate::restore::{line, sentinels};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_comes_back_from_the_server_beside_the_original() {
    let site = Site::new().await;
    let ran = site.enroll(&[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let to_server = ["backup", "run", "9010", "--storage", "offsite"];
    let made = site.bench.run(&to_server).await;
    let volid = made.data()["volid"].as_str().unwrap().to_owned();
    let production = site.bench.production();

    let planned = site.bench.run(&["restore", "plan", &volid]).await;
    let text = planned.text();
    assert!(text.contains("mp1") && text.contains("mp3"), "{text}");
    assert_eq!(site.bench.production(), production);

    let run = [
        "restore",
        "run",
        &volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
    ];
    let ran = site.bench.run(&run).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(ran.data()["end"], "restored");
    sentinels(&site.bench);
    let net = line(&site.bench, 9020, "net0").unwrap();
    assert!(!net.contains("BC:24:11:40:B3:87"), "{net}");
}
