//! The LVM thin pool: data and metadata that really run out, somebody else's volume that grows beside ours, and
//! production guests that notice when a write no longer fits.

use serde::{Deserialize, Serialize};

use crate::storage::Volume;
use crate::world::World;

/// Size of a pool's allocation unit.
const CHUNK: u64 = 64 << 10;
/// Metadata that one mapped chunk costs.
const ENTRY: u64 = 48;
/// Accounting steps a second of simulated time.
const STEPS: i64 = 4;
/// Longer gaps are accounted in coarser steps, so that a world that slept for a week wakes up at once.
const MOST_STEPS: i64 = 4096;

/// The pool `VG/LV`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ThinPool {
    pub(crate) vg: String,
    pub(crate) lv: String,
    pub(crate) vg_size: u64,
    pub(crate) vg_free: u64,
    pub(crate) size: u64,
    pub(crate) metadata_size: u64,
    /// Data and metadata of volumes that are nobody's here.
    pub(crate) foreign: u64,
    pub(crate) foreign_metadata: u64,
    /// How much of them is still to come, and how fast.
    pub(crate) growing: u64,
    pub(crate) growing_metadata: u64,
    pub(crate) growth_rate: u64,
    /// Writes of running production guests that did not fit.
    pub(crate) production_write_failures: u64,
    /// Steps since the epoch up to which all this is accounted.
    settled: i64,
}

impl Default for ThinPool {
    /// A 20 GiB disk as the only physical volume, as on the recorded host.
    fn default() -> Self {
        Self {
            vg: "pve".into(),
            lv: "data".into(),
            vg_size: 21_470_642_176,
            vg_free: 2 << 30,
            size: 19_281_215_488,
            metadata_size: 20 << 20,
            foreign: 0,
            foreign_metadata: 0,
            growing: 0,
            growing_metadata: 0,
            growth_rate: 0,
            production_write_failures: 0,
            settled: 0,
        }
    }
}

/// Parts of a whole in hundredths of a percent, rounded, as `lvs` reports them.
fn hundredths(part: u64, whole: u64) -> u64 {
    let scaled = (u128::from(part) * 10_000 + u128::from(whole) / 2) / u128::from(whole.max(1));
    u64::try_from(scaled).unwrap_or(10_000).min(10_000)
}

/// A size as seen through a percentage of two decimals.
fn seen(part: u64, whole: u64) -> u64 {
    let bytes = u128::from(whole) * u128::from(hundredths(part, whole)) / 10_000;
    u64::try_from(bytes).unwrap_or(whole)
}

impl World {
    /// Mapped bytes of the pool.
    pub(crate) fn pool_data(&self) -> u64 {
        let volumes: u64 = self.storage.thin_volumes().map(Volume::mapped).sum();
        (self.storage.pool.foreign + volumes).min(self.storage.pool.size)
    }

    /// Used bytes of the pool's metadata.
    pub(crate) fn pool_metadata(&self) -> u64 {
        let pool = &self.storage.pool;
        let count = u64::try_from(self.storage.thin_volumes().count()).unwrap_or_default();
        let used = (2 << 20)
            + pool.foreign_metadata
            + count * (8 << 10)
            + self.pool_data() / CHUNK * ENTRY;
        used.min(pool.metadata_size)
    }

    /// Used data as LVM's percentage lets PVE see it.
    pub(crate) fn pool_data_seen(&self) -> u64 {
        seen(self.pool_data(), self.storage.pool.size)
    }

    /// Used metadata as LVM's percentage lets PVE see it.
    pub(crate) fn pool_metadata_seen(&self) -> u64 {
        seen(self.pool_metadata(), self.storage.pool.metadata_size)
    }

    /// Whether more data and its metadata would still fit.
    pub(crate) fn pool_fits(&self, bytes: u64) -> bool {
        let pool = &self.storage.pool;
        self.pool_data().saturating_add(bytes) <= pool.size
            && self.pool_metadata() + bytes / CHUNK * ENTRY < pool.metadata_size
    }

    /// Brings the pool up to a moment: the foreign volume grows, running production guests write.
    pub(crate) fn settle(&mut self, now: f64) {
        let target = steps(now);
        let mut gap = target - self.storage.pool.settled;
        if self.storage.pool.settled == 0 || gap < 0 {
            self.storage.pool.settled = target;
            return;
        }
        if gap == 0 {
            return;
        }
        let writers = self.guests.production_writes();
        while gap > 0 {
            let span = (gap / MOST_STEPS).max(1);
            self.settle_span(span, &writers);
            self.storage.pool.settled += span;
            gap -= span;
        }
    }

    fn settle_span(&mut self, span: i64, writers: &[(String, u64)]) {
        let span = u64::try_from(span).unwrap_or_default();
        let quarter = |rate: u64| rate * span / u64::try_from(STEPS).unwrap_or(1);
        let pool = &self.storage.pool;
        let free = pool.size - self.pool_data();
        let free_metadata = pool.metadata_size - self.pool_metadata();
        let grow = quarter(pool.growth_rate).max(1);
        // What does not fit now goes on waiting for room.
        let data = pool.growing.min(grow).min(free);
        let metadata = pool
            .growing_metadata
            .min((grow / 64).max(4096))
            .min(free_metadata);
        let pool = &mut self.storage.pool;
        pool.growing -= data;
        pool.growing_metadata -= metadata;
        pool.foreign += data;
        pool.foreign_metadata += metadata;
        for (volume, rate) in writers {
            let bytes = quarter(*rate);
            let room = self.storage.volumes.get(volume).map_or(0, Volume::room);
            if room == 0 || self.pool_fits(bytes) {
                if let Some(volume) = self.storage.volumes.get_mut(volume) {
                    volume.churn += bytes.min(room);
                }
            } else {
                self.storage.pool.production_write_failures += 1;
            }
        }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "seconds since the epoch fit by far"
)]
fn steps(now: f64) -> i64 {
    (now * 4.0) as i64
}
