//! Walks an export request in JSON (OTLP/JSON: ids in hexadecimal, 64 bits as text, enums as numbers) down to its
//! records, each of which is decoded by itself.

use opentelemetry_proto::tonic::{
    common::v1::InstrumentationScope, logs::v1::LogRecord, resource::v1::Resource, trace::v1::Span,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    DEPTH_MAX, RECORD_MAX, RECORDS_MAX, Refusal, Signal,
    records::{Records, Scope},
};

#[derive(Deserialize)]
struct Export<'a> {
    #[serde(borrow, default, rename = "resourceSpans", alias = "resourceLogs")]
    groups: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "scopeSpans", alias = "scopeLogs")]
    scopes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct ScopeParts<'a> {
    #[serde(borrow, default)]
    scope: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "spans", alias = "logRecords")]
    records: Vec<&'a RawValue>,
}

/// Takes all records of a request.
pub(super) fn walk(signal: Signal, body: &[u8], records: &mut Records<'_>) -> Result<(), Refusal> {
    let text = std::str::from_utf8(body).map_err(|error| Refusal::Undecodable(error.to_string()))?;
    survey(text)?;
    for group in part::<Export<'_>>(text)?.groups {
        let group = part::<Group<'_>>(group.get())?;
        let resource = group
            .resource
            .map(|resource| whole::<Resource>(resource.get()))
            .transpose()?;
        let shared = records.group(resource.map_or_else(Vec::new, |resource| resource.attributes));
        for scope in group.scopes {
            let scope = part::<ScopeParts<'_>>(scope.get())?;
            let name = scope
                .scope
                .map(|scope| whole::<InstrumentationScope>(scope.get()))
                .transpose()?;
            let shared = Scope {
                group: &shared,
                name: name.map_or_else(String::new, |scope| scope.name),
            };
            for record in scope.records {
                match signal {
                    Signal::Logs => records.log(&shared, one::<LogRecord>(record.get()))?,
                    _ => records.span(&shared, one::<Span>(record.get()))?,
                }
            }
        }
    }
    Ok(())
}

fn part<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| Refusal::Undecodable(error.to_string()))
}

fn whole<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    one(text).map_err(Refusal::Undecodable)
}

fn one<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    if text.len() > RECORD_MAX {
        return Err(format!("it is larger than {RECORD_MAX} bytes"));
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Looks over the text before anything is built from it: how deep it is, and how many things there are at the depths of
/// groups, scopes and records (`{resourceSpans:[{scopeSpans:[{spans:[{`), so that a body full of `{},` stays cheap.
fn survey(text: &str) -> Result<(), Refusal> {
    let mut depth = 0_usize;
    let mut items = 0_usize;
    let mut in_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Refusal::TooDeep { max: DEPTH_MAX });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            // A comma within the arrays of groups, scopes and records: one more item.
            b',' if matches!(depth, 2 | 4 | 6) => items += 1,
            _ => {}
        }
        if items > RECORDS_MAX {
            return Err(Refusal::TooManyRecords { max: RECORDS_MAX });
        }
    }
    Ok(())
}
