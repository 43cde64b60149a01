//! The bridge or SDN network that a guest's interface is plugged into.

use crate::text::text_name;

text_name!(
    /// A bridge's name on the host, such as `vmbr0`, or a virtual network's.
    BridgeName,
    "bridge name",
    "letters, digits, `-`, `_`, `.` (as in `vmbr0`)",
    is_bridge_name
);

fn is_bridge_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_a_net_line_may_hold() {
        for good in ["vmbr0", "vmbr9", "lan.42", "my_net-1"] {
            assert_eq!(good.parse::<BridgeName>().unwrap().as_str(), good);
        }
        for odd in ["", "vm br", "vmbr0,tag=1", "a/b", "a=b"] {
            assert!(odd.parse::<BridgeName>().is_err(), "{odd:?}");
        }
    }
}
