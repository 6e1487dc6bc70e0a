//! What a store's refusal means. The status decides; a code, where there is one, only sharpens it.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::failure::{Failure, Reason};

/// Of a store's own message no more than this many characters are shown.
const MESSAGE_CHARS_MAX: usize = 200;

/// What is being done, as errors say it, and with which bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doing<'a> {
    pub(crate) what: &'a str,
    pub(crate) bucket: &'a str,
}

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
    doing: Doing<'_>,
    error: &SdkError<E, HttpResponse>,
    expected: &[Answer],
) -> Result<Answer, Failure>
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
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
pub(crate) fn failure<E>(doing: Doing<'_>, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let reason = match error {
        SdkError::TimeoutError(_) => Reason::Timeout,
        SdkError::DispatchFailure(failed) if failed.is_timeout() => Reason::Timeout,
        SdkError::DispatchFailure(_) => Reason::Unreachable,
        SdkError::ConstructionFailure(_) => Reason::Invalid,
        _ => by_status(error),
    };
    Failure::caused(reason, doing.what, Spoken(spoken(reason, doing.bucket, error)))
}

/// What happened, in words. The SDK's own text is meant for programmers: whole types with every header.
fn spoken<E>(reason: Reason, bucket: &str, error: &SdkError<E, HttpResponse>) -> String
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let Some(response) = error.raw_response() else {
        return match reason {
            Reason::Timeout => "the store did not answer in time".to_owned(),
            Reason::Unreachable => format!("the store cannot be reached: {}", root_cause(error)),
            _ => format!("the request could not be made: {}", root_cause(error)),
        };
    };
    let status = response.status().as_u16();
    let code = error.code().map(printable).filter(|code| !code.is_empty());
    let answer = code.map_or_else(|| format!("({status})"), |code| format!("({status} {code})"));
    match (reason, error.code()) {
        (Reason::Credentials, Some("AccessDenied")) => {
            format!("the store does not allow this with these keys {answer}")
        }
        (Reason::Credentials, _) => format!("the store refused the keys {answer}"),
        (Reason::BucketMissing, _) => no_bucket(bucket, &answer),
        (Reason::NotFound, _) => format!("the store does not have it {answer}"),
        (Reason::StoreFull, _) => format!("the store is full {answer}"),
        (Reason::Locked, _) => format!("the store keeps it locked {answer}"),
        (Reason::Timeout, _) => format!("the store did not answer in time {answer}"),
        (Reason::Unreachable, _) => format!("the answer broke off, or is not that of an S3 store {answer}"),
        _ => match error.message().map(printable).filter(|message| !message.is_empty()) {
            Some(message) => format!("the store answered {answer}: {message}"),
            None => format!("the store answered with an error {answer}"),
        },
    }
}

/// The words for a bucket that does not exist.
pub(crate) fn no_bucket(bucket: &str, answer: &str) -> String {
    format!("there is no bucket {bucket:?} {answer}")
}

/// The deepest cause says what happened; those above it only through which layers it came. What is wrong with a
/// certificate is said by the first that speaks of one.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    let of_certificate = texts.iter().find(|text| text.contains("certificate"));
    let text = of_certificate.or_else(|| texts.last()).map_or("", String::as_str);
    let words = printable(&outbound::in_words(text));
    // `Connection refused` stands in the middle of a sentence here; `DNS` and the like stay as they are.
    let mut chars = words.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => words,
    }
}

/// A stranger's text on one line, cut.
fn printable(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MESSAGE_CHARS_MAX).collect::<String>().trim().to_owned()
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

/// What the store or the way to it said, as a cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Spoken(String);
