//! The id of a storage as `storage.cfg` names it.

use crate::text::text_name;

text_name!(
    /// A storage's id, unique in the cluster.
    StorageId,
    "storage id",
    "a letter, then letters, digits, `-`, `_`, `.`, ending in a letter or digit (as in `local-lvm`)",
    is_storage_id
);

pub(crate) fn is_storage_id(text: &str) -> bool {
    crate::text::is_config_id(text, &['-', '_', '.'])
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_pattern_of_pve_storage() {
        for good in ["local", "local-lvm", "PBS.2", "a1", "nas_backup"] {
            assert_eq!(good.parse::<StorageId>().unwrap().as_str(), good);
        }
        for odd in [
            "", "a", "1a", "a-", "a.", "-a", "lo cal", "lo:cal", "lo/cal", "lä",
        ] {
            assert!(odd.parse::<StorageId>().is_err(), "{odd:?}");
        }
    }
}
