//! The sensors of a small box that is neither hot nor cold.

use felhom_host::{FanReading, Sensors, Temperature, Throttling};

/// A chip's sensor, its degrees, and above which it is too warm or protects itself.
type Degrees = (&'static str, &'static str, f64, Option<f64>, Option<f64>);

const TEMPERATURES: [Degrees; 6] = [
    ("coretemp", "Package id 0", 47.0, Some(80.0), Some(100.0)),
    ("coretemp", "Core 0", 46.0, Some(80.0), Some(100.0)),
    ("coretemp", "Core 1", 45.0, Some(80.0), Some(100.0)),
    ("nvme", "Composite", 38.85, Some(81.85), Some(84.85)),
    ("acpitz", "temp1", 27.8, None, Some(119.0)),
    ("drivetemp", "temp1", 31.0, Some(60.0), Some(70.0)),
];

/// What a look at them finds.
pub(super) fn read() -> Sensors {
    let temperature = |(chip, label, celsius, high, critical): &Degrees| Temperature {
        chip: (*chip).to_owned(),
        label: (*label).to_owned(),
        celsius: *celsius,
        high: *high,
        critical: *critical,
        alarm: false,
    };
    let fan = FanReading {
        chip: "it8613".into(),
        label: "fan2".into(),
        rpm: 1180,
    };
    Sensors {
        temperatures: TEMPERATURES.iter().map(temperature).collect(),
        fans: vec![fan],
        throttling: Some(Throttling {
            core: 0,
            package: 0,
        }),
        ..Sensors::default()
    }
}
