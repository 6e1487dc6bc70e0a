//! What a store's refusal means. The status decides; a code, where there is one, only sharpens it.

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::failure::{Failure, Reason};

/// Answers that are no failures for those who expect them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was done.
    Done,
    /// 412: an object has that key already.
    Exists,
    /// 404.
    Missing,
    /// 501, or 400 for the header: the store knows no conditional writes.
    Unsupported,
}

/// Turns an error into an expected answer, or into a failure.
pub(crate) fn classify<E>(
    doing: &str,
    error: &SdkError<E, HttpResponse>,
    expected: &[Answer],
) -> Result<Answer, Failure>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let answer = match error.raw_response().map(|response| response.status().as_u16()) {
        Some(412 | 409) => Some(Answer::Exists),
        Some(404) if !is_bucket(error) => Some(Answer::Missing),
        Some(501) => Some(Answer::Unsupported),
        _ => None,
    };
    match answer.filter(|answer| expected.contains(answer)) {
        Some(answer) => Ok(answer),
        None => Err(failure(doing, error)),
    }
}

/// The failure for an error of the SDK.
pub(crate) fn failure<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let reason = match error {
        SdkError::TimeoutError(_) => Reason::Timeout,
        SdkError::DispatchFailure(failed) if failed.is_timeout() => Reason::Timeout,
        SdkError::DispatchFailure(_) => Reason::Unreachable,
        SdkError::ConstructionFailure(_) => Reason::Invalid,
        _ => by_status(error),
    };
    let status = error
        .raw_response()
        .map(|response| format!(" ({})", response.status().as_u16()))
        .unwrap_or_default();
    Failure::caused(
        reason,
        format!("{doing}{status}"),
        Spoken(DisplayErrorContext(error).to_string()),
    )
}

fn by_status<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Reason {
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (status, error.code()) {
        // R2's code 10069: the object is under a bucket lock.
        (_, Some("ObjectLocked" | "ObjectLockedByBucketPolicy" | "10069")) => Reason::Locked,
        (_, Some("InsufficientStorage" | "StorageFull")) | (Some(507), _) => Reason::StoreFull,
        (_, Some("NoSuchBucket")) => Reason::BucketMissing,
        (Some(401 | 403), _) => Reason::Credentials,
        (_, Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken")) => Reason::Credentials,
        (Some(404), _) => Reason::NotFound,
        (Some(408), _) => Reason::Timeout,
        // A body that could not be read as an answer of S3 broke off, or comes from somebody else.
        (Some(200..=299), _) => Reason::Unreachable,
        (Some(400..=499), Some("SlowDown" | "TooManyRequests" | "RequestTimeout")) | (Some(429), _) => Reason::Server,
        (Some(300..=499), _) => Reason::Invalid,
        _ => Reason::Server,
    }
}

fn is_bucket<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code() == Some("NoSuchBucket")
}

/// The SDK's own words, as a cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Spoken(String);
