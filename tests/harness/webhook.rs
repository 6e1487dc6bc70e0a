//! A webhook receiver that keeps what it gets and can refuse it for a time.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::http::{self, Message};
use crate::{ports, tools, wait};

/// One request that was answered with 2xx, or refused.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The header `webhook-id`, empty if there was none.
    pub id: String,
    /// The request line, headers and body.
    pub request: Message,
    /// Status it was answered with.
    pub answered: u16,
    /// When it came.
    pub received: SystemTime,
}

impl Delivery {
    /// Whether PyPI's `standardwebhooks` accepts the signature made with `secret` (`whsec_…`).
    #[must_use]
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let body = folder.path().join("body");
        std::fs::write(&body, &self.request.body).unwrap();
        let headers: serde_json::Map<String, serde_json::Value> = self
            .request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let headers = serde_json::Value::Object(headers).to_string();
        let mut command = Command::new(tools::python());
        command
            .arg(tools::script("verify_webhook.py"))
            .arg(secret)
            .arg(headers)
            .arg(body);
        let done = command.output().unwrap();
        let refused = String::from_utf8_lossy(&done.stderr);
        assert!(
            done.status.success() || refused.contains("WebhookVerificationError"),
            "the verifier itself failed: {refused}"
        );
        done.status.success()
    }
}

#[derive(Debug, Default)]
struct Shared {
    deliveries: Mutex<Vec<Delivery>>,
    answer: AtomicU16,
    /// What the request after the next gets; the two change places at each request.
    answer_after: AtomicU16,
    closed: AtomicBool,
    ended: AtomicBool,
}

/// The receiver.
#[derive(Debug)]
pub struct Webhook {
    /// Port it listens on.
    pub port: u16,
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Webhook {
    /// Starts it on a free port; every request is answered with 204.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(ports::local(ports::free()))
    }

    /// Starts it on an address of this machine, such as its end of a cable to a namespace.
    #[must_use]
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared::default());
        shared.answer.store(204, Ordering::SeqCst);
        shared.answer_after.store(204, Ordering::SeqCst);
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("webhook".to_owned())
            .spawn(move || accept(&listener, &own))
            .unwrap();
        Self {
            port: address.port(),
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From here on every request gets this status; 204 takes deliveries again.
    pub fn answer(&self, status: u16) {
        self.alternate(status, status);
    }

    /// From here on requests get these two in turn.
    pub fn alternate(&self, one: u16, other: u16) {
        self.shared.answer.store(one, Ordering::SeqCst);
        self.shared.answer_after.store(other, Ordering::SeqCst);
    }

    /// From here on every connection is closed without an answer, or no longer.
    pub fn close_connections(&self, closed: bool) {
        self.shared.closed.store(closed, Ordering::SeqCst);
    }

    /// Everything that came, refused or not, in order.
    #[must_use]
    pub fn attempts(&self) -> Vec<Delivery> {
        self.shared.deliveries.lock().unwrap().clone()
    }

    /// What was taken with 2xx, in order; a repeat is listed again.
    #[must_use]
    pub fn taken(&self) -> Vec<Delivery> {
        self.attempts()
            .into_iter()
            .filter(|delivery| (200..300).contains(&delivery.answered))
            .collect()
    }

    /// Waits until `count` deliveries were taken and gives all there are by then.
    #[expect(clippy::must_use_candidate, reason = "to wait is often all that is wanted")]
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<Delivery> {
        wait::until(&format!("{count} webhooks"), limit, || {
            Some(self.taken()).filter(|all| all.len() >= count)
        })
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(stream), shared) = (stream, Arc::clone(shared)) else {
            continue;
        };
        if shared.closed.load(Ordering::SeqCst) {
            continue;
        }
        let serving = move || serve(stream, &shared).unwrap_or_default();
        let _detached = std::thread::Builder::new()
            .name("webhook connection".to_owned())
            .spawn(serving)
            .unwrap();
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = http::read(&mut reader, false)? {
        if shared.closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let following = shared.answer_after.load(Ordering::SeqCst);
        let answered = shared.answer.swap(following, Ordering::SeqCst);
        shared.answer_after.store(answered, Ordering::SeqCst);
        let id = request.header("webhook-id").unwrap_or_default().to_owned();
        // Kept before the answer: a sender that was told "taken" finds it in the list.
        shared.deliveries.lock().unwrap().push(Delivery {
            id,
            request,
            answered,
            received: SystemTime::now(),
        });
        let length = if answered == 204 { "" } else { "Content-Length: 0\r\n" };
        stream.write_all(format!("HTTP/1.1 {answered} told\r\n{length}\r\n").as_bytes())?;
    }
    Ok(())
}
