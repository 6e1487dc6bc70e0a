//! The answers of `/api/v1`, one file a family.

pub(crate) mod acting;
pub(crate) mod alerts;
pub(crate) mod deployments;
pub(crate) mod keeping;
mod services;
pub(crate) mod status;
pub(crate) mod telemetry;
pub(crate) mod timeline;
pub(crate) mod why;

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use events::{Key, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Problem, routes::Ask};

/// Rows in one answer when nothing is said.
pub(crate) const LIMIT: u32 = 100;
/// Most rows in one answer.
pub(crate) const LIMIT_MAX: u32 = 1000;

/// An answer as JSON.
pub(crate) fn json(value: impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(&value).map_err(|error| {
        tracing::error!(%error, "write an answer");
        Problem::failed("the answer could not be written")
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

impl Ask {
    /// A part of the path.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.path.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A part of the query, read as what it should be.
    pub(crate) fn read<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.query.get(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|error| Problem::bad(format!("{name}: {error}")))
    }

    /// Refuses parts of the query that mean nothing here: a misspelt filter must not answer as if there were none.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.query.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                Err(Problem::bad(format!("unknown parameter {name:?}")).detail(format!("known: {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        let limit = self.read::<u32>("limit")?.unwrap_or(LIMIT);
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::bad(format!("limit: between 1 and {LIMIT_MAX}")))
        }
    }

    /// A moment: RFC 3339, or a duration before now such as `1h`.
    pub(crate) fn moment(&self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.query.get(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        instant(name, text, now).map(Some)
    }

    /// The body, read as what it should be.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body).map_err(|error| {
            Problem::bad(format!("the body: {error}")).detail("it has to be a JSON object; see docs/guide/api.md")
        })
    }

    /// The `Idempotency-Key` header.
    pub(crate) fn key(&self) -> Result<Option<Key>, Problem> {
        let Some(value) = self.headers.get("idempotency-key") else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default();
        Key::new(text)
            .map(Some)
            .map_err(|error| Problem::bad(format!("Idempotency-Key: {error}")))
    }
}

/// A moment: RFC 3339, or a duration before now.
pub(crate) fn instant(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp::from_jiff(at));
    }
    let span: config::Span = text.parse().map_err(|_| {
        let text: String = text.chars().take(80).collect();
        Problem::bad(format!("{name}: {text:?} is no moment"))
            .detail("write 2026-01-31T03:00:00Z, or a time before now such as 1h")
    })?;
    Ok(now.plus(-span.get()))
}

/// Rows of a view by key, for an answer.
pub(crate) fn by_key<'a, T: Clone + 'a>(rows: impl Iterator<Item = (&'a str, &'a T)>) -> BTreeMap<String, T> {
    rows.map(|(key, row)| (key.to_owned(), row.clone())).collect()
}
