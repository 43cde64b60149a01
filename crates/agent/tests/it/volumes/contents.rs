//! What only a backup can find about volumes: what is in the archive, beside what the report and the last archive say.

use serde_json::{Value, json};

use super::docker::*;
use crate::support::*;

const NOTHING: [&str; 0] = [];
const GUEST: &str = "guest 9001";
const PHOTOS: &str = "guest 9001 volume photos";
const DATA: &str = "/var/lib/docker/volumes/photos/_data";

fn photos() -> Docker {
    used("photos")
        .volume("pgdata", HOT)
        .volume("uploads", HOT)
        .volume("photos", HOT)
}

fn used(volume: &str) -> Docker {
    let app = container("app", "example.org/app:1").mounts(volume, "/photos");
    engine().with(app.mounts("pgdata", "/db").mounts("uploads", "/uploads"))
}

fn fill(name: &str, bytes: u64) -> Value {
    json!({ "do": "fill", "path": format!("{DATA}/{name}"), "bytes": bytes, "seed": 7 })
}

/// A guest with a known volume of two files and a good backup of it.
async fn album() -> Bench {
    let bench = Bench::new().await;
    let files = json!([fill("one.jpg", 700 << 10), fill("two.jpg", 700 << 10)]);
    bench.files(9001, files).await;
    bench.told(9001, &photos()).await;
    assert_eq!(bench.backed_up(9001, PHOTOS).await, NOTHING);
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_sampled_and_is_gone_is_missed_and_a_new_one_is_no_news() {
    let bench = album().await;
    bench.files(9001, json!([fill("three.jpg", 4 << 10)])).await;
    assert_eq!(bench.backed_up(9001, PHOTOS).await, NOTHING);
    let gone = json!([{ "do": "remove", "path": format!("{DATA}/three.jpg") }]);
    bench.files(9001, gone).await;
    assert_eq!(bench.backed_up(9001, PHOTOS).await, ["sampled-file-absent"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rot_is_told_from_a_change_that_somebody_made() {
    let bench = album().await;
    let written = json!([{ "do": "write", "path": format!("{DATA}/one.jpg"), "text": "cut" }, fill("more.jpg", 690 << 10)]);
    bench.files(9001, written).await;
    assert_eq!(bench.backed_up(9001, PHOTOS).await, NOTHING);
    let rotten = json!([{ "do": "rot", "path": format!("{DATA}/two.jpg") }]);
    bench.files(9001, rotten).await;
    assert_eq!(
        bench.backed_up(9001, PHOTOS).await,
        ["content-changed-silently"]
    );
    assert_eq!(bench.backed_up(9001, PHOTOS).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_of_more_than_twice_its_size_is_off_its_forecast() {
    let bench = album().await;
    bench.files(9001, json!([fill("new.jpg", 900 << 10)])).await;
    assert_eq!(bench.backed_up(9001, PHOTOS).await, NOTHING);
    bench.files(9001, json!([fill("film.mkv", 3 << 20)])).await;
    assert_eq!(bench.backed_up(9001, PHOTOS).await, ["size-off-forecast"]);
    let cut = json!([{ "do": "remove", "path": format!("{DATA}/film.mkv") }]);
    bench.files(9001, cut).await;
    assert_eq!(
        bench.backed_up(9001, PHOTOS).await,
        ["sampled-file-absent", "size-off-forecast"]
    );
    assert_eq!(bench.backed_up(9001, GUEST).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_was_moved_out_of_the_backup_is_not_missed_in_it() {
    let bench = album().await;
    let mount = json!({ "mp0": "local-lvm:1,mp=/mnt/photos,backup=0" });
    bench.pct_set(9001, mount).await;
    let moved = json!([
        { "do": "move", "from": DATA, "to": "/mnt/photos/data" },
        { "do": "mkdir", "path": DATA },
    ]);
    bench.files(9001, moved).await;
    let docker = used("photos")
        .volume("pgdata", HOT)
        .volume("uploads", HOT)
        .bound("photos", "/mnt/photos/data", COVERED);
    bench.told(9001, &docker).await;
    assert_eq!(bench.backed_up(9001, PHOTOS).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_in_the_archive_that_no_report_knows_is_named() {
    let bench = album().await;
    assert_eq!(bench.backed_up(9001, GUEST).await, NOTHING);
    let path = "/var/lib/docker/volumes/surprise/_data/file";
    bench
        .files(
            9001,
            json!([{ "do": "write", "path": path, "text": "boo" }]),
        )
        .await;
    assert_eq!(bench.backed_up(9001, GUEST).await, ["volume-unreported"]);
    let told = photos().volume("surprise", HOT);
    bench.told(9001, &told).await;
    assert_eq!(bench.backed_up(9001, GUEST).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_of_last_month_and_one_of_another_guest_are_old() {
    let bench = album().await;
    assert_eq!(bench.backed_up(9001, GUEST).await, NOTHING);
    let path = bench.state_dir().join("journal.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    let age = |days: i64| days * 86_400_000;
    let sql = "UPDATE volume_reports SET taken_ms = taken_ms - ?";
    for (days, expected) in [(6, &NOTHING[..]), (2, &["volume-report-old"])] {
        sqlx::query(sql)
            .bind(age(days))
            .execute(&pool)
            .await
            .unwrap();
        assert_eq!(bench.backed_up(9001, GUEST).await, expected);
    }
    pool.close().await;
    bench.told(9001, &photos()).await;
    assert_eq!(bench.backed_up(9001, GUEST).await, NOTHING);

    let net = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:99,ip=dhcp,type=veth";
    bench.poke(9001, json!({ "set": { "net0": net } })).await;
    let ran = bench.run(&["backup", "run", "9001"]).await;
    // What was of the other guest is said of neither its volumes nor their content.
    assert_eq!(codes(&ran.data(), GUEST), ["volume-report-old"]);
    assert_eq!(codes(&ran.data(), PHOTOS), NOTHING);
    assert_eq!(ran.data()["volumes"], json!([]));
}
