//! Changing seeds: a small generator whose every step follows from a printed number.

/// Longer inputs are not made.
const LONGEST: usize = 16 << 10;

/// Bytes at which parsers turn.
const TURNS: &[u8] = b"\0\n\r\t ,:;=!@/\\\"'#%[]{}().-_+x09AZ\x1b\x7f\x80\xc3\xff";

/// Words at which parsers turn.
const WORDS: &[&str] = &[
    "UPID:",
    "\\x2d",
    "backup/",
    "/dev/",
    "..",
    "size=",
    "mp=",
    "name=",
    "keep-all=1",
    "volume=",
    "[pve:pending]\n",
    "[snap]\n",
    "lxc.idmap: ",
    "ERROR: ",
    "WARN: ",
    "INFO: ",
    "TASK ERROR: ",
    "WARNINGS: ",
    "Permission check failed (",
    "\"data\":",
    "\"errors\":{",
    "null",
    "true",
    "99999999999999999999",
    "-1",
    "1e309",
    "0.0000001",
    "\u{301}",
    "\u{202e}",
    "\u{feff}",
    "\u{a0}",
    "\\u0030",
    "= 9223372036854775807\n",
    "\"0s\"",
];

/// `SplitMix64`: every seed is as good as any other.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.next() % bound).unwrap()
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// One to six changes of a seed, some of them with a piece of another.
pub(crate) fn mutate(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(6) {
        change(random, &mut bytes, other);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len() + 1);
    let end = at + random.below((bytes.len() - at).min(64) + 1);
    match random.below(9) {
        0 => drop(bytes.splice(at..end, [])),
        1 => bytes.insert(at, *random.one_of(TURNS)),
        2 => drop(bytes.splice(at..at, random.one_of(WORDS).bytes())),
        3 => drop(bytes.splice(at..end, random.one_of(WORDS).bytes())),
        4 => {
            let piece = bytes[at..end].to_vec();
            let times = [1, 1, 1, 2, 40][random.below(5)];
            drop(bytes.splice(end..end, piece.repeat(times)));
        }
        5 => bytes.truncate(at),
        6 => {
            let start = random.below(other.len() + 1);
            let length = random.below(other.len() - start + 1);
            let piece = other[start..start + length].to_vec();
            drop(bytes.splice(at..end, piece));
        }
        // Of a byte that is there: another bit, or another character.
        kind => {
            let (bit, turn) = (1 << random.below(8), *random.one_of(TURNS));
            if let Some(byte) = bytes.get_mut(at) {
                *byte = if kind == 7 { *byte ^ bit } else { turn };
            }
        }
    }
}
