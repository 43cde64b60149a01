//! Targets: taken, mounted, proven, unmounted, forgotten; and every way in which the disk is not the one that was taken.

use felhom_host::{Code, Operation, Report, Standing, Written};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_disk_is_adopted_written_unmounted_and_forgotten() {
    let world = built_in().await;
    let report = of_target(ask(&world, install(UUID)).await);
    assert_eq!((report.standing, report.fenced), (Standing::Present, true));
    assert_eq!(report.mount_point, "/mnt/felhom/usb1");
    assert_eq!(report.unit, "mnt-felhom-usb1.mount");
    assert_eq!(report.serial.as_deref(), Some("SIM-USB-0001"));
    // Asked again it says the same.
    assert_eq!(of_target(ask(&world, install(UUID)).await), report);
    let mounted = target(&world, "mount-usb").await;
    assert_eq!(mounted.standing, Standing::Mounted);
    assert_eq!(target(&world, "mount-usb").await, mounted);
    assert_eq!(mounted.space.unwrap().0, 1 << 40);
    assert_eq!(look(&world).await.written, Written::Unasked);
    let canary = world.dir.path().join("disks/usb1/.felhom-target");
    assert!(!canary.exists());
    assert_eq!(of_target(write(&world).await).written, Written::ReadBack);
    let first = std::fs::read_to_string(&canary).unwrap();
    write(&world).await.unwrap();
    assert_ne!(std::fs::read_to_string(&canary).unwrap(), first);
    refused(
        ask(&world, on("remove-usb-mount", &json!({}))).await,
        Code::InUse,
        "unmount it first",
    );
    assert_eq!(
        target(&world, "unmount-usb").await.standing,
        Standing::Present
    );
    assert_eq!(
        target(&world, "unmount-usb").await.standing,
        Standing::Present
    );
    for _ in 0..2 {
        let removed = ask(&world, on("remove-usb-mount", &json!({})))
            .await
            .unwrap();
        assert!(matches!(removed, Report::Removed { .. }));
    }
    let gone = ask(&world, on("mount-usb", &json!({}))).await;
    refused(gone, Code::NotFound, "no target usb1");
    assert!(canary.exists());
}

#[tokio::test]
async fn block_devices_show_the_system_and_what_is_plugged_in() {
    let world = adopted().await;
    let listed = || ask(&world, Operation::ListBlockDevices {});
    let Report::BlockDevices { devices } = listed().await.unwrap() else {
        panic!("no devices");
    };
    let usb = devices
        .iter()
        .find(|one| one.uuid.as_deref() == Some(UUID))
        .unwrap();
    assert_eq!(usb.transport.as_deref(), Some("usb"));
    assert_eq!(usb.mounts, ["/mnt/felhom/usb1"]);
    assert!(devices.iter().any(|one| one.mounts == ["/"]));
    control(&world, "disk-detach", json!({ "id": "usb1" })).await;
    let Report::BlockDevices { devices } = listed().await.unwrap() else {
        panic!("no devices");
    };
    assert!(devices.iter().all(|one| one.uuid.as_deref() != Some(UUID)));
}

#[tokio::test]
async fn only_a_fit_disk_becomes_a_target() {
    let world = built_in().await;
    let odd = [
        (json!({ "transport": "sata" }), Code::Unsuitable, "sata"),
        (json!({ "fstype": "ntfs" }), Code::Unsuitable, "ntfs"),
    ];
    for (change, code, says) in odd {
        let uuid = "11111111-2222-3333-4444-555555555555";
        let mut order = json!({ "id": "odd", "uuid": uuid, "transport": "usb", "fstype": "ext4" });
        order
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        control(&world, "disk-attach", order).await;
        refused(ask(&world, install(uuid)).await, code, says);
    }
    control(&world, "disk-detach", json!({ "id": "odd" })).await;
    let none = "99999999-2222-3333-4444-555555555555";
    refused(ask(&world, install(none)).await, Code::Detached, none);
    let system = "5a4f1c0e-8f5d-4f0a-9d7b-3c1f0b6a7e21";
    refused(ask(&world, install(system)).await, Code::Unsuitable, "/");
    control(&world, "disk-read-only", json!({ "id": "usb1" })).await;
    refused(
        ask(&world, install(UUID)).await,
        Code::ReadOnly,
        "write-protected",
    );
    control(
        &world,
        "disk-read-only",
        json!({ "id": "usb1", "on": false }),
    )
    .await;
    control(&world, "disk-clone", json!({ "id": "usb1", "to": "copy" })).await;
    control(&world, "disk-attach", json!({ "id": "copy" })).await;
    refused(ask(&world, install(UUID)).await, Code::Unsuitable, "copy");
    control(&world, "disk-detach", json!({ "id": "copy" })).await;
    ask(&world, install(UUID)).await.unwrap();
    control(
        &world,
        "disk-attach",
        json!({ "id": "other", "uuid": none }),
    )
    .await;
    refused(ask(&world, install(none)).await, Code::Exists, UUID);
    let second = json!({ "operation": "install-usb-mount", "name": "usb2", "uuid": UUID });
    let second = serde_json::from_value(second).unwrap();
    refused(ask(&world, second).await, Code::Exists, "usb1");
}

#[tokio::test]
async fn a_disk_that_is_away_is_detached_and_comes_back() {
    let world = adopted().await;
    control(&world, "disk-detach", json!({ "id": "usb1" })).await;
    let away = look(&world).await;
    assert_eq!((away.standing, away.space), (Standing::Detached, None));
    assert!(away.reason.unwrap().contains(UUID));
    refused(
        ask(&world, on("mount-usb", &json!({}))).await,
        Code::Detached,
        UUID,
    );
    control(&world, "disk-attach", json!({ "id": "usb1" })).await;
    assert_eq!(look(&world).await.standing, Standing::Present);
    assert_eq!(
        target(&world, "mount-usb").await.standing,
        Standing::Mounted
    );
    assert_eq!(of_target(write(&world).await).written, Written::ReadBack);
}

/// Nothing is mounted and nothing written where another disk stands.
#[tokio::test]
async fn another_disk_in_its_place_is_wrong() {
    let world = adopted().await;
    let order = json!({ "id": "usb1", "with": { "id": "other", "serial": "OTHER" } });
    control(&world, "disk-swap", order).await;
    let seen = look(&world).await;
    assert_eq!(seen.standing, Standing::Wrong);
    assert!(seen.reason.unwrap().contains("OTHER"));
    refused(
        ask(&world, on("mount-usb", &json!({}))).await,
        Code::Wrong,
        "OTHER",
    );
    // Asked to write, it tells how it stands.
    let told = of_target(write(&world).await);
    assert_eq!(
        (told.standing, told.written),
        (Standing::Wrong, Written::Unasked)
    );
    let other = world.dir.path().join("disks/other");
    assert_eq!(std::fs::read_dir(other).unwrap().count(), 0);
    // Both at once are no better.
    control(&world, "disk-attach", json!({ "id": "usb1" })).await;
    assert!(look(&world).await.reason.unwrap().contains("2 disks"));
    control(&world, "disk-detach", json!({ "id": "other" })).await;
    assert_eq!(
        target(&world, "mount-usb").await.standing,
        Standing::Mounted
    );
}

/// A copy made with `dd`, in an adapter that tells the same serial number: its nonce is an old one.
#[tokio::test]
async fn a_clone_is_told_apart_by_what_was_written_since() {
    let world = adopted().await;
    control(&world, "disk-clone", json!({ "id": "usb1", "to": "copy" })).await;
    write(&world).await.unwrap();
    let order = json!({ "id": "usb1", "with": { "id": "copy" } });
    control(&world, "disk-swap", order).await;
    let seen = look(&world).await;
    assert_eq!(seen.standing, Standing::Wrong);
    assert!(seen.reason.unwrap().contains("of an earlier time"));
    refused(
        ask(&world, on("mount-usb", &json!({}))).await,
        Code::Wrong,
        "of an earlier time",
    );
}

/// A copy that is plugged in beside the mounted disk: nobody knows which of them the next boot finds.
#[tokio::test]
async fn two_disks_with_one_uuid_are_wrong_also_while_one_is_mounted() {
    let world = adopted().await;
    control(&world, "disk-clone", json!({ "id": "usb1", "to": "copy" })).await;
    assert_eq!(look(&world).await.standing, Standing::Mounted);
    control(&world, "disk-attach", json!({ "id": "copy" })).await;
    assert_eq!(look(&world).await.standing, Standing::Wrong);
    let told = of_target(write(&world).await);
    assert_eq!(told.written, Written::Unasked);
    control(&world, "disk-detach", json!({ "id": "copy" })).await;
    assert_eq!(look(&world).await.standing, Standing::Mounted);
}

#[tokio::test]
async fn a_formatted_disk_is_another_one() {
    let world = adopted().await;
    target(&world, "unmount-usb").await;
    let again = json!({ "id": "usb1", "uuid": UUID });
    control(&world, "disk-format", again).await;
    let seen = look(&world).await;
    assert_eq!(seen.standing, Standing::Wrong);
    assert!(seen.reason.unwrap().contains("formatted anew"));
    control(&world, "disk-format", json!({ "id": "usb1" })).await;
    assert_eq!(look(&world).await.standing, Standing::Detached);
}

#[tokio::test]
async fn a_disk_that_is_full_or_read_only_says_so() {
    let world = adopted().await;
    control(&world, "disk-fill", json!({ "id": "usb1" })).await;
    assert_eq!(of_target(write(&world).await).written, Written::Full);
    control(&world, "disk-fill", json!({ "id": "usb1", "bytes": 0 })).await;
    control(&world, "disk-read-only", json!({ "id": "usb1" })).await;
    assert_eq!(of_target(write(&world).await).written, Written::ReadOnly);
    control(
        &world,
        "disk-read-only",
        json!({ "id": "usb1", "on": false }),
    )
    .await;
    assert_eq!(of_target(write(&world).await).written, Written::ReadBack);
}

#[tokio::test]
async fn sensors_tell_something() {
    let world = built_in().await;
    let Report::Sensors(sensors) = ask(&world, Operation::ReadSensors {}).await.unwrap() else {
        panic!("no sensors");
    };
    assert!(
        sensors
            .temperatures
            .iter()
            .all(|one| (15.0..90.0).contains(&one.celsius))
    );
    assert!(sensors.temperatures.len() > 3 && !sensors.fans.is_empty());
}
