//! `read-sensors`, on trees of `/sys`.
//!
//! The trees are written after the kernel's documentation and drivers (Documentation/hwmon: coretemp, nvme, drivetemp, acpi,
//! it87, sysfs-interface; Documentation/ABI/testing/sysfs-devices-system-cpu): none of them was recorded from a machine.

mod hostile;

use std::os::unix::fs::symlink;

use felhom_host::{FanReading, Operation, Report, Sensors, Temperature, Throttling};

use crate::guests::world::World;

/// A processor with a package and two cores, an `NVMe` disk, a SATA disk, and a board with fans.
const MINI_PC: &str = include_str!("sensors/mini-pc.txt");
/// One zone of the firmware's, with nothing else.
const SMALL_BOARD: &str = include_str!("sensors/small-board.txt");

fn read(world: &World) -> Sensors {
    let report = world.ask(&Operation::ReadSensors {}).unwrap();
    let Report::Sensors(sensors) = report else {
        panic!("{report:?}");
    };
    sensors
}

/// Builds a tree of lines `PATH VALUE`. A chip is a link into `/sys/devices`, as the kernel has it.
fn furnish(world: &World, tree: &str) {
    for line in tree.lines().filter(|line| !line.starts_with('#')) {
        let (path, value) = line.split_once(' ').unwrap();
        world.file(&format!("/sys/devices/{path}"), &format!("{value}\n"));
        let Some((chip, _)) = path
            .split_once('/')
            .filter(|(chip, _)| chip.starts_with("hwmon"))
        else {
            continue;
        };
        world.dir("/sys/class/hwmon");
        let link = world.path(&format!("/sys/class/hwmon/{chip}"));
        if !link.exists() {
            symlink(format!("../../devices/{chip}"), link).unwrap();
        }
    }
}

fn temperature(chip: &str, label: &str, celsius: f64, limits: [Option<f64>; 2]) -> Temperature {
    Temperature {
        chip: chip.to_owned(),
        label: label.to_owned(),
        celsius,
        high: limits[0],
        critical: limits[1],
        alarm: false,
    }
}

fn fan(label: &str, rpm: u32) -> FanReading {
    FanReading {
        chip: "it8613".to_owned(),
        label: label.to_owned(),
        rpm,
    }
}

#[test]
fn the_sensors_of_a_small_computer_are_read() {
    let world = World::new();
    furnish(&world, MINI_PC);
    let core = [Some(80.0), Some(100.0)];
    let hot = Temperature {
        alarm: true,
        ..temperature("nvme", "Composite", 84.85, [Some(81.85), Some(84.85)])
    };
    let expected = Sensors {
        temperatures: vec![
            temperature("acpitz", "temp1", 27.8, [None, Some(119.0)]),
            hot,
            temperature("nvme", "Sensor 1", -3.15, [None, None]),
            temperature("coretemp", "Package id 0", 61.0, core),
            temperature("coretemp", "Core 0", 58.0, core),
            temperature("coretemp", "Core 1", 61.0, core),
            temperature("drivetemp", "temp1", 34.0, [Some(60.0), Some(70.0)]),
            temperature("it8613", "temp1", 38.0, [Some(127.0), None]),
        ],
        fans: vec![fan("fan2", 1_262), fan("CPU", 0)],
        throttling: Some(Throttling {
            core: 12,
            package: 40,
        }),
        unread: [(
            "hwmon4/temp3_input (it8613)".to_owned(),
            "-128000 thousandths of a degree cannot be".to_owned(),
        )]
        .into(),
    };
    assert_eq!(read(&world), expected);
}

#[test]
fn a_board_with_one_sensor_and_no_throttling_is_read() {
    let world = World::new();
    furnish(&world, SMALL_BOARD);
    let sensors = read(&world);
    let expected = temperature("cpu_thermal", "temp1", 47.774, [None, Some(110.0)]);
    assert_eq!(sensors.temperatures, [expected]);
    assert_eq!(sensors.throttling, None);
    assert!(sensors.unread.is_empty() && sensors.fans.is_empty());
}

#[test]
fn a_host_without_sensors_has_none() {
    assert_eq!(read(&World::new()), Sensors::default());
}
