//! How fast a storage fills, from what was remembered of it; no guess from too little.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How full a storage was at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When, by our clock.
    pub at: Timestamp,
    /// Bytes in use.
    pub used: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Samples of one storage, oldest first, and never more than a few dozen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(Vec<Sample>);

/// How a storage grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// Bytes a day that the straight line through the samples rises; negative when it falls.
    pub bytes_per_day: i64,
    /// After how long it is full if that goes on; `None` when it does not grow, or only in ten years.
    pub full_in: Option<Duration>,
}

/// How many samples are kept.
const MOST: usize = 64;
/// Fewer say nothing about a line.
const FEWEST: usize = 3;
/// What lies closer together shows one night's backup and no trend.
const SHORTEST: Duration = Duration::from_hours(48);
/// What is older tells of another time.
const OLDEST: Duration = Duration::from_hours(24 * 90);
/// Further ahead nobody believes a straight line.
const FURTHEST: Duration = Duration::from_hours(24 * 3650);
const DAY_S: i128 = 86_400;

impl Samples {
    /// Takes up a new sample. One that is not later than the last is left out: a clock went back.
    pub fn remember(&mut self, sample: Sample) {
        if self.0.last().is_some_and(|last| sample.at <= last.at) {
            // Should the clock have been ahead before, the samples of that time would keep all others out for ever.
            let ahead = self.0.last().map(|last| last.at.since(sample.at));
            if ahead <= Some(OLDEST) {
                return;
            }
            self.0.clear();
        }
        self.0.retain(|old| sample.at.since(old.at) <= OLDEST);
        if self.0.len() >= MOST {
            // Every second goes: the line keeps its length.
            let mut place = 0_usize;
            self.0.retain(|_| {
                place = place.wrapping_add(1);
                place % 2 == 1
            });
        }
        self.0.push(sample);
    }

    /// All of them, oldest first.
    pub fn all(&self) -> &[Sample] {
        &self.0
    }

    /// The growth, by the least squares of a straight line; `None` from too few samples, or too short a time.
    pub fn growth(&self) -> Option<Growth> {
        let (first, last) = (self.0.first()?, self.0.last()?);
        if self.0.len() < FEWEST || last.at.since(first.at) < SHORTEST {
            return None;
        }
        let count = i128::try_from(self.0.len()).ok()?;
        let (mut times, mut bytes, mut squares, mut products) = (0_i128, 0_i128, 0_i128, 0_i128);
        for sample in &self.0 {
            let t = i128::from(sample.at.secs().saturating_sub(first.at.secs()));
            let u = i128::from(sample.used).saturating_sub(i128::from(first.used));
            times = times.checked_add(t)?;
            bytes = bytes.checked_add(u)?;
            squares = squares.checked_add(t.checked_mul(t)?)?;
            products = products.checked_add(t.checked_mul(u)?)?;
        }
        let over = count
            .checked_mul(products)?
            .checked_sub(times.checked_mul(bytes)?)?;
        let under = count
            .checked_mul(squares)?
            .checked_sub(times.checked_mul(times)?)?;
        let a_day = over.checked_mul(DAY_S)?.checked_div(under)?;
        Some(Growth {
            bytes_per_day: i64::try_from(a_day).ok()?,
            full_in: full_in(last, a_day),
        })
    }
}

fn full_in(last: &Sample, a_day: i128) -> Option<Duration> {
    if a_day <= 0 {
        return None;
    }
    let free = i128::from(last.total.saturating_sub(last.used));
    let seconds = free.checked_mul(DAY_S)?.checked_div(a_day)?;
    let lasts = Duration::from_secs(u64::try_from(seconds).ok()?);
    (lasts <= FURTHEST).then_some(lasts)
}

/// The metadata of a thin pool. When it is full, the pool stops, however much space is left in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThinMetadata {
    /// Bytes in use.
    pub used: u64,
    /// Bytes in all.
    pub total: u64,
}
