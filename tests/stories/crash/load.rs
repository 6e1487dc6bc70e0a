//! The load: deployments over the socket with keys, spans and logs over TCP, each repeated until it is acknowledged.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::http::{self, Message, Request};
use harness::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Spans of one request, the first of them failed.
pub(super) const SPANS: u64 = 5;
/// Log records of one request.
pub(super) const LOGS: usize = 3;
/// What is sent is repeated for so long; a start, with what it repairs, is a matter of seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A batch of spans and one of logs, both acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) trace: String,
    /// How often its spans were sent.
    pub(super) attempts: u32,
}

/// What was acknowledged.
#[derive(Default)]
pub(super) struct Acknowledged {
    /// Seq of the fact by version.
    pub(super) deployments: BTreeMap<String, u64>,
    pub(super) sent: Vec<Sent>,
}

/// What the load shares with the one who kills.
pub(super) struct Shared {
    pub(super) socket: PathBuf,
    pub(super) address: SocketAddr,
    pub(super) acknowledged: Mutex<Acknowledged>,
    pub(super) ended: AtomicBool,
    /// Process id of the daemon.
    pub(super) daemon: AtomicU32,
    /// The next acknowledgement is the daemon's last word.
    pub(super) kill_at_next: AtomicBool,
}

/// The threads; joined by [`Load::finish`].
pub(super) struct Load {
    pub(super) shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts so many threads that record deployments, and one that sends spans and logs, unless there is none to be.
    pub(super) fn start(socket: PathBuf, address: SocketAddr, deployers: usize, telemetry: bool) -> Self {
        let shared = Arc::new(Shared {
            socket,
            address,
            acknowledged: Mutex::default(),
            ended: AtomicBool::new(false),
            daemon: AtomicU32::new(0),
            kill_at_next: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        let mut spawn = |name: String, work: Box<dyn FnOnce() + Send>| {
            threads.push(std::thread::Builder::new().name(name).spawn(work).unwrap());
        };
        for number in 0..deployers {
            let shared = Arc::clone(&shared);
            spawn(format!("deployer {number}"), Box::new(move || shared.deploy(number)));
        }
        if telemetry {
            let shared = Arc::clone(&shared);
            spawn("exporter".to_owned(), Box::new(move || shared.export()));
        }
        Self { shared, threads }
    }

    /// Lets each thread bring its last item through, and gives what was acknowledged.
    pub(super) fn finish(self) -> Acknowledged {
        self.shared.ended.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("the load goes on until it is acknowledged");
        }
        std::mem::take(&mut *self.shared.acknowledged.lock().unwrap())
    }
}

impl Shared {
    fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Repeats until the answer is 2xx; gives it, and how often it was asked. Anything but "not now" is a fault.
    fn insist(&self, what: &str, send: impl Fn() -> io::Result<Message>) -> (Message, u32) {
        let mut attempts = 0;
        let answer = wait::until(&format!("{what} to be acknowledged"), PATIENCE, || {
            attempts += 1;
            let answer = send().ok()?;
            assert!(
                matches!(answer.status(), 200..=299 | 429 | 503),
                "{what}: {} {}",
                answer.first,
                answer.text()
            );
            (answer.status() < 300).then_some(answer)
        });
        if self.kill_at_next.swap(false, Ordering::SeqCst) {
            let pid = i32::try_from(self.daemon.load(Ordering::SeqCst))
                .ok()
                .and_then(Pid::from_raw);
            let _gone = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        (answer, attempts)
    }

    fn deploy(&self, thread: usize) {
        for number in 0_u64.. {
            if self.is_ended() {
                return;
            }
            let version = format!("v{thread}.{number}");
            let body = json!({ "service": "shop", "version": version, "by": "crash story" }).to_string();
            let headers = [
                ("Content-Type", "application/json"),
                ("Idempotency-Key", version.as_str()),
            ];
            let request = Request {
                method: "POST",
                path: "/api/v1/deployments",
                headers: &headers,
                body: body.as_bytes(),
            };
            let (answer, _) = self.insist(&version, || http::send_to_socket(&self.socket, &request));
            let seq = answer.json()["fact"]
                .as_u64()
                .unwrap_or_else(|| panic!("{version}: {}", answer.text()));
            self.acknowledged.lock().unwrap().deployments.insert(version, seq);
            pause(Duration::from_millis(15));
        }
    }

    fn export(&self) {
        for number in 0_u64.. {
            if self.is_ended() {
                return;
            }
            let trace = format!("{:032x}", u128::from(number) + (1_u128 << 100));
            // Made once: a repeat has the same bytes.
            let (spans, logs) = (spans(&trace, number), logs(&trace, number));
            let (_, attempts) = self.insist("spans", || self.post("traces", &spans));
            self.insist("logs", || self.post("logs", &logs));
            self.acknowledged.lock().unwrap().sent.push(Sent { trace, attempts });
            pause(Duration::from_millis(25));
        }
    }

    fn post(&self, signal: &str, body: &Value) -> io::Result<Message> {
        let (path, body) = (format!("/v1/{signal}"), body.to_string());
        let headers = [("Content-Type", "application/json")];
        http::send(
            self.address,
            &Request {
                method: "POST",
                path: &path,
                headers: &headers,
                body: body.as_bytes(),
            },
        )
    }
}

/// The pace of the load.
#[expect(clippy::disallowed_methods, reason = "a pace, not a wait for something")]
fn pause(length: Duration) {
    std::thread::sleep(length);
}

#[expect(clippy::disallowed_methods, reason = "what a sender states is its own clock")]
fn nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

fn resource() -> Value {
    json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "pay" } }] })
}

fn spans(trace: &str, number: u64) -> Value {
    let end = nanos();
    let span = |index: u64| {
        json!({
            "traceId": trace, "spanId": format!("{:016x}", number * SPANS + index + 1), "name": "GET /pay", "kind": 2,
            "startTimeUnixNano": (end - u128::from(1 + number % 50) * 1_000_000).to_string(),
            "endTimeUnixNano": end.to_string(),
            "status": { "code": if index == 0 { 2 } else { 1 } },
        })
    };
    let spans: Vec<Value> = (0..SPANS).map(span).collect();
    json!({ "resourceSpans": [{ "resource": resource(), "scopeSpans": [{ "spans": spans }] }] })
}

fn logs(trace: &str, number: u64) -> Value {
    let record = |index: usize| {
        json!({
            "timeUnixNano": nanos().to_string(), "severityNumber": 9, "traceId": trace,
            "body": { "stringValue": format!("log {number}.{index}") },
        })
    };
    let records: Vec<Value> = (0..LOGS).map(record).collect();
    json!({ "resourceLogs": [{ "resource": resource(), "scopeLogs": [{ "logRecords": records }] }] })
}
