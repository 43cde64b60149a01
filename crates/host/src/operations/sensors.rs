//! The sensors of the host, as the kernel shows them: `/sys/class/hwmon` (Documentation/hwmon/sysfs-interface) and the
//! processor's throttling (Documentation/ABI/testing/sysfs-devices-system-cpu, `thermal_throttle`).
//!
//! A driver may say anything, nothing, or make one wait for a disk: each file is read within bounds, and what is odd is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Root;
use crate::pve::files::of_kernel;
use crate::refusal::Refusal;
use crate::report::{FanReading, Report, Sensors, Temperature, Throttling};

/// More of them are not looked at, of chips and of a chip's sensors.
const MOST: usize = 64;
/// More entries than any directory there has.
const MOST_ENTRIES: usize = 4096;
/// The longest that the kernel writes into one attribute.
const PAGE: u64 = 4096;
/// The longest name that is told.
const NAME: usize = 64;
/// Thousandths of degrees that a computer can have.
const POSSIBLE: std::ops::RangeInclusive<i64> = -100_000..=250_000;

#[expect(
    clippy::unnecessary_wraps,
    reason = "as every operation; sensors are told as far as they can be read"
)]
pub(super) fn read(root: Root<'_>) -> Result<Report, Refusal> {
    let mut sensors = Sensors::default();
    let class = root.layout.path("/sys/class/hwmon");
    for name in numbered(&class, "hwmon", "", &mut sensors.unread)
        .into_iter()
        .take(MOST)
    {
        Chip::at(&class.join(&name), name).read(&mut sensors);
    }
    let processors = root.layout.path("/sys/devices/system/cpu");
    sensors.throttling = throttling(&processors, &mut sensors.unread);
    Ok(Report::Sensors(sensors))
}

/// The entries of a directory that are a number between two words, the lowest first. That it is missing is no fault.
fn numbered(
    directory: &Path,
    before: &str,
    after: &str,
    unread: &mut BTreeMap<String, String>,
) -> Vec<String> {
    let mut found = BTreeSet::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                unread.insert(plain(&directory.to_string_lossy()), error.to_string());
            }
            return Vec::new();
        }
    };
    for entry in entries.take(MOST_ENTRIES).flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let number = name
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after));
        let number = number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(number) = number.and_then(|number| number.parse::<u32>().ok()) {
            found.insert((number, name));
        }
    }
    found.into_iter().map(|(_, name)| name).collect()
}

/// One chip of `/sys/class/hwmon`.
struct Chip {
    directory: PathBuf,
    /// The kernel's name of the directory, `hwmon0`.
    place: String,
    name: String,
}

impl Chip {
    fn at(directory: &Path, place: String) -> Self {
        let directory = directory.to_owned();
        let name = word(&directory.join("name")).unwrap_or_else(|| place.clone());
        Self {
            directory,
            place,
            name,
        }
    }

    fn read(&self, sensors: &mut Sensors) {
        let unread = &mut sensors.unread;
        for file in numbered(&self.directory, "temp", "_input", unread)
            .into_iter()
            .take(MOST)
        {
            match self.temperature(&file) {
                Ok(found) => sensors.temperatures.push(found),
                Err(why) => self.leave(unread, &file, why),
            }
        }
        for file in numbered(&self.directory, "fan", "_input", unread)
            .into_iter()
            .take(MOST)
        {
            match self.fan(&file) {
                Ok(found) => sensors.fans.push(found),
                Err(why) => self.leave(unread, &file, why),
            }
        }
    }

    fn leave(&self, unread: &mut BTreeMap<String, String>, file: &str, why: String) {
        unread.insert(format!("{}/{file} ({})", self.place, self.name), why);
    }

    fn temperature(&self, file: &str) -> Result<Temperature, String> {
        let sensor = file.trim_end_matches("_input");
        if self.is_set(sensor, "fault") {
            return Err("the chip says that the sensor is broken".to_owned());
        }
        let found = number(&self.directory.join(file))?;
        let celsius =
            degrees(found).ok_or_else(|| format!("{found} thousandths of a degree cannot be"))?;
        let limit = |what: &str| {
            let limit = number(&self.attribute(sensor, what)).ok()?;
            degrees(limit)
        };
        let alarms = ["alarm", "max_alarm", "crit_alarm", "emergency_alarm"];
        Ok(Temperature {
            chip: self.name.clone(),
            label: self.label(sensor),
            celsius,
            high: limit("max"),
            critical: limit("crit"),
            alarm: alarms.iter().any(|alarm| self.is_set(sensor, alarm)),
        })
    }

    fn fan(&self, file: &str) -> Result<FanReading, String> {
        let sensor = file.trim_end_matches("_input");
        if self.is_set(sensor, "fault") {
            return Err("the chip says that the fan's sensor is broken".to_owned());
        }
        let found = number(&self.directory.join(file))?;
        let rpm = u32::try_from(found).ok().filter(|rpm| *rpm <= 100_000);
        Ok(FanReading {
            chip: self.name.clone(),
            label: self.label(sensor),
            rpm: rpm.ok_or_else(|| format!("{found} turns a minute cannot be"))?,
        })
    }

    fn attribute(&self, sensor: &str, what: &str) -> PathBuf {
        self.directory.join(format!("{sensor}_{what}"))
    }

    fn label(&self, sensor: &str) -> String {
        word(&self.attribute(sensor, "label")).unwrap_or_else(|| sensor.to_owned())
    }

    fn is_set(&self, sensor: &str, what: &str) -> bool {
        number(&self.attribute(sensor, what)).is_ok_and(|value| value == 1)
    }
}

/// Degrees of thousandths of them, when a computer can have them.
fn degrees(thousandths: i64) -> Option<f64> {
    let possible = POSSIBLE.contains(&thousandths).then_some(thousandths)?;
    i32::try_from(possible)
        .ok()
        .map(|value| f64::from(value) / 1000.0)
}

fn number(path: &Path) -> Result<i64, String> {
    let bytes = of_kernel(path, PAGE).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    text.parse()
        .map_err(|_| format!("`{}` is no number", plain(text)))
}

/// A name in a file of its own, as far as it can be told.
fn word(path: &Path) -> Option<String> {
    let bytes = of_kernel(path, PAGE).ok()?;
    let text = plain(String::from_utf8_lossy(&bytes).trim());
    (!text.is_empty()).then_some(text)
}

/// A text as one short line.
fn plain(text: &str) -> String {
    let shown = text.chars().take(NAME);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The highest counts of any processor: those of a core count for each of its threads, those of a package for all of its
/// cores, so a sum would tell the same event many times.
fn throttling(directory: &Path, unread: &mut BTreeMap<String, String>) -> Option<Throttling> {
    let mut highest: Option<Throttling> = None;
    for name in numbered(directory, "cpu", "", unread) {
        let counts = directory.join(name).join("thermal_throttle");
        let count = |file: &str| {
            let found = number(&counts.join(file)).ok()?;
            u64::try_from(found).ok()
        };
        let (core, package) = (
            count("core_throttle_count"),
            count("package_throttle_count"),
        );
        if core.is_none() && package.is_none() {
            continue;
        }
        let before = highest.unwrap_or(Throttling {
            core: 0,
            package: 0,
        });
        highest = Some(Throttling {
            core: before.core.max(core.unwrap_or(0)),
            package: before.package.max(package.unwrap_or(0)),
        });
    }
    highest
}
