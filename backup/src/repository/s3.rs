//! A repository in a bucket of an S3 or R2 store, through aws-sdk-s3.
//!
//! Objects are never changed: each is put once, whole, with `If-None-Match: *`. Every call has its own deadline beside
//! the SDK's, because the SDK waits for ever for a body that stopped in the middle.

mod errors;
mod settings;

use std::{future::Future, ops::Range, time::Duration};

use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig,
    },
    primitives::ByteStream,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;
use tokio::runtime::Runtime;

pub use self::settings::{Limits, S3};
use self::{
    errors::{Answer, Doing, classify},
    settings::{endpoint, prefix, timeouts},
};
use super::storage::{Kind, Listed, Object, Storage};
use crate::{
    failure::{Failure, Reason},
    random,
    run::{Cancel, Run},
};

/// How often a body that broke in the middle is fetched again.
const BODY_ATTEMPTS: u32 = 4;

/// Keys and sizes, and the mark of the next page.
type Page = (Vec<(String, u64)>, Option<String>);

/// An opened bucket.
pub(crate) struct Bucket {
    client: Client,
    runtime: Runtime,
    settings: S3,
    cancel: Cancel,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(formatter)
    }
}

impl Bucket {
    /// Prepares a client; nothing is sent yet.
    pub(crate) fn new(settings: &S3, run: &Run) -> Result<Self, Failure> {
        let mut settings = settings.clone();
        settings.endpoint = endpoint(&settings.endpoint)?;
        settings.prefix = prefix(&settings.prefix);
        if settings.bucket.is_empty() || settings.bucket.contains('/') {
            return Err(Failure::new(
                Reason::Invalid,
                format!("{:?} is not the name of a bucket", settings.bucket),
            ));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| Failure::caused(Reason::Server, "starting the runtime of the S3 client", error))?;
        let credentials = Credentials::new(
            &settings.access_key,
            settings.secret_key.as_str(),
            None,
            None,
            "watchkeep",
        );
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .credentials_provider(credentials)
            .region(Region::new(if settings.region.is_empty() {
                "auto".to_owned()
            } else {
                settings.region.clone()
            }))
            .endpoint_url(&settings.endpoint)
            .force_path_style(true)
            // R2 and older servers refuse the SDK's own checksums; our names are digests anyway.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // Our own deadlines do this, by size.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(RetryConfig::standard().with_max_attempts(settings.limits.attempts.max(1)))
            .timeout_config(timeouts(&settings.limits, 0))
            .build();
        Ok(Self {
            client: Client::from_conf(config),
            runtime,
            settings,
            cancel: run.cancel.clone(),
        })
    }

    fn key(&self, object: &Object) -> String {
        format!("{}{}", self.settings.prefix, object.path())
    }

    fn doing<'a>(&'a self, what: &'a str) -> Doing<'a> {
        Doing {
            what,
            bucket: &self.settings.bucket,
        }
    }

    /// Waits for a call, but not beyond its deadline and not beyond a cancellation.
    fn wait<T>(&self, doing: &str, bytes: u64, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let deadline = self.settings.limits.call_for(bytes);
        let cancelled = async {
            while !self.cancel.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                done = tokio::time::timeout(deadline, call) => match done {
                    Ok(done) => done,
                    Err(_) => Err(Failure::new(Reason::Timeout, format!("{doing}: no answer within {deadline:?}"))),
                },
                () = cancelled => Err(Failure::new(Reason::Cancelled, format!("{doing}: the run was cancelled"))),
            }
        })
    }

    fn overrides(&self, bytes: u64) -> aws_sdk_s3::config::Builder {
        Config::builder().timeout_config(timeouts(&self.settings.limits, bytes))
    }

    /// Puts an object. `unless_there`: only when no object has this key.
    fn put(&self, key: &str, content: Bytes, unless_there: bool) -> Result<Answer, Failure> {
        let size = content.len() as u64;
        let doing = format!("writing {key} to {}", self.location());
        self.wait(&doing, size, async {
            let request = self
                .client
                .put_object()
                .bucket(&self.settings.bucket)
                .key(key)
                .set_if_none_match(unless_there.then(|| "*".to_owned()))
                .body(ByteStream::from(content))
                .customize()
                .config_override(self.overrides(size));
            match request.send().await {
                Ok(_) => Ok(Answer::Done),
                Err(error) => classify(self.doing(&doing), &error, &[Answer::Exists, Answer::Unsupported]),
            }
        })
    }

    fn get(&self, key: &str, range: Option<&Range<u64>>) -> Result<Bytes, Failure> {
        let doing = format!("reading {key} from {}", self.location());
        // The size of a whole object is not known before; the largest is a pack.
        let size = range.map_or(64 * 1024 * 1024, |range| range.end.saturating_sub(range.start));
        let mut broken = None;
        for _ in 0..BODY_ATTEMPTS {
            match self.get_once(&doing, key, range, size) {
                Err(failure) if failure.reason() == Reason::Unreachable => broken = Some(failure),
                other => return other,
            }
            self.cancel.check()?;
        }
        Err(broken.unwrap_or_else(|| Failure::new(Reason::Unreachable, doing)))
    }

    fn get_once(&self, doing: &str, key: &str, range: Option<&Range<u64>>, size: u64) -> Result<Bytes, Failure> {
        self.wait(doing, size, async {
            // A range of an HTTP request names its last byte.
            let header = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
            let request = self
                .client
                .get_object()
                .bucket(&self.settings.bucket)
                .key(key)
                .set_range(header);
            let answer = match request.customize().config_override(self.overrides(size)).send().await {
                Ok(answer) => answer,
                Err(error) => return Err(errors::failure(self.doing(doing), &error)),
            };
            let promised = answer.content_length();
            // The SDK does not repeat what broke after the headers.
            let body = answer.body.collect().await.map_err(|error| {
                Failure::caused(Reason::Unreachable, format!("{doing}: the answer broke off"), error)
            })?;
            let body = body.into_bytes();
            let length = i64::try_from(body.len()).unwrap_or(i64::MAX);
            if promised.is_some_and(|promised| promised != length) {
                return Err(Failure::new(
                    Reason::Unreachable,
                    format!("{doing}: the answer broke off"),
                ));
            }
            if range.is_some() && body.len() as u64 != size {
                let text = format!("{doing}: asked for {size} bytes, got {}", body.len());
                return Err(Failure::new(Reason::Corrupt, text));
            }
            Ok(body)
        })
    }

    /// The size of an object, or nothing. A HEAD has no body, so the status alone decides.
    fn head(&self, key: &str) -> Result<Option<u64>, Failure> {
        let doing = format!("looking for {key} in {}", self.location());
        self.wait(&doing, 0, async {
            match self
                .client
                .head_object()
                .bucket(&self.settings.bucket)
                .key(key)
                .send()
                .await
            {
                Ok(found) => Ok(Some(
                    found
                        .content_length()
                        .and_then(|size| u64::try_from(size).ok())
                        .unwrap_or(0),
                )),
                Err(error) => classify(self.doing(&doing), &error, &[Answer::Missing]).map(|_| None),
            }
        })
    }

    /// Refuses a bucket that does not exist: where an object is missing, a HEAD of it cannot tell that.
    fn has_bucket(&self) -> Result<(), Failure> {
        let doing = format!("looking for the bucket of {}", self.location());
        self.wait(&doing, 0, async {
            match self.client.head_bucket().bucket(&self.settings.bucket).send().await {
                Err(error)
                    if error
                        .raw_response()
                        .is_some_and(|answer| answer.status().as_u16() == 404) =>
                {
                    let text = errors::no_bucket(&self.settings.bucket, "(404)");
                    Err(Failure::new(Reason::BucketMissing, format!("{doing}: {text}")))
                }
                // Keys that may not ask this say nothing about the bucket.
                _ => Ok(()),
            }
        })
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        let doing = format!("removing {key} from {}", self.location());
        self.wait(&doing, 0, async {
            match self
                .client
                .delete_object()
                .bucket(&self.settings.bucket)
                .key(key)
                .send()
                .await
            {
                Ok(_) => Ok(()),
                Err(error) => classify(self.doing(&doing), &error, &[Answer::Missing]).map(drop),
            }
        })
    }

    /// One page of a listing.
    fn page(&self, prefix: &str, next: Option<String>) -> Result<Page, Failure> {
        let doing = format!("listing {prefix} in {}", self.location());
        self.wait(&doing, 0, async {
            let request = self
                .client
                .list_objects_v2()
                .bucket(&self.settings.bucket)
                .prefix(prefix);
            let page = match request.set_continuation_token(next).send().await {
                Ok(page) => page,
                Err(error) => return Err(errors::failure(self.doing(&doing), &error)),
            };
            let objects = page.contents().iter().filter_map(|object| {
                Some((
                    object.key()?.to_owned(),
                    object.size().and_then(|size| u64::try_from(size).ok())?,
                ))
            });
            let next = page
                .next_continuation_token()
                .filter(|_| page.is_truncated() == Some(true));
            if page.is_truncated() == Some(true) && next.is_none() {
                return Err(Failure::new(
                    Reason::Server,
                    format!("{doing}: the store cut the list and gave no mark"),
                ));
            }
            Ok((objects.collect(), next.map(ToOwned::to_owned)))
        })
    }

    /// An object with our key exists. Good if it has our size: its name is the digest of its bytes, and reads compare
    /// them. Otherwise an earlier upload was cut, and is replaced.
    fn settle(&self, object: &Object, key: &str, content: Bytes) -> Result<(), Failure> {
        if object.kind == Kind::Config {
            // Two are never equal, as each has its own id: this is ours, and only the reply to its upload was lost.
            if self.get(key, None)? == content {
                return Ok(());
            }
            return Err(Failure::new(
                Reason::AlreadyExists,
                format!("a repository exists already in {}", self.location()),
            ));
        }
        if self.head(key)? == Some(content.len() as u64) {
            return Ok(());
        }
        self.put(key, content, false).map(drop)
    }
}

impl Storage for Bucket {
    fn location(&self) -> String {
        format!(
            "{}{}/{}",
            self.settings.endpoint,
            self.settings.bucket,
            self.settings.prefix.trim_end_matches('/')
        )
    }

    fn create(&self) -> Result<(), Failure> {
        // The bucket is made by its owner, with its own rules; a folder needs no making.
        Ok(())
    }

    fn probe(&self) -> Result<(), Failure> {
        let name =
            random::nonce().map_err(|error| Failure::caused(Reason::Server, "asking the kernel for a nonce", error))?;
        let key = self.key(&Object::new(Kind::Probe, name));
        let nonce = Bytes::copy_from_slice(name.as_bytes());
        self.put(&key, nonce.clone(), false)?;
        let stranger = |what: &str| {
            let text = format!("{} took an object and {what}: this is not an S3 store", self.location());
            Failure::new(Reason::NotAStore, text)
        };
        match self.get(&key, None) {
            Ok(back) if back == nonce => {}
            Ok(_) => return Err(stranger("gave another one back")),
            Err(failure) if failure.reason() == Reason::NotFound => return Err(stranger("does not have it")),
            Err(failure) => return Err(failure),
        }
        self.delete(&key)
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, Failure> {
        if kind == Kind::Config {
            let size = self.head(&self.key(&Object::config()))?;
            if size.is_none() {
                self.has_bucket()?;
            }
            return Ok(size
                .map(|size| Listed {
                    name: Object::config().name,
                    size,
                })
                .into_iter()
                .collect());
        }
        let prefix = format!("{}{}/", self.settings.prefix, kind.folder());
        let (mut found, mut next) = (Vec::new(), None);
        loop {
            let (page, mark) = self.page(&prefix, next)?;
            found.extend(page.into_iter().filter_map(|(key, size)| {
                let name = key.rsplit('/').next()?.parse().ok()?;
                Some(Listed { name, size })
            }));
            match mark {
                Some(mark) => next = Some(mark),
                None => return Ok(found),
            }
        }
    }

    fn read(&self, object: &Object, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
        self.get(&self.key(object), range.as_ref())
    }

    fn write(&self, object: &Object, content: Bytes) -> Result<(), Failure> {
        let key = self.key(object);
        match self.put(&key, content.clone(), true)? {
            Answer::Done => Ok(()),
            Answer::Exists => self.settle(object, &key, content),
            // A store without conditional writes: names are digests, so an equal object is overwritten by itself.
            Answer::Unsupported | Answer::Missing => self.put(&key, content, false).map(drop),
        }
    }

    fn remove(&self, object: &Object) -> Result<(), Failure> {
        self.delete(&self.key(object))
    }
}
