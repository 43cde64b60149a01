//! The placement plan as it is printed, for people and for programs.

use serde_json::{Value, json};

use super::docker::*;
use crate::support::*;

fn trap() -> Docker {
    let player = container("player", "example.org/player:1").mounts("films", "/films");
    engine().volume("films", COVERED).with(player)
}

fn actions(plan: &Value) -> Vec<&str> {
    let steps = plan["moves"][0]["steps"].as_array().unwrap().iter();
    steps.map(|step| step["action"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_comes_first_and_each_step_says_what_it_takes() {
    let bench = Bench::new().await;
    let plan = ["volumes", "plan", "9001", "--size", "films=1G"];
    let file = "/var/lib/docker/volumes/films/_data/film";
    bench
        .files(
            9001,
            json!([{ "do": "write", "path": file, "text": "holiday" }]),
        )
        .await;
    bench.told(9001, &trap()).await;
    let ran = bench.run(&plan).await;
    assert_eq!(ran.exit.code(), 0, "{ran:?}");
    let unknown = ran.data();
    let told = actions(&unknown);
    assert_eq!(told.first(), Some(&"back-up"));
    assert!(!told.contains(&"drop-old") && !told.contains(&"protect-archive"));

    let volid = bench.backup(9001).await.to_string();
    let ran = bench.run(&plan).await;
    let known = ran.data();
    let told = actions(&known);
    assert_eq!(told.first(), Some(&"protect-archive"));
    assert_eq!(told.last(), Some(&"drop-old"));
    let first = &known["moves"][0]["steps"][0];
    assert_eq!(first["volid"], volid);
    assert_eq!(
        first["privileges"],
        json!([
            { "path": "/vms/9001", "privilege": "VM.Backup" },
            { "path": "/storage/local", "privilege": "Datastore.AllocateSpace" },
        ])
    );
    let made = &known["moves"][0]["steps"][1];
    assert_eq!(
        made["space"],
        json!([{ "place": "local-lvm", "bytes": 1 << 30 }])
    );
    assert_eq!(made["downtime_s"], 0);
    let text = ran.text();
    for line in [
        "takes: VM.Backup on /vms/9001, Datastore.AllocateSpace on /storage/local; no room",
        "takes: root inside the guest; no room; about 10.0 s of downtime",
        "the old copy stays in `/var/lib/felhom/set-aside/films` until the last step",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_in_the_same_directory_refuses_the_move() {
    let bench = Bench::new().await;
    let inside = "/var/lib/docker/volumes/films/_data/subtitles";
    let docker = trap().with(container("titles", "example.org/titles:1").binds(inside, "/x"));
    bench.told(9001, &docker).await;
    let ran = bench
        .run(&["volumes", "plan", "9001", "--size", "films=1G"])
        .await;
    assert_eq!(ran.exit.code(), 4, "{ran:?}");
    assert_eq!(ran.data()["moves"], json!([]));
    let text = ran.text();
    assert!(
        text.contains("which container titles mounts, lies inside of"),
        "{text}"
    );
}
