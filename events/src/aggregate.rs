//! Telemetry counted as it arrives: per service, release and source, for the tick that carries the counts into the
//! journal. Rules and latency questions read these counts and never scan telemetry.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{
    Histogram, Record, ReleaseId, ServiceId, Timestamp,
    histogram::{unvarint, varint},
};

/// A record that happened longer ago than this when it arrives is late: counted as such, in no rate.
pub const LATE_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// Most series in one tick; what is beyond counts as [`OTHER`].
pub const SERIES_MAX: usize = 2000;
/// Most releases of one service and source in one tick; what is beyond counts as [`OTHER`].
pub const RELEASES_MAX: usize = 8;
/// Name under which the overflow is counted.
pub const OTHER: &str = "other";

/// What the counted records are; probes and spans never share a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Spans; requests are those of kind server or consumer.
    Span,
    /// Log records.
    Log,
    /// Probe results.
    Probe,
    /// A source that a newer version wrote.
    #[serde(other)]
    Other,
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    /// Whose records.
    pub service: ServiceId,
    /// Of which release.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release: Option<ReleaseId>,
    /// Of which kind.
    pub source: Source,
}

/// Counts of one series over one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    /// Records of any kind: proof that the source spoke.
    pub records: u64,
    /// Requests (of probes: results).
    pub n: u64,
    /// Requests that went wrong (of logs: records of severity ERROR and above).
    pub bad: u64,
    /// Records that came too late to count.
    pub late: u64,
    /// Latency of the requests.
    pub latency: Histogram,
}

impl Bin {
    /// Adds the counts of another bin.
    pub fn merge(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.n = self.n.saturating_add(other.n);
        self.bad = self.bad.saturating_add(other.bad);
        self.late = self.late.saturating_add(other.late);
        self.latency.merge(&other.latency);
    }

    fn subtract(&mut self, other: &Self) {
        self.records = self.records.saturating_sub(other.records);
        self.n = self.n.saturating_sub(other.n);
        self.bad = self.bad.saturating_sub(other.bad);
        self.late = self.late.saturating_sub(other.late);
        self.latency.subtract(&other.latency);
    }

    fn is_empty(&self) -> bool {
        self.records == 0
    }
}

/// Counts of all series that had something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bins {
    series: BTreeMap<Arc<Series>, Bin>,
}

impl Bins {
    /// Series with their counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Series>, &Bin)> {
        self.series.iter()
    }

    /// True when nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Counts one record that arrived at `arrived`. Returns false when its series did not fit and `other` took it.
    pub fn count(&mut self, record: &Record, release: Option<&ReleaseId>, arrived: Timestamp) -> bool {
        let source = match record {
            Record::Log(_) => Source::Log,
            Record::Span(_) => Source::Span,
            Record::Probe(_) => Source::Probe,
        };
        let wanted = Series {
            service: record.service().clone(),
            release: release.cloned(),
            source,
        };
        let (bin, fits) = self.bin(wanted);
        bin.records = bin.records.saturating_add(1);
        if arrived.since(record.time()) > LATE_AFTER {
            bin.late = bin.late.saturating_add(1);
            return fits;
        }
        match record {
            Record::Span(span) if span.is_request() => {
                bin.n += 1;
                bin.bad += u64::from(span.is_bad());
                bin.latency.record(span.duration_us());
            }
            Record::Log(log) => bin.bad += u64::from(log.severity >= 17),
            Record::Probe(probe) => {
                bin.n += 1;
                bin.bad += u64::from(probe.look.status == crate::Status::Fail);
                if probe.look.status == crate::Status::Pass {
                    bin.latency.record(probe.look.timings.total_us);
                }
            }
            Record::Span(_) => {}
        }
        fits
    }

    /// The bin of a series, or of `other` when there are too many.
    fn bin(&mut self, wanted: Series) -> (&mut Bin, bool) {
        let known = self.series.contains_key(&wanted);
        let fitting = if known { None } else { self.overflow(&wanted) };
        let fits = fitting.is_none();
        (
            self.series.entry(Arc::new(fitting.unwrap_or(wanted))).or_default(),
            fits,
        )
    }

    /// Where a new series has to go instead, if it does not fit.
    fn overflow(&self, wanted: &Series) -> Option<Series> {
        if self.series.len() >= SERIES_MAX {
            let service = ServiceId::new(OTHER).ok()?;
            return Some(Series {
                service,
                release: None,
                source: wanted.source,
            });
        }
        let releases = self
            .series
            .keys()
            .filter(|series| series.service == wanted.service && series.source == wanted.source);
        if wanted.release.is_some() && releases.count() >= RELEASES_MAX {
            return Some(Series {
                release: ReleaseId::new(OTHER).ok(),
                ..wanted.clone()
            });
        }
        None
    }

    /// Adds the counts of another set.
    pub fn merge(&mut self, other: &Self) {
        for (series, bin) in &other.series {
            self.series.entry(Arc::clone(series)).or_default().merge(bin);
        }
    }

    /// Takes away what a committed tick has carried over.
    pub fn subtract(&mut self, other: &Self) {
        for (series, bin) in &other.series {
            if let Some(mine) = self.series.get_mut(series) {
                mine.subtract(bin);
            }
        }
        self.series.retain(|_, bin| !bin.is_empty());
    }
}

/// Numbers for series, so that a tick repeats a number and not three texts. It only grows; the entries a tick adds are
/// named in that tick's body, so that the journal explains itself.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    by_id: Vec<Arc<Series>>,
    by_series: BTreeMap<Arc<Series>, u32>,
}

impl Dictionary {
    /// Adds the next entry, in the order in which they were given out.
    pub fn push(&mut self, series: Arc<Series>) -> u32 {
        let id = u32::try_from(self.by_id.len()).unwrap_or(u32::MAX);
        self.by_series.insert(Arc::clone(&series), id);
        self.by_id.push(series);
        id
    }

    /// Forgets the entries from `len` on: those of a commit that did not happen.
    pub fn truncate(&mut self, len: usize) {
        for series in self.by_id.drain(len.min(self.by_id.len())..) {
            self.by_series.remove(&series);
        }
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True when nothing was named yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Packs bins as varints and histograms in their packed form, naming series that are new. The second result is the
    /// list of those, in order.
    pub fn pack(&mut self, bins: &Bins) -> (Vec<u8>, Vec<Arc<Series>>) {
        let mut bytes = Vec::new();
        let mut named = Vec::new();
        varint(&mut bytes, bins.len() as u64);
        for (series, bin) in bins.iter() {
            let id = self.by_series.get(series).copied().unwrap_or_else(|| {
                named.push(Arc::clone(series));
                self.push(Arc::clone(series))
            });
            varint(&mut bytes, u64::from(id));
            for count in [bin.records, bin.n, bin.bad, bin.late] {
                varint(&mut bytes, count);
            }
            bin.latency.pack(&mut bytes);
        }
        (bytes, named)
    }

    /// Reads packed bins; `None` when they are cut short, or name a series that is not known.
    #[must_use]
    pub fn unpack(&self, mut bytes: &[u8]) -> Option<Bins> {
        let from = &mut bytes;
        let mut bins = Bins::default();
        for _ in 0..unvarint(from)? {
            let series = self.by_id.get(usize::try_from(unvarint(from)?).ok()?)?;
            let bin = Bin {
                records: unvarint(from)?,
                n: unvarint(from)?,
                bad: unvarint(from)?,
                late: unvarint(from)?,
                latency: Histogram::unpack(from)?,
            };
            bins.series.insert(Arc::clone(series), bin);
        }
        Some(bins)
    }
}
