//! Sparse latency histograms: HDR's buckets at two significant digits, only those that hold something.
//!
//! The bucket layout is that of HdrHistogram (<https://hdrhistogram.org>) with a lowest discernible value of 1 and 2
//! significant digits: 256 sub-buckets, so a value lies within 0.8 % of its bucket's bounds. Merging is exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const SUB_BUCKET_BITS: u32 = 8;
const SUB_BUCKET_HALF: u32 = 1 << (SUB_BUCKET_BITS - 1);

/// Longest latency told apart, in microseconds: one hour. Longer ones count as this.
pub const LATENCY_MAX_US: u64 = 3_600_000_000;

/// Counts by bucket of latencies in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram {
    counts: BTreeMap<u32, u64>,
}

/// Bucket of a value.
fn bucket_of(value: u64) -> u32 {
    let ceiling = 64 - (value | u64::from(2 * SUB_BUCKET_HALF - 1)).leading_zeros();
    let shift = ceiling - SUB_BUCKET_BITS;
    let sub = u32::try_from(value >> shift).unwrap_or(u32::MAX);
    (shift * SUB_BUCKET_HALF).saturating_add(sub)
}

/// Lowest and highest value of a bucket.
fn bounds_of(bucket: u32) -> (u64, u64) {
    let shift = (bucket / SUB_BUCKET_HALF).saturating_sub(1).min(63);
    let sub = u64::from(bucket.saturating_sub(shift * SUB_BUCKET_HALF));
    let low = sub.checked_shl(shift).unwrap_or(u64::MAX);
    (low, low.saturating_add((1_u64 << shift) - 1))
}

impl Histogram {
    /// Counts one latency of so many microseconds.
    pub fn record(&mut self, latency_us: u64) {
        let count = self
            .counts
            .entry(bucket_of(latency_us.min(LATENCY_MAX_US)))
            .or_default();
        *count = count.saturating_add(1);
    }

    /// Adds another histogram, bucket by bucket.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            let mine = self.counts.entry(*bucket).or_default();
            *mine = mine.saturating_add(*count);
        }
    }

    /// Takes away what was added before; a bucket never falls below zero.
    pub fn subtract(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            if let Some(mine) = self.counts.get_mut(bucket) {
                *mine = mine.saturating_sub(*count);
            }
        }
        self.counts.retain(|_, count| *count > 0);
    }

    /// Number of latencies.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// True when nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many latencies were over the limit; a bucket counts when its middle is over (error at most 0.4 % of the limit).
    #[must_use]
    pub fn over(&self, limit_us: u64) -> u64 {
        let over = |bucket: &u32| {
            let (low, high) = bounds_of(*bucket);
            low + (high - low) / 2 > limit_us
        };
        self.counts
            .iter()
            .filter(|(bucket, _)| over(bucket))
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Highest value equivalent to the given quantile, in microseconds; `None` when empty. `part` of `whole`, so that
    /// the 99.9th percentile is `(999, 1000)`.
    #[must_use]
    pub fn quantile(&self, part: u64, whole: u64) -> Option<u64> {
        let total = u128::from(self.count());
        let rank = (total * u128::from(part)).div_ceil(u128::from(whole.max(1))).max(1);
        let mut seen = 0_u128;
        for (bucket, count) in &self.counts {
            seen += u128::from(*count);
            if seen >= rank {
                return Some(bounds_of(*bucket).1);
            }
        }
        None
    }

    /// Largest latency, as the upper bound of its bucket, in microseconds.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.counts.last_key_value().map(|(bucket, _)| bounds_of(*bucket).1)
    }

    /// Appends the packed form: number of buckets, then for each the distance to the one before, shifted left by one,
    /// its low bit saying that a count larger than 1 follows; all as LEB128 varints.
    pub fn pack(&self, into: &mut Vec<u8>) {
        varint(into, self.counts.len() as u64);
        let mut before = 0_u32;
        for (bucket, count) in &self.counts {
            let distance = u64::from(bucket - before);
            before = *bucket;
            varint(into, (distance << 1) | u64::from(*count > 1));
            if *count > 1 {
                varint(into, *count);
            }
        }
    }

    /// Reads the packed form; `None` when it is cut short or not of this form.
    pub fn unpack(from: &mut &[u8]) -> Option<Self> {
        let buckets = unvarint(from)?;
        let mut counts = BTreeMap::new();
        let mut bucket = 0_u32;
        for _ in 0..buckets {
            let word = unvarint(from)?;
            bucket = bucket.checked_add(u32::try_from(word >> 1).ok()?)?;
            let count = if word & 1 == 1 { unvarint(from)? } else { 1 };
            counts.insert(bucket, count);
        }
        Some(Self { counts })
    }
}

/// Appends an unsigned number as LEB128.
pub fn varint(into: &mut Vec<u8>, mut value: u64) {
    loop {
        let byte = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            into.push(byte);
            return;
        }
        into.push(byte | 0x80);
    }
}

/// Reads a LEB128 number; `None` at the end of the input or beyond 64 bits.
pub fn unvarint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oracle(values: &[u64]) -> hdrhistogram::Histogram<u64> {
        let mut histogram = hdrhistogram::Histogram::new_with_bounds(1, LATENCY_MAX_US, 2).unwrap();
        for value in values {
            histogram.record(*value).unwrap();
        }
        histogram
    }

    fn ours(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.record(*value);
        }
        histogram
    }

    proptest! {
        #[test]
        fn quantiles_equal_those_of_hdrhistogram(values in prop::collection::vec(1..LATENCY_MAX_US, 1..200), part in 1..1000_u64) {
            // The oracle reckons in floats: 150 values and 14 % are 21.000000000000004 to it, and the rank is then one too many.
            let expected = oracle(&values).value_at_quantile(part as f64 / 1000.0 * (1.0 - 1e-12));
            prop_assert_eq!(ours(&values).quantile(part, 1000), Some(expected));
        }

        #[test]
        fn merging_equals_recording_together(a in prop::collection::vec(0..LATENCY_MAX_US, 0..100), b in prop::collection::vec(0..LATENCY_MAX_US, 0..100)) {
            let mut merged = ours(&a);
            merged.merge(&ours(&b));
            let both: Vec<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(&merged, &ours(&both));
            merged.subtract(&ours(&b));
            prop_assert_eq!(merged, ours(&a));
        }

        #[test]
        fn the_packed_form_reads_back(values in prop::collection::vec(0..LATENCY_MAX_US, 0..100)) {
            let mut bytes = Vec::new();
            ours(&values).pack(&mut bytes);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(Histogram::unpack(&mut rest), Some(ours(&values)));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Histogram::unpack(&mut bytes.as_slice());
        }

        #[test]
        fn the_share_over_a_limit_is_right_within_a_bucket(values in prop::collection::vec(1..LATENCY_MAX_US, 1..200), limit in 1..LATENCY_MAX_US) {
            let over = ours(&values).over(limit);
            let surely = values.iter().filter(|value| **value > limit + limit / 100).count() as u64;
            let possibly = values.iter().filter(|value| **value + **value / 100 > limit).count() as u64;
            prop_assert!(surely <= over && over <= possibly);
        }
    }
}
