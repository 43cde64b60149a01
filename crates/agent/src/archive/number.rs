//! Numbers as archives write them: octal or binary in headers, decimal in extended headers and maps.

/// A number of a header: octal digits, or, where its first bit is set, big-endian two's complement.
pub(super) fn header(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let sign = if first & 0x40 == 0 { 0 } else { -1i128 };
        let start = (sign << 6) | i128::from(first & 0x3f);
        let value = rest
            .iter()
            .fold(start, |value, byte| (value << 8) | i128::from(*byte));
        return i64::try_from(value).ok();
    }
    let ends = |byte: &u8| matches!(byte, 0 | b' ');
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(ends).unwrap_or(digits.len());
    let (digits, behind) = digits.split_at_checked(end)?;
    if digits.is_empty() || !behind.iter().all(ends) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Digits only, and no more than a file's length may be.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse::<i64>()
        .ok()
        .and_then(|number| number.try_into().ok())
}

/// `-12.5`: whole seconds, downwards.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || !plain(digits) || !plain(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let below = digits.len() < whole.len() && fraction.bytes().any(|digit| digit != b'0');
    seconds.checked_sub(i64::from(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_and_exact() {
        for (field, expected) in [
            (&b"00000000644\0"[..], Some(0o644)),
            (b"        17 \0", Some(15)),
            (b"777777777777", Some(0o777_777_777_777)),
            (b"0\0\0\0\0\0\0\0\0\0\0\0", Some(0)),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0", None),
            (b"            ", None),
            (b"0000000008\0\0", None),
            (b"-0000000001\0", None),
            (b"00000001x\0\0\0", None),
            (b"1\x001\0\0\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Some(8 << 30)),
            (
                b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                Some(i64::MAX),
            ),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                Some(-1),
            ),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", Some(i64::MIN)),
            (b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(header(field), expected, "{field:?}");
        }
    }
}
