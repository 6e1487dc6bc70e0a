//! What everybody who reaches out is handed.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use events::{Clock, Clocks};

use crate::{Finding, Resolver, Tls, TlsError};

/// How the product introduces itself: `watchkeep/1.2.3`.
pub const USER_AGENT: &str = concat!("watchkeep/", env!("CARGO_PKG_VERSION"));
/// Connections that are kept open to one host, and for how long.
const IDLE_MAX: usize = 2;
const IDLE_FOR: Duration = Duration::from_secs(30);
/// The last line of defence: callers put shorter deadlines around their requests by [`crate::within`].
const CONNECT_MAX: Duration = Duration::from_secs(30);
const READ_MAX: Duration = Duration::from_mins(1);

/// What a [`Context`] is made of.
pub struct ContextOptions {
    /// The machine's clocks, or a test's.
    pub clocks: Arc<dyn Clocks>,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The daemon's own environment, `production` by default.
    pub environment: String,
    /// An authority that is trusted besides the system's (PEM).
    pub extra_ca: Option<PathBuf>,
}

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP client cannot be built.
    #[error("build the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// Everything needed to reach out; cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    client: reqwest::Client,
    resolver: Resolver,
    tls: Tls,
    clocks: Arc<dyn Clocks>,
    data_dir: PathBuf,
    environment: String,
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Context")
            .field("data_dir", &self.inner.data_dir)
            .field("environment", &self.inner.environment)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Reads the roots and builds the client. Blocks for a few milliseconds.
    pub fn new(options: ContextOptions) -> Result<Self, ContextError> {
        let resolver = Resolver::default();
        let tls = Tls::new(Arc::clone(&options.clocks), options.extra_ca.as_deref())?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls.client()))
            .dns_resolver(Arc::new(resolver.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_MAX)
            .read_timeout(READ_MAX)
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_FOR)
            .build()?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                resolver,
                tls,
                clocks: options.clocks,
                data_dir: options.data_dir,
                environment: options.environment,
            }),
        })
    }

    /// The shared HTTP client: rustls, our resolver and its policy, no redirects, no proxy from the environment.
    /// Put [`crate::within`] around every request, and read bodies with a limit.
    pub fn client(&self) -> &reqwest::Client {
        &self.inner.client
    }

    /// The resolver.
    pub fn resolver(&self) -> &Resolver {
        &self.inner.resolver
    }

    /// TLS configurations.
    pub fn tls(&self) -> &Tls {
        &self.inner.tls
    }

    /// The clocks.
    pub fn clocks(&self) -> &Arc<dyn Clocks> {
        &self.inner.clocks
    }

    /// The clocks' reading now.
    pub fn now(&self) -> Clock {
        self.inner.clocks.now()
    }

    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    /// The daemon's own environment.
    pub fn environment(&self) -> &str {
        &self.inner.environment
    }

    /// What can be said without reaching anybody.
    pub fn preflight(&self) -> Vec<Finding> {
        let what = "root certificates";
        vec![match self.inner.tls.root_count() {
            0 => Finding::problem(
                what,
                "none are installed, so no public TLS server can be verified",
                "install the package ca-certificates",
            ),
            count => Finding::ok(what, format!("{count} trusted")),
        }]
    }
}
