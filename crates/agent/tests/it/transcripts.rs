//! What `docs/operations/status.md` shows is what the program prints: times, sizes and random names aside.
//!
//! After a change of what is printed, `FELHOM_TRANSCRIPT=write cargo test -p felhom-agent --test it -- transcripts` writes it anew.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::helper::Helper;
use crate::support::*;

const HOST: &str = "\n[host]\nsocket = \"hostd.sock\"\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/status.md")
}

/// The page before a transcript, the transcript, and the page behind it.
fn parts(text: &str, name: &str) -> (String, String, String) {
    let begin = format!("<!-- transcript: {name} -->\n```text\n");
    let (before, behind) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {name}"));
    let (transcript, rest) = behind.split_once("\n```").unwrap();
    (
        format!("{before}{begin}"),
        transcript.to_owned(),
        format!("\n```{rest}"),
    )
}

/// Holds what was printed against the page. Where lines are folded depends on how many digits a number has, so words are compared.
fn hold(name: &str, printed: &str) {
    static WRITER: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let guard = WRITER
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let printed = printed.trim_end();
    let text = std::fs::read_to_string(page()).unwrap();
    let (before, shown, behind) = parts(&text, name);
    if std::env::var_os("FELHOM_TRANSCRIPT").is_some_and(|word| word == "write") {
        std::fs::write(page(), format!("{before}{printed}{behind}")).unwrap();
        return;
    }
    drop(guard);
    assert_eq!(
        words(&shown),
        words(printed),
        "{name}: docs/operations/status.md differs from:\n{printed}"
    );
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(word).collect()
}

/// Numbers become `#` (VMIDs stay), units of time `t`, units of size `b`.
fn word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if ["s", "min", "h", "d"].contains(&bare) {
        return word.replace(bare, "t");
    }
    if ["B", "KiB", "MiB", "GiB"].contains(&bare) {
        return word.replace(bare, "b");
    }
    if ["9000", "9001", "9010"].contains(&bare) {
        return word.to_owned();
    }
    let mut out = String::new();
    for c in word.chars() {
        let digit = c.is_ascii_digit() || (c == '.' && out.ends_with('#'));
        if !digit {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

async fn bench() -> (Bench, Helper) {
    let bench = Bench::with(&format!("{FAST}{HOST}"), None).await;
    let helper = Helper::listen(&bench.directory.path().join("box/hostd.sock"));
    (bench, helper)
}

/// Paths of a test as they are on a box.
fn installed(bench: &Bench, printed: &str) -> String {
    let socket = bench.directory.path().join("box/hostd.sock");
    printed
        .replace(
            &bench.config.display().to_string(),
            "/etc/felhom/agent.toml",
        )
        .replace(&socket.display().to_string(), "/run/felhom/hostd.sock")
}

async fn proven(bench: &Bench) {
    let machine = felhom_proxmox::pve::guests::DestroyQemu {
        vmid: vmid(9000),
        unreferenced_disks: false,
    };
    drop(bench.root().destroy_qemu(&machine).await.unwrap());
    settled(bench).await;
    bench.poke(9010, json!({ "delete": ["mp2", "mp3"] })).await;
    for number in ["9001", "9010"] {
        bench.backup(number.parse().unwrap()).await;
        bench.run(&["restore-test", "run", number]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_on_which_all_is_well() {
    let (bench, _helper) = bench().await;
    proven(&bench).await;
    let status = bench.program(&["status"], "").await;
    assert_eq!(status.exit, Some(0), "{status:?}");
    hold("status, all well", &installed(&bench, &status.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_on_which_much_is_wrong() {
    let (bench, _helper) = bench().await;
    let volid = bench.backup(9001).await.to_string();
    bench.backup(9010).await;
    bench.world.corrupt_archive(&volid).await.unwrap();
    bench.run(&["restore-test", "run", "9001"]).await;
    let disk = json!({
        "device": "/dev/sdb", "type": "ssd", "model": "SIM_SSD_OLD", "size": 1_u64 << 40, "health": "FAILED!", "left": 4,
        "celsius": 61,
    });
    bench.world.control("put-disk", disk).await.unwrap();
    let order = json!({ "package": "pve-manager", "version": "9.2.12" });
    bench.world.control("put-update", order).await.unwrap();
    bench.revoke("FelhomRestoreTest", "VM.PowerMgmt").await;
    let status = bench.program(&["status"], "").await;
    assert_eq!(status.exit, Some(3), "{status:?}");
    hold("status, much is wrong", &installed(&bench, &status.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_on_a_box_on_which_all_is_well() {
    let bench = Bench::at(1.0, &format!("{FAST}{HOST}"), None).await;
    let _helper = Helper::listen(&bench.directory.path().join("box/hostd.sock"));
    let doctor = bench.program(&["doctor"], "").await;
    hold("doctor, all well", &installed(&bench, &doctor.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_on_an_unconfigured_box_says_what_to_do_first() {
    let (bench, _helper) = bench().await;
    std::fs::remove_file(&bench.config).unwrap();
    let doctor = bench.program(&["doctor"], "").await;
    assert_eq!(doctor.exit, Some(3), "{doctor:?}");
    assert!(
        doctor.stdout.contains("felhom-agent enroll pve"),
        "{doctor:?}"
    );
    hold("doctor, not configured", &installed(&bench, &doctor.stdout));
}
