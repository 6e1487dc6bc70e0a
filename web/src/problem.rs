//! One form of error for all answers: RFC 9457 problem details.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// What went wrong, in a line.
    pub title: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
    /// Seconds after which a repeat makes sense.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with a status and a title.
    #[must_use]
    pub fn new(status: StatusCode, title: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: title.into(),
            detail: String::new(),
            retry_after_s: None,
        }
    }

    /// The request cannot be understood.
    #[must_use]
    pub fn bad(title: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, title)
    }

    /// There is no such thing.
    #[must_use]
    pub fn missing(title: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, title)
    }

    /// Something in the house failed; the cause is logged where it is handled.
    #[must_use]
    pub fn failed(title: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, title)
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }

    /// The same with the time after which a repeat makes sense.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<events::SubmitError> for Problem {
    fn from(error: events::SubmitError) -> Self {
        use events::SubmitError as E;
        match &error {
            E::Full => Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).retry_after(1),
            E::DiskFull => Self::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string()).retry_after(5),
            E::NotCommitted(_) | E::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).retry_after(1)
            }
        }
    }
}

impl From<store::StoreError> for Problem {
    fn from(error: store::StoreError) -> Self {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "answer a question from the store"
        );
        Self::failed("the store could not answer").detail(error.to_string())
    }
}
