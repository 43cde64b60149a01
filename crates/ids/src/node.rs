//! A cluster node's name, which is a segment of nearly every API path.

use crate::text::text_name;

text_name!(
    /// A node's host name, without a domain.
    NodeName,
    "node name",
    "letters, digits and inner hyphens, at most 63 (as in `pve-1`)",
    is_node_name
);

fn is_node_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_stand_inside_only() {
        for good in ["pve", "demo-felhom", "N100", "a", "1", "a--b"] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        for odd in [
            "",
            "-a",
            "a-",
            "a.b",
            "a/b",
            "a b",
            "a\n",
            "ä",
            "..",
            &"a".repeat(64),
        ] {
            assert!(odd.parse::<NodeName>().is_err(), "{odd:?}");
        }
    }
}
