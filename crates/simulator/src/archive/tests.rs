//! What goes into an archive comes out of it, under the names that `tar` would use.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Compression, Plan, Source, Target, extract, matches, read_member, write};
use crate::guest::tree::put;

fn plan(root: &Path, data: &Path) -> Plan {
    Plan {
        head: vec![("etc/vzdump/pct.conf".into(), b"arch: amd64\n".to_vec())],
        sources: vec![
            Source {
                root: root.to_owned(),
                prefix: String::new(),
            },
            Source {
                root: data.to_owned(),
                prefix: "mnt/data".into(),
            },
        ],
        excludes: vec!["tmp/?*".into(), "var/run/?*.pid".into()],
        now: 7,
    }
}

#[test]
fn trees_survive_a_round_trip() {
    let dir = TempDir::new().unwrap();
    let (root, data) = (dir.path().join("root"), dir.path().join("data"));
    let long = format!("opt/{}/{}", "a".repeat(90), "b".repeat(90));
    for (path, text) in [
        ("etc/hostname", "x\n"),
        (long.as_str(), "long"),
        ("tmp/junk", ""),
        ("lost+found/1", ""),
        ("dev/null", ""),
    ] {
        put(&root, path, text.as_bytes()).unwrap();
    }
    put(&root, "var/run/a.pid", b"1").unwrap();
    fs::create_dir_all(root.join("mnt/data")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", root.join("etc/link")).unwrap();
    put(&data, "ledger", b"42").unwrap();
    for (file, compression) in [
        ("a.tar", Compression::None),
        ("a.tar.zst", Compression::Zstd),
    ] {
        let path = dir.path().join(file);
        let bytes = write(&path, compression, &plan(&root, &data)).unwrap();
        assert_eq!(bytes % 10_240, 0, "GNU tar writes whole records");
        let conf = read_member(&path, "etc/vzdump/pct.conf").unwrap();
        assert_eq!(conf.as_deref(), Some(b"arch: amd64\n".as_slice()));
        let out = dir.path().join(format!("{file}.out"));
        let (first, second) = (out.join("root"), out.join("data"));
        let target = |prefix: &str, root: &PathBuf| Target {
            prefix: prefix.into(),
            root: root.clone(),
        };
        let done = extract(&path, &[target("", &first), target("mnt/data", &second)]);
        assert_eq!((done.error, done.read), (None, bytes));
        assert_eq!(fs::read_to_string(first.join(&long)).unwrap(), "long");
        assert_eq!(
            fs::read_link(first.join("etc/link")).unwrap(),
            Path::new("/etc/hostname")
        );
        assert_eq!(fs::read_to_string(second.join("ledger")).unwrap(), "42");
        for gone in [
            "tmp/junk",
            "var/run/a.pid",
            "lost+found",
            "dev/null",
            "mnt/data/ledger",
        ] {
            assert!(!first.join(gone).exists(), "{gone}");
        }
        assert!(first.join("tmp").exists() && first.join("mnt/data").exists());
        assert_eq!(done.stored, [18, 2]);
    }
}

#[test]
fn damage_is_noticed() {
    let dir = TempDir::new().unwrap();
    let (root, data) = (dir.path().join("root"), dir.path().join("data"));
    put(&root, "noise", &crate::scenario::noise(9, 1 << 20)).unwrap();
    fs::create_dir_all(&data).unwrap();
    let path = dir.path().join("a.tar.zst");
    write(&path, Compression::Zstd, &plan(&root, &data)).unwrap();
    let whole = fs::read(&path).unwrap();
    let targets = |out: &str| {
        [Target {
            prefix: PathBuf::new(),
            root: dir.path().join(out),
        }]
    };
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(extract(&path, &targets("cut")).error.is_some());
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&path, &flipped).unwrap();
    assert!(
        extract(&path, &targets("flipped")).error.is_some(),
        "the checksum stands at the end"
    );
}

#[test]
fn globs_match_as_tar_reads_them() {
    for (glob, text, expected) in [
        ("tmp/?*", "tmp", false),
        ("tmp/?*", "tmp/", false),
        ("tmp/?*", "tmp/a", true),
        ("var/run/?*.pid", "var/run/a.pid", true),
        ("var/run/?*.pid", "var/run/.pid", false),
        ("*/cache", "a/b/cache", true),
    ] {
        assert_eq!(matches(glob, text), expected, "{glob} {text}");
    }
}
