//! Chunk by chunk: what a server without a key can tell of them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Job;
use crate::hex;
use crate::pbs::blob;
use crate::pbs::crypt::sha256;
use crate::pbs::index::Entry;
use crate::pbs::store;

/// Bytes that are read in a simulated second.
const RATE: f64 = 300.0 * 1024.0 * 1024.0;

/// What was read of an archive's chunks.
#[derive(Default)]
struct Tally {
    read: u64,
    decoded: u64,
    errors: u32,
}

impl Job<'_> {
    /// Whether a chunk need not be looked at again; a bad one is told each time.
    fn is_known(&self, digest: &[u8; 32], tally: &mut Tally) -> bool {
        if self.corrupt.contains(digest) {
            self.worker.log(format!(
                "chunk {} was marked as corrupt",
                hex::lower(digest)
            ));
            tally.errors += 1;
            return true;
        }
        self.sound.contains(digest)
    }

    pub(super) async fn chunks(
        &mut self,
        store: &str,
        entries: &[Entry],
        sealed: bool,
    ) -> Result<(), String> {
        let mut tally = Tally::default();
        let mut list: Vec<&Entry> = Vec::new();
        for entry in entries {
            if !self.is_known(&entry.digest, &mut tally) {
                list.push(entry);
            }
        }
        // Those that are not there come last.
        list.sort_by_key(|entry| {
            !store::chunk_path(&self.root, &hex::lower(&entry.digest)).is_file()
        });
        for entry in list {
            self.worker.check_abort()?;
            if !self.is_known(&entry.digest, &mut tally) {
                self.worker.point("pbs:verify:chunk").await?;
                self.chunk(store, entry, sealed, &mut tally);
            }
        }
        let seconds = seconds(tally.read);
        self.worker
            .sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default())
            .await?;
        let (read, decoded) = (mebibytes(tally.read), mebibytes(tally.decoded));
        let span = seconds.max(0.000_001);
        self.worker.log(format!(
            "  verified {read:.2}/{decoded:.2} MiB in {seconds:.2} seconds, speed {:.2}/{:.2} MiB/s ({} errors)",
            read / span, decoded / span, tally.errors
        ));
        if tally.errors > 0 {
            return Err("chunks could not be verified".into());
        }
        Ok(())
    }

    fn chunk(&mut self, store: &str, entry: &Entry, sealed: bool, tally: &mut Tally) {
        let digest = hex::lower(&entry.digest);
        match store::load_chunk(&self.root, store, &digest) {
            Err(text) => {
                self.corrupt.insert(entry.digest);
                self.worker
                    .log(format!("can't verify chunk, load failed - {text}"));
                tally.errors += 1;
                self.set_aside(store, &digest);
            }
            Ok(raw) => {
                tally.read += u64::try_from(raw.len()).unwrap_or_default();
                tally.decoded += entry.size;
                let is_sealed = blob::is_sealed(&raw) == Some(true);
                if is_sealed != sealed {
                    let word = |sealed: bool| if sealed { "Encrypt" } else { "None" };
                    let (has, wants) = (word(is_sealed), word(sealed));
                    self.worker.log(format!(
                        "chunk CryptMode {has} does not match index CryptMode {wants}"
                    ));
                    tally.errors += 1;
                }
                if let Err(text) = unsealed(&raw, entry) {
                    self.corrupt.insert(entry.digest);
                    self.worker.log(text);
                    tally.errors += 1;
                    self.set_aside(store, &digest);
                } else {
                    self.sound.insert(entry.digest);
                }
            }
        }
    }

    /// A bad chunk is renamed, so that the next backup writes it again.
    fn set_aside(&self, store: &str, digest: &str) {
        let path = store::chunk_path(&self.root, digest);
        let bad = |number: u32| path.with_file_name(format!("{digest}.{number}.bad"));
        let free = (0..10).find(|number| !bad(*number).exists()).unwrap_or(9);
        if fs::rename(&path, bad(free)).is_err() {
            return;
        }
        let mut world = self.worker.sim.lock();
        let Some(known) = world.pbs.stores.get_mut(store) else {
            return;
        };
        known.chunks.remove(digest);
        let told = Path::new(&known.path)
            .join(".chunks")
            .join(digest.get(..4).unwrap_or_default());
        let told = told.join(format!("{digest}.{free}.bad"));
        drop(world);
        self.worker
            .log(format!("corrupted chunk renamed to \"{}\"", told.display()));
    }
}

/// Checks what can be seen without a key.
fn unsealed(raw: &[u8], entry: &Entry) -> Result<(), String> {
    if blob::is_sealed(raw) == Some(true) {
        return Ok(());
    }
    let plain = blob::decode(raw, None)?;
    let size = u64::try_from(plain.len()).unwrap_or_default();
    if size != entry.size {
        return Err(format!(
            "detected chunk with wrong length ({} != {size})",
            entry.size
        ));
    }
    if sha256(&[&plain]) != entry.digest {
        return Err("detected chunk with wrong digest.".into());
    }
    Ok(())
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a figure for a log line"
)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn seconds(bytes: u64) -> f64 {
    mebibytes(bytes) * 1_048_576.0 / RATE
}
