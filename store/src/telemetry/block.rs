//! How rows are packed: up to a thousand rows of one table in one block, compressed by zstd.
//!
//! Form of a block, all numbers LEB128 varints unless said otherwise: form (1 byte), table (1 byte), strings of services
//! and releases, length of what follows, strings of attributes, number of rows, and each row with its length before it.
//! Strings are their number, their lengths, their bytes. A row is its time (zigzag, the distance to the row before),
//! flags (1 byte), service, release (0 = none), and what its table adds; services, releases, names and values of
//! attributes are numbers of strings. A value is stored once as long as it stays the same for its attribute, which is
//! what resource attributes do.

mod pack;
#[cfg(test)]
mod tests;
mod unpack;

use events::{Record, ReleaseId, SpanKind, Timestamp};

pub(super) use self::{
    pack::Builder,
    unpack::{Block, Row, unpack},
};

/// First byte of every block.
const FORM: u8 = 1;

const LATE: u8 = 1;
const OWN_RELEASE: u8 = 1 << 1;
const TRACE: u8 = 1 << 2;
const SPAN: u8 = 1 << 3;
const PARENT: u8 = 1 << 4;
const ERROR: u8 = 1 << 5;

/// What a block holds; the number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Logs = 1,
    Spans = 2,
    Probes = 3,
}

impl Table {
    pub(super) const ALL: [Self; 3] = [Self::Logs, Self::Spans, Self::Probes];

    pub(super) fn of(record: &Record) -> Self {
        match record {
            Record::Log(_) => Self::Logs,
            Record::Span(_) => Self::Spans,
            Record::Probe(_) => Self::Probes,
        }
    }

    pub(super) fn number(self) -> i64 {
        match self {
            Self::Logs => 1,
            Self::Spans => 2,
            Self::Probes => 3,
        }
    }

    pub(super) fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }
}

/// Four bytes that stand for a text or an id in the marks of a block: they say where not to look.
pub(super) fn mark(bytes: &[u8]) -> [u8; 4] {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    u32::try_from((hash ^ (hash >> 32)) & u64::from(u32::MAX))
        .unwrap_or(0)
        .to_le_bytes()
}

/// What the store adds to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp<'a> {
    /// The release it is counted under.
    pub(super) release: Option<&'a ReleaseId>,
    /// Too late to count.
    pub(super) late: bool,
}

/// A block ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) table: Table,
    pub(super) rows: u64,
    pub(super) time_min: Timestamp,
    pub(super) time_max: Timestamp,
    pub(super) severity_max: u8,
    pub(super) services: Vec<u8>,
    pub(super) traces: Vec<u8>,
    pub(super) unpacked: usize,
    pub(super) data: Vec<u8>,
    pub(super) digest: [u8; 32],
}

/// Kinds of spans; the place is stored.
const KINDS: [SpanKind; 6] = [
    SpanKind::Unspecified,
    SpanKind::Internal,
    SpanKind::Server,
    SpanKind::Client,
    SpanKind::Producer,
    SpanKind::Consumer,
];

fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
