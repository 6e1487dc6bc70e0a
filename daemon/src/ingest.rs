//! Mounts the ingest kinds into web's router: decoded by collectors, stored by telemetry, answered after the commit.

use std::sync::Arc;

use async_trait::async_trait;
use collectors::ingest::otlp::{Answer, BODY_MAX, Otlp, OtlpRequest, Refusal, Signal};
use events::{Batch, Clocks};
use hyper::{HeaderMap, header};
use jiff::SignedDuration;
use store::telemetry::{Telemetry, TelemetryError};
use tokio::sync::Semaphore;
use web::ingest::{Ingest, IngestReply, IngestRequest};

use crate::settings::Settings;

/// Bodies decoded at one time: as many as there are cores to decode them on.
const DECODING_MAX: u32 = 2;
/// A larger body, or a compressed one larger than [`INFLATING_MIN`], is decoded alone: what it may grow to is all the memory
/// there is for decoding.
const LARGE_MIN: usize = 512 * 1024;
/// A compressed body that is smaller stays small: deflate makes at most 1,032 bytes of one.
const INFLATING_MIN: usize = 4 * 1024;
/// Requests that wait for their turn to be decoded; the next one is told to come back.
const WAITING_MAX: usize = 32;

/// The kinds that are mounted.
pub(crate) fn kinds(settings: &Settings, telemetry: &Telemetry, clocks: &Arc<dyn Clocks>) -> Vec<Arc<dyn Ingest>> {
    let decoder = Decoder::new(settings.environment(), clocks);
    let kind = |signal| -> Arc<dyn Ingest> {
        Arc::new(OtlpHttp {
            decoder: decoder.clone(),
            signal,
            telemetry: telemetry.clone(),
        })
    };
    [Signal::Traces, Signal::Logs, Signal::Metrics]
        .into_iter()
        .map(kind)
        .collect()
}

/// Decodes bodies of all signals, a few at a time.
#[derive(Clone)]
struct Decoder {
    otlp: Arc<Otlp>,
    clocks: Arc<dyn Clocks>,
    decoding: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Decoder {
    fn new(environment: &str, clocks: &Arc<dyn Clocks>) -> Self {
        Self {
            otlp: Arc::new(Otlp::new(environment)),
            clocks: Arc::clone(clocks),
            decoding: Arc::new(Semaphore::new(DECODING_MAX as usize)),
            places: Arc::new(Semaphore::new(DECODING_MAX as usize + WAITING_MAX)),
        }
    }

    /// Decodes on a thread that serves nobody else.
    async fn decode(&self, signal: Signal, request: IngestRequest) -> Result<Batch, Refusal> {
        let busy = Refusal::Busy { retry_after_s: 1 };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy.clone())?;
        let turn = Arc::clone(&self.decoding)
            .acquire_many_owned(turns(&request))
            .await
            .map_err(|_| busy)?;
        let (otlp, arrived) = (Arc::clone(&self.otlp), self.clocks.now().wall);
        let decoded = tokio::task::spawn_blocking(move || {
            // Held until the work is done: a sender that hangs up does not end it.
            let _held = (place, turn);
            let request = OtlpRequest {
                content_type: text(&request.headers, &header::CONTENT_TYPE),
                content_encoding: text(&request.headers, &header::CONTENT_ENCODING),
                body: &request.body,
                source: &request.source,
                arrived,
            };
            otlp.take(signal, &request)
        });
        // A panic of the decoder is ours, and the sender may try again.
        decoded.await.unwrap_or_else(|_| {
            Err(Refusal::Unavailable {
                why: "the decoder failed".to_owned(),
                retry_after_s: 5,
            })
        })
    }
}

/// One signal of OTLP over HTTP.
struct OtlpHttp {
    decoder: Decoder,
    signal: Signal,
    telemetry: Telemetry,
}

impl OtlpHttp {
    async fn store(&self, batch: Batch) -> Result<Answer, Refusal> {
        if batch.records.is_empty() {
            return Ok(Answer::stored(&batch.reply));
        }
        let stored = self.telemetry.append(batch).await.map_err(refusal)?;
        Ok(Answer::stored(&stored.reply))
    }
}

/// How many of the turns of decoding a request takes.
fn turns(request: &IngestRequest) -> u32 {
    let is_compressed = request.headers.contains_key(header::CONTENT_ENCODING);
    let large = if is_compressed { INFLATING_MIN } else { LARGE_MIN };
    if request.body.len() > large { DECODING_MAX } else { 1 }
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn refusal(error: TelemetryError) -> Refusal {
    let seconds = |after: SignedDuration| u64::try_from(after.as_secs()).unwrap_or(1).max(1);
    match error {
        TelemetryError::Busy { retry_after } => Refusal::Busy {
            retry_after_s: seconds(retry_after),
        },
        TelemetryError::DiskFull { retry_after } => Refusal::DiskFull {
            retry_after_s: seconds(retry_after),
        },
        TelemetryError::TooLarge { limit, .. } => Refusal::BodyTooLarge { max: limit },
        TelemetryError::Stopping | TelemetryError::Deadline { .. } | TelemetryError::Failed(_) => {
            Refusal::Unavailable {
                why: error.to_string(),
                retry_after_s: 1,
            }
        }
    }
}

#[async_trait]
impl Ingest for OtlpHttp {
    fn path(&self) -> &'static str {
        self.signal.path()
    }

    fn body_max(&self) -> usize {
        BODY_MAX
    }

    async fn take(&self, request: IngestRequest) -> IngestReply {
        let content_type = text(&request.headers, &header::CONTENT_TYPE).map(ToOwned::to_owned);
        let answer = match self.decoder.decode(self.signal, request).await {
            Ok(batch) => self.store(batch).await,
            Err(refusal) => Err(refusal),
        };
        let answer = answer.unwrap_or_else(|refusal| refusal.answer(content_type.as_deref()));
        IngestReply {
            status: answer.status,
            content_type: answer.content_type,
            body: answer.body,
            retry_after_s: answer.retry_after_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;
    use hyper::body::Bytes;

    use super::*;
    use crate::clock::MachineClocks;

    fn request(bytes: usize) -> IngestRequest {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );
        IngestRequest {
            headers,
            body: Bytes::from(vec![b' '; bytes]),
            source: "test".to_owned(),
        }
    }

    #[test]
    fn a_body_that_may_grow_is_decoded_alone() {
        let mut small = request(100);
        assert_eq!((turns(&small), turns(&request(LARGE_MIN + 1))), (1, DECODING_MAX));
        small
            .headers
            .insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
        assert_eq!(turns(&small), 1);
        let large = IngestRequest {
            body: request(INFLATING_MIN + 1).body,
            ..small
        };
        assert_eq!(turns(&large), DECODING_MAX);
    }

    /// The one thread that decodes is held up; senders come and hang up, and what they left is still counted.
    #[test]
    fn senders_that_hang_up_do_not_free_what_is_still_worked_on() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let clocks: Arc<dyn Clocks> = Arc::new(MachineClocks::new());
            let decoder = Decoder::new("production", &clocks);
            let (go_on, held_up) = mpsc::sync_channel::<()>(1);
            let held = tokio::task::spawn_blocking(move || held_up.recv());
            for _ in 0..DECODING_MAX {
                let mut sender = Box::pin(decoder.decode(Signal::Logs, request(100)));
                // Far enough to be under way, then it hangs up.
                assert!(sender.as_mut().now_or_never().is_none());
                drop(sender);
            }
            assert_eq!(
                decoder.decoding.available_permits(),
                0,
                "what they sent is still to be decoded"
            );
            assert_eq!(decoder.places.available_permits(), WAITING_MAX);
            go_on.send(()).unwrap();
            held.await.unwrap().unwrap();
            // The next one gets its turn behind them.
            let answer = decoder.decode(Signal::Logs, request(100)).await;
            assert!(answer.is_err(), "blanks are no JSON");
            let both = decoder.decoding.acquire_many(DECODING_MAX).await.unwrap();
            assert_eq!(both.num_permits(), DECODING_MAX as usize);
        });
    }
}
