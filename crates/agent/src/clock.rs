//! The only reader of wall-clock time, and the only source of randomness.

use std::sync::Arc;

use felhom_engine::Timestamp;
use jiff::tz::TimeZone;

/// A clock other than the machine's.
pub trait Source: Send + Sync {
    /// What it shows.
    fn now(&self) -> Timestamp;
    /// The zone in which calendar events are meant.
    fn zone(&self) -> TimeZone;
}

tokio::task_local! {
    static SOURCE: Arc<dyn Source>;
}

/// Lets a future, and what it awaits itself, live under another clock: for a program that carries the agent in it, and a
/// world whose time it steps. Nothing outside of the process can reach it.
pub async fn under<F: Future>(source: Arc<dyn Source>, future: F) -> F::Output {
    SOURCE.scope(source, future).await
}

/// The zone in which calendar events are meant: the machine's own.
pub fn zone() -> TimeZone {
    SOURCE
        .try_with(|source| source.zone())
        .unwrap_or_else(|_| TimeZone::system())
}

/// Now, by the machine's clock, unless the task lives [`under`] another.
pub fn now() -> Timestamp {
    SOURCE
        .try_with(|source| source.now())
        .unwrap_or_else(|_| machine_now())
}

#[expect(
    clippy::disallowed_types,
    reason = "the one place that reads wall-clock time"
)]
fn machine_now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// Bytes from the cryptography library's random source.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// A time for people, in the machine's own time zone: `2026-11-23 01:36`.
pub fn local(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.millis()).map_or_else(
        |_| "unknown".to_owned(),
        |time| time.to_zoned(zone()).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

/// The same in UTC, for what is read elsewhere and later.
pub fn utc(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.millis()).map_or_else(
        |_| "unknown".to_owned(),
        |time| time.strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

/// How long ago, for people: `3 d`, `2 h`, `5 min`, `12 s`.
pub fn age(seconds: i64) -> String {
    match seconds {
        ..0 => "in the future".to_owned(),
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
