//! How long things take, in simulated seconds: one place, small enough for a demonstration, big enough to be seen.

/// Making a file system on a new volume.
pub(crate) const MKFS: f64 = 0.3;
/// Starting a container until `vzstart` ends.
pub(crate) const START: f64 = 0.8;
/// Killing a container.
pub(crate) const STOP: f64 = 0.8;
/// A clean shutdown.
pub(crate) const SHUTDOWN: f64 = 1.2;
/// Removing one volume.
pub(crate) const REMOVE: f64 = 0.2;
/// One LVM snapshot.
pub(crate) const SNAPSHOT: f64 = 0.2;
/// Reading the configuration out of an archive.
pub(crate) const RECOVER: f64 = 0.3;
/// Whatever a task does before its first effect.
pub(crate) const PREPARE: f64 = 0.3;
/// What an archive costs besides its bytes.
pub(crate) const ARCHIVE: f64 = 0.8;
/// Uncompressed bytes a second, written and read.
pub(crate) const ARCHIVE_RATE: f64 = 16.0 * 1024.0 * 1024.0;
pub(crate) const EXTRACT: f64 = 1.6;
pub(crate) const EXTRACT_RATE: f64 = 12.0 * 1024.0 * 1024.0;
/// The steps in which an extraction fills the pool.
pub(crate) const EXTRACT_STEPS: u32 = 16;
/// Merging, writing the configuration, leaving the mount namespace.
pub(crate) const FINISH: f64 = 0.3;

/// Time for bytes at a rate, with a fixed part.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "sizes of simulated guests"
)]
pub(crate) fn transfer(fixed: f64, bytes: u64, rate: f64) -> f64 {
    fixed + bytes as f64 / rate
}
