//! Numbers of bytes for people.

/// A number of bytes for people: `18.2 GiB`, `512 B`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    for (unit, factor) in UNITS {
        if bytes >= factor {
            let tenths = bytes / (factor / 10).max(1);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// What is said of a size that is far from the last one.
pub(crate) fn off_forecast(is: u64, was: u64) -> String {
    format!("{}, after {} in the last good backup", size(is), size(was))
}
