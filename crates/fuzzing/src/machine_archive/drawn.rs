//! Small drawings of large archives: a header of VMA has 12 KiB, nearly all of them zero, which no fuzzer finds its way
//! through. Each line of a drawing is one thing in it; what makes no sense is left out.
//!
//! - `D ID SIZE NAME`: a device of so many bytes, also one that is none (0), or one in the place of another.
//! - `C NAME`: a configuration.
//! - `N ID CLUSTER MASK`: a cluster in the extent that is filled right now; the mask says which of its blocks are stored.
//! - `E`: the extent is written, and another one begins. What is still in it at the end is written, too.
//! - `L NUMBER`: the next extent says that it has so many blocks.
//! - `U`: the next extent is of another archive. `S`: its sum is wrong. `X`: the archive ends here, and inside of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{TABLES, sum};

const CLUSTER: u64 = 65_536;
/// The most that is drawn, so that a fuzzer's time goes to other things.
const MOST: usize = 64;
const MOST_BLOCKS: u16 = 64;

#[derive(Default)]
struct Extent {
    clusters: Vec<(u8, u32, u16)>,
    listed: Option<u16>,
    foreign: bool,
    wrong: bool,
}

#[derive(Default)]
struct Drawing {
    devices: BTreeMap<u8, (u64, String)>,
    configs: Vec<String>,
    extents: Vec<Extent>,
    cut: bool,
}

/// The archive that a text draws, and whether it is whole.
pub(super) fn draw(data: &[u8]) -> (Vec<u8>, bool) {
    let mut drawing = Drawing::default();
    let mut extent = Extent::default();
    let mut stored = 0;
    for line in String::from_utf8_lossy(data).lines().take(MOST * 4) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["D", id, size, name] => drawing.device(id, size, name),
            ["C", name] if drawing.configs.len() < MOST && fits(name) => {
                drawing.configs.push((*name).to_owned());
            }
            ["N", id, cluster, mask] => {
                let parsed = (id.parse(), cluster.parse(), mask.parse());
                if let (Ok(id), Ok(cluster), Ok(mask)) = parsed
                    && extent.clusters.len() < 59
                {
                    let room = stored + blocks(mask) <= MOST_BLOCKS;
                    let mask = if room { mask } else { 0 };
                    stored += blocks(mask);
                    extent.clusters.push((id, cluster, mask));
                }
            }
            ["L", number] => extent.listed = number.parse().ok(),
            ["U"] => extent.foreign = true,
            ["S"] => extent.wrong = true,
            ["X"] => drawing.cut = true,
            ["E"] if drawing.extents.len() < MOST => {
                drawing.extents.push(std::mem::take(&mut extent));
            }
            _ => {}
        }
    }
    drawing.extents.push(extent);
    (drawing.written(), drawing.is_whole())
}

/// Names that a blob can hold, each.
fn fits(name: &str) -> bool {
    name.len() < 4096 && !name.contains('\0')
}

/// How many blocks a cluster's mask stores.
fn blocks(mask: u16) -> u16 {
    u16::try_from(mask.count_ones()).unwrap_or_default()
}

impl Extent {
    fn stored(&self) -> u16 {
        self.clusters.iter().map(|(_, _, mask)| blocks(*mask)).sum()
    }

    fn written(&self) -> Vec<u8> {
        let mut bytes = b"VMAE\0\0".to_vec();
        bytes.extend(self.listed.unwrap_or(self.stored()).to_be_bytes());
        bytes.extend([if self.foreign { 8 } else { 9 }; 16]);
        bytes.extend([0; 16]);
        for (id, cluster, mask) in &self.clusters {
            bytes.extend(mask.to_be_bytes());
            bytes.extend([0, *id]);
            bytes.extend(cluster.to_be_bytes());
        }
        bytes.resize(512, 0);
        sum(&mut bytes, 24);
        if self.wrong
            && let Some(byte) = bytes.last_mut()
        {
            *byte ^= 1;
        }
        // A cluster of no device is passed over, its blocks with it.
        bytes.resize(512 + usize::from(self.stored()) * 4096, 7);
        bytes
    }
}

impl Drawing {
    fn device(&mut self, id: &str, size: &str, name: &str) {
        if let (Ok(id), Ok(size)) = (id.parse(), size.parse())
            && fits(name)
            && self.devices.len() < MOST
        {
            self.devices.insert(id, (size, name.to_owned()));
        }
    }

    fn written(&self) -> Vec<u8> {
        let mut bytes = vec![0; TABLES];
        let mut blobs = vec![0];
        let mut add = |text: &str| {
            let at = u32::try_from(blobs.len()).unwrap();
            blobs.extend(u16::try_from(text.len() + 1).unwrap().to_le_bytes());
            blobs.extend(text.as_bytes());
            blobs.push(0);
            at.to_be_bytes()
        };
        put(&mut bytes, 0, b"VMA\0\0\0\0\x01");
        put(&mut bytes, 8, &[9; 16]);
        for (place, name) in self.configs.iter().enumerate() {
            put(&mut bytes, 2044 + 4 * place, &add(name));
            put(&mut bytes, 3068 + 4 * place, &add("name: drawn\n"));
        }
        for (id, (size, name)) in &self.devices {
            let at = 4096 + 32 * usize::from(*id);
            put(&mut bytes, at, &add(name));
            put(&mut bytes, at + 8, &size.to_be_bytes());
        }
        blobs.resize(blobs.len().next_multiple_of(512), 0);
        let size = u32::try_from(TABLES + blobs.len()).unwrap();
        put(&mut bytes, 56, &size.to_be_bytes());
        bytes.extend(blobs);
        sum(&mut bytes, 32);
        bytes.extend(self.extents.iter().flat_map(Extent::written));
        if self.cut {
            bytes.pop();
        }
        bytes
    }

    /// Said in other words than the reader's: every cluster of every drive is there once, and nothing else is.
    fn is_whole(&self) -> bool {
        let drives: BTreeMap<u8, (u64, &str)> = self
            .devices
            .iter()
            .filter(|(id, (size, _))| **id > 0 && *size > 0)
            .map(|(id, (size, name))| (*id, (size.div_ceil(CLUSTER), key(name))))
            .collect();
        let named: BTreeSet<&str> = drives.values().map(|(_, key)| *key).collect();
        let total: u128 = drives.values().map(|(count, _)| u128::from(*count)).sum();
        let mut there = BTreeSet::new();
        let all = self.extents.iter().flat_map(|extent| &extent.clusters);
        for (id, cluster, _) in all.filter(|(id, _, _)| *id > 0) {
            let is_inside = drives
                .get(id)
                .is_some_and(|(count, _)| u64::from(*cluster) < *count);
            if !is_inside || !there.insert((id, cluster)) {
                return false;
            }
        }
        let sound = self.extents.iter().all(|extent| {
            let of_drives = extent.clusters.iter().filter(|(id, _, _)| *id > 0);
            let listed: u16 = of_drives.map(|(_, _, mask)| blocks(*mask)).sum();
            let stored = extent.listed.unwrap_or(extent.stored());
            !extent.foreign && !extent.wrong && listed == stored && listed == extent.stored()
        });
        sound
            && !self.cut
            && named.len() == drives.len()
            && named.iter().all(|key| is_name(key))
            && u128::try_from(there.len()).is_ok_and(|count| count == total)
    }
}

fn key(name: &str) -> &str {
    let key = name.strip_prefix("drive-").unwrap_or(name);
    key.strip_suffix("-backup").unwrap_or(key)
}

fn is_name(key: &str) -> bool {
    (1..=32).contains(&key.len())
        && key
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || one == '-' || one == '_')
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
