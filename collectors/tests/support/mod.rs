//! Real servers for the tests, and what the probes need around them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, though clippy looks for the attribute only"
)]

use std::{
    fmt::Write,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use collectors::probe::{ProbeSettings, ProbeSink, Watch};
use config::Name;
use events::{Clock, Clocks, Look, Network, NetworkChanged, ProbeResult, Timestamp};
use jiff::SignedDuration;
use outbound::{Context, ContextOptions};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// The machine's clock, moved by so much.
#[derive(Default)]
pub(crate) struct Moved(AtomicI64);

impl Moved {
    pub(crate) fn by_days(&self, days: i64) {
        self.0.store(days * 86_400_000_000_000, Ordering::SeqCst);
    }
}

impl Clocks for Moved {
    #[expect(clippy::disallowed_methods, reason = "a test has no daemon to ask")]
    fn now(&self) -> Clock {
        let by = SignedDuration::from_nanos(self.0.load(Ordering::SeqCst));
        Clock {
            wall: Timestamp::from_jiff(jiff::Timestamp::now()).plus(by),
            ..Clock::default()
        }
    }
}

pub(crate) fn context_at(clocks: Arc<Moved>) -> Context {
    Context::new(ContextOptions {
        clocks,
        data_dir: std::env::temp_dir(),
        environment: "production".to_owned(),
        extra_ca: None,
    })
    .unwrap()
}

pub(crate) fn context() -> Context {
    context_at(Arc::default())
}

/// A probe from its configuration.
pub(crate) fn settings(text: &str) -> ProbeSettings {
    config::load(&config::Source::new("probe.toml", text)).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

pub(crate) fn watch(context: &Context, name: &str, text: &str) -> Watch {
    Watch::new(&Name::new(name).unwrap(), &settings(text), context).unwrap_or_else(|mistake| panic!("{mistake:?}"))
}

/// One look by the configuration of a check, within 5 s.
pub(crate) async fn look_by(context: &Context, check: &str) -> Look {
    look_within(context, check, Duration::from_secs(5)).await
}

pub(crate) async fn look_within(context: &Context, check: &str, limit: Duration) -> Look {
    let settings = settings(&format!("check.{check}"));
    let probe = settings
        .check
        .as_dyn()
        .build(context)
        .unwrap_or_else(|mistake| panic!("{mistake:?}"));
    probe.look(Instant::now() + limit).await
}

/// A port that nobody listens on, for a moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until something holds, at most 20 s.
pub(crate) async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A server process that ends with the test.
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A real nginx with one `server` block.
pub(crate) struct Nginx {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    server: Option<Server>,
}

impl Nginx {
    /// Starts it; `{folder}` and `{port}` in the block are filled in.
    pub(crate) async fn start(block: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), block).await
    }

    pub(crate) async fn start_in(folder: TempDir, block: &str) -> Self {
        let port = free_port();
        let path = folder.path().display().to_string();
        let block = block.replace("{folder}", &path).replace("{port}", &port.to_string());
        let mut text = format!("daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;\n");
        write!(
            text,
            "events {{}} http {{ access_log off; client_body_temp_path {path}; proxy_temp_path {path}; \
             fastcgi_temp_path {path}; uwsgi_temp_path {path}; scgi_temp_path {path}; server {{ {block} }} }}"
        )
        .unwrap();
        std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let mut nginx = Self {
            folder,
            port,
            server: None,
        };
        nginx.begin().await;
        nginx
    }

    pub(crate) async fn begin(&mut self) {
        let configuration = self.folder.path().join("nginx.conf");
        let child = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(&configuration)
            .args(["-e", "stderr"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start nginx: apt-get install nginx-light");
        self.server = Some(Server(child));
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        wait_until("nginx listens", || std::net::TcpStream::connect(address).is_ok()).await;
    }

    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    pub(crate) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://localhost:{}{path}", self.port)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Makes, with openssl, an authority `ca.pem` and a certificate `server.pem` with `server.key` that it signed for a
/// name, good for one day.
pub(crate) fn certify(folder: &Path, name: &str) {
    let openssl = |arguments: &str| {
        let done = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(folder)
            .output()
            .expect("start openssl: apt-get install openssl");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    std::fs::write(folder.join("names"), format!("subjectAltName=DNS:{name}\n")).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"
    ));
    openssl(&format!(
        "req {key} -keyout server.key -out server.csr -subj /CN={name}"
    ));
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 1 -extfile names");
}

/// Keeps what the probes found.
#[derive(Default)]
pub(crate) struct Found {
    results: Mutex<Vec<ProbeResult>>,
    networks: Mutex<Vec<NetworkChanged>>,
    /// So many states of our own network are heard and not recorded.
    pub(crate) networks_refused: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Found {
    pub(crate) fn of(&self, name: &str) -> Vec<ProbeResult> {
        let all = lock(&self.results);
        all.iter()
            .filter(|result| result.probe.as_str() == name)
            .cloned()
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.results).len()
    }

    pub(crate) fn all(&self) -> Vec<ProbeResult> {
        lock(&self.results).clone()
    }

    pub(crate) fn networks(&self) -> Vec<Network> {
        lock(&self.networks).iter().map(|changed| changed.to).collect()
    }
}

#[async_trait]
impl ProbeSink for Found {
    async fn result(&self, result: ProbeResult) {
        lock(&self.results).push(result);
    }

    async fn network(&self, changed: NetworkChanged) -> bool {
        lock(&self.networks).push(changed);
        let takes = |left: usize| left.checked_sub(1);
        self.networks_refused
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, takes)
            .is_err()
    }
}
