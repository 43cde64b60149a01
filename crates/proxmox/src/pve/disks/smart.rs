//! What a disk says of itself (SMART), as smartctl printed it and PVE passed it on: a table of attributes (ATA), or plain text
//! (`NVMe`, SAS). The firmware of the disk wrote both, so nothing of it is believed to make sense.

use felhom_ids::NodeName;
use serde::Deserialize;

use super::{LONGEST, left};
use crate::decode;
use crate::encode::{Endpoint, Method, Request};

/// So many lines of text are looked at; smartctl prints some thirty.
const MOST_LINES: usize = 1000;
/// What a disk can bear to be, in degrees Celsius. Anything else is a number that means something else.
const PLAUSIBLE: std::ops::RangeInclusive<i32> = -60..=150;
/// The attributes that a temperature stands under, the better first (smartmontools `drivedb.h`).
const WARMTH: [u16; 2] = [194, 190];

/// `GET /nodes/N/disks/smart`: `Sys.Audit` on `/`. It wakes a disk that sleeps.
#[derive(Debug, Clone)]
pub struct GetSmart {
    /// The device, as the list of disks names it.
    pub disk: String,
}

/// What a disk says of itself.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Smart {
    /// In the words of [`super::PhysicalDisk::health`].
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub health: Option<String>,
    /// The attributes of an ATA disk.
    #[serde(default, deserialize_with = "decode::list")]
    pub attributes: Vec<Attribute>,
    /// What other disks say.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub text: Option<String>,
    /// How much of its life is left, in percent.
    #[serde(default, deserialize_with = "left")]
    pub wearout: Option<f64>,
}

/// An attribute of an ATA disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attribute {
    /// Its number, which PVE writes as smartctl prints it: `"  5"`.
    #[serde(deserialize_with = "decode::number")]
    pub id: u16,
    /// Its name, which depends on the disk.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub name: Option<String>,
    /// What it means: `31 (Min/Max 20/44)`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub raw: Option<String>,
}

/// What a disk says of its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// It calls itself well.
    Passed,
    /// It calls itself failing.
    Failed,
    /// It says nothing that could be understood, or nobody could ask.
    Unknown,
}

impl Health {
    /// Of smartctl's words: `PASSED`, `FAILED!` of ATA and `NVMe` disks; `OK` of SAS disks, which otherwise name what fails, such as
    /// `FAILURE PREDICTION THRESHOLD EXCEEDED`.
    pub fn of(words: Option<&str>) -> Self {
        let words = words.unwrap_or_default().trim().to_ascii_uppercase();
        match words.as_str() {
            "PASSED" | "OK" => Self::Passed,
            failing if failing.contains("FAIL") => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

impl Smart {
    /// What it says of its health.
    pub fn health(&self) -> Health {
        Health::of(self.health.as_deref())
    }

    /// How much of its life is used up, in percent; more than a hundred when it outlived that.
    pub fn worn_percent(&self) -> Option<u8> {
        self.wearout.map(worn)
    }

    /// How warm it is, in degrees Celsius.
    pub fn celsius(&self) -> Option<i32> {
        let attribute = |id: &u16| {
            let mut all = self.attributes.iter();
            let found = all.find(|one| one.id == *id && one.is_of_warmth())?;
            degrees(found.raw.as_deref()?)
        };
        let attributes = WARMTH.iter().find_map(attribute);
        attributes.or_else(|| {
            let mut lines = self.text.as_deref()?.lines().take(MOST_LINES);
            lines.find_map(warmth_of_line)
        })
    }
}

impl Attribute {
    /// Some disks keep other things under the same numbers.
    fn is_of_warmth(&self) -> bool {
        let name = self.name.as_deref().unwrap_or_default();
        name.to_ascii_lowercase().contains("temp")
    }
}

/// `Temperature: 35 Celsius` (`NVMe`) or `Current Drive Temperature: 29 C` (SAS); not what single sensors show, nor limits.
fn warmth_of_line(line: &str) -> Option<i32> {
    let (key, value) = line.split_once(':')?;
    let named = ["Temperature", "Current Drive Temperature"];
    let is_it = named
        .iter()
        .any(|name| key.trim().eq_ignore_ascii_case(name));
    is_it.then(|| degrees(value)).flatten()
}

/// The whole number that a text begins with, if a disk can be that warm.
fn degrees(text: &str) -> Option<i32> {
    let text = text.trim_start();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let length = end.unwrap_or(digits.len()) + (text.len() - digits.len());
    let number = text.get(..length)?.parse().ok()?;
    PLAUSIBLE.contains(&number).then_some(number)
}

/// The part of a life that is used up, from the part that is left. A disk that goes on after its life has less than nothing left.
pub(super) fn worn(left: f64) -> u8 {
    let used = (100.0 - left).clamp(0.0, 255.0);
    // Printed without a fraction: there is no conversion that could not lose something.
    format!("{used:.0}").parse().unwrap_or(u8::MAX)
}

impl Endpoint for GetSmart {
    type Response = Smart;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"disks", &"smart"])
            .with("disk", &self.disk)
            .at_most(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::super::PhysicalDisk;
    use super::*;

    fn smart(json: &str) -> Smart {
        serde_json::from_str(json).unwrap()
    }

    fn attributes(rows: &[(&str, &str, &str)]) -> Smart {
        let rows = rows.iter().map(|(id, name, raw)| {
            serde_json::json!({ "id": id, "name": name, "raw": raw, "value": 69, "fail": "-" })
        });
        let rows: Vec<_> = rows.collect();
        smart(
            &serde_json::json!({ "health": "PASSED", "type": "ata", "attributes": rows })
                .to_string(),
        )
    }

    #[test]
    fn an_ata_disk_says_how_warm_it_is_under_one_of_two_numbers() {
        let airflow = ("190", "Airflow_Temperature_Cel", "31 (Min/Max 31/31)");
        assert_eq!(attributes(&[airflow]).celsius(), Some(31));
        let disk = ("194", "Temperature_Celsius", "40 (0 12 0 0 0)");
        assert_eq!(attributes(&[airflow, disk]).celsius(), Some(40));
        // Some other thing under the number, or a number that no disk can be as warm as.
        let odd = ("194", "Unknown_Attribute", "7");
        assert_eq!(attributes(&[odd, airflow]).celsius(), Some(31));
        for raw in [
            "214748364832",
            "",
            "cold",
            "-",
            "--3",
            "99999999999999999999999",
        ] {
            let warm = ("194", "Temperature_Celsius", raw);
            assert_eq!(attributes(&[warm, airflow]).celsius(), Some(31), "{raw}");
            assert_eq!(attributes(&[warm]).celsius(), None, "{raw}");
        }
        assert_eq!(
            attributes(&[("194", "Temperature_Celsius", "-4")]).celsius(),
            Some(-4)
        );
    }

    #[test]
    fn other_disks_say_it_in_text() {
        let nvme = "SMART/Health Information (NVMe Log 0x02)\nCritical Warning:                   0x00\n\
                    Temperature:                        38 Celsius\nAvailable Spare:                    100%\n\
                    Percentage Used:                    7%\nTemperature Sensor 1:               61 Celsius\n";
        let of = |text: &str| {
            smart(&serde_json::json!({ "health": "PASSED", "type": "text", "text": text, "wearout": 93 }).to_string())
        };
        assert_eq!(
            (of(nvme).celsius(), of(nvme).worn_percent()),
            (Some(38), Some(7))
        );
        let sas = "Current Drive Temperature:     29 C\nDrive Trip Temperature:        65 C\n";
        assert_eq!(of(sas).celsius(), Some(29));
        assert_eq!(of("Drive Trip Temperature: 65 C\n").celsius(), None);
        let long = format!("{}Temperature: 38 Celsius\n", "x\n".repeat(MOST_LINES));
        assert_eq!(of(&long).celsius(), None, "no more lines are looked at");
    }

    #[test]
    fn health_is_passed_only_by_words_that_say_so() {
        for (words, expected) in [
            ("PASSED", Health::Passed),
            ("OK", Health::Passed),
            ("FAILED!", Health::Failed),
            (
                "FAILURE PREDICTION THRESHOLD EXCEEDED [asc=5d, ascq=0]",
                Health::Failed,
            ),
            (
                "DATA CHANNEL IMPENDING FAILURE GENERAL HARD DRIVE FAILURE",
                Health::Failed,
            ),
            ("UNKNOWN", Health::Unknown),
            (
                "UNKNOWN! SMART Status, Attributes and Thresholds cannot be read.",
                Health::Unknown,
            ),
            ("SMART Disabled", Health::Unknown),
            ("", Health::Unknown),
            ("NOT OK", Health::Unknown),
        ] {
            assert_eq!(Health::of(Some(words)), expected, "{words}");
        }
        assert_eq!(Health::of(None), Health::Unknown);
    }

    #[test]
    fn wear_is_what_is_no_longer_left() {
        let worn = |wearout: &str| {
            let json = format!(r#"{{"devpath":"/dev/sda","size":1,"wearout":{wearout}}}"#);
            serde_json::from_str::<PhysicalDisk>(&json)
                .unwrap()
                .worn_percent()
        };
        for (wearout, expected) in [
            ("100", Some(0)),
            ("93", Some(7)),
            ("\"93\"", Some(7)),
            ("99.5", Some(0)),
            ("0", Some(100)),
            ("-5", Some(105)),
            ("-1e9", Some(255)),
            ("1e9", Some(0)),
            ("\"N/A\"", None),
            ("\"nan\"", None),
            ("\"\"", None),
            ("null", None),
        ] {
            assert_eq!(worn(wearout), expected, "{wearout}");
        }
    }

    #[test]
    fn what_nobody_knows_is_not_told() {
        let disk: PhysicalDisk = serde_json::from_str(
            r#"{"devpath":"/dev/vdb","size":"21474836480","model":"unknown","serial":"unknown","type":"unknown","rpm":-1,
                "health":"UNKNOWN","wearout":"N/A","gpt":0,"osdid":-1,"osdid-list":null,"used":"LVM"}"#,
        )
        .unwrap();
        assert_eq!(
            (
                disk.model.as_deref(),
                disk.serial.as_deref(),
                disk.kind.as_deref()
            ),
            (None, None, None)
        );
        assert_eq!(
            (disk.size, disk.health(), disk.worn_percent()),
            (21_474_836_480, Health::Unknown, None)
        );
        assert_eq!(smart(r#"{"health":"UNKNOWN"}"#).celsius(), None);
    }
}
