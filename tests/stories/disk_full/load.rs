//! Senders of spans: closed ones that wait for each answer, and open ones that send by the clock.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::http::{self, Request};
use tokio::time::Instant;

/// Spans of a batch.
pub(super) const SPANS: usize = 200;
/// Connections that the open senders have between them; more than the daemon lets wait.
const SENDERS: usize = 64;

/// What came of a load.
#[derive(Debug, Default)]
pub(super) struct Offered {
    /// Traces of the batches that were accepted.
    pub(super) accepted: Vec<String>,
    /// Traces of the batches that were refused to the end.
    pub(super) given_up: Vec<String>,
    /// Requests that were refused, with a time to come back.
    pub(super) refused: usize,
    /// Requests without an answer.
    pub(super) broken: usize,
    /// How long it went.
    pub(super) took: Duration,
}

impl Offered {
    /// How many requests were made.
    pub(super) fn attempts(&self) -> usize {
        self.accepted.len() + self.refused + self.broken
    }

    /// So many a second.
    pub(super) fn rate(&self, count: usize) -> f64 {
        count as f64 / self.took.as_secs_f64()
    }
}

/// Numbers of batches, over all loads of the process.
static NEXT: AtomicU64 = AtomicU64::new(1);

struct Batch {
    trace: String,
    body: String,
}

impl Batch {
    #[expect(clippy::disallowed_methods, reason = "what a sender states is its own clock")]
    fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let trace = format!("{number:032x}");
        let mut body = String::from(
            r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pay"}}]},"scopeSpans":[{"spans":["#,
        );
        for index in 0..SPANS {
            let comma = if index == 0 { "" } else { "," };
            body.push_str(&format!(
                r#"{comma}{{"traceId":"{trace}","spanId":"{:016x}","name":"GET /pay","kind":2,"startTimeUnixNano":"{}","endTimeUnixNano":"{now}","attributes":[{{"key":"http.response.status_code","value":{{"intValue":"200"}}}},{{"key":"url.path","value":{{"stringValue":"/pay/{index}"}}}}]}}"#,
                index + 1,
                now - 20_000_000,
            ));
        }
        body.push_str("]}]}]}");
        Self { trace, body }
    }

    /// Sends it; true if it was accepted, false if it was refused, `None` without an answer.
    fn send(&self, address: SocketAddr) -> Option<bool> {
        let headers = [("Content-Type", "application/json")];
        let request = Request {
            method: "POST",
            path: "/v1/traces",
            headers: &headers,
            body: self.body.as_bytes(),
        };
        let answer = http::send(address, &request).ok()?;
        match answer.status() {
            200 => Some(true),
            429 => {
                super::assert_comes_back(&answer);
                Some(false)
            }
            _ => panic!("{} {}", answer.first, answer.text()),
        }
    }
}

/// Senders that wait for each answer: what can be taken.
pub(super) fn closed(address: SocketAddr, senders: usize, length: Duration) -> Offered {
    run(address, senders, Duration::ZERO, length, || ())
}

/// Senders that send so many batches a second, whatever becomes of them. `meanwhile` runs when a quarter of the time is over.
pub(super) fn open(address: SocketAddr, rate: f64, length: Duration, meanwhile: impl FnOnce()) -> Offered {
    let every = Duration::from_secs_f64(SENDERS as f64 / rate);
    run(address, SENDERS, every, length, || {
        pause(length / 4);
        meanwhile();
    })
}

fn run(address: SocketAddr, senders: usize, every: Duration, length: Duration, meanwhile: impl FnOnce()) -> Offered {
    let (all, began) = (Mutex::new(Offered::default()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..senders {
            let all = &all;
            scope.spawn(move || sender(address, every, began + length, all));
        }
        meanwhile();
    });
    let mut all = all.into_inner().unwrap();
    all.took = length;
    all
}

/// One sender. What was refused it sends again at its next turn, as it was.
fn sender(address: SocketAddr, every: Duration, until: Instant, all: &Mutex<Offered>) {
    let (mut turn, mut batch) = (Instant::now(), Batch::new());
    while Instant::now() < until {
        pause(turn.saturating_duration_since(Instant::now()));
        turn += every;
        let answer = batch.send(address);
        let mut all = all.lock().unwrap();
        match answer {
            Some(true) => all.accepted.push(std::mem::replace(&mut batch, Batch::new()).trace),
            Some(false) => all.refused += 1,
            None => all.broken += 1,
        }
    }
    settle(&batch, address, all);
}

/// A batch without an answer may be stored: it is sent until there is one. A refused one is given up.
fn settle(batch: &Batch, address: SocketAddr, all: &Mutex<Offered>) {
    let mut all = all.lock().unwrap();
    match batch.send(address) {
        Some(true) => all.accepted.push(batch.trace.clone()),
        Some(false) => all.given_up.push(batch.trace.clone()),
        None => all.broken += 1,
    }
}

/// The pace of the load.
#[expect(clippy::disallowed_methods, reason = "a pace, not a wait for something")]
fn pause(length: Duration) {
    std::thread::sleep(length);
}
