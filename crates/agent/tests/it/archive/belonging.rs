//! Which member belongs to which mount point and to which volume, and what is told of a volume.

use felhom_agent::archive::{DIGESTED_BYTES, SAMPLED_FILES};
use felhom_engine::WantedContent;

use super::built::{Header, Tar};
use super::{members, named, sha256, volume, wanted, whole};

const DOCKER: &str = "./var/lib/docker/volumes";

#[test]
fn a_member_belongs_to_the_mount_point_with_the_longest_path_above_it() {
    let archive = Tar::default()
        .file("./etc/vzdump/pct.conf", b"arch: amd64\n")
        .directory(".")
        .directory("./mnt")
        .directory("./mnt/mp0")
        .file("./etc/hosts", b"12345")
        .directory("./mnt/mp0")
        .file("./mnt/mp0/a", b"123")
        .file("./mnt/mp0x", b"1")
        .directory("./mnt/mp0/deep")
        .file("./mnt/mp0/deep/b", b"12")
        .file("./mnt/mp0/deeper", b"1234")
        .end();
    let content = whole(&archive, &wanted());
    assert!(content.config_first);
    let tally = |key: &str| {
        let tally = content.mounts[key];
        (tally.members, tally.bytes)
    };
    assert_eq!(tally("rootfs"), (3, 6), "mnt, etc/hosts, mnt/mp0x");
    assert_eq!(tally("mp0"), (2, 7));
    assert_eq!(tally("mp1"), (1, 2));
    assert_eq!((content.members, content.bytes), (11, 12 + 15));
}

#[test]
fn what_is_not_in_the_archive_has_no_tally() {
    let archive = Tar::default().file("./a", b"").directory("./mnt/mp0").end();
    let content = whole(&archive, &wanted());
    assert_eq!(content.mounts.keys().collect::<Vec<_>>(), ["rootfs"]);
    assert!(!content.config_first);
}

#[test]
fn a_volume_is_found_by_its_directory_or_by_anything_in_it() {
    let archive = Tar::default()
        .file(&format!("{DOCKER}/metadata.db"), b"db")
        .directory(&format!("{DOCKER}/bulk"))
        .directory(&format!("{DOCKER}/bulk/_data"))
        .file(&format!("{DOCKER}/bulk/opts.json"), b"{}")
        .file(&format!("{DOCKER}/pgdata/_data/base/1"), b"123")
        .file(&format!("{DOCKER}/no-data/_datax/1"), b"123")
        .file(&format!("{DOCKER}/file/_data"), b"not a directory")
        .end();
    let content = whole(&archive, &wanted());
    let told: Vec<_> = content
        .docker_volumes
        .iter()
        .map(|v| (v.name.as_str(), v.root_present, v.tally.members, v.files))
        .collect();
    let expected = [
        ("bulk", true, 0, 0),
        // A bind mount may be of a single file.
        ("file", true, 0, 0),
        ("pgdata", false, 1, 1),
    ];
    assert_eq!(told, expected);
    assert_eq!(content.docker_volumes_beyond, 0);
    let path = &named(&content, "pgdata").path;
    assert_eq!(path, "/var/lib/docker/volumes/pgdata/_data");
}

#[test]
fn a_link_in_a_volume_s_place_or_on_the_way_to_it_is_told() {
    let asked = WantedContent {
        volumes: vec![
            volume("at", "/srv/link"),
            volume("behind", "/opt/stack/db/data"),
            volume("beside", "/opt/stacks"),
        ],
        ..wanted()
    };
    let archive = Tar::default()
        .member("./opt/stack", b'2', b"")
        .directory("./opt/stacks")
        .member("./srv/link", b'2', b"")
        .end();
    let content = whole(&archive, &asked);
    let told = |name| {
        let volume = named(&content, name);
        (volume.root_present, volume.root_is_other)
    };
    assert_eq!(told("at"), (false, true));
    assert_eq!(told("behind"), (false, true));
    assert_eq!(told("beside"), (true, false));
}

#[test]
fn mount_points_of_which_the_directory_is_there_are_told() {
    let archive = Tar::default()
        .directory("./mnt/mp0")
        .file("./etc/hosts", b"")
        .end();
    let content = whole(&archive, &wanted());
    let roots: Vec<_> = content.mount_roots.iter().collect();
    assert_eq!(roots, ["mp0"], "{:?}", content.mounts);
}

#[test]
fn a_volume_that_is_asked_for_is_told_whatever_is_there() {
    let asked = WantedContent {
        volumes: vec![
            volume("gone", "/var/lib/docker/volumes/gone/_data"),
            volume("outer", "/mnt/mp0/bulk"),
            volume("inner", "/mnt/mp0/bulk/in/here/"),
            volume("twin", "/mnt/mp0/bulk"),
            volume("bound", "/srv/bound"),
        ],
        ..wanted()
    };
    let archive = Tar::default()
        .directory("./mnt/mp0/bulk")
        .file("./mnt/mp0/bulk/one", b"1")
        .directory("./mnt/mp0/bulk/in/here")
        .file("./mnt/mp0/bulk/in/here/two", b"22")
        .file("./mnt/mp0/bulk/in/herein", b"333")
        // The directory that Docker keeps of a volume that is bound elsewhere is no second one.
        .directory(&format!("{DOCKER}/bound/_data"))
        .end();
    let content = whole(&archive, &asked);
    let told: Vec<_> = content
        .docker_volumes
        .iter()
        .map(|v| {
            (
                v.name.as_str(),
                v.root_present,
                v.tally.members,
                v.tally.bytes,
            )
        })
        .collect();
    let expected = [
        ("bound", false, 0, 0),
        ("gone", false, 0, 0),
        ("inner", true, 1, 2),
        ("outer", true, 2, 4),
        ("twin", true, 2, 4),
    ];
    assert_eq!(told, expected);
    assert_eq!(named(&content, "inner").path, "/mnt/mp0/bulk/in/here/");
    assert_eq!(members(&content, "mp0"), 5);
}

#[test]
fn docker_may_live_elsewhere_or_nowhere() {
    let archive = Tar::default()
        .file("./srv/docker/volumes/a/_data/f", b"1")
        .file("./volumes/b/_data/f", b"1")
        .file(&format!("{DOCKER}/c/_data/f"), b"1")
        .end();
    for (data_root, expected) in [
        ("/srv/docker", Some("a")),
        ("/srv/docker/", Some("a")),
        ("/", Some("b")),
        ("", None),
    ] {
        let asked = WantedContent {
            data_root: data_root.into(),
            ..wanted()
        };
        let content = whole(&archive, &asked);
        let names = content.docker_volumes.iter().map(|v| v.name.as_str());
        assert_eq!(
            names.collect::<Vec<_>>(),
            Vec::from_iter(expected),
            "{data_root:?}"
        );
    }
}

#[test]
fn volumes_beyond_what_is_told_and_names_that_docker_gives_nobody_are_counted() {
    let mut tar = Tar::default();
    for at in 0..4096 {
        tar = tar.directory(&format!("{DOCKER}/v{at}/_data"));
    }
    assert_eq!(
        whole(&tar.clone().end(), &wanted()).docker_volumes_beyond,
        0
    );
    for name in [
        "beyond",
        "other",
        ".hidden",
        "with space",
        "\x1b[31m",
        "\u{e9}",
    ] {
        tar = tar
            .directory(&format!("{DOCKER}/{name}/_data"))
            .file(&format!("{DOCKER}/{name}/_data/file"), b"1");
    }
    let content = whole(&tar.end(), &wanted());
    assert_eq!(content.docker_volumes.len(), 4096);
    assert_eq!(content.docker_volumes_beyond, 6);
}

#[test]
fn a_volume_tells_its_files_its_newest_time_and_some_digests() {
    let at = |name: &str, mtime: u64, content: &[u8]| {
        let size = u64::try_from(content.len()).unwrap();
        let name = format!("{DOCKER}/v/_data/{name}");
        let header = Header::new(name.as_bytes(), b'0', size);
        header.but(136, format!("{mtime:011o}\0").as_bytes())
    };
    let archive = Tar::default()
        .directory(&format!("{DOCKER}/v/_data"))
        .with(at("a", 2000, b"one"))
        .content(b"one")
        .with(at("sub/b", 3000, b""))
        .member(&format!("{DOCKER}/v/_data/link"), b'2', b"")
        .member(&format!("{DOCKER}/v/_data/hard"), b'1', b"")
        .member(&format!("{DOCKER}/v/_data/device"), b'3', b"")
        .end();
    let content = whole(&archive, &wanted());
    let v = named(&content, "v");
    assert_eq!((v.files, v.tally.members, v.tally.bytes), (2, 5, 3));
    assert_eq!(v.newest_mtime_s, Some(3000), "of regular files");
    let [a, b] = v.samples.as_slice() else {
        panic!("{:?}", v.samples)
    };
    assert_eq!((a.path.as_str(), a.size, a.mtime_s), ("a", 3, 2000));
    assert_eq!(a.sha256, sha256(b"one"));
    assert_eq!((b.path.as_str(), b.sha256.clone()), ("sub/b", sha256(b"")));
}

#[test]
fn the_same_files_are_sampled_again_and_a_change_in_one_shows() {
    let archive = |changed: usize, more: usize| {
        let mut tar = Tar::default();
        for at in (0..200).chain(1000..1000 + more) {
            let text = if at == changed {
                "changed"
            } else {
                "as it was"
            };
            tar = tar.file(&format!("{DOCKER}/v/_data/f{at}"), text.as_bytes());
        }
        let content = whole(&tar.end(), &wanted());
        named(&content, "v").samples.clone()
    };
    let before = archive(usize::MAX, 0);
    assert_eq!(before.len(), SAMPLED_FILES);
    assert!(before.is_sorted_by_key(|file| file.path.clone()));
    let one: usize = before[3].path.strip_prefix('f').unwrap().parse().unwrap();
    let after = archive(one, 0);
    let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert_eq!(changed, 1);
    let grown = archive(usize::MAX, 10);
    let kept = before.iter().filter(|file| grown.contains(file)).count();
    assert!(kept >= SAMPLED_FILES - 4, "{kept}");
}

#[test]
fn of_two_members_of_one_name_the_first_is_sampled_and_both_count() {
    let name = format!("{DOCKER}/v/_data/f");
    let archive = Tar::default()
        .file(&name, b"first")
        .file(&name, b"second!")
        .end();
    let content = whole(&archive, &wanted());
    let v = named(&content, "v");
    assert_eq!((v.files, v.tally.bytes), (2, 12));
    assert_eq!(v.samples.len(), 1);
    assert_eq!(
        v.samples[0].sha256,
        sha256(b"first"),
        "restores keep what is there"
    );
}

#[test]
fn a_long_file_is_digested_up_to_the_limit() {
    let limit = usize::try_from(DIGESTED_BYTES).unwrap();
    for beyond in [0, 1, 700] {
        let long: Vec<u8> = (0..=u8::MAX).cycle().take(limit + beyond).collect();
        let archive = Tar::default()
            .file(&format!("{DOCKER}/v/_data/long"), &long)
            .file("./after", b"")
            .end();
        let content = whole(&archive, &wanted());
        let sample = &named(&content, "v").samples[0];
        assert_eq!(sample.sha256, sha256(&long[..limit]));
        assert_eq!(usize::try_from(sample.size).unwrap(), long.len());
        assert_eq!(content.members, 2);
    }
}
