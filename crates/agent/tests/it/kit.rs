//! The kit: followed to the letter on a box that has nothing yet, and worth nothing when a piece of it is missing.

mod follower;
mod gaps;
mod options;
mod reader;
mod sample;
mod site;

use felhom_agent::exit::Exit;
use felhom_protocol::kit::{Kit, KitPart, KitStep};
use serde_json::Value;

use crate::support::*;
use site::{Lost, ORDER, followed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_types_the_page_on_a_new_box_has_all_guests_running_again() {
    let lost = Lost::new().await;
    for line in lost.page.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for secret in &lost.secrets {
        assert!(!lost.page.contains(secret), "a secret is on the page");
    }
    assert!(!lost.page.contains("felhom-agent restore"), "{}", lost.page);
    let guests: Vec<u32> = lost.kit.guests.iter().map(|one| one.vmid).collect();
    assert_eq!(guests, ORDER, "{}", lost.page);
    let told = followed(&lost, &lost.page).await;
    told.unwrap_or_else(|error| panic!("{error}\n{}", lost.page));
}

/// A change of the kit that nobody may get away with.
type Spoil = fn(&mut Kit);

fn step<'a>(kit: &'a mut Kit, title: &str) -> &'a mut KitStep {
    let place = kit
        .steps
        .iter()
        .position(|one| one.title.starts_with(title));
    &mut kit.steps[place.unwrap_or_else(|| panic!("no step `{title}`"))]
}

fn drop_step(kit: &mut Kit, title: &str) {
    let before = kit.steps.len();
    kit.steps.retain(|one| !one.title.starts_with(title));
    assert_eq!(kit.steps.len() + 1, before, "{title}");
}

/// Takes away what is typed and contains these words.
fn drop_line(kit: &mut Kit, title: &str, words: &str) {
    let parts = &mut step(kit, title).parts;
    let before = parts.len();
    parts.retain(|part| match part {
        KitPart::Type(line) => !line.contains(words),
        KitPart::File(file) => !file.path.contains(words),
        KitPart::Say(_) | KitPart::Warn(_) => true,
    });
    assert!(parts.len() < before, "{title}: {words}");
}

fn swap_words(kit: &mut Kit, title: &str, from: &str, to: &str) {
    let mut changed = 0;
    for part in &mut step(kit, title).parts {
        if let KitPart::Type(line) = part {
            changed += line.matches(from).count();
            *line = line.replace(from, to);
        }
    }
    assert!(changed > 0, "{title}: {from}");
}

/// The step goes to the end.
fn last(kit: &mut Kit, title: &str) {
    let place = kit
        .steps
        .iter()
        .position(|one| one.title.starts_with(title));
    let moved = kit.steps.remove(place.unwrap());
    kit.steps.push(moved);
}

/// The right shape of a fingerprint, and not the server's.
fn other_fingerprint(kit: &mut Kit) {
    let pin = kit.servers[0].fingerprint.clone().unwrap();
    let (first, rest) = pin.split_once(':').unwrap();
    let other = if first == "00" { "01" } else { "00" };
    let wrong = format!("{other}:{rest}");
    swap_words(kit, "Storage offsite", &pin, &wrong);
}

/// An archive that is there, and of another guest.
fn other_archive(kit: &mut Kit) {
    let volid = |kit: &Kit, place: usize| {
        let archive = kit.guests[place].archive.clone();
        archive.unwrap().volid
    };
    let (theirs, own) = (volid(kit, 0), volid(kit, 1));
    swap_words(kit, "Guest 9010", &own, &theirs);
}

/// What is changed, how, and what fails of it.
const SPOILT: [(&str, Spoil, &str); 21] = [
    (
        "no share",
        |kit| drop_step(kit, "Storage nas"),
        "storage 'nas' does not exist",
    ),
    (
        "no backup server",
        |kit| drop_step(kit, "Storage offsite"),
        "storage 'offsite' does not exist",
    ),
    (
        "no disk",
        |kit| drop_step(kit, "Storage usb1"),
        "storage 'usb1' does not exist",
    ),
    (
        "no place for volumes",
        |kit| drop_step(kit, "Storage local-lvm"),
        "storage 'local-lvm' does not exist",
    ),
    (
        "no storage of a bind mount",
        |kit| drop_step(kit, "Storage shelf"),
        "/storages/shelf",
    ),
    (
        "local as it was not",
        |kit| drop_line(kit, "Storage local ", "pvesm set"),
        "/storages/local/content",
    ),
    (
        "no unit",
        |kit| drop_line(kit, "Storage usb1", "/etc/systemd/"),
        "Unit mnt-felhom-usb1.mount does not exist",
    ),
    (
        "nothing mounted",
        |kit| drop_line(kit, "Storage usb1", "enable"),
        "expected to be a mount point",
    ),
    (
        "no bridge",
        |kit| drop_line(kit, "Network", "vmbr1"),
        "pct start 9010",
    ),
    (
        "bridges not in force",
        |kit| drop_line(kit, "Network", "pvesh set"),
        "pct start 9010",
    ),
    (
        "no pool",
        |kit| drop_step(kit, "Pools"),
        "pool 'lab' does not exist",
    ),
    (
        "a container missing",
        |kit| drop_step(kit, "Guest 9010"),
        "/guests/9010: ",
    ),
    (
        "a machine missing",
        |kit| drop_step(kit, "Guest 9200"),
        "/guests/9200: ",
    ),
    (
        "not started",
        |kit| drop_line(kit, "Guest 9200", "qm start"),
        "qm status 9200",
    ),
    (
        "not brought up to date",
        |kit| drop_line(kit, "Guest 9001", "pct set"),
        "/guests/9001/config/memory",
    ),
    (
        "no directory to bind",
        |kit| drop_line(kit, "Guest 9010", "mkdir"),
        "directory '/mnt/pve/shelf/films' does not exist",
    ),
    (
        "no archive of that name",
        |kit| {
            swap_words(
                kit,
                "Guest 9010",
                "vzdump-lxc-9010-20",
                "vzdump-lxc-9010-19",
            );
        },
        "unable to restore CT 9010",
    ),
    (
        "the archive of another",
        other_archive,
        "/guests/9010/config/hostname",
    ),
    (
        "another fingerprint",
        other_fingerprint,
        "pvesm add pbs offsite",
    ),
    (
        "the server of a share after who needs it",
        |kit| last(kit, "Guest 9001"),
        "pvesm add nfs shelf",
    ),
    (
        "the storage after its guest",
        |kit| last(kit, "Storage nas"),
        "storage 'nas' does not exist",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_lacks_anything_does_not_bring_the_guests_back() {
    let lost = Lost::new().await;
    let told = followed(&lost, &lost.page).await;
    assert_eq!(
        told,
        Ok(()),
        "the whole page has to do, or nothing is shown"
    );
    for (what, spoil, failure) in SPOILT {
        let mut kit = lost.kit.clone();
        spoil(&mut kit);
        let page = felhom_agent::kit::page(&kit);
        assert_ne!(page, lost.page, "{what}");
        let Err(told) = followed(&lost, &page).await else {
            panic!("{what}: nobody noticed\n{page}");
        };
        assert!(told.contains(failure), "{what}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_goes_into_a_file_of_its_owner_and_the_document_holds_the_same() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new().await;
    let out = bench.directory.path().join("out/kit.txt");
    let name = out.display().to_string();
    let ran = bench.run(&["kit", "print", "--out", &name]).await;
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    let mode = std::fs::metadata(&out).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let written = std::fs::read_to_string(&out).unwrap();
    let printed = bench.program(&["kit", "print"], "").await;
    let undated = |text: &str| {
        let lines = text.trim_end().lines();
        let lines = lines.filter(|line| !line.starts_with("Made "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(printed.exit, Some(3), "{printed:?}");
    assert_eq!(undated(&printed.stdout), undated(&written));
    let told = bench.program(&["kit", "print", "--json"], "").await;
    let document: Value = told.json();
    assert_eq!(document["schema"], "felhom.kit");
    let kit: Kit = felhom_protocol::read(told.stdout.as_bytes()).unwrap();
    assert_eq!(undated(&felhom_agent::kit::page(&kit)), undated(&written));
}
