//! The parser of Docker's output, on what a real engine printed.

use felhom_protocol::docker::{self, Input};
use felhom_protocol::volumes::{Coverage, Extent};
use serde_json::Value;

use crate::recorded::{WHOLE, bytes, read, read_text};
use crate::scene::{assert_told, container, volume};

#[test]
fn a_recorded_engine_is_told_whole() {
    let report = read(&WHOLE).unwrap();
    assert_told(&report, "/srv");
    let engine = report.engine.as_ref().unwrap();
    assert_eq!(engine.version, "20.10.24+dfsg1");
    assert_eq!(engine.data_root, "/var/lib/docker");
    assert_eq!(engine.storage_driver.as_deref(), Some("vfs"));
    assert_eq!(
        report.coverage,
        Coverage {
            volumes: Extent::All,
            containers: Extent::All
        }
    );
    assert_eq!(report.containers.len(), 10);
    assert_eq!(report.volumes.len(), 20);
}

#[test]
fn an_image_from_a_registry_has_its_digest() {
    let report = read(&WHOLE).unwrap();
    let pulled = container(&report, "pulled");
    assert_eq!(pulled.image, "127.0.0.1:5077/felhom/scene:1");
    let digest = pulled.image_digest.as_deref().unwrap();
    assert!(
        digest.starts_with("sha256:") && digest.len() == 71,
        "{digest}"
    );
    let without = read(&["volumes.json", "containers.json"]).unwrap();
    assert_eq!(container(&without, "pulled").image_digest, None);
}

#[test]
fn order_files_and_wrapping_make_no_difference() {
    let whole = read(&WHOLE).unwrap();
    let mut turned = WHOLE;
    for _ in 0..WHOLE.len() {
        turned.rotate_left(1);
        assert_eq!(read(&turned).unwrap(), whole, "{turned:?}");
    }
    let mut reversed = WHOLE;
    reversed.reverse();
    assert_eq!(read(&reversed).unwrap(), whole);
    // All in one stream, as a shell makes it.
    let stream: Vec<u8> = WHOLE.iter().flat_map(|name| bytes(name)).collect();
    let one = Input {
        name: "standard input",
        bytes: &stream,
    };
    assert_eq!(docker::read(&[one]).unwrap(), whole);
    // One object a line, and one array of everything.
    let values = serde_json::Deserializer::from_slice(&stream).into_iter::<Value>();
    let objects: Vec<Value> = values
        .flat_map(|value| {
            let value = value.unwrap();
            value.as_array().cloned().unwrap_or(vec![value])
        })
        .collect();
    let lines: Vec<_> = objects.iter().map(Value::to_string).collect();
    assert_eq!(read_text(&lines.join("\r\n")).unwrap(), whole);
    assert_eq!(read_text(&Value::from(objects).to_string()).unwrap(), whole);
    // The same twice, and with a byte-order mark.
    let twice: Vec<_> = WHOLE.iter().chain(&WHOLE).copied().collect();
    assert_eq!(read(&twice).unwrap(), whole);
    assert_eq!(
        read_text(&format!("\u{feff}{}", lines.join("\n"))).unwrap(),
        whole
    );
}

#[test]
fn a_newer_client_tells_the_same() {
    let mut newer = WHOLE;
    newer[1] = "client-28-volume-ls.json";
    newer[5] = "client-28-df.json";
    assert_eq!(read(&newer).unwrap(), read(&WHOLE).unwrap());
}

#[test]
fn a_volume_that_only_a_container_names_is_there_and_is_not_described() {
    let report = read(&["info.json", "containers.json"]).unwrap();
    assert_eq!(report.coverage.volumes, Extent::Some);
    assert_eq!(report.coverage.containers, Extent::All);
    let data = volume(&report, "paperless_data");
    assert!(!data.described && !data.anonymous);
    assert_eq!(
        data.mountpoint,
        "/var/lib/docker/volumes/paperless_data/_data"
    );
    assert_eq!(data.driver, "local");
    assert!(report.volumes.iter().all(|volume| volume.name != "unused"));
}

#[test]
fn what_was_not_told_is_unknown_and_what_is_missing_is_known_to_be() {
    let extents = |names: &[&str]| {
        let Coverage {
            volumes,
            containers,
        } = read(names).unwrap().coverage;
        (volumes, containers)
    };
    // `docker system df` lists only volumes without options.
    assert_eq!(
        extents(&["volumes.json", "df.json"]),
        (Extent::Unknown, Extent::Unknown)
    );
    assert_eq!(
        extents(&["volumes.json", "volume-ls.json"]),
        (Extent::All, Extent::Unknown)
    );
    assert_eq!(
        extents(&["info.json", "volume-ls.json"]),
        (Extent::Some, Extent::Some)
    );
    assert_eq!(
        extents(&["empty-info.json", "empty-df.json"]),
        (Extent::Unknown, Extent::All)
    );
    let empty = read(&["empty-info.json", "empty-df.json"]).unwrap();
    assert!(empty.volumes.is_empty() && empty.containers.is_empty());
}

#[test]
fn an_engine_since_23_labels_the_volumes_whose_name_it_chose() {
    let named = |labels: &str| {
        format!(
            r#"{{"CreatedAt":"x","Driver":"local","Labels":{labels},"Mountpoint":"/m","Name":"n","Options":null,"Scope":"local"}}"#
        )
    };
    let anonymous = read_text(&named(r#"{"com.docker.volume.anonymous":""}"#)).unwrap();
    assert!(volume(&anonymous, "n").anonymous);
    assert!(!volume(&read_text(&named("null")).unwrap(), "n").anonymous);
}

#[test]
fn kinds_of_mounts_that_are_not_known_are_told_by_dockers_own_word() {
    let container = r#"{"Id":"1","Name":"/x","Image":"sha256:1","Config":{"Image":"a"},"State":{"Status":"running","Running":true},
        "HostConfig":{"RestartPolicy":{"Name":""}},
        "Mounts":[{"Type":"image","Source":"b","Destination":"/i","RW":false},
                  {"Type":"cluster","Name":"c","Destination":"/c"}]}"#;
    let report = read_text(container).unwrap();
    let told = serde_json::to_value(&report.containers[0].mounts).unwrap();
    assert_eq!(
        told,
        serde_json::json!([
            { "source": { "kind": "other", "word": "cluster" }, "destination": "/c", "read_only": false },
            { "source": { "kind": "other", "word": "image" }, "destination": "/i", "read_only": true },
        ])
    );
    assert_eq!(report.containers[0].restart_policy, "no");
}

#[test]
fn no_secret_of_the_engine_is_in_the_report() {
    for names in [&WHOLE[..], &["containers.json", "volumes.json"]] {
        let text = felhom_protocol::write(&read(names).unwrap());
        for secret in ["fixture-passw0rd", "fixture-t0ken", "fixture-h4sh"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}
