//! How rows are packed: up to a thousand rows of one table in one block, compressed by zstd.
//!
//! Form of a block, all numbers LEB128 varints unless said otherwise: form (1 byte), table (1 byte), number of strings,
//! their lengths, their bytes, number of rows, and each row with its length before it. A row is its time (zigzag, the
//! distance to the row before), flags (1 byte), service, release (0 = none), and what its table adds. Services,
//! releases, attribute names and values are numbers of strings; a value is stored once as long as it stays the same
//! for its attribute, which is what resource attributes do.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use events::{
    Attributes, LogRecord, ProbeResult, Record, ReleaseId, ServiceId, SpanId, SpanKind, SpanRecord, Timestamp, TraceId,
    histogram::{unvarint, varint},
};

/// First byte of every block.
const FORM: u8 = 1;
/// Level of zstd: the fastest; sealing compresses better.
const LEVEL: i32 = 1;

/// Most rows of one block.
pub(super) const ROWS_MAX: usize = 1000;
/// A block is closed once its rows take this many bytes.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// A block that says it is larger than this unpacked is damaged.
const UNPACKED_MAX: usize = 256 << 20;

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
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    [a ^ e, b ^ f, c ^ g, d ^ h]
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

/// Strings of a block, each named by its number.
#[derive(Default)]
struct Strings {
    text: Vec<u8>,
    ends: Vec<usize>,
    known: HashMap<Box<str>, u32>,
    /// By the number of an attribute's name: the number of its last value.
    values: Vec<Option<u32>>,
}

impl Strings {
    fn get(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(at).copied().unwrap_or_default();
        self.text.get(start.unwrap_or_default()..end).unwrap_or_default()
    }

    fn push(&mut self, text: &str) -> u32 {
        let number = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        self.text.extend_from_slice(text.as_bytes());
        self.ends.push(self.text.len());
        number
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.known.get(text) {
            return *number;
        }
        let number = self.push(text);
        self.known.insert(text.into(), number);
        number
    }

    /// The number of a text, looking first at the one that stood at this place before.
    fn again(&mut self, guess: &mut Option<u32>, text: &str) -> u32 {
        if let Some(number) = *guess
            && self.get(number) == text.as_bytes()
        {
            return number;
        }
        let number = self.intern(text);
        *guess = Some(number);
        number
    }

    fn value(&mut self, name: u32, text: &str) -> u32 {
        let before = self.values.get(name as usize).copied().flatten();
        if let Some(number) = before
            && self.get(number) == text.as_bytes()
        {
            return number;
        }
        let number = self.push(text);
        let at = name as usize;
        if self.values.len() <= at {
            self.values.resize(at + 1, None);
        }
        if let Some(slot) = self.values.get_mut(at) {
            *slot = Some(number);
        }
        number
    }
}

/// Packs rows of one table.
pub(super) struct Builder {
    table: Table,
    strings: Strings,
    /// By place within a row: the attribute name that stood there before.
    names: Vec<Option<u32>>,
    service: Option<u32>,
    release: Option<u32>,
    rows: u64,
    body: Vec<u8>,
    row: Vec<u8>,
    time: i64,
    time_min: i64,
    time_max: i64,
    severity_max: u8,
    services: Vec<[u8; 4]>,
    traces: Vec<[u8; 4]>,
}

fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

impl Builder {
    pub(super) fn new(table: Table) -> Self {
        Self {
            table,
            strings: Strings::default(),
            names: Vec::new(),
            service: None,
            release: None,
            rows: 0,
            body: Vec::new(),
            row: Vec::new(),
            time: 0,
            time_min: i64::MAX,
            time_max: i64::MIN,
            severity_max: 0,
            services: Vec::new(),
            traces: Vec::new(),
        }
    }

    /// True once another block should begin.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= ROWS_MAX as u64 || self.body.len() + self.strings.text.len() >= BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a record of the block's own table; one of another table is not its business and is left out.
    pub(super) fn push(&mut self, record: &Record, stamp: Stamp<'_>) {
        if Table::of(record) != self.table {
            return;
        }
        let time = record.time().0;
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        varint(&mut row, zigzag(time.wrapping_sub(self.time)));
        row.push(flag(stamp.late, LATE) | flag(record.release().is_some(), OWN_RELEASE) | own_flags(record));
        self.put_whose(&mut row, record.service(), stamp.release);
        match record {
            Record::Log(log) => self.put_log(&mut row, log),
            Record::Span(span) => self.put_span(&mut row, span),
            Record::Probe(probe) => row.extend(serde_json::to_vec(probe).unwrap_or_default()),
        }
        varint(&mut self.body, row.len() as u64);
        self.body.extend_from_slice(&row);
        self.row = row;
        self.rows += 1;
        self.time = time;
        self.time_min = self.time_min.min(time);
        self.time_max = self.time_max.max(time);
        if let Some(trace) = record.trace() {
            self.traces.push(mark(trace.as_bytes()));
        }
    }

    fn put_whose(&mut self, row: &mut Vec<u8>, service: &ServiceId, release: Option<&ReleaseId>) {
        let before = self.service;
        let number = self.strings.again(&mut self.service, service.as_str());
        if before != Some(number) {
            self.services.push(mark(service.as_str().as_bytes()));
        }
        varint(row, u64::from(number));
        let release = release.map(|release| self.strings.again(&mut self.release, release.as_str()));
        varint(row, release.map_or(0, |number| u64::from(number) + 1));
    }

    fn put_log(&mut self, row: &mut Vec<u8>, log: &LogRecord) {
        self.severity_max = self.severity_max.max(log.severity);
        row.push(log.severity);
        if let Some(trace) = log.trace {
            row.extend_from_slice(trace.as_bytes());
        }
        if let Some(span) = log.span {
            row.extend_from_slice(span.as_bytes());
        }
        put_bytes(row, log.body.as_bytes());
        self.put_attributes(row, &log.attributes);
    }

    fn put_span(&mut self, row: &mut Vec<u8>, span: &SpanRecord) {
        varint(row, zigzag(span.end.0.wrapping_sub(span.start.0)));
        row.extend_from_slice(span.trace.as_bytes());
        row.extend_from_slice(span.span.as_bytes());
        if let Some(parent) = span.parent {
            row.extend_from_slice(parent.as_bytes());
        }
        row.push(kind_number(span.kind));
        put_bytes(row, span.name.as_bytes());
        put_bytes(row, span.status_message.as_bytes());
        self.put_attributes(row, &span.attributes);
        varint(row, span.events.len() as u64);
        for (time, name, attributes) in &span.events {
            varint(row, zigzag(time.0.wrapping_sub(span.start.0)));
            put_bytes(row, name.as_bytes());
            self.put_attributes(row, attributes);
        }
    }

    fn put_attributes(&mut self, row: &mut Vec<u8>, attributes: &Attributes) {
        varint(row, attributes.len() as u64);
        if self.names.len() < attributes.len() {
            self.names.resize(attributes.len(), None);
        }
        for ((name, value), guess) in attributes.iter().zip(&mut self.names) {
            let name = self.strings.again(guess, name);
            varint(row, u64::from(name));
            varint(row, u64::from(self.strings.value(name, value)));
        }
    }

    /// Closes the block.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub(super) fn finish(self) -> std::io::Result<Packed> {
        let mut bytes =
            Vec::with_capacity(self.body.len() + self.strings.text.len() + 2 * self.strings.ends.len() + 16);
        bytes.push(FORM);
        bytes.push(u8::try_from(self.table.number()).unwrap_or_default());
        varint(&mut bytes, self.strings.ends.len() as u64);
        let mut start = 0;
        for end in &self.strings.ends {
            varint(&mut bytes, (end - start) as u64);
            start = *end;
        }
        bytes.extend_from_slice(&self.strings.text);
        varint(&mut bytes, self.rows);
        bytes.extend_from_slice(&self.body);
        let data = zstd::bulk::compress(&bytes, LEVEL)?;
        Ok(Packed {
            table: self.table,
            rows: self.rows,
            time_min: Timestamp(self.time_min),
            time_max: Timestamp(self.time_max),
            severity_max: self.severity_max,
            services: marks(self.services),
            traces: marks(self.traces),
            unpacked: bytes.len(),
            digest: *blake3::hash(&data).as_bytes(),
            data,
        })
    }
}

fn marks(mut marks: Vec<[u8; 4]>) -> Vec<u8> {
    marks.sort_unstable();
    marks.dedup();
    marks.concat()
}

fn own_flags(record: &Record) -> u8 {
    match record {
        Record::Log(log) => flag(log.trace.is_some(), TRACE) | flag(log.span.is_some(), SPAN),
        Record::Span(span) => flag(span.parent.is_some(), PARENT) | flag(span.error, ERROR),
        Record::Probe(_) => 0,
    }
}

fn kind_number(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::Unspecified => 0,
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn kind_of(number: u8) -> SpanKind {
    match number {
        1 => SpanKind::Internal,
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    varint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

fn take<'a>(from: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(taken)
}

fn take_len(from: &mut &[u8]) -> Option<usize> {
    usize::try_from(unvarint(from)?).ok()
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_len(from)?;
    take(from, len)
}

fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_bytes(from)?).ok()
}

fn take_byte(from: &mut &[u8]) -> Option<u8> {
    take(from, 1)?.first().copied()
}

/// Unpacks the bytes of a block.
pub(super) fn unpack(data: &[u8], unpacked: usize) -> Option<Vec<u8>> {
    if unpacked > UNPACKED_MAX {
        return None;
    }
    zstd::bulk::decompress(data, unpacked).ok()
}

/// An unpacked block.
pub(super) struct Block<'a> {
    table: Table,
    strings: Vec<&'a str>,
    rows: usize,
    body: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads the head of a block; `None` when it is not one.
    pub(super) fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        let from = &mut bytes;
        if take_byte(from)? != FORM {
            return None;
        }
        let table = Table::from_number(i64::from(take_byte(from)?))?;
        let count = take_len(from)?;
        let mut lens = Vec::with_capacity(count.min(from.len()));
        for _ in 0..count {
            lens.push(take_len(from)?);
        }
        let total = lens.iter().try_fold(0_usize, |sum, len| sum.checked_add(*len))?;
        let mut text = std::str::from_utf8(take(from, total)?).ok()?;
        let mut strings = Vec::with_capacity(lens.len());
        for len in lens {
            let (string, rest) = text.split_at_checked(len)?;
            strings.push(string);
            text = rest;
        }
        let rows = take_len(from)?;
        Some(Self {
            table,
            strings,
            rows,
            body: from,
        })
    }

    /// Calls `each` with every row, in order, until it says stop by `false`. `None` when a row is malformed.
    pub(super) fn each(&self, mut each: impl FnMut(&Row<'a, '_>) -> Option<bool>) -> Option<()> {
        let mut body = self.body;
        let mut time = 0_i64;
        for index in 0..self.rows {
            let mut row = take_bytes(&mut body)?;
            time = time.wrapping_add(unzigzag(unvarint(&mut row)?));
            let flags = take_byte(&mut row)?;
            let service = self.string(take_len(&mut row)?)?;
            let release = match take_len(&mut row)? {
                0 => None,
                number => Some(self.string(number - 1)?),
            };
            let row = Row {
                block: self,
                index: u32::try_from(index).ok()?,
                time: Timestamp(time),
                flags,
                service,
                release,
                rest: row,
            };
            if !each(&row)? {
                break;
            }
        }
        Some(())
    }

    fn string(&self, number: usize) -> Option<&'a str> {
        self.strings.get(number).copied()
    }

    fn attributes(&self, from: &mut &'a [u8]) -> Option<Attributes> {
        let count = take_len(from)?;
        let mut attributes = Attributes::new();
        for _ in 0..count {
            let name = self.string(take_len(from)?)?;
            let value = self.string(take_len(from)?)?;
            attributes.insert(name.to_owned(), value.to_owned());
        }
        Some(attributes)
    }
}

/// One row of a block, read as far as every table goes.
pub(super) struct Row<'a, 'b> {
    block: &'b Block<'a>,
    /// Its place in the block, from 0.
    pub(super) index: u32,
    pub(super) time: Timestamp,
    flags: u8,
    pub(super) service: &'a str,
    release: Option<&'a str>,
    rest: &'a [u8],
}

/// What a filter looks at in a log record, read without copying.
pub(super) struct LogHead<'a> {
    pub(super) severity: u8,
    pub(super) trace: Option<TraceId>,
    span: Option<SpanId>,
    pub(super) body: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Row<'a, '_> {
    pub(super) fn late(&self) -> bool {
        self.flags & LATE != 0
    }

    /// The release it is counted under.
    pub(super) fn release(&self) -> Option<ReleaseId> {
        self.release.and_then(|release| ReleaseId::new(release).ok())
    }

    fn own_release(&self) -> Option<ReleaseId> {
        if self.flags & OWN_RELEASE == 0 {
            None
        } else {
            self.release()
        }
    }

    /// The whole record.
    pub(super) fn record(&self) -> Option<Record> {
        match self.block.table {
            Table::Logs => self.log(&self.log_head()?).map(Record::Log),
            Table::Spans => self.span().map(Record::Span),
            Table::Probes => self.probe().map(Record::Probe),
        }
    }

    pub(super) fn log_head(&self) -> Option<LogHead<'a>> {
        let mut from = self.rest;
        let severity = take_byte(&mut from)?;
        let trace = self.optional(TRACE, &mut from, 16)?.and_then(TraceId::from_bytes);
        let span = self.optional(SPAN, &mut from, 8)?.and_then(SpanId::from_bytes);
        Some(LogHead {
            severity,
            trace,
            span,
            body: take_bytes(&mut from)?,
            rest: from,
        })
    }

    pub(super) fn log(&self, head: &LogHead<'a>) -> Option<LogRecord> {
        let mut from = head.rest;
        Some(LogRecord {
            time: self.time,
            service: ServiceId::new(self.service).ok()?,
            release: self.own_release(),
            severity: head.severity,
            body: std::str::from_utf8(head.body).ok()?.to_owned(),
            trace: head.trace,
            span: head.span,
            attributes: self.block.attributes(&mut from)?,
        })
    }

    /// The trace of a span.
    pub(super) fn span_trace(&self) -> Option<TraceId> {
        let mut from = self.rest;
        unvarint(&mut from)?;
        TraceId::from_bytes(take(&mut from, 16)?)
    }

    pub(super) fn span(&self) -> Option<SpanRecord> {
        let mut from = self.rest;
        let from = &mut from;
        let start = Timestamp(self.time.0.wrapping_sub(unzigzag(unvarint(from)?)));
        let trace = TraceId::from_bytes(take(from, 16)?)?;
        let span = SpanId::from_bytes(take(from, 8)?)?;
        let parent = self.optional(PARENT, from, 8)?.and_then(SpanId::from_bytes);
        let kind = kind_of(take_byte(from)?);
        let name = take_text(from)?.to_owned();
        let status_message = take_text(from)?.to_owned();
        let attributes = self.block.attributes(from)?;
        let mut events = Vec::new();
        for _ in 0..take_len(from)? {
            let time = Timestamp(start.0.wrapping_add(unzigzag(unvarint(from)?)));
            events.push((time, take_text(from)?.to_owned(), self.block.attributes(from)?));
        }
        Some(SpanRecord {
            start,
            end: self.time,
            service: ServiceId::new(self.service).ok()?,
            release: self.own_release(),
            trace,
            span,
            parent,
            name,
            kind,
            error: self.flags & ERROR != 0,
            status_message,
            attributes,
            events,
        })
    }

    pub(super) fn probe(&self) -> Option<ProbeResult> {
        serde_json::from_slice(self.rest).ok()
    }

    fn optional(&self, flag: u8, from: &mut &'a [u8], len: usize) -> Option<Option<&'a [u8]>> {
        if self.flags & flag == 0 {
            Some(None)
        } else {
            take(from, len).map(Some)
        }
    }
}
