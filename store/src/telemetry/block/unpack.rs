//! A block into records.

use std::cell::OnceCell;

use events::{
    Attributes, LogRecord, ProbeResult, Record, ReleaseId, ServiceId, SpanId, SpanRecord, Timestamp, TraceId,
    histogram::unvarint,
};

use super::{ERROR, FORM, KINDS, LATE, OWN_RELEASE, PARENT, SPAN, TRACE, Table, unzigzag};

/// A block that says it is larger than this unpacked is damaged.
const UNPACKED_MAX: usize = 64 << 20;

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

/// Number of strings, their lengths, their bytes.
fn take_strings<'a>(from: &mut &'a [u8]) -> Option<Vec<&'a str>> {
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
    Some(strings)
}

/// Unpacks the bytes of a block.
pub(in crate::telemetry) fn unpack(data: &[u8], unpacked: usize) -> Option<Vec<u8>> {
    if unpacked > UNPACKED_MAX {
        return None;
    }
    zstd::bulk::decompress(data, unpacked).ok()
}

/// An unpacked block.
pub(in crate::telemetry) struct Block<'a> {
    table: Table,
    whose: Vec<&'a str>,
    packed_strings: &'a [u8],
    /// Read when the first attribute is asked for: most rows that are looked at are not wanted.
    strings: OnceCell<Vec<&'a str>>,
    rows: usize,
    body: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads the head of a block; `None` when it is not one.
    pub(in crate::telemetry) fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        let from = &mut bytes;
        if take_byte(from)? != FORM {
            return None;
        }
        let table = Table::from_number(i64::from(take_byte(from)?))?;
        let whose = take_strings(from)?;
        let packed_strings = take_bytes(from)?;
        let rows = take_len(from)?;
        Some(Self {
            table,
            whose,
            packed_strings,
            strings: OnceCell::new(),
            rows,
            body: from,
        })
    }

    /// Calls `each` with every row, in order, until it says stop by `false`. `None` when a row is malformed.
    pub(in crate::telemetry) fn each(&self, mut each: impl FnMut(&Row<'a, '_>) -> Option<bool>) -> Option<()> {
        let mut body = self.body;
        let mut time = 0_i64;
        for index in 0..self.rows {
            let mut row = take_bytes(&mut body)?;
            time = time.wrapping_add(unzigzag(unvarint(&mut row)?));
            let flags = take_byte(&mut row)?;
            let service = *self.whose.get(take_len(&mut row)?)?;
            let release = match take_len(&mut row)? {
                0 => None,
                number => Some(*self.whose.get(number - 1)?),
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

    fn attributes(&self, from: &mut &'a [u8]) -> Option<Attributes> {
        let count = take_len(from)?;
        let mut attributes = Attributes::new();
        if count == 0 {
            return Some(attributes);
        }
        let read = || take_strings(&mut { self.packed_strings }).unwrap_or_default();
        let strings = self.strings.get_or_init(read);
        for _ in 0..count {
            let name = *strings.get(take_len(from)?)?;
            let value = *strings.get(take_len(from)?)?;
            attributes.insert(name.to_owned(), value.to_owned());
        }
        Some(attributes)
    }
}

/// One row of a block, read as far as every table goes.
pub(in crate::telemetry) struct Row<'a, 'b> {
    block: &'b Block<'a>,
    /// Its place in the block, from 0.
    pub(in crate::telemetry) index: u32,
    pub(in crate::telemetry) time: Timestamp,
    flags: u8,
    pub(in crate::telemetry) service: &'a str,
    release: Option<&'a str>,
    rest: &'a [u8],
}

/// What a filter looks at in a log record, read without copying.
pub(in crate::telemetry) struct LogHead<'a> {
    pub(in crate::telemetry) severity: u8,
    pub(in crate::telemetry) trace: Option<TraceId>,
    span: Option<SpanId>,
    pub(in crate::telemetry) body: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Row<'a, '_> {
    pub(in crate::telemetry) fn late(&self) -> bool {
        self.flags & LATE != 0
    }

    /// The release it is counted under.
    pub(in crate::telemetry) fn release(&self) -> Option<ReleaseId> {
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
    pub(in crate::telemetry) fn record(&self) -> Option<Record> {
        match self.block.table {
            Table::Logs => self.log(&self.log_head()?).map(Record::Log),
            Table::Spans => self.span().map(Record::Span),
            Table::Probes => self.probe().map(Record::Probe),
        }
    }

    pub(in crate::telemetry) fn log_head(&self) -> Option<LogHead<'a>> {
        let mut from = self.rest;
        let severity = take_byte(&mut from)?;
        let trace = TraceId::from_bytes(self.optional(TRACE, &mut from, 16)?);
        let span = SpanId::from_bytes(self.optional(SPAN, &mut from, 8)?);
        Some(LogHead {
            severity,
            trace,
            span,
            body: take_bytes(&mut from)?,
            rest: from,
        })
    }

    pub(in crate::telemetry) fn log(&self, head: &LogHead<'a>) -> Option<LogRecord> {
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
    pub(in crate::telemetry) fn span_trace(&self) -> Option<TraceId> {
        let mut from = self.rest;
        unvarint(&mut from)?;
        TraceId::from_bytes(take(&mut from, 16)?)
    }

    pub(in crate::telemetry) fn span(&self) -> Option<SpanRecord> {
        let mut from = self.rest;
        let from = &mut from;
        let start = Timestamp(self.time.0.wrapping_sub(unzigzag(unvarint(from)?)));
        let trace = TraceId::from_bytes(take(from, 16)?)?;
        let span = SpanId::from_bytes(take(from, 8)?)?;
        let parent = SpanId::from_bytes(self.optional(PARENT, from, 8)?);
        let kind = KINDS.get(usize::from(take_byte(from)?)).copied().unwrap_or_default();
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

    pub(in crate::telemetry) fn probe(&self) -> Option<ProbeResult> {
        serde_json::from_slice(self.rest).ok()
    }

    /// Bytes that are there when a flag says so, else none.
    fn optional(&self, flag: u8, from: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
        take(from, if self.flags & flag == 0 { 0 } else { len })
    }
}
