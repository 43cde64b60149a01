//! A guest snapshot's name.

use crate::text::text_name;

text_name!(
    /// A snapshot's name. `current`, the entry that PVE lists beside the snapshots, is none;
    /// `vzdump`, the one that a backup makes, is one, though nobody else may make it.
    SnapshotName,
    "snapshot name",
    "a letter, then letters, digits, `-`, `_`, 2 to 40 in all, and not `current`",
    is_snapshot_name
);

fn is_snapshot_name(text: &str) -> bool {
    crate::text::is_config_id(text, &['-', '_']) && text.len() <= 40 && text != "current"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_is_not_a_snapshot() {
        for good in ["spk1", "vzdump", "before-update_2", &"a".repeat(40)] {
            assert_eq!(good.parse::<SnapshotName>().unwrap().as_str(), good);
        }
        for odd in ["current", "", "a", "1a", "a.b", "a b", &"a".repeat(41)] {
            assert!(odd.parse::<SnapshotName>().is_err(), "{odd:?}");
        }
    }
}
