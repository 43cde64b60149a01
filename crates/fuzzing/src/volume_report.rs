//! The volume report, as the in-guest controller sends it.

use std::collections::BTreeMap;

use felhom_protocol::volumes::VolumeReport;
use felhom_protocol::{DocumentError, read, write};
use serde_json::Value;

use crate::claims::{beginnings, short_line};

/// What is read keeps every promise of a report; no part of a report is one, and none of a later version is.
pub fn volume_report(data: &[u8]) {
    let report: VolumeReport = match read(data) {
        Ok(report) => report,
        Err(error) => return short_line(&error.to_string()),
    };
    kept(&report);
    let whole = data.trim_ascii_end();
    for part in beginnings(whole) {
        assert!(read::<VolumeReport>(part).is_err());
    }
    let mut value: Value = serde_json::from_slice(data).unwrap();
    for place in ["", "/data"] {
        let object = value.pointer_mut(place).and_then(Value::as_object_mut);
        let tomorrow = "a field of tomorrow".to_owned();
        object.unwrap().insert(tomorrow, Value::from(1));
    }
    let later = value.to_string();
    assert_eq!(read::<VolumeReport>(later.as_bytes()), Ok(report));
    *value.pointer_mut("/version").unwrap() = Value::from(2);
    let newer = read::<VolumeReport>(value.to_string().as_bytes());
    assert!(matches!(newer, Err(DocumentError::Newer { .. })));
}

/// A report is read as it was written; its names are unique, its lists in order, and no option or label that speaks of a
/// password has a value.
pub(crate) fn kept(report: &VolumeReport) {
    let written = write(report);
    assert_eq!(
        read::<VolumeReport>(written.as_bytes()).as_ref(),
        Ok(report)
    );
    let volumes: Vec<_> = report.volumes.iter().map(|volume| &volume.name).collect();
    assert!(volumes.is_sorted_by(|one, other| one < other));
    let containers: Vec<_> = report.containers.iter().map(|one| &one.name).collect();
    assert!(containers.is_sorted_by(|one, other| one < other));
    for volume in &report.volumes {
        assert!(!volume.name.is_empty() && volume.name.len() <= 512);
        silent(&volume.options);
        silent(&volume.labels);
    }
    for container in &report.containers {
        silent(&container.labels);
        let mounts = &container.mounts;
        assert!(mounts.is_sorted_by_key(|mount| &mount.destination));
    }
}

fn silent(entries: &BTreeMap<String, String>) {
    for (key, value) in entries {
        let inner = value.split(',').filter_map(|option| option.split_once('='));
        for (key, value) in inner.chain([(key.as_str(), value.as_str())]) {
            let secret = key.to_ascii_lowercase().contains("password");
            assert!(
                !secret || value.is_empty() || value == "[redacted]",
                "{key}"
            );
        }
    }
}
