//! The names of a backup target on a disk that is carried around: ours, and its file system's.

use crate::text::text_name;

text_name!(
    /// The name of a target on a removable disk: of its mount point, its unit and the storage on it.
    TargetName,
    "target name",
    "2 to 31 of `a`-`z`, `0`-`9` and `_`, a letter first, no `_` last (as in `usb1`)",
    is_target_name
);

text_name!(
    /// A file system's UUID or serial number, as `blkid` writes it: `3b2f…-…`, or `6A1C-93D0` of a FAT file system.
    FilesystemUuid,
    "file system UUID",
    "hexadecimal digits in groups with `-` between, as in `6A1C-93D0`, 9 to 36 characters",
    is_filesystem_uuid
);

/// No character that a systemd unit would have to escape, and a name that PVE takes for a storage.
fn is_target_name(text: &str) -> bool {
    (2..=31).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('_')
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_filesystem_uuid(text: &str) -> bool {
    (9..=36).contains(&text.len())
        && text
            .split('-')
            .all(|group| !group.is_empty() && group.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_plainly() {
        for good in ["usb1", "b2", "off_site", "aa"] {
            assert_eq!(good.parse::<TargetName>().unwrap().as_str(), good);
        }
        for odd in [
            "", "a", "1a", "a-b", "a.b", "a/b", "..", "A1", "ab_", "--help", "a b", "a\n", "a\0",
        ] {
            assert!(odd.parse::<TargetName>().is_err(), "{odd:?}");
        }
        assert!("a".repeat(32).parse::<TargetName>().is_err());
    }

    #[test]
    fn a_file_system_has_a_uuid_or_a_serial_number() {
        for good in [
            "0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11",
            "6A1C-93D0",
            "01D9E4B5C2A37F10",
        ] {
            assert!(good.parse::<FilesystemUuid>().is_ok(), "{good}");
        }
        for odd in [
            "",
            "-",
            "--help",
            "6A1C-",
            "6A1C",
            "../../sda",
            "6A1C-93D0\n",
            "g0000000-0000",
        ] {
            assert!(odd.parse::<FilesystemUuid>().is_err(), "{odd:?}");
        }
    }
}
