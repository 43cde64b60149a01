//! Sizes as Docker's client prints them: four digits and a decimal unit (`HumanSize` of docker/go-units).

/// `1.2GB`, `0B`. `N/A`, and the `-1B` of what was not counted, are no size.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power: u32 = match unit {
        "B" => 0,
        "kB" => 3,
        "MB" => 6,
        "GB" => 9,
        "TB" => 12,
        "PB" => 15,
        "EB" => 18,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    // As many digits of the part as the unit has zeros: what would be less than a byte is left out.
    let part = format!("{part:0<18}");
    let part: String = part.chars().take(usize::try_from(power).ok()?).collect();
    format!("{whole}{part}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_what_go_units_prints() {
        for (text, expected) in [
            ("0B", Some(0)),
            ("2B", Some(2)),
            ("1.5MB", Some(1_500_000)),
            ("1.234GB", Some(1_234_000_000)),
            ("1000kB", Some(1_000_000)),
            ("12.3kB", Some(12_300)),
            ("18.44EB", Some(18_440_000_000_000_000_000)),
            ("99EB", None),
            ("N/A", None),
            ("-1B", None),
            ("", None),
            ("B", None),
            ("1.5", None),
            ("1.2.3MB", None),
            ("1 GB", None),
            ("1GiB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
