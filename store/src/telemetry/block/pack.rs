//! Records into a block.

use std::collections::HashMap;

use events::{Attributes, LogRecord, Record, ReleaseId, ServiceId, SpanKind, SpanRecord, Timestamp, histogram::varint};

use super::{ERROR, FORM, KINDS, LATE, OWN_RELEASE, PARENT, Packed, SPAN, Stamp, TRACE, Table, mark, zigzag};

/// Level of zstd: the fastest; sealing compresses better.
const LEVEL: i32 = 1;

/// Most rows of one block.
pub(in crate::telemetry) const ROWS_MAX: usize = 1000;
/// A block is closed once its rows take this many bytes.
pub(in crate::telemetry) const BYTES_MAX: usize = 1 << 20;

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

    /// Number of strings, their lengths, their bytes.
    fn put(&self, into: &mut Vec<u8>) {
        varint(into, self.ends.len() as u64);
        let mut start = 0;
        for end in &self.ends {
            varint(into, (end - start) as u64);
            start = *end;
        }
        into.extend_from_slice(&self.text);
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
pub(in crate::telemetry) struct Builder {
    table: Table,
    /// Services and releases: what every look at a row needs.
    whose: Strings,
    /// Names and values of attributes.
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

fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

impl Builder {
    pub(in crate::telemetry) fn new(table: Table) -> Self {
        Self {
            table,
            whose: Strings::default(),
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
    pub(in crate::telemetry) fn is_full(&self) -> bool {
        self.rows >= ROWS_MAX as u64 || self.body.len() + self.strings.text.len() >= BYTES_MAX
    }

    pub(in crate::telemetry) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a record of the block's own table; one of another table is not its business and is left out.
    pub(in crate::telemetry) fn push(&mut self, record: &Record, stamp: Stamp<'_>) {
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
        let number = self.whose.again(&mut self.service, service.as_str());
        if before != Some(number) {
            self.services.push(mark(service.as_str().as_bytes()));
        }
        varint(row, u64::from(number));
        let release = release.map(|release| self.whose.again(&mut self.release, release.as_str()));
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
    pub(in crate::telemetry) fn finish(self) -> std::io::Result<Packed> {
        let mut strings = Vec::with_capacity(self.strings.text.len() + 2 * self.strings.ends.len() + 16);
        self.strings.put(&mut strings);
        let mut bytes = Vec::with_capacity(self.body.len() + strings.len() + 1024);
        bytes.push(FORM);
        bytes.push(u8::try_from(self.table.number()).unwrap_or_default());
        self.whose.put(&mut bytes);
        put_bytes(&mut bytes, &strings);
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
    let place = KINDS.iter().position(|known| *known == kind);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0)
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    varint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}
