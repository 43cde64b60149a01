//! What is opened, and what can be said of it.

use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use felhom_agent::archive::{ArchiveError, read};
use felhom_engine::ArchiveContent;
use tempfile::TempDir;

use super::built::{Tar, packed};
use super::{go_on, stopped, wanted};

fn read_file(path: &Path) -> Result<ArchiveContent, ArchiveError> {
    read(path, &wanted(), &mut go_on)
}

fn archive() -> Vec<u8> {
    Tar::default().file("./a", &[1; 2000]).end()
}

#[test]
fn both_packings_are_read_and_the_bytes_of_the_file_are_told() {
    let directory = TempDir::new().unwrap();
    for (name, bytes) in [("a.tar", archive()), ("a.tar.zst", packed(&archive()))] {
        let path = directory.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let content = read_file(&path).unwrap();
        assert!(content.complete);
        assert_eq!(
            usize::try_from(content.compressed_bytes).unwrap(),
            bytes.len()
        );
    }
}

#[test]
fn what_is_not_ours_to_read_is_an_error_and_no_verdict() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in [
        "a.tar.gz",
        "a.tar.lzo",
        "a.tgz",
        "a.tar.bz2",
        "a.vma.lzo",
        "a.tar.dat",
        "a",
    ] {
        std::fs::write(at(name), archive()).unwrap();
        let error = read_file(&at(name)).unwrap_err();
        assert!(
            matches!(error, ArchiveError::Format { .. }),
            "{name}: {error}"
        );
    }
    let error = read_file(&at("missing.tar")).unwrap_err();
    assert!(matches!(error, ArchiveError::Open { .. }), "{error}");
    std::fs::create_dir(at("directory.tar")).unwrap();
    std::fs::write(at("real.tar"), archive()).unwrap();
    symlink(at("real.tar"), at("link.tar")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(at("socket.tar")).unwrap();
    // A pipe that nobody writes into: opening it must not wait.
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe.tar"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    );
    made.unwrap();
    for name in ["directory.tar", "link.tar", "socket.tar", "pipe.tar"] {
        let error = read_file(&at(name)).unwrap_err();
        assert!(
            matches!(error, ArchiveError::NoFile { .. }),
            "{name}: {error}"
        );
    }
    drop(socket);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_no_proof_of_anything() {
    for (name, bytes) in [("a.tar", archive()), ("a.tar.zst", packed(&archive()))] {
        for grow in [true, false] {
            let directory = TempDir::new().unwrap();
            let path = directory.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            let file = std::fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap();
            let result = read(&path, &wanted(), &mut |_| {
                if grow {
                    (&file).write_all(b"more").unwrap();
                } else {
                    file.set_len(100).unwrap();
                }
                ControlFlow::Continue(())
            });
            assert!(
                matches!(result, Err(ArchiveError::Changed { .. })),
                "{result:?}"
            );
        }
    }
}

#[test]
fn reading_stops_when_it_is_told_to() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.tar.zst");
    std::fs::write(&path, packed(&archive())).unwrap();
    assert!(stopped(&read(&path, &wanted(), &mut |_| {
        ControlFlow::Break(())
    })));
}

/// A file that takes long to read: holes, as many as the file system allows.
fn endless(directory: &Path) -> felhom_ids::VolumeId {
    let dump = directory.join("vzdump-lxc-9001-2026_11_23-00_00_00.tar");
    let header = super::built::Header::new(b"./zeros", b'0', 0);
    let size = i64::MAX.to_be_bytes();
    let tar = Tar::default().with(header.but(124, &[&b"\x80\0\0\0"[..], &size].concat()));
    let mut file = std::fs::File::create(dump).unwrap();
    file.write_all(&tar.0).unwrap();
    file.set_len(8 << 40).unwrap();
    "local:backup/vzdump-lxc-9001-2026_11_23-00_00_00.tar"
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_away_takes_the_reading_thread_along() {
    let bench = crate::support::Bench::new().await;
    let performer = bench.performer();
    let directory = performer.config().archives[0].path.clone();
    let volid = endless(&directory);
    let silent = felhom_agent::progress::Silent;
    let threads = || {
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .any(|entry| {
                std::fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(&directory))
            })
    };
    let wanted = wanted();
    let reading = performer.read_archive(&volid, &wanted, &silent);
    let ended = tokio::time::timeout(Duration::from_millis(300), reading).await;
    assert!(ended.is_err(), "eight TiB were read");
    let gone = async {
        while threads() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .unwrap();
}
