//! What the kit cannot do, it says: on the page, as findings, and by its exit code.

use felhom_agent::exit::Exit;
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use crate::support::*;

/// The page in one line, as far as line ends go.
fn joined(ran: &Ran) -> String {
    let words = ran.text().replace("\\\n", " ");
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_without_archive_and_archives_on_the_box_alone_are_told() {
    let bench = Bench::new().await;
    let volid = bench.backup(9001).await.to_string();
    let ran = bench.run(&["kit", "print"]).await;
    assert_eq!(ran.exit, Exit::Findings);
    let text = joined(&ran);
    for said in [
        "[kit-no-archive]",
        "guest 9010: no storage lists an archive of it",
        "NO ARCHIVE of it was seen on any storage",
        "[kit-no-off-box]",
        "It lies only on the old box itself",
        &format!("pct restore 9001 {volid} --storage local-lvm"),
        "No restore test of this archive has passed.",
    ] {
        assert!(text.contains(said), "{said}: {}", ran.text());
    }
    assert!(!text.contains("pct start 9010"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_and_a_storage_that_nobody_describes_are_told() {
    let bench = Bench::new().await;
    let net = "name=eth0,bridge=vmbr7,hwaddr=BC:24:11:BC:99:47,ip=dhcp,type=veth";
    let root = "gone:vm-9001-disk-0,size=2G";
    bench
        .poke(9001, json!({ "set": { "net0": net, "rootfs": root } }))
        .await;
    let ran = bench.run(&["kit", "print"]).await;
    assert_eq!(ran.exit, Exit::Findings);
    let text = joined(&ran);
    assert!(
        text.contains("guest 9001: it needs bridge vmbr7"),
        "{}",
        ran.text()
    );
    assert!(
        text.contains("guest 9001: it needs storage gone"),
        "{}",
        ran.text()
    );
    assert_eq!(
        ran.text().matches("[kit-not-described]").count(),
        2,
        "{}",
        ran.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_read_is_said_where_it_lacks() {
    for (path, said) in [
        ("/storage", "The storages could not be read"),
        ("/nodes/*/network", "The bridges could not be read"),
        ("/nodes/*/lxc", "The guests could not be read"),
        (
            "/nodes/*/disks/directory",
            "The mounted disks could not be read",
        ),
        (
            "/nodes/*/lxc/9001/config",
            "Its configuration of now could not be read",
        ),
        (
            "/nodes/*/vzdump/extractconfig",
            "The configuration inside the archive could not be read",
        ),
        (
            "/nodes/*/storage/local/content",
            "the archives on storage local could not be listed",
        ),
        (
            "/cluster/resources",
            "the pools of the guests could not be read",
        ),
        (
            "/version",
            "which version the old box had could not be read",
        ),
    ] {
        let bench = Bench::new().await;
        bench.backup(9001).await;
        // For good: a request that is cut off on a connection that was open already is sent again.
        let fault = Fault::request("GET", path, FaultKind::Refuse);
        bench.world.inject(Fault {
            count: None,
            ..fault
        });
        let ran = bench.run(&["kit", "print"]).await;
        assert_eq!(ran.exit, Exit::Findings, "{path}: {}", ran.text());
        assert!(joined(&ran).contains(said), "{path}: {}", ran.text());
        assert!(
            ran.text().contains("[kit-incomplete]"),
            "{path}: {}",
            ran.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn printing_changes_nothing() {
    let bench = Bench::new().await;
    bench.backup(9001).await;
    let (before, counts) = (bench.production(), bench.mutations());
    let jobs = bench.jobs().await;
    bench.run(&["kit", "print"]).await;
    assert_eq!(bench.production(), before);
    assert_eq!(bench.mutations(), counts);
    assert_eq!(bench.jobs().await, jobs);
}
