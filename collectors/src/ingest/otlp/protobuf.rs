//! Walks an export request in protobuf's wire format down to its records, each of which prost decodes by itself.

use opentelemetry_proto::tonic::{
    common::v1::InstrumentationScope, logs::v1::LogRecord, resource::v1::Resource, trace::v1::Span,
};
use prost::Message;

use super::{
    RECORD_MAX, Refusal, Signal,
    records::{Records, Scope},
};

/// Field numbers: alike for logs and traces, in the request, its groups and their scopes.
const GROUPS: u64 = 1;
const RESOURCE: u64 = 1;
const SCOPES: u64 = 2;
const SCOPE: u64 = 1;
const RECORDS: u64 = 2;

/// Takes all records of a request.
pub(super) fn walk(signal: Signal, body: &[u8], records: &mut Records<'_>) -> Result<(), Refusal> {
    for group in children(body, GROUPS) {
        let group = group?;
        records.enter()?;
        // Proto3: of a field that comes twice the parts are merged. No sender does that; the last one counts.
        let resource = last(group, RESOURCE)?.map(whole::<Resource>).transpose()?;
        let shared = records.group(resource.map_or_else(Vec::new, |resource| resource.attributes));
        for scope in children(group, SCOPES) {
            let scope = scope?;
            records.enter()?;
            let name = last(scope, SCOPE)?.map(whole::<InstrumentationScope>).transpose()?;
            let shared = Scope {
                group: &shared,
                name: name.map_or_else(String::new, |scope| scope.name),
            };
            for record in children(scope, RECORDS) {
                let record = record?;
                match signal {
                    Signal::Logs => records.log(&shared, one::<LogRecord>(record))?,
                    _ => records.span(&shared, one::<Span>(record))?,
                }
            }
        }
    }
    Ok(())
}

/// A resource or a scope: everything in it depends on it, so the request fails with it.
fn whole<M: Message + Default>(bytes: &[u8]) -> Result<M, Refusal> {
    one(bytes).map_err(Refusal::Undecodable)
}

/// One record; the error is why it alone is rejected.
fn one<M: Message + Default>(bytes: &[u8]) -> Result<M, String> {
    if bytes.len() > RECORD_MAX {
        return Err(format!("it is larger than {RECORD_MAX} bytes"));
    }
    M::decode(bytes).map_err(|error| error.to_string())
}

fn last(message: &[u8], number: u64) -> Result<Option<&[u8]>, Refusal> {
    children(message, number).last().transpose()
}

/// The fields of one number that hold a message.
fn children(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], Refusal>> {
    Fields { rest: message }.filter_map(move |field| match field {
        Ok((found, bytes)) if found == number => Some(Ok(bytes?)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// The fields of a message; of a length-delimited one its bytes.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Option<&'a [u8]>), Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or_else(|| Refusal::Undecodable("it is no protobuf message, or is cut off".to_owned())))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Option<&'a [u8]>)> {
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 {
            return None;
        }
        match key & 7 {
            0 => self.varint().map(|_| (number, None)),
            1 => self.bytes(8).map(|_| (number, None)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.bytes(length).map(|bytes| (number, Some(bytes)))
            }
            5 => self.bytes(4).map(|_| (number, None)),
            // Groups are of proto2 and no part of OTLP.
            _ => None,
        }
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}
