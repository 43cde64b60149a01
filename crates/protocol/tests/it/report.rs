//! The volume report as it travels: read as it was written, by older and newer programs.

use felhom_protocol::docker::DockerError;
use felhom_protocol::volumes::{Coverage, Extent, VolumeReport};
use felhom_protocol::{DocumentError, LARGEST, read, write};
use serde_json::{Value, json};

use crate::recorded::{self, WHOLE, read_text};

fn whole() -> Value {
    serde_json::from_str(&write(&recorded::read(&WHOLE).unwrap())).unwrap()
}

fn from(value: &Value) -> Result<VolumeReport, DocumentError> {
    read(value.to_string().as_bytes())
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let report = recorded::read(&WHOLE).unwrap();
    let text = write(&report);
    assert_eq!(read::<VolumeReport>(text.as_bytes()).unwrap(), report);
    // A file of docker's output may as well be a report.
    assert_eq!(read_text(&text).unwrap(), report);
    let two = read_text(&format!("{text}\n[]\n{{}}"));
    assert!(matches!(two, Err(DockerError::Foreign { .. })), "{two:?}");
    let two = read_text(&format!("{text}\n{text}"));
    assert_eq!(two, Err(DockerError::Mixed));
}

#[test]
fn fields_that_are_not_known_are_ignored_and_optional_ones_may_be_missing() {
    let mut value = whole();
    value["later"] = json!({ "x": 1 });
    value["data"]["later"] = json!([1]);
    value["data"]["volumes"][0]["later"] = json!("x");
    value["data"]["containers"][0]["mounts"][0]["later"] = json!(null);
    assert_eq!(from(&value).unwrap(), recorded::read(&WHOLE).unwrap());
    let least = json!({ "schema": "felhom.volume-report", "version": 1, "data": {
        "volumes": [{ "name": "a", "described": false }],
        "containers": [{ "id": "1", "name": "b", "running": true,
            "mounts": [{ "source": { "kind": "tmpfs" }, "destination": "/t" }] }],
    }});
    let report = from(&least).unwrap();
    assert_eq!(report.engine, None);
    let unknown = Coverage {
        volumes: Extent::Unknown,
        containers: Extent::Unknown,
    };
    assert_eq!(report.coverage, unknown, "silence is not `all`");
}

#[test]
fn a_newer_version_and_another_document_are_refused_clearly() {
    let mut value = whole();
    value["version"] = json!(2);
    let told = from(&value).unwrap_err().to_string();
    assert_eq!(
        told,
        "this is version 2 of `felhom.volume-report`, and this program knows versions up to 1: update it"
    );
    for (version, word) in [
        (json!(0), "no version 0"),
        (json!("1"), "no whole number"),
        (json!(null), "no whole number"),
    ] {
        value["version"] = version;
        assert!(from(&value).unwrap_err().to_string().contains(word));
    }
    value["schema"] = json!("felhom.guests");
    let told = from(&value).unwrap_err().to_string();
    assert!(told.contains("`\"felhom.guests\"`"), "{told}");
    let told = from(&json!([])).unwrap_err().to_string();
    assert!(told.contains("its `schema` is missing"), "{told}");
    let bare = json!({ "schema": "felhom.volume-report", "version": 1 });
    assert!(from(&bare).unwrap_err().to_string().contains("`data`"));
    let text = " ".repeat(LARGEST + 1);
    assert!(matches!(
        read::<VolumeReport>(text.as_bytes()),
        Err(DocumentError::Large { .. })
    ));
}

#[test]
fn a_hostile_report_is_refused_with_the_field_and_no_more_of_it_than_helps() {
    let long = "\x1b[2J".repeat(2_000);
    for (pointer, hostile) in [
        ("/data/volumes/0/name", json!(long)),
        ("/data/volumes/0/name", json!("unused")),
        ("/data/volumes/0/driver", json!(long)),
        ("/data/volumes/0/mountpoint", json!(long)),
        ("/data/volumes/0/size", json!(long)),
        ("/data/volumes/0/size", json!(-1)),
        ("/data/volumes/0/options", json!({ long.clone(): "" })),
        ("/data/engine/data_root", json!("relative")),
        ("/data/engine/data_root", json!("")),
        ("/data/engine/version", json!(long)),
        ("/data/containers/0/name", json!("paused")),
        ("/data/containers/0/id", json!("")),
        ("/data/containers/0/image", json!(long)),
        (
            "/data/containers/0/mounts/0/source",
            json!({ "kind": long }),
        ),
        (
            "/data/containers/0/mounts/0/source",
            json!({ "kind": "volume", "name": "" }),
        ),
        ("/data/containers/0/mounts/0/destination", json!(long)),
        ("/data/coverage", json!({ "volumes": long })),
        ("/data", json!(long)),
    ] {
        let mut value = whole();
        *value.pointer_mut(pointer).unwrap() = hostile;
        let told = from(&value).unwrap_err().to_string();
        assert!(told.len() < 600, "{pointer}: {told}");
        assert!(!told.chars().any(char::is_control), "{pointer}: {told:?}");
    }
}

#[test]
fn a_report_of_somebody_else_is_redacted_and_put_in_order_too() {
    let mut value = whole();
    value["data"]["volumes"][0]["options"] = json!({ "o": "username=a,password=hunter22" });
    let volumes = value["data"]["volumes"].as_array_mut().unwrap();
    volumes.reverse();
    let report = from(&value).unwrap();
    assert!(!write(&report).contains("hunter22"));
    assert!(report.volumes.is_sorted_by_key(|volume| &volume.name));
}
