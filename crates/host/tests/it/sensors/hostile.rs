//! Trees as no kernel should have them, and answers that drivers do give.

use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::{furnish, read};
use crate::guests::world::World;

/// Why a temperature with this value is not told.
fn unread(value: &str) -> String {
    let world = World::new();
    furnish(&world, "hwmon0/name chip");
    world.file("/sys/devices/hwmon0/temp1_input", value);
    let sensors = read(&world);
    assert!(sensors.temperatures.is_empty(), "{value:?}: {sensors:?}");
    sensors.unread["hwmon0/temp1_input (chip)"].clone()
}

#[test]
fn a_value_that_cannot_be_is_told_with_the_reason() {
    for (value, why) in [
        ("250001", "250001 thousandths of a degree cannot be"),
        ("-100001", "-100001 thousandths of a degree cannot be"),
        ("9223372036854775807", "cannot be"),
        ("9223372036854775808", "is no number"),
        ("", "`` is no number"),
        ("N/A", "`N/A` is no number"),
        ("1e3", "is no number"),
        ("45000\n46000", "is no number"),
        ("\u{1b}[31m45", "` [31m45` is no number"),
    ] {
        let told = unread(value);
        assert!(told.contains(why), "{value:?}: {told}");
    }
    let told = unread(&"4".repeat(10 << 20));
    assert_eq!(told, "it is longer than 4096 bytes");
}

#[test]
fn a_sensor_that_answers_an_error_is_told() {
    let world = World::new();
    furnish(
        &world,
        "hwmon0/name drivetemp\nhwmon0/temp2_input 30000\nhwmon0/temp3_fault 1\nhwmon0/temp3_input 255000",
    );
    // A disk that sleeps answers EIO; so does memory that nobody has.
    let place = |file: &str| world.path(&format!("/sys/devices/hwmon0/{file}"));
    symlink("/proc/self/mem", place("temp1_input")).unwrap();
    std::fs::create_dir(place("temp4_input")).unwrap();
    symlink("nowhere", place("temp5_input")).unwrap();
    symlink("temp6_input", place("temp6_input")).unwrap();
    symlink("/dev/zero", place("fan1_input")).unwrap();
    let sensors = read(&world);
    let celsius: Vec<_> = sensors.temperatures.iter().map(|one| one.celsius).collect();
    assert_eq!(celsius, [30.0]);
    let why = |file: &str| &sensors.unread[&format!("hwmon0/{file} (drivetemp)")];
    assert!(why("temp1_input").contains("os error 5"), "{sensors:?}");
    assert!(why("temp3_input").contains("broken"), "{sensors:?}");
    assert!(why("temp4_input").contains("no plain file"), "{sensors:?}");
    assert!(why("temp5_input").contains("No such file"), "{sensors:?}");
    assert!(why("temp6_input").contains("symbolic links"), "{sensors:?}");
    assert!(why("fan1_input").contains("no plain file"), "{sensors:?}");
}

#[test]
fn nobody_waits_for_a_pipe() {
    let world = World::new();
    furnish(&world, "hwmon0/name chip");
    let pipe = world.path("/sys/devices/hwmon0/temp1_input");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let sensors = read(&world);
    assert_eq!(
        sensors.unread["hwmon0/temp1_input (chip)"],
        "it is no plain file"
    );
}

#[test]
fn names_are_told_in_one_short_line() {
    let world = World::new();
    let label = format!("a\u{1b}[2Jb\u{0}c{}", "d".repeat(3000));
    furnish(&world, "hwmon0/name bad\u{7}chip\nhwmon0/temp1_input 1000");
    world.file("/sys/devices/hwmon0/temp1_label", &label);
    furnish(&world, "hwmon1/temp1_input 2000");
    world.file("/sys/devices/hwmon1/name", &"x".repeat(10 << 20));
    let sensors = read(&world);
    let [first, second] = sensors.temperatures.as_slice() else {
        panic!("{sensors:?}");
    };
    assert_eq!(first.chip, "bad chip");
    assert!(first.label.starts_with("a [2Jb cddd"), "{first:?}");
    assert_eq!(first.label.chars().count(), 64);
    assert_eq!(second.chip, "hwmon1");
}

#[test]
fn more_than_a_computer_has_is_not_looked_at() {
    let world = World::new();
    let chips = (0..70).map(|chip| format!("hwmon{chip}/temp1_input 1000\n"));
    let sensors = (2..80).map(|sensor| format!("hwmon0/temp{sensor}_input 1000\n"));
    let tree: String = chips.chain(sensors).collect();
    furnish(&world, &tree);
    let sensors = read(&world);
    let of = |chip: &str| {
        sensors
            .temperatures
            .iter()
            .filter(|one| one.chip == chip)
            .count()
    };
    assert_eq!(of("hwmon0"), 64);
    assert_eq!((of("hwmon1"), of("hwmon63"), of("hwmon64")), (1, 1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_is_read(
        files in prop::collection::vec(
            (
                "(hwmon[0-9]{0,2}|hwmon-1|hwmon)/(name|(temp|fan)[0-9]{0,12}_(input|label|max|crit|alarm|fault))",
                prop::collection::vec(any::<u8>(), 0..24),
            ),
            0..12,
        ),
    ) {
        let world = World::new();
        for (path, value) in &files {
            furnish(&world, &format!("{path} 1"));
            std::fs::write(world.path(&format!("/sys/devices/{path}")), value).unwrap();
        }
        let sensors = read(&world);
        for one in &sensors.temperatures {
            prop_assert!((-100.0..=250.0).contains(&one.celsius));
            prop_assert!(!one.label.contains(char::is_control) && !one.chip.contains(char::is_control));
        }
    }
}
