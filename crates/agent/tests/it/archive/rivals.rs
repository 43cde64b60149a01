//! Archives that others wrote: the `tar` crate's and the system's `tar`, and what they see in ours.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use felhom_agent::archive::Packing;
use felhom_engine::ArchivedVolume;
use proptest::prelude::*;
use tempfile::TempDir;

use super::built::{Header, Tar};
use super::{members, named, read, read_as, sha256, wanted, whole};

#[expect(
    clippy::print_stderr,
    reason = "a test that cannot run says so by name"
)]
fn not_compared(why: &str) {
    eprintln!("not compared with the system's tar: {why}");
}

/// A program of the system, only to compare with.
#[expect(
    clippy::disallowed_types,
    reason = "the system's tar is the rival; the product starts no process"
)]
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<(bool, Vec<u8>)> {
    use std::process::{Command, Stdio};
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        not_compared(&format!("there is no `{program}`"));
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || {
        // It may have seen enough.
        drop(stdin.write_all(&input));
    });
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    Some((output.status.success(), output.stdout))
}

fn gnu_tar() -> bool {
    let version = run("tar", &["--version"], b"");
    let gnu = version.is_some_and(|(_, text)| text.starts_with(b"tar (GNU tar)"));
    if !gnu {
        not_compared("the system's tar is not GNU's");
    }
    gnu
}

/// A small guest, with what tars find hard; answers the sampled volume's files.
fn guest(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let volume = root.join("var/lib/docker/volumes/v/_data");
    let deep = volume.join("d".repeat(200)).join("e".repeat(200));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir_all(root.join("mnt/mp0")).unwrap();
    std::fs::write(root.join("mnt/mp0/file"), [1; 700]).unwrap();
    let mut sparse = std::fs::File::create(volume.join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::io::Seek::seek(&mut sparse, std::io::SeekFrom::Start(1 << 20)).unwrap();
    sparse.write_all(&[7; 5000]).unwrap();
    drop(sparse);
    std::fs::write(deep.join("deep"), b"deep").unwrap();
    std::fs::write(volume.join("empty"), b"").unwrap();
    std::fs::write(volume.join("ä ö\nü"), b"odd to see, and fine").unwrap();
    std::fs::write(volume.join("large"), vec![3; 5 << 20]).unwrap();
    std::fs::hard_link(volume.join("empty"), volume.join("second name")).unwrap();
    std::os::unix::fs::symlink("/etc/shadow", volume.join("link")).unwrap();
    let mut files = BTreeMap::new();
    for name in ["sparse", "empty", "ä ö\nü", "large"] {
        files.insert(name.to_owned(), std::fs::read(volume.join(name)).unwrap());
    }
    let name = format!("{}/{}/deep", "d".repeat(200), "e".repeat(200));
    files.insert(name, b"deep".to_vec());
    files
}

fn holds(volume: &ArchivedVolume, files: &BTreeMap<String, Vec<u8>>) {
    assert!(volume.root_present);
    let mut names: Vec<_> = volume
        .samples
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    // Which of the two names of the one file comes first is up to the file system.
    for name in &mut names {
        if *name == "second name" {
            *name = "empty";
        }
    }
    names.sort_unstable();
    assert_eq!(names, files.keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(volume.files, 5);
    assert_eq!(volume.tally.members, 5 + 2 + 2, "and directories and links");
    for file in &volume.samples {
        let name = if file.path == "second name" {
            "empty"
        } else {
            &file.path
        };
        let content = &files[name];
        assert_eq!(usize::try_from(file.size).unwrap(), content.len(), "{name}");
        let digested = &content[..content.len().min(4 << 20)];
        assert_eq!(file.sha256, sha256(digested), "{name}");
    }
}

#[test]
fn what_the_systems_tar_writes_is_read_in_all_its_formats() {
    if !gnu_tar() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let files = guest(directory.path());
    let root = directory.path().to_str().unwrap();
    // The options of vzdump first: `COMMON_TAR_FLAGS` of pve-storage.
    let vzdump = [
        "--one-file-system",
        "-p",
        "--sparse",
        "--numeric-owner",
        "--acls",
        "--xattrs",
    ];
    for options in [
        &vzdump[..],
        &["--format=gnu", "--sparse"],
        &["--format=gnu"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix"],
    ] {
        let arguments = [
            &["cf", "-", "--directory", root][..],
            options,
            &["./", "./mnt/mp0"],
        ]
        .concat();
        let Some((true, archive)) = run("tar", &arguments, b"") else {
            not_compared(&format!("this tar does not take {options:?}"));
            continue;
        };
        let content = whole(&archive, &wanted());
        holds(named(&content, "v"), &files);
        assert_eq!(
            members(&content, "mp0"),
            2,
            "once below `./`, once by itself: {options:?}"
        );
        let (_, listed) = run("tar", &["tf", "-", "--quoting-style=escape"], &archive).unwrap();
        let lines = listed.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(
            usize::try_from(content.members).unwrap(),
            lines,
            "{options:?}"
        );
        let Some((true, packed)) = run("zstd", &["--rsyncable", "--threads=1", "-c"], &archive)
        else {
            continue;
        };
        let unpacked = read_as(&packed, Packing::Zstd, &wanted());
        assert_eq!(unpacked.docker_volumes, content.docker_volumes);
    }
}

#[derive(Debug, Clone)]
struct Made {
    name: String,
    kind: u8,
    content: Vec<u8>,
    mtime: u64,
}

fn made() -> impl Strategy<Value = Made> {
    let long = "[a-z]{90,200}/[a-z]{60,120}";
    let place = prop_oneof![
        Just(""),
        Just("mnt/mp0/"),
        Just("mnt/mp0/deep/"),
        Just("var/lib/docker/volumes/v/_data/"),
        Just("var/lib/docker/volumes/w/_data/sub/"),
    ];
    let name = prop_oneof![4 => "[a-zA-Z0-9ä .]{0,8}[a-z]", 1 => long];
    let kind = prop_oneof![5 => Just(b'0'), 1 => Just(b'5'), 1 => Just(b'2'), 1 => Just(b'1')];
    let content = prop::collection::vec(any::<u8>(), 0..1600);
    (place, name, kind, content, 0u64..1 << 33).prop_map(|(place, name, kind, content, mtime)| {
        Made {
            name: format!("{place}{name}"),
            kind,
            content: if kind == b'0' { content } else { Vec::new() },
            mtime,
        }
    })
}

/// By the `tar` crate.
fn by_the_crate(all: &[Made]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for made in all {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(made.kind));
        header.set_size(u64::try_from(made.content.len()).unwrap());
        header.set_mtime(made.mtime);
        header.set_mode(0o644);
        if matches!(made.kind, b'1' | b'2') {
            builder
                .append_link(&mut header, &made.name, "elsewhere")
                .unwrap();
        } else {
            builder
                .append_data(&mut header, &made.name, made.content.as_slice())
                .unwrap();
        }
    }
    builder.into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_the_tar_crate_writes_is_told_to_the_byte(all in prop::collection::vec(made(), 1..40)) {
        let content = whole(&by_the_crate(&all), &wanted());
        prop_assert_eq!(usize::try_from(content.members).unwrap(), all.len());
        prop_assert_eq!(content.odd_names.count, 0);
        let sum = |of: &dyn Fn(&Made) -> bool| {
            let of: Vec<_> = all.iter().filter(|made| of(made)).collect();
            let bytes: usize = of.iter().map(|made| made.content.len()).sum();
            (u64::try_from(of.len()).unwrap(), u64::try_from(bytes).unwrap())
        };
        let deep = |made: &Made| made.name.starts_with("mnt/mp0/deep/");
        let mp0 = |made: &Made| made.name.starts_with("mnt/mp0/") && !deep(made);
        let rootfs = |made: &Made| !made.name.starts_with("mnt/mp0/");
        let tally = |key: &str| content.mounts.get(key).map_or((0, 0), |t| (t.members, t.bytes));
        // A member may have the very name of a mount point: that one is nobody's.
        if !all.iter().any(|made| made.name == "mnt/mp0/deep" || made.name == "mnt/mp0") {
            prop_assert_eq!(tally("mp1"), sum(&deep));
            prop_assert_eq!(tally("mp0"), sum(&mp0));
            prop_assert_eq!(tally("rootfs"), sum(&rootfs));
        }
        for volume in &content.docker_volumes {
            let prefix = format!("var/lib/docker/volumes/{}/_data/", volume.name);
            let inside = |made: &Made| made.name.starts_with(&prefix);
            let file = |made: &Made| inside(made) && made.kind == b'0';
            prop_assert_eq!((volume.tally.members, volume.tally.bytes), sum(&inside));
            prop_assert_eq!(volume.files, sum(&file).0);
            let newest = all.iter().filter(|made| file(made)).map(|made| made.mtime).max();
            prop_assert_eq!(volume.newest_mtime_s, newest.map(|time| i64::try_from(time).unwrap()));
            for sample in &volume.samples {
                let first = all.iter().find(|made| file(made) && made.name.strip_prefix(&prefix) == Some(&sample.path)).unwrap();
                prop_assert_eq!(&sample.sha256, &sha256(&first.content));
            }
        }
    }

    #[test]
    fn a_changed_archive_never_panics_and_is_never_larger_than_it_is(
        all in prop::collection::vec(made(), 1..12),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = by_the_crate(&all);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let content = read(&bytes);
        prop_assert_eq!(content.complete, content.error.is_none());
        prop_assert!(usize::try_from(content.members).unwrap() <= bytes.len() / 512);
    }
}

/// Archives that can be read in more than one way.
fn doubtful() -> Vec<Tar> {
    let size = |value: &str| Tar::default().pax(&[("size", value.as_bytes())]);
    vec![
        Tar::default()
            .file("./a", &[1; 513])
            .directory("./d")
            .file("b", b""),
        Tar::default()
            .about(b'L', b"./long\0")
            .about(b'L', b"./longer\0")
            .file("x", b""),
        Tar::default()
            .pax(&[("path", b"./one")])
            .pax(&[("mtime", b"1")])
            .file("./two", b""),
        Tar::default()
            .about(b'L', b"./long\0")
            .pax(&[("path", b"./pax")])
            .file("x", b""),
        size("600")
            .with(Header::new(b"./a", b'0', 3))
            .content(&[1; 600])
            .file("./b", b""),
        size("0")
            .with(Header::new(b"./a", b'0', 600))
            .file("./b", b""),
        Tar::default()
            .member("./unknown", b'Q', &[1; 600])
            .file("./b", b""),
        Tar::default()
            .member("./volume-label", b'V', b"")
            .file("./b", b""),
        Tar::default()
            .with(Header::new(b"./old/", b'0', 600))
            .content(&[1; 600])
            .file("./b", b""),
        Tar::default()
            .with(Header::new(b"name", b'0', 0).but(345, b"./pre/fix"))
            .file("./b", b""),
        Tar::default()
            .about(b'g', &super::built::record("path", b"./all"))
            .file("./a", b"")
            .file("./b", b""),
        Tar::default().about(b'x', b"9 size=x\n").file("./b", b""),
        Tar::default().about(b'x', b"99 a=b\n").file("./b", b""),
        Tar::default()
            .directory("./d")
            .file("../up", b"")
            .file("/abs", b""),
    ]
}

/// What is taken for a whole archive, GNU tar takes for one, with as many members.
#[test]
fn what_we_believe_the_systems_tar_believes() {
    if !gnu_tar() {
        return;
    }
    let archives = doubtful();
    for (at, tar) in archives.into_iter().enumerate() {
        let archive = tar.end();
        let content = read(&archive);
        let (good, listed) = run("tar", &["tf", "-", "-P"], &archive).unwrap();
        let lines = listed.split(|byte| *byte == b'\n').count() - 1;
        if content.complete {
            assert!(good, "archive {at}");
            assert_eq!(
                usize::try_from(content.members).unwrap(),
                lines,
                "archive {at}"
            );
        } else {
            assert!(!good, "archive {at}: {:?}", content.error);
        }
    }
}
