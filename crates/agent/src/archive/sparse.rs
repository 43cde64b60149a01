//! Files with holes: where their data lies. vzdump's tar looks for holes (`--sparse`), and writes the map of the data areas
//! in front of the content (version 1.0 of GNU's sparse format); older formats have it in the headers.

use super::input::Damage;
use super::number::decimal;

/// How many areas of a file are kept; a digest ends with the last of them.
const MOST_AREAS: usize = 1024;

const NO_MAP: Damage = Damage::Malformed("the map of a sparse file is none");

/// A run of data in a file with holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The data areas of a file, as far as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Areas {
    known: Vec<Area>,
    /// Whether there are more.
    cut: bool,
    /// An offset whose length is still to come.
    begun: Option<u64>,
}

impl Areas {
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.cut = false;
        self.begun = None;
    }

    pub(super) fn offset(&mut self, offset: u64) {
        self.begun = Some(offset);
    }

    pub(super) fn length(&mut self, length: u64) {
        if let Some(offset) = self.begun.take() {
            self.push(Area { offset, length });
        }
    }

    pub(super) fn push(&mut self, area: Area) {
        if self.known.len() < MOST_AREAS {
            self.known.push(area);
        } else {
            self.cut = true;
        }
    }

    /// `OFFSET,LENGTH,OFFSET,LENGTH…`; when that is not `whole`, the last number is no number.
    pub(super) fn take_list(&mut self, text: &[u8], whole: bool) -> Result<(), Damage> {
        self.clear();
        let text = if whole {
            text
        } else {
            let end = text.iter().rposition(|byte| *byte == b',').unwrap_or(0);
            text.get(..end).unwrap_or_default()
        };
        for number in text.split(|byte| *byte == b',') {
            let number = decimal(number).ok_or(NO_MAP)?;
            match self.begun {
                None => self.offset(number),
                Some(_) => self.length(number),
            }
        }
        self.cut |= !whole;
        if whole && self.begun.is_some() {
            return Err(NO_MAP);
        }
        self.begun = None;
        Ok(())
    }

    /// What a file of this size is made of, from its start: how many zeros, then how many bytes of data. Refuses a map that
    /// runs backwards or past the file's end.
    pub(super) fn runs(&self, size: u64) -> Result<Vec<Run>, Damage> {
        let (mut runs, mut at) = (Vec::new(), 0u64);
        for area in &self.known {
            let zeros = area.offset.checked_sub(at).ok_or(NO_MAP)?;
            at = area.offset.checked_add(area.length).ok_or(NO_MAP)?;
            if at > size {
                return Err(NO_MAP);
            }
            runs.push(Run {
                zeros,
                data: area.length,
            });
        }
        if !self.cut {
            runs.push(Run {
                zeros: size.saturating_sub(at),
                data: 0,
            });
        }
        Ok(runs)
    }
}

/// A hole and the data behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) zeros: u64,
    pub(super) data: u64,
}

/// Takes a map that stands in front of content: lines of decimal numbers, first how many areas there are.
#[derive(Debug, Default)]
pub(super) struct MapInData {
    line: Vec<u8>,
    left: Option<u64>,
    pub(super) areas: Areas,
}

impl MapInData {
    /// Takes a byte; answers whether the map ends with it.
    pub(super) fn byte(&mut self, byte: u8) -> Result<bool, Damage> {
        if byte != b'\n' {
            if self.line.len() == 20 {
                return Err(NO_MAP);
            }
            self.line.push(byte);
            return Ok(false);
        }
        if self.line.is_empty() {
            return Err(NO_MAP);
        }
        let number = decimal(&self.line).ok_or(NO_MAP)?;
        self.line.clear();
        let left = match self.left {
            None => number.checked_mul(2).ok_or(NO_MAP)?,
            Some(left) => {
                match self.areas.begun {
                    None => self.areas.offset(number),
                    Some(_) => self.areas.length(number),
                }
                left.saturating_sub(1)
            }
        };
        self.left = Some(left);
        Ok(left == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Result<Areas, Damage> {
        let mut map = MapInData::default();
        for (at, byte) in text.bytes().enumerate() {
            if map.byte(byte)? {
                assert_eq!(at + 1, text.len(), "the map goes on");
                return Ok(map.areas);
            }
        }
        Err(Damage::Truncated)
    }

    #[test]
    fn a_map_becomes_holes_and_data() {
        let areas = map("2\n4096\n512\n8192\n0\n").unwrap();
        let runs = areas.runs(8192).unwrap();
        let expected = [(4096, 512), (3584, 0), (0, 0)];
        assert_eq!(runs, expected.map(|(zeros, data)| Run { zeros, data }));
        let mut listed = Areas::default();
        listed.take_list(b"4096,512,8192,0", true).unwrap();
        assert_eq!(listed, areas);
        listed.take_list(b"4096,512,8192,0,99", false).unwrap();
        assert_eq!(listed.known, areas.known);
        assert!(
            listed.cut,
            "what the list did not say is not known to be a hole"
        );
    }

    #[test]
    fn maps_that_are_none_are_refused() {
        for text in [
            "\n",
            "x\n",
            "-1\n",
            "1\n-1\n",
            "9999999999999999999\n",
            "123456789012345678901\n",
        ] {
            assert!(matches!(map(text), Err(Damage::Malformed(_))), "{text:?}");
        }
        for text in [
            "1\n512\n512\n",
            "2\n0\n200\n100\n50\n",
            "1\n9223372036854775807\n9223372036854775807\n",
        ] {
            assert!(map(text).unwrap().runs(600).is_err(), "{text:?}");
        }
        assert!(Areas::default().take_list(b"1,2,3", true).is_err());
        assert!(Areas::default().take_list(b"", true).is_err());
    }

    #[test]
    fn a_map_without_end_is_not_kept() {
        let mut map = MapInData::default();
        for byte in b"1000000000000000000\n" {
            assert!(!map.byte(*byte).unwrap());
        }
        for at in 0..1_000_000u64 {
            for byte in format!("{at}\n").bytes() {
                assert!(!map.byte(byte).unwrap());
            }
        }
        assert_eq!(map.areas.known.len(), MOST_AREAS);
        assert!(map.areas.cut);
    }
}
