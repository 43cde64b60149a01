//! Restores on a node where every principal holds what enrolling gave it, and not more.

use felhom_agent::exit::Exit;
use felhom_proxmox::{Method, Request};
use serde_json::Value;

use super::node::Node;
use crate::restore::occasion::{given_to, typed};

/// An enrolled node with a backup of guest 101 and a token for the occasion, and the volume id.
async fn enrolled() -> (Node, String) {
    let node = Node::virgin().await;
    let ran = node.enroll(&[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    node.hurry();
    node.container(101, "vmbr0").await;
    let ran = node.run(&["backup", "run", "101"]).await;
    assert!(
        matches!(ran.exit, Exit::Done | Exit::Findings),
        "{}",
        ran.text()
    );
    let volid = node.backups().await[0]["volid"]
        .as_str()
        .unwrap()
        .to_owned();
    given_to(&node.root().await, &node.config).await;
    (node, volid)
}

/// The lines that a refused restore prints are typed, until nothing is lacking.
async fn allowed(node: &Node, run: &[&str]) {
    for _ in 0..2 {
        let ran = node.run(&[run, &["--dry-run"]].concat()).await;
        let lines: Vec<String> =
            serde_json::from_value(ran.data()["grants"].clone()).unwrap_or_default();
        typed(&node.root().await, &lines).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_volume_of_a_guest_that_lost_its_configuration_is_seen_and_nothing_restored_beside_it()
 {
    let (node, volid) = enrolled().await;
    let orphan = "local-lvm:vm-105-disk-0";
    let path: [&dyn std::fmt::Display; 5] = [
        &"nodes",
        &"demo-felhom",
        &"storage",
        &"local-lvm",
        &"content",
    ];
    let made = Request::new(Method::Post, &path)
        .with("vmid", 105)
        .with("filename", "vm-105-disk-0")
        .with("size", "1G");
    let made: Value = node.root().await.client().send(&made).await.unwrap();
    assert_eq!(made, orphan);

    let run = [
        "restore",
        "run",
        &volid,
        "--to",
        "105",
        "--identity",
        "fresh",
    ];
    allowed(&node, &run).await;
    let counted = node.mutations();
    let ran = node.run(&run).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
    let told = format!("`{orphan}` bears the VMID 105 and may be all that is left of a guest");
    assert!(ran.text().contains(&told), "{}", ran.text());
    assert!(!ran.text().contains("pvesm free"), "{}", ran.text());
    assert_eq!(node.mutations(), counted, "nothing was sent");

    let run = [
        "restore",
        "run",
        &volid,
        "--to",
        "106",
        "--identity",
        "fresh",
    ];
    allowed(&node, &run).await;
    let ran = node.run(&run).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
}
