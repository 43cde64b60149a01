//! Archives that somebody made to mislead, and those that broke.

use felhom_agent::archive::{LONGEST_NAME, Packing, read_stream};

use super::built::{Header, Tar, packed};
use super::{go_on, members, named, read, read_as, sha256, wanted, whole};

#[test]
fn names_that_lead_elsewhere_are_told_and_counted_for_nobody() {
    let odd = [
        "/etc/passwd",
        "../../etc/shadow",
        "./mnt/mp0/../../etc/cron.d/x",
        "./mnt/mp0/..",
        "./mnt//mp0/x",
        "./mnt/./mp0/x",
        "./var/lib/docker/volumes/../v/_data/x",
        "//mnt/mp0/x",
    ];
    let mut tar = Tar::default();
    for name in odd {
        tar = tar.file(name, b"12345");
    }
    let archive = tar
        .pax(&[("path", b"./mnt/mp0/a\0b")])
        .file("stand-in", b"1")
        .end();
    let content = whole(&archive, &wanted());
    assert_eq!((content.members, content.odd_names.count), (9, 9));
    assert!(content.mounts.is_empty() && content.docker_volumes.is_empty());
    assert_eq!(content.odd_names.first[..], odd);
}

#[test]
fn a_long_name_that_is_odd_is_shown_cut_and_without_its_bytes() {
    let long = vec![b'a'; LONGEST_NAME * 4];
    let archive = Tar::default()
        .about(b'L', &long)
        .file("cut", b"")
        .about(b'L', b"/\xff\x1b[2J\0")
        .file("cut", b"")
        .end();
    let content = whole(&archive, &wanted());
    assert_eq!(content.odd_names.count, 2);
    assert!(content.odd_names.first[0].chars().count() < 200);
    assert_eq!(content.odd_names.first[1], "/\u{fffd}\u{1b}[2J");
}

#[test]
fn long_names_and_extended_headers_are_followed() {
    let deep = format!("./mnt/mp0/{}", "d/".repeat(1000));
    let name = format!("{deep}file");
    let archive = Tar::default()
        .about(b'L', format!("{name}\0").as_bytes())
        .file("./cut", b"12")
        .about(b'K', &vec![b'x'; 5000])
        .member("./link", b'2', b"")
        .pax(&[("path", name.as_bytes()), ("mtime", b"-1.5")])
        .file("stand-in", b"123")
        .with(Header::new(b"file", b'0', 1).but(345, b"./mnt/mp0/prefix"))
        .content(b"1")
        .end();
    let content = whole(&archive, &wanted());
    assert_eq!(content.mounts["mp0"].members, 3);
    assert_eq!(content.mounts["mp0"].bytes, 6);
    assert_eq!(members(&content, "rootfs"), 1);
}

#[test]
fn an_extended_size_holds_over_the_headers() {
    let archive = Tar::default()
        .pax(&[("size", b"600")])
        .with(Header::new(b"./a", b'0', 0))
        .content(&[7; 600])
        .file("./b", b"")
        .end();
    let content = whole(&archive, &wanted());
    assert_eq!((content.members, content.bytes), (2, 600));
}

#[test]
fn a_global_header_holds_until_it_is_overruled() {
    let archive = Tar::default()
        .about(b'g', &super::built::record("mtime", b"77"))
        .file("./var/lib/docker/volumes/v/_data/a", b"")
        .pax(&[("mtime", b"88")])
        .file("./var/lib/docker/volumes/v/_data/b", b"")
        .end();
    let content = whole(&archive, &wanted());
    let times: Vec<_> = named(&content, "v")
        .samples
        .iter()
        .map(|f| f.mtime_s)
        .collect();
    assert_eq!(times, [77, 88]);
}

#[test]
fn a_member_without_content_that_claims_some_is_refused() {
    for kind in b'1'..=b'6' {
        let hidden = Tar::default().file("./hidden", b"").0;
        let archive = Tar::default().member("./link", kind, &hidden).end();
        let content = read(&archive);
        assert!(!content.complete, "{}", char::from(kind));
        let error = content.error.unwrap();
        assert!(error.contains("claims to have content"), "{error}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_and_large_ones_break_off() {
    let at = 124;
    for (field, expected) in [
        (
            &b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"[..],
            "size or a time",
        ),
        (
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            "size or a time",
        ),
        (b"99999999999\0", "size or a time"),
        (b"            ", "size or a time"),
        (
            b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
            "middle of a member",
        ),
        (b"77777777777\0", "middle of a member"),
    ] {
        for kind in [b'0', b'L', b'K', b'g', b'x'] {
            let header = Header::new(b"./a", kind, 0).but(at, field);
            let archive = Tar::default().file("./first", b"1").with(header).end();
            let content = read(&archive);
            assert!(!content.complete);
            let error = content.error.unwrap();
            let other = kind == b'g' || kind == b'x';
            assert!(error.contains(expected) || other, "{error}");
            assert!((1..=2).contains(&content.members));
        }
    }
}

#[test]
fn a_changed_header_is_noticed_and_a_signed_sum_is_taken() {
    let good = Tar::default().file("./a", b"1").end();
    for at in [0, 100, 124, 156, 300, 500] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let content = read(&bad);
        assert!(content.error.unwrap().contains("header"), "{at}");
    }
    let mut header = Header::new(b"./\xe9", b'0', 0);
    header.put(148, b"        ");
    let sum: i32 = header
        .0
        .iter()
        .map(|byte| i32::from(byte.cast_signed()))
        .sum();
    header.put(148, format!("{sum:06o}\0 ").as_bytes());
    let signed = [&header.0[..], &[0; 1024]].concat();
    assert!(read(&signed).complete);
}

#[test]
fn an_archive_that_is_cut_anywhere_is_not_complete() {
    let archive = Tar::default()
        .file("./etc/vzdump/pct.conf", b"arch: amd64\n")
        .pax(&[("path", b"./a"), ("SCHILY.xattr.user.x", b"y")])
        .file("./stand-in", &[1; 700])
        .about(b'L', b"./a-name\0")
        .file("./var/lib/docker/volumes/v/_data/f", &[2; 1500])
        .directory("./d")
        .end();
    let all = whole(&archive, &wanted()).members;
    for length in 0..archive.len() {
        let content = read(&archive[..length]);
        assert!(!content.complete && content.error.is_some(), "{length}");
        assert!(content.members <= all);
    }
    let packed = packed(&archive);
    assert!(read_as(&packed, Packing::Zstd, &wanted()).complete);
    for length in 0..packed.len() {
        let content = read_as(&packed[..length], Packing::Zstd, &wanted());
        assert!(!content.complete && content.error.is_some(), "{length}");
    }
}

#[test]
fn a_changed_byte_of_a_packed_archive_is_noticed() {
    let content: Vec<u8> = (0..100_000u32)
        .flat_map(|n| (n % 9973).to_le_bytes())
        .collect();
    let archive = packed(&Tar::default().file("./a", &content).end());
    assert!(read_as(&archive, Packing::Zstd, &wanted()).complete);
    // Not the first bytes: some say only how the frame is laid out.
    for at in (16..archive.len()).step_by(archive.len() / 50) {
        let mut bad = archive.clone();
        bad[at] ^= 0x10;
        assert!(!read_as(&bad, Packing::Zstd, &wanted()).complete, "{at}");
    }
}

#[test]
fn nothing_and_an_end_without_members_are_no_archive() {
    for bytes in [
        Vec::new(),
        Tar::default().end(),
        vec![0; 10_240],
        packed(b""),
    ] {
        let content = read(&bytes);
        assert!(!content.complete);
        assert!(content.error.is_some());
    }
    let content = read_as(&packed(&Tar::default().end()), Packing::Zstd, &wanted());
    assert!(content.error.unwrap().contains("the archive is empty"));
}

#[test]
fn half_an_end_marker_is_none() {
    let one = Tar::default().file("./a", b"1");
    for behind in [
        vec![0; 512],
        [vec![0; 512], one.0.clone()].concat(),
        vec![0; 700],
    ] {
        let content = read(&[one.0.clone(), behind].concat());
        assert!(!content.complete);
    }
    let announced = one.pax(&[("path", b"./b")]).end();
    assert!(read(&announced).error.unwrap().contains("does not come"));
}

#[test]
fn what_follows_the_end_marker_counts_for_nothing() {
    let one = Tar::default().file("./a", b"1").end();
    let two = [one.clone(), one.clone()].concat();
    assert_eq!(whole(&two, &wanted()).members, 1);
    let garbage = [one.clone(), vec![0xff; 3000]].concat();
    assert_eq!(whole(&garbage, &wanted()).members, 1);
    // In packed archives garbage is no frame.
    let garbage = [packed(&one), vec![0xff; 3000]].concat();
    assert!(!read_as(&garbage, Packing::Zstd, &wanted()).complete);
}

#[test]
fn frames_one_after_the_other_are_one_archive() {
    let archive = Tar::default()
        .file("./a", &[1; 2000])
        .file("./b", b"")
        .end();
    // The second frame is one that unpackers skip.
    let skipped = [
        &0x184d_2a50_u32.to_le_bytes()[..],
        &4u32.to_le_bytes(),
        b"note",
    ]
    .concat();
    let frames = [packed(&archive[..700]), skipped, packed(&archive[700..])].concat();
    let content = read_as(&frames, Packing::Zstd, &wanted());
    assert_eq!((content.complete, content.members), (true, 2));
    assert_eq!(
        usize::try_from(content.compressed_bytes).unwrap(),
        frames.len()
    );
}

#[test]
fn a_frame_that_wants_a_huge_window_is_refused() {
    // A frame header alone: no checksum, no size, a window of 2^31 bytes.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3];
    frame.extend([0x01, 0, 0]);
    let content = read_as(&frame, Packing::Zstd, &wanted());
    let error = content.error.unwrap();
    assert!(error.contains("memory"), "{error}");
}

#[test]
fn holes_are_zeros_in_every_format_and_count_as_bytes() {
    let name = "./var/lib/docker/volumes/v/_data/sparse";
    let (data, size) = ([9; 512], 5000);
    let mut expected = vec![0; size];
    expected[1024..1536].copy_from_slice(&data);
    let digest = sha256(&expected);

    let map = b"2\n1024\n512\n5000\n0\n";
    let mut stored = map.to_vec();
    stored.resize(512, 0);
    stored.extend(data);
    let one = Tar::default()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", name.as_bytes()),
            ("GNU.sparse.realsize", b"5000"),
        ])
        .file("./GNUSparseFile.1/sparse", &stored);
    let listed = Tar::default()
        .pax(&[
            ("GNU.sparse.size", b"5000"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.map", b"1024,512,5000,0"),
        ])
        .file(name, &data);
    let pairs = Tar::default()
        .pax(&[
            ("GNU.sparse.size", b"5000"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"1024"),
            ("GNU.sparse.numbytes", b"512"),
            ("GNU.sparse.offset", b"5000"),
            ("GNU.sparse.numbytes", b"0"),
        ])
        .file(name, &data);
    let field = |number: u64| format!("{number:011o}\0").into_bytes();
    let old = Header::new(name.as_bytes(), b'S', 512)
        .but(257, b"ustar  \0")
        .but(
            386,
            &[field(1024), field(512), field(5000), field(0)].concat(),
        )
        .but(483, &field(5000));
    let extended = old.clone().but(386, &[0; 96]).but(482, &[1]);
    let mut block = [0; 512];
    block[..24].copy_from_slice(&[field(1024), field(512)].concat());
    let in_header = Tar::default().with(old).content(&data);
    let in_block = Tar::default().with(extended).content(&block).content(&data);
    for tar in [one, listed, pairs, in_header, in_block] {
        let content = whole(&tar.file("./after", b"1").end(), &wanted());
        assert_eq!((content.members, content.bytes), (2, 5001));
        let v = named(&content, "v");
        assert_eq!(v.samples[0].path, "sparse");
        assert_eq!(v.samples[0].sha256, digest);
    }
}

#[test]
fn a_sparse_file_of_any_size_is_digested_at_once() {
    let huge = b"9223372036854775807";
    let archive = Tar::default()
        .pax(&[
            ("GNU.sparse.size", huge),
            ("GNU.sparse.map", b"9223372036854775807,0"),
        ])
        .file("./var/lib/docker/volumes/v/_data/huge", b"")
        .end();
    let content = whole(&archive, &wanted());
    assert_eq!(content.bytes, u64::try_from(i64::MAX).unwrap());
    assert_eq!(
        named(&content, "v").samples[0].sha256,
        sha256(&vec![0; 4 << 20])
    );
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let name = "./var/lib/docker/volumes/v/_data/f";
    for map in [
        "0,1024",
        "512,256,0,256",
        "9000,1",
        "9223372036854775807,9223372036854775807",
    ] {
        let archive = Tar::default()
            .pax(&[
                ("GNU.sparse.size", b"5000"),
                ("GNU.sparse.map", map.as_bytes()),
            ])
            .file(name, &[1; 512])
            .end();
        assert!(!read(&archive).complete, "{map}");
    }
    // Blocks of a map without end are read one by one.
    let mut tar = Tar::default().with(
        Header::new(name.as_bytes(), b'S', 0)
            .but(257, b"ustar  \0")
            .but(482, &[1])
            .but(483, b"00000000000\0"),
    );
    let mut block = [0; 512];
    block[504] = 1;
    for _ in 0..10_000 {
        tar = tar.content(&block);
    }
    assert!(!read(&tar.end()).complete);
}

#[test]
fn an_extended_header_that_lies_is_refused() {
    for text in ["", "9 size=x\n", "99 a=b\n", "a=b\n", "0 \n", "6 a=b\n6"] {
        let archive = Tar::default()
            .about(b'x', text.as_bytes())
            .file("./a", b"")
            .end();
        assert_eq!(read(&archive).complete, text.is_empty(), "{text:?}");
    }
}

#[test]
fn errors_are_short_whatever_the_archive_says() {
    let loud = b"\x1b[2J".repeat(20);
    for archive in [
        Tar::default()
            .with(Header::new(&loud, b'0', 0).but(124, b"\x1b[2J"))
            .end(),
        loud.repeat(100),
    ] {
        let error = read(&archive).error.unwrap();
        assert!(error.len() < 120 && !error.contains('\x1b'), "{error}");
    }
}

#[test]
fn a_storage_that_fails_says_nothing_about_the_archive() {
    struct Failing(usize);
    impl std::io::Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(std::io::ErrorKind::Interrupted.into()),
                2 => {
                    let archive = Tar::default().file("./a", &[1; 2000]).0;
                    buffer[..1024].copy_from_slice(&archive[..1024]);
                    Ok(1024)
                }
                _ => Err(std::io::Error::from_raw_os_error(116)),
            }
        }
    }
    for packing in [Packing::Plain, Packing::Zstd] {
        let trouble = read_stream(Failing(0), packing, &wanted(), &mut go_on);
        match (packing, trouble) {
            (Packing::Plain, Err(error)) => {
                assert_eq!(
                    error.to_string(),
                    "the archive file cannot be read on from byte 1024"
                );
            }
            // What came was no packed archive: that is said before anything else is asked for.
            (Packing::Zstd, Ok(content)) => assert!(!content.complete),
            (_, other) => panic!("{other:?}"),
        }
    }
}
