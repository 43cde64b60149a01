//! The container of VM archives, held against itself and against damage.

use super::*;

fn made(folder: &Path, name: &str) -> (PathBuf, Plan) {
    let image = folder.join("disk.raw");
    let file = File::create(&image).unwrap();
    file.write_all_at(b"boots\n", 0).unwrap();
    // The fourth block of the third cluster of the second extent.
    let far = (59 + 2) * 65_536 + 3 * 4096;
    file.write_all_at(&[7; 4096], far).unwrap();
    let plan = Plan {
        uuid: [9; 16],
        ctime: 1_790_000_000,
        configs: vec![("qemu-server.conf".into(), b"name: vm\n".to_vec())],
        devices: vec![
            Device {
                name: "drive-scsi0".into(),
                image: image.clone(),
                size: 64 << 20,
            },
            Device {
                name: "drive-efidisk0".into(),
                image,
                size: 540_672,
            },
        ],
    };
    let path = folder.join(name);
    let compression = Compression::of(&path);
    let written = write(&path, compression, &plan).unwrap();
    assert_eq!(written.total, (64 << 20) + 540_672);
    (path, plan)
}

fn targets(folder: &Path) -> BTreeMap<String, PathBuf> {
    ["drive-scsi0", "drive-efidisk0"]
        .map(|name| (name.to_owned(), folder.join(name)))
        .into()
}

#[test]
fn what_was_written_is_read_again() {
    for name in ["a.vma", "a.vma.zst"] {
        let dir = tempfile::tempdir().unwrap();
        let (path, plan) = made(dir.path(), name);
        let found = header(&path).unwrap();
        assert_eq!((found.uuid, found.ctime), (plan.uuid, plan.ctime));
        assert_eq!(found.config("qemu-server.conf").unwrap(), "name: vm\n");
        assert_eq!(
            found.devices,
            [
                (1, "drive-scsi0".to_owned(), 64 << 20),
                (2, "drive-efidisk0".to_owned(), 540_672)
            ]
        );
        let out = extract(&path, &targets(dir.path()));
        assert_eq!(out.error, None);
        assert_eq!(out.stored.get("drive-scsi0"), Some(&8192));
        let (before, after) = (dir.path().join("disk.raw"), dir.path().join("drive-scsi0"));
        assert!(fs::read(before).unwrap() == fs::read(after).unwrap());
    }
}

#[test]
fn a_changed_header_and_a_cut_file_are_refused_in_the_words_of_vma() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = made(dir.path(), "a.vma");
    let good = fs::read(&path).unwrap();
    let mut changed = good.clone();
    changed[TABLES + 20] ^= 1;
    fs::write(&path, &changed).unwrap();
    assert_eq!(
        header(&path).unwrap_err().to_string(),
        "wrong vma header chechsum"
    );
    fs::write(&path, &good[..good.len() - 512]).unwrap();
    let error = extract(&path, &targets(dir.path())).error.unwrap();
    assert!(
        error.starts_with("detected missing cluster") || error.contains("short"),
        "{error}"
    );
    fs::write(&path, b"tar").unwrap();
    assert_eq!(
        header(&path).unwrap_err().to_string(),
        "can't read vma header - got EOF"
    );
}
