//! How to reach a bucket, and how patient to be with it.

use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use zeroize::Zeroizing;

use crate::failure::{Failure, Reason};

/// The slowest line on which a transfer still counts as alive.
const SLOWEST_BYTES_PER_SECOND: u64 = 256 * 1024;

/// How to reach a bucket.
#[derive(Clone)]
pub struct S3 {
    /// The bucket; it must exist.
    pub bucket: String,
    /// Where in the bucket; empty for its root.
    pub prefix: String,
    /// The store's address, like `https://ACCOUNT.r2.cloudflarestorage.com`.
    pub endpoint: String,
    /// `auto` for R2.
    pub region: String,
    /// The id of the access key.
    pub access_key: String,
    /// The secret of the access key.
    pub secret_key: Zeroizing<String>,
    /// Patience.
    pub limits: Limits,
}

impl S3 {
    /// A bucket by restic's spelling of it, as a person types it on a bare machine: `s3:https://host/bucket/prefix`.
    ///
    /// # Errors
    /// [`Reason::Invalid`] telling what was expected.
    pub fn parse(text: &str, access_key: &str, secret_key: &str) -> Result<Self, Failure> {
        let invalid = || {
            Failure::new(
                Reason::Invalid,
                format!("expected s3:https://host/bucket/prefix, got {text:?}"),
            )
        };
        let (scheme, rest) = text
            .strip_prefix("s3:")
            .and_then(|url| url.split_once("://"))
            .ok_or_else(invalid)?;
        let mut parts = rest.trim_end_matches('/').splitn(3, '/');
        let (Some(host), Some(bucket)) = (parts.next(), parts.next()) else {
            return Err(invalid());
        };
        if bucket.is_empty() {
            return Err(invalid());
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: parts.next().unwrap_or_default().to_owned(),
            endpoint: endpoint(&format!("{scheme}://{host}"))?,
            region: "auto".to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned().into(),
            limits: Limits::default(),
        })
    }
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("S3")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// How patient we are with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a connection.
    pub connect: Duration,
    /// For one attempt of one call; transfers get a second more for each 256 KiB.
    pub attempt: Duration,
    /// Attempts of one call.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(30),
            attempts: 6,
        }
    }
}

impl Limits {
    pub(super) fn attempt_for(&self, bytes: u64) -> Duration {
        self.attempt + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND)
    }

    /// Our own deadline around the whole call with its attempts and the pauses between them.
    pub(super) fn call_for(&self, bytes: u64) -> Duration {
        self.attempt_for(bytes).saturating_mul(self.attempts.clamp(1, 3)) + Duration::from_secs(30)
    }
}

pub(super) fn timeouts(limits: &Limits, bytes: u64) -> TimeoutConfig {
    let attempt = limits.attempt_for(bytes);
    TimeoutConfig::builder()
        .connect_timeout(limits.connect)
        .read_timeout(attempt)
        .operation_attempt_timeout(attempt)
        .build()
}

/// An address with a path needs a slash at its end: without one the SDK drops the path and speaks to somebody else.
pub(super) fn endpoint(text: &str) -> Result<String, Failure> {
    let invalid = || {
        Failure::new(
            Reason::Invalid,
            format!("expected an endpoint like https://host, got {text:?}"),
        )
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(invalid)?;
    let host = rest.split('/').next().unwrap_or_default();
    let plain = !rest.contains(['?', '#', '@', ' ']);
    if !matches!(scheme, "http" | "https") || host.is_empty() || !plain {
        return Err(invalid());
    }
    Ok(if text.ends_with('/') {
        text.to_owned()
    } else {
        format!("{text}/")
    })
}

/// A prefix ends with a slash and begins without one.
pub(super) fn prefix(text: &str) -> String {
    let trimmed = text.trim_matches('/');
    if trimmed.is_empty() {
        String::new()
    } else {
        format!("{trimmed}/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_gets_its_slash_and_a_wrong_one_is_refused() {
        assert_eq!(endpoint("https://host").unwrap(), "https://host/");
        assert_eq!(
            endpoint("http://127.0.0.1:8787/cdn-cgi/local/r2/s3").unwrap(),
            "http://127.0.0.1:8787/cdn-cgi/local/r2/s3/"
        );
        assert_eq!(endpoint("https://host/").unwrap(), "https://host/");
        for wrong in [
            "",
            "host",
            "ftp://host",
            "https://",
            "https:///x",
            "https://key:secret@host",
            "https://host/?x",
        ] {
            assert_eq!(endpoint(wrong).unwrap_err().reason(), Reason::Invalid, "{wrong}");
        }
    }

    #[test]
    fn a_bucket_is_read_as_restic_spells_it() {
        let parts = |text: &str| S3::parse(text, "key", "secret").map(|s3| (s3.endpoint, s3.bucket, s3.prefix));
        let host = || "https://host/".to_owned();
        assert_eq!(
            parts("s3:https://host/bucket").unwrap(),
            (host(), "bucket".into(), String::new())
        );
        assert_eq!(
            parts("s3:https://host/bucket/a/b/").unwrap(),
            (host(), "bucket".into(), "a/b".into())
        );
        for wrong in [
            "",
            "bucket",
            "s3:bucket",
            "s3:https://host",
            "s3:https://host/",
            "s3:ftp://host/bucket",
        ] {
            assert_eq!(parts(wrong).unwrap_err().reason(), Reason::Invalid, "{wrong}");
        }
        let shown = format!(
            "{:?}",
            S3::parse("s3:https://host/bucket", "the key", "the secret").unwrap()
        );
        assert!(!shown.contains("the key") && !shown.contains("the secret"), "{shown}");
    }

    #[test]
    fn a_prefix_is_one_folder() {
        assert_eq!(
            ["", "/", "shop", "/shop/", "a/b"].map(prefix),
            ["", "", "shop/", "shop/", "a/b/"]
        );
    }
}
