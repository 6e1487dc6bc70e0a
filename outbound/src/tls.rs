//! TLS as a client: rustls with ring, the system's roots and the operator's own authority.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use events::Clocks;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    time_provider::TimeProvider,
};

/// Largest certificate file that is read: all the world's roots are a fifth of it.
const CA_FILE_MAX: u64 = 1 << 20;

/// Why certificates could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("read the certificate file {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no usable certificate.
    #[error("read the certificate file {}: {why}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// rustls refused the configuration.
    #[error("configure TLS")]
    Refused(#[from] rustls::Error),
}

/// Makes TLS configurations that trust the same roots and read the same clock.
#[derive(Clone)]
pub struct Tls {
    roots: Arc<RootCertStore>,
    clock: Arc<Wall>,
    plain: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tls {{ {} roots }}", self.roots.len())
    }
}

impl Tls {
    /// Trusts the system's roots, and those in `extra_ca` (PEM) besides.
    pub fn new(clocks: Arc<dyn Clocks>, extra_ca: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "some of the system's root certificates cannot be read");
        }
        // A root that webpki does not understand is the system's matter, not a reason not to start.
        roots.add_parsable_certificates(native.certs);
        if let Some(path) = extra_ca {
            add(&mut roots, path)?;
        }
        let roots = Arc::new(roots);
        let clock = Arc::new(Wall(clocks));
        let plain = Arc::new(config(Arc::clone(&roots), Arc::clone(&clock))?);
        Ok(Self { roots, clock, plain })
    }

    /// How many roots are trusted. Zero means that no public server can be verified.
    pub fn root_count(&self) -> usize {
        self.roots.len()
    }

    /// For one connection at a time: no session is resumed, so that the peer shows its certificate each time.
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.plain)
    }

    /// The same, trusting only the authorities in a file (PEM), in place of the system's.
    pub fn client_trusting(&self, ca: &Path) -> Result<Arc<ClientConfig>, TlsError> {
        let mut roots = RootCertStore::empty();
        add(&mut roots, ca)?;
        Ok(Arc::new(config(Arc::new(roots), Arc::clone(&self.clock))?))
    }
}

fn config(roots: Arc<RootCertStore>, clock: Arc<Wall>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let unusable = |why: String| TlsError::Unusable {
        path: path.to_owned(),
        why,
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > CA_FILE_MAX {
        return Err(unusable("it is no regular file of at most 1 MiB".to_owned()));
    }
    let text = std::fs::read(path).map_err(unreadable)?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.len() == before {
        return Err(unusable("there is no PEM certificate in it".to_owned()));
    }
    Ok(())
}

/// Certificates are judged by the daemon's clock, so that a test can move it.
struct Wall(Arc<dyn Clocks>);

impl fmt::Debug for Wall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Wall")
    }
}

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let nanos = u64::try_from(self.0.now().wall.as_nanos()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_nanos(nanos)))
    }
}
