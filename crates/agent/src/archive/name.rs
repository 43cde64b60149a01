//! Names of members: which of them can be believed.

use felhom_engine::OddNames;

/// Longer names are not kept. Linux takes no path of more than 4 096 bytes in one call, yet deeper trees can be made.
pub const LONGEST_NAME: usize = 16 << 10;

/// How many odd names are told.
const TOLD: usize = 8;
/// How much of each.
const TOLD_CHARS: usize = 120;

/// A member's name, as it stands in the archive, up to the limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) bytes: Vec<u8>,
    /// Whether there was more of it.
    pub(super) cut: bool,
}

impl Name {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.cut = false;
    }

    /// Appends what fits.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let room = LONGEST_NAME.saturating_sub(self.bytes.len());
        self.cut |= piece.len() > room;
        let piece = piece.get(..room).unwrap_or(piece);
        self.bytes.extend_from_slice(piece);
    }

    /// The path inside the guest, without slashes at its ends, empty for the guest's root. `None` for an odd name: one
    /// that leads elsewhere, that can be read in two ways, or that was cut.
    ///
    /// vzdump gives tar `./` and `./PATH` to put in (pve-container, `PVE/VZDump/LXC.pm`), so that every name begins with `./`; one without
    /// is read as the same name. Links are not followed: a name is what it says, wherever a link would lead an unpacker.
    pub(super) fn inside(&self) -> Option<&[u8]> {
        if self.cut || self.bytes.is_empty() {
            return None;
        }
        let path = self.bytes.as_slice();
        if path == b"." || path == b"./" {
            return Some(b"");
        }
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
        let parts_are_plain = path.split(|byte| *byte == b'/').all(plain);
        (parts_are_plain && !path.contains(&0)).then_some(path)
    }
}

/// Counts an odd name, and keeps it when it is one of the first.
pub(super) fn tell(odd: &mut OddNames, name: &Name) {
    odd.count = odd.count.saturating_add(1);
    if odd.first.len() < TOLD {
        let shown = name.bytes.get(..TOLD_CHARS * 4).unwrap_or(&name.bytes);
        let shown = String::from_utf8_lossy(shown);
        let mut chars = shown.chars();
        let mut text: String = chars.by_ref().take(TOLD_CHARS).collect();
        if name.cut || chars.next().is_some() {
            text.push('…');
        }
        odd.first.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(text: &str) -> Option<String> {
        let mut name = Name::default();
        name.push(text.as_bytes());
        name.inside()
            .map(|path| String::from_utf8(path.to_vec()).unwrap())
    }

    #[test]
    fn a_name_with_and_without_its_dot_is_the_same() {
        for text in ["./etc/hosts", "etc/hosts", "./etc/hosts/"] {
            assert_eq!(inside(text).as_deref(), Some("etc/hosts"), "{text}");
        }
        for text in [".", "./"] {
            assert_eq!(inside(text).as_deref(), Some(""), "{text}");
        }
        for text in ["..data", "a/...", "a/.b", ".hidden", "a b", "\u{fffd}"] {
            assert_eq!(inside(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn names_that_lead_elsewhere_or_mean_two_things_are_odd() {
        for text in [
            "",
            "/",
            "//",
            "/etc/passwd",
            ".//etc",
            "./etc//x",
            ".//",
            "a//",
            "..",
            "../x",
            "./..",
            "a/../b",
            "./mnt/mp1/../../x",
            "a/./b",
            "./.",
            "././a",
            "a/..",
            "a\0b",
            "\0",
        ] {
            assert_eq!(inside(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_name_past_the_limit_is_cut_and_odd() {
        let mut name = Name::default();
        for _ in 0..LONGEST_NAME {
            name.push(b"a");
        }
        assert!(name.inside().is_some());
        name.push(b"a");
        assert_eq!((name.inside(), name.bytes.len()), (None, LONGEST_NAME));
        let mut odd = OddNames::default();
        for _ in 0..100 {
            tell(&mut odd, &name);
        }
        assert_eq!((odd.count, odd.first.len()), (100, TOLD));
        assert!(
            odd.first
                .iter()
                .all(|text| text.chars().count() == TOLD_CHARS + 1)
        );
    }
}
