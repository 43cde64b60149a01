//! Each finding about volumes has a guest that has it, and a neighbour of that guest, one thing changed, that has not.

use felhom_agent::exit::Exit;
use serde_json::json;

use super::docker::*;
use crate::support::*;

const NOTHING: [&str; 0] = [];

/// All that can be found about volumes; the last five by a backup only.
const CODES: [&str; 17] = [
    "volume-bulk-in-backup",
    "volume-hot-not-in-backup",
    "volume-unclassified",
    "volume-bulk-uncovered",
    "volume-in-excluded-path",
    "volume-idle",
    "data-root-on-mount",
    "container-without-restart",
    "bind-not-in-backup",
    "snapshot-impossible",
    "rollback-takes-back",
    "volumes-incomplete",
    "volume-report-old",
    "volume-unreported",
    "sampled-file-absent",
    "content-changed-silently",
    "size-off-forecast",
];

/// Somebody runs that uses the volume, so that it is not idle.
fn used(docker: Docker, volume: &str) -> Docker {
    docker.with(container("app", "example.org/app:1").mounts(volume, "/data"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_volume_in_the_rootfs_is_the_trap_and_one_on_a_mount_point_without_backup_is_not() {
    let bench = Bench::new().await;
    let films = "guest 9001 volume films";
    let trap = used(engine().volume("films", COVERED), "films");
    assert_eq!(
        bench.shown(9001, &trap, films).await,
        ["volume-bulk-in-backup"]
    );
    // Hot, it lies where it should.
    let hot = used(engine().volume("films", HOT), "films");
    assert_eq!(bench.shown(9001, &hot, films).await, NOTHING);
    // On a mount point, the mount point's flag decides.
    bench
        .pct_set(9001, json!({ "mp0": "local-lvm:1,mp=/mnt/films,backup=0" }))
        .await;
    let moved = used(engine().bound("films", "/mnt/films/data", COVERED), "films");
    assert_eq!(bench.shown(9001, &moved, films).await, NOTHING);
    bench
        .pct_set(9001, json!({ "mp1": "local-lvm:1,mp=/mnt/more,backup=1" }))
        .await;
    let moved = used(engine().bound("films", "/mnt/more/data", COVERED), "films");
    assert_eq!(
        bench.shown(9001, &moved, films).await,
        ["volume-bulk-in-backup"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_volume_that_no_backup_holds_is_found_and_the_flag_of_its_mount_point_mends_it() {
    let bench = Bench::new().await;
    let db = "guest 9010 volume db";
    let outside = used(engine().bound("db", "/mnt/mp2/db", HOT), "db");
    assert_eq!(
        bench.shown(9010, &outside, db).await,
        ["volume-hot-not-in-backup"]
    );
    let (posture, reasons) = {
        bench.backup(9010).await;
        bench.posture(9010).await
    };
    assert_eq!(posture, "attention");
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("1 hot volume(s) are in no backup")),
        "{reasons:?}"
    );
    // A bind mount of the host is never in, whatever anybody says.
    let bound = used(engine().bound("db", "/mnt/mp3/db", HOT), "db");
    assert_eq!(
        bench.shown(9010, &bound, db).await,
        ["volume-hot-not-in-backup"]
    );
    let inside = used(engine().bound("db", "/mnt/mp1/db", HOT), "db");
    assert_eq!(bench.shown(9010, &inside, db).await, NOTHING);
    let flagged = "local-lvm:vm-9010-disk-2,mp=/mnt/mp2,backup=1,size=1G";
    bench.poke(9010, json!({ "set": { "mp2": flagged } })).await;
    assert_eq!(bench.shown(9010, &outside, db).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_is_given_an_interface_keeps_what_was_told_of_its_volumes() {
    let bench = Bench::new().await;
    let outside = used(engine().bound("db", "/mnt/mp2/db", HOT), "db");
    let db = "guest 9010 volume db";
    assert_eq!(
        bench.shown(9010, &outside, db).await,
        ["volume-hot-not-in-backup"]
    );
    let net = "name=eth1,bridge=vmbr0,hwaddr=BC:24:11:00:00:99,ip=dhcp,type=veth";
    bench.poke(9010, json!({ "set": { "net1": net } })).await;
    let shown = bench.run(&["volumes", "show", "9010"]).await;
    assert_eq!(shown.exit, Exit::Findings, "{shown:?}");
    assert!(
        shown.text().contains("volume-hot-not-in-backup"),
        "{shown:?}"
    );
    let (_, reasons) = {
        bench.backup(9010).await;
        bench.posture(9010).await
    };
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("1 hot volume(s) are in no backup")),
        "{reasons:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_of_which_nobody_says_anything_is_unclassified_until_a_rule_or_a_label_does() {
    let bench = Bench::new().await;
    let stuff = "guest 9001 volume stuff";
    let silent = used(engine().volume("stuff", &[]), "stuff");
    assert_eq!(
        bench.shown(9001, &silent, stuff).await,
        ["volume-unclassified"]
    );
    // A word that is no class is no word.
    let misspelt = used(
        engine().volume("stuff", &[("felhom.class", "warm")]),
        "stuff",
    );
    assert_eq!(
        bench.shown(9001, &misspelt, stuff).await,
        ["volume-unclassified"]
    );
    let labelled = used(engine().volume("stuff", HOT), "stuff");
    assert_eq!(bench.shown(9001, &labelled, stuff).await, NOTHING);
    for (key, pattern) in [
        ("name", "st*"),
        ("image", "example.org/app:*"),
        ("path", "/var/lib/docker/volumes/stuff/*"),
    ] {
        let before = std::fs::read_to_string(&bench.config).unwrap();
        bench.reconfigure(|text| {
            format!(
                "{text}\n[[volumes.rules]]\nvmid = 9001\n{key} = \"{pattern}\"\nclass = \"hot\"\n"
            )
        });
        assert_eq!(bench.shown(9001, &silent, stuff).await, NOTHING, "{key}");
        // A rule for another guest is none for this one.
        bench.reconfigure(|text| text.replace("vmid = 9001\n", "vmid = 9010\n"));
        assert_eq!(
            bench.shown(9001, &silent, stuff).await,
            ["volume-unclassified"],
            "{key}"
        );
        bench.reconfigure(|_| before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presets_know_what_well_known_images_keep_where() {
    let bench = Bench::new().await;
    let server = "ghcr.io/immich-app/immich-server:release";
    let docker = engine()
        .volume("pgdata", &[])
        .volume("thumbs", &[])
        .volume("upload", &[])
        .volume("library", &[])
        .with(container("db", "postgres:17").mounts("pgdata", "/var/lib/postgresql/data"))
        .with(
            container("immich", server)
                .mounts("thumbs", "/usr/src/app/upload/thumbs")
                .mounts("upload", "/usr/src/app/upload")
                .mounts("library", "/mnt/library"),
        );
    let about = async |docker: &Docker, name: &str| {
        let subject = format!("guest 9001 volume {name}");
        bench.shown(9001, docker, &subject).await
    };
    assert_eq!(about(&docker, "pgdata").await, NOTHING);
    assert_eq!(about(&docker, "upload").await, NOTHING);
    assert_eq!(
        about(&docker, "thumbs").await,
        ["volume-bulk-in-backup", "volume-bulk-uncovered"]
    );
    // What people point an image at by themselves is no matter of a preset.
    assert_eq!(about(&docker, "library").await, ["volume-unclassified"]);
    // A label stands above a preset.
    let mut own = engine().volume("thumbs", HOT);
    own = own.with(container("immich", server).mounts("thumbs", "/usr/src/app/upload/thumbs"));
    assert_eq!(about(&own, "thumbs").await, NOTHING);
    // A namesake of a well-known image is not that image.
    let namesake = engine()
        .volume("pgdata", &[])
        .with(container("db", "somebody/postgres:17").mounts("pgdata", "/var/lib/postgresql/data"));
    assert_eq!(about(&namesake, "pgdata").await, ["volume-unclassified"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_volume_needs_somebodys_word_on_what_protects_it() {
    let bench = Bench::new().await;
    let films = "guest 9010 volume films";
    // As a good guest of its kind: nothing but the volume can call for attention.
    bench.poke(9010, json!({ "delete": ["mp3"] })).await;
    let bare = used(engine().bound("films", "/mnt/mp2", BULK), "films");
    bench
        .files(9010, json!([{ "do": "mkdir", "path": "/mnt/mp2" }]))
        .await;
    assert_eq!(
        bench.shown(9010, &bare, films).await,
        ["volume-bulk-uncovered"]
    );
    let volid = bench.backup(9010).await.to_string();
    let test = bench.run(&["restore-test", "run", &volid]).await;
    assert_eq!(test.data()["verdict"], "passed", "{test:?}");
    let uncovered = "1 bulk volume(s) are protected by nothing";
    let (posture, reasons) = bench.posture(9010).await;
    assert_eq!(posture, "attention");
    assert!(
        matches!(reasons.as_slice(), [reason] if reason.starts_with(uncovered)),
        "{reasons:?}"
    );
    let protected = ("protected".to_owned(), Vec::new());
    let before = std::fs::read_to_string(&bench.config).unwrap();
    for cover in [
        "protected_by = \"a copy on the other box\"",
        "accepted_loss = { by = \"Ada\", on = \"2026-11-23\" }",
    ] {
        bench.reconfigure(|text| {
            format!("{text}\n[[volumes.rules]]\nname = \"films\"\nclass = \"bulk\"\n{cover}\n")
        });
        // With the volume's own word on its class, and without.
        let silent = used(engine().bound("films", "/mnt/mp2", &[]), "films");
        for docker in [&bare, &silent] {
            assert_eq!(bench.shown(9010, docker, films).await, NOTHING, "{cover}");
            assert_eq!(bench.posture(9010).await, protected, "{cover}");
        }
        bench.reconfigure(|_| before.clone());
    }
    let labelled = used(engine().bound("films", "/mnt/mp2", COVERED), "films");
    assert_eq!(bench.shown(9010, &labelled, films).await, NOTHING);
    assert_eq!(bench.posture(9010).await, protected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vzdump_always_leaves_out_is_no_place_for_data() {
    let bench = Bench::new().await;
    bench.reconfigure(|text| {
        format!("{text}\n[[volumes.rules]]\npath = \"*/queue\"\nclass = \"hot\"\n")
    });
    let at =
        |path: &str| engine().with(container("mail", "example.org/mail:1").binds(path, "/queue"));
    for path in ["/tmp/queue", "/var/tmp/queue"] {
        let subject = format!("guest 9001 volume {path}");
        assert_eq!(
            bench.shown(9001, &at(path), &subject).await,
            ["volume-in-excluded-path"]
        );
        // And it is as vzdump does: the file is not in the archive, so plan and archive agree.
        let file = format!("{path}/letter");
        bench
            .files(
                9001,
                json!([{ "do": "write", "path": file, "text": "dear Ada" }]),
            )
            .await;
        let ran = bench.run(&["backup", "run", "9001"]).await;
        assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
        assert_eq!(ran.data()["volumes"][0]["planned"]["included"], false);
        assert_eq!(ran.data()["volumes"][0]["difference"], json!(null));
    }
    let subject = "guest 9001 volume /srv/queue";
    assert_eq!(bench.shown(9001, &at("/srv/queue"), subject).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_projects_volume_is_idle_and_a_running_ones_is_not() {
    let bench = Bench::new().await;
    let wiki = "guest 9001 volume wiki_data";
    let project = |container: Container| {
        let container = container.project("wiki").mounts("wiki_data", "/data");
        engine().volume("wiki_data", HOT).with(container)
    };
    let app = || container("wiki-app-1", "example.org/wiki:3");
    assert_eq!(
        bench.shown(9001, &project(app().stopped()), wiki).await,
        ["volume-idle"]
    );
    let text = bench.run(&["volumes", "show", "9001"]).await.text();
    assert!(text.contains("compose project `wiki` is stopped"), "{text}");
    assert_eq!(bench.shown(9001, &project(app()), wiki).await, NOTHING);
    let orphan = engine().volume("wiki_data", HOT);
    assert_eq!(bench.shown(9001, &orphan, wiki).await, ["volume-idle"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_on_a_mount_point_hangs_on_that_mount_points_flag() {
    let bench = Bench::new().await;
    let docker = used(engine().volume("db", HOT), "db");
    let guest = "guest 9001";
    assert_eq!(bench.shown(9001, &docker, guest).await, NOTHING);
    bench
        .pct_set(
            9001,
            json!({ "mp0": "local-lvm:1,mp=/var/lib/docker,backup=1" }),
        )
        .await;
    assert_eq!(
        bench.shown(9001, &docker, guest).await,
        ["data-root-on-mount"]
    );
    let db = "guest 9001 volume db";
    assert_eq!(bench.shown(9001, &docker, db).await, NOTHING);
    // Without the flag each volume is lost with it, and a rollback takes all of them back.
    let config = bench.world.state()["world"]["guests"]["9001"]["config"].to_string();
    let volume = config.split("mp0: ").nth(1).unwrap();
    let volume = volume.split(',').next().unwrap();
    let bare = format!("{volume},mp=/var/lib/docker,backup=0,size=1G");
    bench.poke(9001, json!({ "set": { "mp0": bare } })).await;
    assert_eq!(
        bench.shown(9001, &docker, guest).await,
        ["data-root-on-mount"]
    );
    assert_eq!(
        bench.shown(9001, &docker, db).await,
        ["volume-hot-not-in-backup"]
    );
    // Docker elsewhere in the rootfs is where Docker always is.
    let moved = used(engine().at("/srv/docker").volume("db", HOT), "db");
    assert_eq!(bench.shown(9001, &moved, guest).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_nobody_starts_again_is_found() {
    let bench = Bench::new().await;
    let web = "guest 9001 container web";
    let with = |container: Container| engine().volume("db", HOT).with(container);
    let app = || container("web", "example.org/web:1").mounts("db", "/data");
    for policy in ["no", ""] {
        assert_eq!(
            bench.shown(9001, &with(app().restart(policy)), web).await,
            ["container-without-restart"],
            "{policy:?}"
        );
    }
    for policy in ["always", "unless-stopped", "on-failure"] {
        let docker = with(app().restart(policy));
        assert_eq!(bench.shown(9001, &docker, web).await, NOTHING, "{policy}");
    }
    let stopped = with(app().restart("no").stopped());
    assert_eq!(bench.shown(9001, &stopped, web).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bind_mount_hinders_every_snapshot_and_without_it_a_rollback_takes_the_rest_back() {
    let bench = Bench::new().await;
    let docker = used(engine().volume("db", HOT), "db");
    let (guest, mp2) = ("guest 9010", "guest 9010 mp2");
    assert_eq!(
        bench.shown(9010, &docker, guest).await,
        ["bind-not-in-backup", "snapshot-impossible"]
    );
    assert_eq!(bench.shown(9010, &docker, mp2).await, NOTHING);
    bench.poke(9010, json!({ "delete": ["mp3"] })).await;
    assert_eq!(bench.shown(9010, &docker, guest).await, NOTHING);
    assert_eq!(
        bench.shown(9010, &docker, mp2).await,
        ["rollback-takes-back"]
    );
    let flagged = "local-lvm:vm-9010-disk-2,mp=/mnt/mp2,backup=1,size=1G";
    bench.poke(9010, json!({ "set": { "mp2": flagged } })).await;
    assert_eq!(bench.shown(9010, &docker, mp2).await, NOTHING);
    // A volume on a directory is in every backup and in no snapshot.
    let raw = "local:9010/vm-9010-disk-2.raw,mp=/mnt/mp2,backup=1,size=1G";
    bench.poke(9010, json!({ "set": { "mp2": raw } })).await;
    assert_eq!(
        bench.shown(9010, &docker, guest).await,
        ["snapshot-impossible"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_leaves_something_out_says_so() {
    let bench = Bench::new().await;
    let guest = "guest 9001";
    let whole = used(engine().volume("db", HOT), "db");
    assert_eq!(bench.shown(9001, &whole, guest).await, NOTHING);
    let gap = whole.clone().listed("late");
    assert_eq!(bench.shown(9001, &gap, guest).await, ["volumes-incomplete"]);
    let named = whole.with(container("late", "example.org/late:1").mounts("late", "/data"));
    assert_eq!(
        bench.shown(9001, &named, guest).await,
        ["volumes-incomplete"]
    );
    // What nobody described may be anywhere: nothing is said of the volume itself.
    let late = "guest 9001 volume late";
    assert_eq!(bench.shown(9001, &named, late).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_tells_what_mends_each_finding_and_the_program_explains_it() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/operations/volumes.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let bench = Bench::new().await;
    for code in CODES {
        assert!(page.contains(&format!("| `{code}` |")), "{code}");
        let explained = bench.run(&["findings", "explain", code]).await;
        assert_eq!(explained.exit.code(), 0, "{code}: {explained:?}");
    }
}
