//! A proof that cannot fail proves nothing: archives that are changed after the backup, and backups that lack something.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use felhom_agent::exit::Exit;
use serde_json::{Value, json};

use super::docker::*;
use crate::support::*;

const HOT_DATA: &str = "/var/lib/docker/volumes/b2vol/_data";
const BULK_OWN: &str = "/var/lib/docker/volumes/films/_data";
const BULK_DATA: &str = "/mnt/mp2/films";

/// A guest with a hot volume on its rootfs and a bulk one on a mount point without backup.
async fn known() -> Bench {
    let bench = Bench::new().await;
    let files = json!([
        { "do": "mkdir", "path": BULK_OWN },
        { "do": "fill", "path": format!("{BULK_DATA}/holiday.mkv"), "bytes": 200 << 10, "seed": 1 },
    ]);
    bench.files(9010, files).await;
    let app = container("app", "example.org/app:1");
    let docker = engine()
        .volume("b2vol", HOT)
        .bound("bulkvol", "/mnt/mp2", COVERED)
        .bound("films", BULK_DATA, COVERED)
        .with(app.mounts("b2vol", "/db").mounts("films", "/films"));
    bench.told(9010, &docker).await;
    bench
}

struct Archive {
    bench: Bench,
    volid: String,
    good: Vec<u8>,
}

impl Archive {
    async fn good() -> Self {
        let bench = known().await;
        let volid = bench.backup(9010).await.to_string();
        let file = file(&bench, &volid);
        Self {
            good: std::fs::read(file).unwrap(),
            volid,
            bench,
        }
    }

    /// The same archive, member by member, without some and with others behind.
    fn rewritten(&self, keep: impl Fn(&str) -> bool, more: &[&str]) -> Vec<u8> {
        let unpacked = zstd::decode_all(self.good.as_slice()).unwrap();
        let mut archive = tar::Archive::new(unpacked.as_slice());
        let mut builder = tar::Builder::new(Vec::new());
        for entry in archive.entries().unwrap().raw(true) {
            let mut entry = entry.unwrap();
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            if keep(name.trim_start_matches('.').trim_end_matches('/')) {
                let header = entry.header().clone();
                builder.append(&header, &mut entry).unwrap();
            }
        }
        for path in more {
            let mut header = tar::Header::new_gnu();
            header.set_size(5);
            header.set_mode(0o644);
            let path = path.trim_start_matches('/');
            builder
                .append_data(&mut header, path, &b"movie"[..])
                .unwrap();
        }
        zstd::encode_all(builder.into_inner().unwrap().as_slice(), 3).unwrap()
    }

    /// What `backup proof` says of the archive when its file holds this.
    async fn proof_of(&self, bytes: &[u8]) -> (Exit, Value) {
        let mut file = File::create(file(&self.bench, &self.volid)).unwrap();
        file.write_all(bytes).unwrap();
        drop(file);
        let ran = self.bench.run(&["backup", "proof", &self.volid]).await;
        (ran.exit, ran.data())
    }

    async fn is_red(&self, bytes: &[u8], naming: &str) {
        let (exit, proof) = self.proof_of(bytes).await;
        assert_eq!(
            (exit, &proof["standing"]),
            (Exit::VerdictFailed, &json!("failed")),
            "{naming}: {proof}"
        );
        let reasons = proof["reasons"].to_string();
        assert!(reasons.contains(naming), "{naming}: {reasons}");
    }

    async fn is_green(&self, bytes: &[u8]) {
        let (exit, proof) = self.proof_of(bytes).await;
        assert_eq!(
            (exit, &proof["standing"]),
            (Exit::Done, &json!("proven")),
            "{proof}"
        );
        assert_eq!(proof["reasons"], json!([]));
    }
}

fn file(bench: &Bench, volid: &str) -> PathBuf {
    let name = volid.rsplit('/').next().unwrap();
    bench
        .world
        .state_dir()
        .join("storage/local/dump")
        .join(name)
}

fn below(path: &str, directory: &str) -> bool {
    path == directory || path.starts_with(&format!("{directory}/"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_nobody_touched_is_proven_and_so_is_one_that_was_packed_again() {
    let archive = Archive::good().await;
    archive.is_green(&archive.good).await;
    // What the other tests change is what makes the difference, not that they pack it again.
    let same = archive.rewritten(|_| true, &[]);
    assert_ne!(same, archive.good);
    archive.is_green(&same).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_lost_a_volume_is_red_and_names_it() {
    let archive = Archive::good().await;
    let lost = archive.rewritten(|path| !below(path, HOT_DATA), &[]);
    archive.is_red(&lost, "volume b2vol: should be in").await;
    archive.is_green(&archive.good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_is_not_what_it_was_is_red_though_it_looks_like_a_backup() {
    let archive = Archive::good().await;
    // An empty volume or mount point is no contradiction in itself: only the record of the backup tells.
    let emptied = archive.rewritten(|path| !path.starts_with(&format!("{HOT_DATA}/")), &[]);
    archive.is_red(&emptied, "volume b2vol: 0 members").await;
    let unmounted = archive.rewritten(|path| !below(path, "/mnt/mp1"), &[]);
    archive.is_red(&unmounted, "mp1: 0 members").await;
    let file = archive.rewritten(|path| path != format!("{HOT_DATA}/library.db"), &[]);
    archive.is_red(&file, "volume b2vol: 1 members").await;
    let grown = archive.rewritten(|_| true, &["/root/.ssh/authorized_keys"]);
    archive.is_red(&grown, "rootfs: ").await;
    archive.is_green(&archive.good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_into_which_bulk_was_smuggled_is_red_and_names_it() {
    let archive = Archive::good().await;
    for (path, naming) in [
        (BULK_DATA, "volume films: should be out"),
        (BULK_OWN, "volume films: should be out"),
        ("/mnt/mp2", "mp2 (/mnt/mp2)"),
    ] {
        let smuggled = archive.rewritten(|_| true, &[&format!("{path}/smuggled.mkv")]);
        archive.is_red(&smuggled, naming).await;
    }
    archive.is_green(&archive.good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_is_cut_off_or_damaged_is_red() {
    let archive = Archive::good().await;
    let whole = archive.good.len();
    for cut in [whole / 2, whole - 1] {
        archive
            .is_red(&archive.good[..cut], "cannot be read to its end")
            .await;
    }
    let mut damaged = archive.good.clone();
    damaged[whole * 3 / 5] ^= 0x10;
    archive.is_red(&damaged, "cannot be read to its end").await;
    archive.is_green(&archive.good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_lacks_a_volume_or_holds_bulk_fails_at_once() {
    let bench = known().await;
    let failed = async |naming: &str| {
        let ran = bench.run(&["backup", "run", "9010"]).await;
        let data = ran.data();
        assert_eq!(
            (ran.exit, &data["verdict"]),
            (Exit::TaskFailed, &json!("failed")),
            "{data}"
        );
        assert!(data["reasons"].to_string().contains(naming), "{data}");
        assert_eq!(
            codes(&data, "guest 9010"),
            ["bind-not-in-backup", "inclusion-differs"]
        );
    };
    let good = async || {
        let ran = bench.run(&["backup", "run", "9010"]).await;
        assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
    };
    good().await;
    let omitted = json!({ "paths": [HOT_DATA] });
    bench.world.control("vzdump-omits", omitted).await.unwrap();
    failed("volume b2vol: should be in").await;
    good().await;
    let omitted = json!({ "paths": ["/mnt/mp1"] });
    bench.world.control("vzdump-omits", omitted).await.unwrap();
    failed("mp1 (/mnt/mp1): should be in, but not even its directory").await;
    good().await;
    // Docker started before the mount point was there, and wrote below it.
    let stray = format!("{BULK_OWN}/stray.mkv");
    let write = json!([{ "do": "write", "path": stray, "text": "movie" }]);
    bench.files(9010, write).await;
    failed("volume films: should be out").await;
    bench
        .files(9010, json!([{ "do": "remove", "path": stray }]))
        .await;
    good().await;
    let (_, reasons) = bench.posture(9010).await;
    assert!(
        !reasons.contains(&"our last backup failed".to_owned()),
        "{reasons:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_node_leaves_out_of_every_backup_is_told_before_it_is_missed() {
    let bench = known().await;
    let about = async |excludes: Value| {
        let order = json!({ "exclude-path": excludes });
        bench.world.control("vzdump-conf", order).await.unwrap();
        let ran = bench.run(&["backup", "run", "9010"]).await;
        let found = ran.data()["findings"].as_array().unwrap().clone();
        let excluded = found
            .into_iter()
            .filter(|one| one["code"] == "excluded-by-vzdump-conf");
        let told = excluded
            .map(|one| one["detail"].to_string())
            .collect::<Vec<_>>();
        (ran.data()["verdict"].as_str().unwrap().to_owned(), told)
    };
    assert_eq!(about(json!([])).await, ("good".to_owned(), vec![]));
    let other = json!(["/mnt/mp1/cache", "/mnt/mp2", "*.iso"]);
    assert_eq!(about(other).await, ("good".to_owned(), vec![]));
    // Plan and log say that it is in, and its directory is there, empty.
    let (verdict, told) = about(json!(["*.iso", "/mnt/mp1/*"])).await;
    assert_eq!((verdict.as_str(), told.len()), ("good", 1), "{told:?}");
    assert!(told[0].contains("all of mp1 (`/mnt/mp1`)"), "{told:?}");
    let (verdict, told) = about(json!(["/mnt/mp1", HOT_DATA])).await;
    assert_eq!((verdict.as_str(), told.len()), ("failed", 2), "{told:?}");
    assert!(told[1].contains("volume b2vol"), "{told:?}");
}
