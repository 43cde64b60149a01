//! A volume's sampled files: the same ones from backup to backup, with digests of their content.

use aws_lc_rs::digest::{Context, SHA256};
use felhom_engine::SampledFile;

/// How many files of a volume are sampled.
pub const SAMPLED_FILES: usize = 16;

/// So much of a file's content is digested; what follows changes nothing.
pub const DIGESTED_BYTES: u64 = 4 << 20;

/// Files with longer paths are not sampled: samples are kept.
const LONGEST_PATH: usize = 1024;

/// So much is kept of all samples of an archive together, in bytes of their paths and of what stands beside them. Enough for
/// some hundred volumes; those that come after have fewer samples, or none.
const ALL_SAMPLES: usize = 2 << 20;
const BESIDE_A_PATH: usize = 128;

/// What all samples of an archive may still take up.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    pub(super) fn new() -> Self {
        Self(ALL_SAMPLES)
    }
}

/// The files of a volume whose paths hash lowest, so far.
///
/// The hash is fixed and no secret: a guest's root can choose names that are sampled, or are not. It can change the content
/// of any file, too; samples tell what changed, not who is to be trusted.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// In the order of their hashes.
    taken: Vec<(u64, Vec<u8>, SampledFile)>,
}

impl Samples {
    /// Whether a file with this path below the volume's root is to be sampled, for all that is known so far. Of two members
    /// of one name the first is taken, which is the one that a restore keeps (`--skip-old-files`).
    pub(super) fn wants(&self, path: &[u8], room: &Room) -> bool {
        if path.len() > LONGEST_PATH {
            return false;
        }
        let hash = hash(path);
        match self.place(hash, path) {
            Ok(_) => false,
            Err(_) if self.taken.len() < SAMPLED_FILES => room.0 >= path.len() + BESIDE_A_PATH,
            Err(place) => place < SAMPLED_FILES && room.0 >= path.len(),
        }
    }

    pub(super) fn take(&mut self, path: &[u8], file: SampledFile, room: &mut Room) {
        let hash = hash(path);
        if let Err(place) = self.place(hash, path) {
            self.taken.insert(place, (hash, path.to_vec(), file));
            room.0 = room.0.saturating_sub(path.len() + BESIDE_A_PATH);
        }
        while self.taken.len() > SAMPLED_FILES {
            if let Some((_, path, _)) = self.taken.pop() {
                room.0 = room.0.saturating_add(path.len() + BESIDE_A_PATH);
            }
        }
    }

    fn place(&self, hash: u64, path: &[u8]) -> Result<usize, usize> {
        self.taken
            .binary_search_by(|(other, known, _)| (*other, known.as_slice()).cmp(&(hash, path)))
    }

    /// In the order of their paths.
    pub(super) fn files(&self) -> Vec<SampledFile> {
        let mut taken: Vec<_> = self.taken.iter().collect();
        taken.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
        taken.into_iter().map(|(_, _, file)| file.clone()).collect()
    }
}

/// FNV-1a, mixed once more so that names that differ in their last letter only are spread, too. What it answers must never
/// change: other files would be sampled than in the backups before.
pub(super) fn hash(path: &[u8]) -> u64 {
    let sum = path.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (sum ^ (sum >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// The digest of one file's content, as it comes.
pub(super) struct Digest(Context);

impl Digest {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(super) fn hex(self) -> String {
        let digits = b"0123456789abcdef";
        let of = |value: u8| digits.get(usize::from(value)).copied().map(char::from);
        let digest = self.0.finish();
        let bytes = digest.as_ref().iter();
        bytes
            .flat_map(|byte| [of(byte >> 4), of(byte & 15)])
            .flatten()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn sampled(paths: &[String]) -> Vec<String> {
        let (mut samples, mut room) = (Samples::default(), Room::new());
        for path in paths {
            if samples.wants(path.as_bytes(), &room) {
                let file = SampledFile {
                    path: path.clone(),
                    rank: hash(path.as_bytes()),
                    size: 0,
                    mtime_s: 0,
                    sha256: String::new(),
                };
                samples.take(path.as_bytes(), file, &mut room);
            }
        }
        let kept: usize = samples
            .taken
            .iter()
            .map(|(_, path, _)| path.len() + BESIDE_A_PATH)
            .sum();
        assert_eq!(room.0 + kept, ALL_SAMPLES, "what is let go is free again");
        samples.files().into_iter().map(|file| file.path).collect()
    }

    proptest! {
        #[test]
        fn the_sample_does_not_depend_on_the_order(
            paths in prop::collection::hash_set("[a-z]{1,6}(/[a-z]{1,4}){0,2}", 0..100),
            turned in any::<bool>(),
        ) {
            let mut one: Vec<_> = paths.into_iter().collect();
            let first = sampled(&one);
            prop_assert_eq!(first.len(), one.len().min(SAMPLED_FILES));
            if turned { one.reverse() } else { one.sort() }
            prop_assert_eq!(sampled(&one), first);
        }

        #[test]
        fn a_file_that_comes_moves_at_most_one_out(
            paths in prop::collection::hash_set("[a-z]{1,8}", 2..200),
        ) {
            let all: Vec<_> = paths.into_iter().collect();
            let before = sampled(&all[1..]);
            let after = sampled(&all);
            let left = before.iter().filter(|path| !after.contains(path)).count();
            prop_assert!(left <= 1, "{before:?} {after:?}");
        }
    }

    #[test]
    fn the_hash_is_the_one_it_always_was() {
        let hashes = [&b""[..], b"PG_VERSION", b"base/5/16384"].map(hash);
        assert_eq!(
            hashes,
            [
                0xfdbd_f6ac_4fc5_2e7f,
                0x4972_e903_406e_6ad6,
                0x5689_432c_550c_4d46
            ]
        );
    }

    #[test]
    fn samples_of_all_volumes_together_have_a_limit() {
        let mut room = Room::new();
        let mut kept = 0;
        for _ in 0..4096 {
            let mut samples = Samples::default();
            for at in 0..100 {
                let path = format!("{at:0>1000}");
                if samples.wants(path.as_bytes(), &room) {
                    let file = SampledFile {
                        path: path.clone(),
                        rank: hash(path.as_bytes()),
                        size: 0,
                        mtime_s: 0,
                        sha256: String::new(),
                    };
                    samples.take(path.as_bytes(), file, &mut room);
                }
            }
            kept += samples.taken.len();
        }
        assert!((1_800..=1_870).contains(&kept), "{kept}");
        let longest = vec![b'a'; LONGEST_PATH + 1];
        assert!(!Samples::default().wants(&longest, &Room::new()));
    }
}
