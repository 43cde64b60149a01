//! Formats and patterns of single values, and what the API says of a value that has not got one. Each check answers
//! the words behind `invalid format - `; patterns answer for themselves.

use std::net::{Ipv4Addr, Ipv6Addr};

type Checked = Result<(), String>;

fn when(good: bool, words: &str) -> Checked {
    if good { Ok(()) } else { Err(words.to_owned()) }
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

pub(crate) fn ipv4(text: &str) -> Checked {
    when(
        is_ipv4(text),
        "value does not look like a valid IPv4 address",
    )
}

pub(crate) fn ipv6(text: &str) -> Checked {
    when(
        is_ipv6(text),
        "value does not look like a valid IPv6 address",
    )
}

fn ip(text: &str) -> Checked {
    when(
        is_ipv4(text) || is_ipv6(text),
        "value does not look like a valid IP address",
    )
}

/// A name server: a link-local address may name its interface.
pub(crate) fn name_server(text: &str) -> Checked {
    match text.split_once('%') {
        Some((address, device)) if address.starts_with("fe80:") && is_ipv6(address) => when(
            is_device(device),
            "value does not look like a valid IP address",
        ),
        _ => ip(text),
    }
}

fn is_device(text: &str) -> bool {
    (2..=21).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// An address with its mask, `/8` at least.
fn masked(text: &str, is_address: fn(&str) -> bool, most: u8) -> bool {
    text.split_once('/').is_some_and(|(address, mask)| {
        let mask = mask.parse::<u8>();
        is_address(address) && mask.is_ok_and(|mask| (8..=most).contains(&mask))
    })
}

pub(crate) fn ipv4_config(text: &str) -> Checked {
    when(
        matches!(text, "dhcp" | "manual") || masked(text, is_ipv4, 32),
        "value does not look like a valid ipv4 network configuration",
    )
}

pub(crate) fn ipv6_config(text: &str) -> Checked {
    when(
        matches!(text, "auto" | "dhcp" | "manual") || masked(text, is_ipv6, 128),
        "value does not look like a valid ipv6 network configuration",
    )
}

/// Six hexadecimal pairs; the second digit of a unicast address is even.
pub(crate) fn mac(text: &str) -> Checked {
    let pairs: Vec<&str> = text.split(':').collect();
    let hex = |pair: &&str| pair.len() == 2 && pair.chars().all(|c| c.is_ascii_hexdigit());
    let second = text.chars().nth(1).and_then(|c| c.to_digit(16));
    when(
        pairs.len() == 6 && pairs.iter().all(hex) && second.is_some_and(|digit| digit % 2 == 0),
        "value does not look like a valid unicast MAC address",
    )
}

/// Whether a path steps aside: `/./`, `/../`, either at its end.
fn steps_aside(text: &str) -> bool {
    text.contains("/./") || text.contains("/../") || text.ends_with("/.") || text.ends_with("/..")
}

/// A volume, or a path inside a container.
pub(crate) fn mount_path(text: &str) -> Checked {
    let good = !steps_aside(text) && !text.starts_with("../");
    when(
        good,
        &format!("{text} contains illegal character sequences"),
    )
}

pub(crate) fn device_path(text: &str) -> Checked {
    let good = text.starts_with("/dev/") && !steps_aside(text);
    when(good, &format!("{text} is not a valid device path"))
}

pub(crate) fn disk_size(text: &str) -> Checked {
    when(
        crate::guest::props::parse_size(text).is_some(),
        &format!("value does not look like a valid disk size: {text}"),
    )
}

fn is_dns_name(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

pub(crate) fn dns_name(text: &str) -> Checked {
    when(
        is_dns_name(text),
        "value does not look like a valid DNS name",
    )
}

/// A machine by name or address.
pub(crate) fn server(text: &str) -> Checked {
    when(
        is_ipv4(text) || is_ipv6(text) || is_dns_name(text),
        "value does not look like a valid server name or IP address",
    )
}

/// Letters, digits and a few more, beginning and ending with a letter or digit.
fn is_id(text: &str, first: fn(&char) -> bool) -> bool {
    text.len() >= 2
        && text.chars().next().is_some_and(|c| first(&c))
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

pub(crate) fn storage_id(text: &str) -> Checked {
    if text.len() < 2 {
        return Err(format!(
            "storage ID '{text}' cannot be shorter than 2 characters"
        ));
    }
    when(
        is_id(text, char::is_ascii_alphabetic),
        &format!("storage ID '{text}' contains illegal characters"),
    )
}

pub(crate) fn lvm_name(text: &str) -> Checked {
    when(
        is_id(text, char::is_ascii_alphanumeric),
        &format!("lvm name '{text}' contains illegal characters"),
    )
}

pub(crate) fn volume_id(text: &str) -> Checked {
    let good = text
        .split_once(':')
        .is_some_and(|(store, name)| is_id(store, char::is_ascii_alphabetic) && !name.is_empty());
    when(good, &format!("unable to parse volume ID '{text}'"))
}

pub(crate) fn absolute_path(text: &str) -> Checked {
    let rest = text.strip_prefix('/').unwrap_or_default();
    let good = !rest.is_empty() && !rest.starts_with([';', '(', ')']);
    when(good, "value does not look like a valid absolute path")
}

pub(crate) fn content_type(text: &str) -> Checked {
    const KNOWN: [&str; 8] = [
        "backup", "images", "import", "iso", "none", "rootdir", "snippets", "vztmpl",
    ];
    when(
        KNOWN.contains(&text),
        &format!("invalid content type '{text}'"),
    )
}

pub(crate) fn mount_options(text: &str) -> Checked {
    let good = !text.is_empty() && !text.contains(char::is_whitespace);
    when(good, &format!("invalid options '{text}'"))
}

pub(crate) fn startup_order(text: &str) -> Checked {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let part = |part: &str| match part.split_once('=') {
        None => digits(part),
        Some(("order" | "up" | "down", number)) => digits(number),
        Some(_) => false,
    };
    let good = text
        .split(',')
        .filter(|part| !part.trim().is_empty())
        .all(part);
    when(good && !text.is_empty(), "unable to parse startup options")
}

pub(crate) fn tag(text: &str) -> Checked {
    let good = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c));
    when(good, "invalid characters in tag")
}

/// Zones by the look of their names: a list of all is not kept here.
pub(crate) fn timezone(text: &str) -> Checked {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+".contains(c);
    let good = text.split_once('/').is_some_and(|(area, place)| {
        area.starts_with(|c: char| c.is_ascii_uppercase())
            && !place.is_empty()
            && place
                .split('/')
                .all(|part| !part.is_empty() && part.chars().all(plain))
    });
    when(
        good || matches!(text, "host" | "UTC"),
        &format!("invalid time zone '{text}'"),
    )
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
}

pub(crate) fn group_id(text: &str) -> Checked {
    when(
        is_name(text),
        &format!("group name '{text}' contains invalid characters"),
    )
}

pub(crate) fn pool_id(text: &str) -> Checked {
    let parts: Vec<&str> = text.split('/').collect();
    if parts.len() > 3 {
        return Err(format!(
            "pool name '{text}' nested too deeply (max levels = 3)"
        ));
    }
    when(
        parts.into_iter().all(is_name),
        &format!("pool name '{text}' contains invalid characters"),
    )
}

/// `[-_.\w\d]+`
pub(crate) fn word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.".contains(c))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `10;20;30`
pub(crate) fn trunks(text: &str) -> bool {
    text.split(';').all(is_digits)
}

/// Options of a mount inside a container.
pub(crate) fn inner_options(text: &str) -> bool {
    const KNOWN: [&str; 6] = [
        "discard", "lazytime", "noatime", "nodev", "noexec", "nosuid",
    ];
    text.split(';').all(|option| KNOWN.contains(&option))
}

/// `passthrough`, or `u:0:1000:1;g:0:1000:1`.
pub(crate) fn id_map(text: &str) -> bool {
    let entry = |entry: &str| {
        let parts: Vec<&str> = entry.split(':').collect();
        matches!(parts[..], ["u" | "g", inside, outside, count]
            if [inside, outside, count].into_iter().all(is_digits) && !count.starts_with('0'))
    };
    text == "passthrough" || text.split(';').all(entry)
}

/// File system types that may be mounted.
pub(crate) fn file_systems(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_; ".contains(c))
}

/// `0660`
pub(crate) fn octal_mode(text: &str) -> bool {
    text.len() == 4
        && text.starts_with('0')
        && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
}

/// A block device of the node.
pub(crate) fn device(text: &str) -> bool {
    text.strip_prefix("/dev/").is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '/')
    })
}

/// A size to grow a disk to, or by: `+4G`.
pub(crate) fn growth(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(text);
    match digits.split_once('.') {
        None => is_digits(digits),
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
    }
}

/// The size of a volume to make: KiB without a unit.
pub(crate) fn volume_size(text: &str) -> bool {
    is_digits(text.strip_suffix(['M', 'G']).unwrap_or(text))
}

pub(crate) fn url(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

/// `01:30`
pub(crate) fn clock(text: &str) -> bool {
    text.split_once(':').is_some_and(|(hour, minute)| {
        [hour, minute]
            .into_iter()
            .all(|part| is_digits(part) && part.len() <= 2)
    })
}

/// A certificate's SHA-256 in pairs.
pub(crate) fn fingerprint(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    pairs.len() == 32 && pairs.into_iter().all(pair)
}

/// Old keys of a second factor.
pub(crate) fn factor_keys(text: &str) -> bool {
    text.len() <= 4096
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!=".contains(&byte))
}

/// No control characters but tabs.
pub(crate) fn printable(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '\t' || !c.is_ascii_control())
}

/// `NAME=value`, several separated by NUL.
pub(crate) fn environment(text: &str) -> bool {
    text.split('\0').all(|one| {
        one.split_once('=').is_some_and(|(name, value)| {
            let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
            is_name && !name.is_empty() && (value.is_empty() || printable(value))
        })
    })
}

/// `serialN` of a machine: a socket, or a device of the host.
pub(crate) fn serial_port(text: &str) -> bool {
    let device = text.strip_prefix("/dev/");
    text == "socket" || device.is_some_and(|name| !name.is_empty() && !name.contains(','))
}

/// `parallelN` of a machine: a device of the host.
pub(crate) fn parallel_port(text: &str) -> bool {
    let number = text
        .strip_prefix("/dev/parport")
        .or_else(|| text.strip_prefix("/dev/usb/lp"));
    number.is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
}

/// `vmgenid`: a UUID, `1` for a new one, `0` for none.
pub(crate) fn generation(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = text.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    matches!(text, "0" | "1") || hex && lengths == [8, 4, 4, 4, 12]
}
