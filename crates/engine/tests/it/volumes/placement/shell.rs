//! The commands themselves, in a real shell on directories of the test's own.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use felhom_engine::volumes::PlacementAction;

use crate::fake::vmid;

/// Whether all the commands end well, one after the other. What root keeps in its home is kept below the directory; programs in
/// its `bin` are taken before the machine's own.
#[expect(
    clippy::disallowed_types,
    reason = "the commands of the plan are typed into a real shell"
)]
pub(super) fn typed(base: &Path, action: &PlacementAction) -> bool {
    let typed = action.commands(vmid(9010));
    let home = format!("{}/", base.display());
    let lines = typed
        .iter()
        .map(|command| format!("{{ {}\n}} || exit 1\n", command.replace("/root/", &home)));
    let script: String = lines.collect();
    let path = std::env::var("PATH").unwrap();
    std::process::Command::new("sh")
        .args(["-c", &script])
        .env("PATH", format!("{}/bin:{path}", base.display()))
        .output()
        .unwrap()
        .status
        .success()
}

pub(super) struct Sides {
    pub(super) base: tempfile::TempDir,
}

impl Sides {
    pub(super) fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        for side in ["from dir's", "to"] {
            std::fs::create_dir(base.path().join(side)).unwrap();
        }
        let sides = Self { base };
        sides.program("mountpoint", "exit 0");
        sides
    }

    pub(super) fn path(&self, side: &str) -> String {
        self.base.path().join(side).display().to_string()
    }

    pub(super) fn write(&self, side: &str, name: &[u8], text: &str) {
        let name = std::ffi::OsStr::from_bytes(name);
        std::fs::write(self.base.path().join(side).join(name), text).unwrap();
    }

    /// A program that is taken before the machine's own.
    pub(super) fn program(&self, name: &str, text: &str) {
        let bin = self.base.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn copied(&self) -> bool {
        let (from, to) = (self.path("from dir's"), self.path("to"));
        typed(self.base.path(), &PlacementAction::CopyTree { from, to })
    }

    pub(super) fn same(&self) -> bool {
        let (from, to) = (self.path("from dir's"), self.path("to"));
        typed(
            self.base.path(),
            &PlacementAction::CompareTrees { from, to },
        )
    }
}

#[test]
fn an_empty_volume_is_the_same_as_its_copy_and_not_as_one_with_files() {
    let sides = Sides::new();
    assert!(sides.copied() && sides.same());
    std::fs::create_dir(sides.base.path().join("to/more")).unwrap();
    assert!(!sides.same());
    std::fs::remove_dir(sides.base.path().join("to/more")).unwrap();
    sides.write("to", b"more", "");
    assert!(!sides.same());
    std::fs::remove_file(sides.base.path().join("to/more")).unwrap();
    // Only directories, no file.
    std::fs::create_dir(sides.base.path().join("from dir's/deep")).unwrap();
    assert!(!sides.same());
    assert!(sides.copied() && sides.same());
}

#[test]
fn any_name_of_a_file_is_copied_and_compared() {
    let sides = Sides::new();
    let names: [&[u8]; 8] = [
        b"two\nlines",
        b"back\\slash",
        b"-rf",
        b"--check",
        b" blank ",
        b"quote'\"$(x)",
        b"bad \xff\xfe bytes",
        b"\\\n",
    ];
    for name in names {
        sides.write("from dir's", name, "content");
    }
    assert!(!sides.same());
    assert!(sides.copied() && sides.same());
    for name in names {
        sides.write("to", name, "CONTENT");
        assert!(!sides.same(), "{:?}", String::from_utf8_lossy(name));
        sides.write("to", name, "content");
    }
    assert!(sides.same());
    sides.write("to", b"one more", "content");
    assert!(!sides.same());
}

#[test]
fn a_side_that_is_missing_is_not_the_same() {
    let sides = Sides::new();
    std::fs::remove_dir(sides.path("to")).unwrap();
    assert!(!sides.same());
    let sides = Sides::new();
    std::fs::remove_dir(sides.path("from dir's")).unwrap();
    assert!(!sides.same());
}

#[test]
fn an_old_copy_is_set_aside_whole_and_never_over_another() {
    let sides = Sides::new();
    sides.write("from dir's", b"film", "content");
    assert!(sides.copied() && sides.same());
    let to = sides.path("kept/set-aside/films");
    let set_aside = PlacementAction::SetAside {
        from: sides.path("from dir's"),
        to: to.clone(),
    };
    assert!(typed(sides.base.path(), &set_aside));
    let kept = Path::new(&to).join("film");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "content");
    sides.write("from dir's", b"film", "another");
    assert!(!typed(sides.base.path(), &set_aside));
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "content");
}

#[test]
fn an_old_copy_is_never_copied_to_another_file_system() {
    let sides = Sides::new();
    sides.write("from dir's", b"film", "content");
    let device = |path: &Path| std::fs::metadata(path).map(|one| one.dev()).ok();
    let own = device(sides.base.path());
    // The test's own directory may be in memory or on disk: one of these is where it is not.
    let others = ["/dev/shm", env!("CARGO_TARGET_TMPDIR")].map(Path::new);
    let mut others = others
        .into_iter()
        .filter(|path| device(path).is_some_and(|other| Some(other) != own));
    let Some(elsewhere) = others.find_map(|path| tempfile::tempdir_in(path).ok()) else {
        let line =
            "skipped: an_old_copy_is_never_copied_to_another_file_system: there is only one here";
        writeln!(std::io::stderr().lock(), "{line}").unwrap();
        return;
    };
    assert!(sides.copied() && sides.same());
    let to = elsewhere.path().join("films");
    let set_aside = PlacementAction::SetAside {
        from: sides.path("from dir's"),
        to: to.display().to_string(),
    };
    assert!(!typed(sides.base.path(), &set_aside));
    assert!(!to.exists() && Path::new(&sides.path("from dir's")).join("film").exists());
}

#[test]
fn an_old_copy_is_emptied_and_its_directory_stays() {
    let sides = Sides::new();
    sides.write("from dir's", b"-rf", "content");
    let path = sides.path("from dir's");
    let drop = PlacementAction::DropOld {
        path: path.clone(),
        emptied: true,
    };
    assert!(typed(sides.base.path(), &drop));
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
}
