//! Property strings as PVE stores them (`name=eth0,bridge=vmbr0,…`), changed key by key: what is not touched stays as it
//! is written, keys that we do not know among it.

use std::collections::BTreeMap;

/// The parts in their order; the one without a key, as a mount point's volume is written, has the key `volume`.
fn parts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let trimmed = text.split(',').map(str::trim);
    trimmed
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            // A path may hold `=`; what stands before it is a key only if it looks like one.
            Some((key, value)) if is_key(key) => (key, value),
            _ => ("volume", part),
        })
}

fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// All keys with their values, in their order.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    parts(text)
}

/// One key's value.
pub(super) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    parts(text).find_map(|(found, value)| (found == key).then_some(value))
}

/// The same without some keys.
pub(super) fn without(text: &str, keys: &[&str]) -> String {
    let kept: Vec<String> = parts(text)
        .filter(|(key, _)| !keys.contains(key))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    kept.join(",")
}

/// The same with a key set.
pub(super) fn with(text: &str, key: &str, value: &str) -> String {
    let rest = without(text, &[key]);
    if rest.is_empty() {
        format!("{key}={value}")
    } else {
        format!("{rest},{key}={value}")
    }
}

/// Whether a switch is on.
pub(super) fn is_on(text: &str, key: &str) -> bool {
    value(text, key).map(plain).as_deref() == Some("1")
}

/// Keys and values in a form in which two writings of the same are equal: PVE prints switches as digits, MAC addresses in
/// capitals, and the type of an interface where it was left out (pve-common JSONSchema.pm `print_property_string`).
pub(super) fn meaning(text: &str) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = parts(text)
        .map(|(key, value)| (key.to_owned(), plain(value)))
        .collect();
    if let Some(mac) = all.get_mut("hwaddr") {
        mac.make_ascii_uppercase();
    }
    all
}

/// A value with the words for a switch as digits.
pub(super) fn plain(value: &str) -> String {
    match value.to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" => "1".to_owned(),
        "off" | "no" | "false" => "0".to_owned(),
        _ => value.to_owned(),
    }
}

/// A text as one word of a shell's command line.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: &str = "name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:01,ip=10.0.0.5/24,newkey=x,type=veth";

    #[test]
    fn one_key_goes_and_the_others_stay_as_written() {
        assert_eq!(
            without(NET, &["hwaddr"]),
            "name=eth0,bridge=vmbr0,firewall=1,ip=10.0.0.5/24,newkey=x,type=veth"
        );
        assert_eq!(value(NET, "newkey"), Some("x"));
        assert_eq!(with("name=eth0", "link_down", "1"), "name=eth0,link_down=1");
        assert_eq!(with("a=1,b=2", "a", "3"), "b=2,a=3");
    }

    #[test]
    fn a_volume_needs_no_key() {
        let mount = "local-lvm:vm-1-disk-1,mp=/d,size=1G,ro=yes";
        assert_eq!(value(mount, "volume"), Some("local-lvm:vm-1-disk-1"));
        assert_eq!(without(mount, &["volume", "size"]), "mp=/d,ro=yes");
        assert!(is_on(mount, "ro"));
        assert_eq!(value("/srv/a=b,mp=/x", "volume"), Some("/srv/a=b"));
    }

    #[test]
    fn two_writings_mean_the_same() {
        assert_eq!(
            meaning("name=eth0,firewall=on,hwaddr=bc:24:11:00:00:01"),
            meaning("hwaddr=BC:24:11:00:00:01,firewall=1,name=eth0")
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_apart_and_put_together_without_losing_a_key(
            text in "[a-z0-9=,:/ _-]{0,40}",
            key in "[a-z]{1,3}",
        ) {
            let left = without(&text, &[&key]);
            proptest::prop_assert_eq!(value(&left, &key), None);
            proptest::prop_assert_eq!(without(&left, &[&key]), left.clone());
            let set = with(&text, &key, "1");
            proptest::prop_assert!(is_on(&set, &key));
            proptest::prop_assert_eq!(without(&set, &[&key]), left);
        }
    }

    #[test]
    fn a_shell_sees_one_word() {
        assert_eq!(quoted("/srv/media,mp=/media"), "/srv/media,mp=/media");
        assert_eq!(quoted("/srv/a b'c"), "'/srv/a b'\\''c'");
        assert_eq!(quoted(""), "''");
    }
}
