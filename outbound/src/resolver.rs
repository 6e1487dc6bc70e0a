//! Names to addresses, by the system's resolver: it knows `/etc/hosts`, search domains and split horizons as the
//! operator's other programs do. Nothing is cached: a fresh look is what a probe is for.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    net::lookup_host,
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::policy::{Forbidden, Policy, is_localhost};

/// Lookups at one time. Each holds a thread until the system's resolver gives up, so a dead name server must not
/// take all threads that other work needs.
const LOOKUPS_MAX: usize = 64;

/// A failure after so long is a name server that did not answer (glibc waits 5 s for each try).
const SILENCE_S: u64 = 4;

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("resolve {host}: no such host")]
    NotFound {
        /// The name.
        host: String,
    },
    /// No answer in time.
    #[error("resolve {host}: no answer in time")]
    TimedOut {
        /// The name.
        host: String,
    },
    /// The name server failed.
    #[error("resolve {host}: {why}")]
    Failed {
        /// The name.
        host: String,
        /// What the system said.
        why: String,
    },
    /// Every address it leads to is forbidden.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// The one resolver.
#[derive(Clone, Debug)]
pub struct Resolver {
    lookups: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Resolver {
    /// The addresses of a host (a name, or a literal address without brackets) that the policy permits, in the system's
    /// order, at least one.
    pub async fn resolve(
        &self,
        policy: Policy,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = if let Ok(literal) = host.parse::<IpAddr>() {
            vec![SocketAddr::new(literal, port)]
        } else if is_localhost(host) {
            // RFC 6761: never asked of a name server.
            [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
                .map(|address| SocketAddr::new(address, port))
                .to_vec()
        } else {
            self.look_up(host, port, deadline).await?
        };
        vet(policy, host, found)
    }

    async fn look_up(&self, host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, ResolveError> {
        let timed_out = || ResolveError::TimedOut { host: host.to_owned() };
        let began = Instant::now();
        let lookup = async {
            // Held over the lookup. A lookup that outlives its deadline still holds its thread, but no permit: at most
            // what the system's own give-up time lets through, and tokio bounds the threads.
            let _permit = self.lookups.acquire().await;
            lookup_host((host, port)).await.map(Iterator::collect::<Vec<_>>)
        };
        match timeout_at(deadline, lookup).await {
            Err(_) => Err(timed_out()),
            Ok(Ok(found)) if found.is_empty() => Err(ResolveError::NotFound { host: host.to_owned() }),
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) if began.elapsed().as_secs() >= SILENCE_S && !is_not_found(&error) => Err(timed_out()),
            Ok(Err(error)) => Err(failure(host, &error)),
        }
    }
}

/// Keeps the permitted addresses; if none is, says why of the first.
fn vet(policy: Policy, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut first_refusal = None;
    let mut permitted: Vec<SocketAddr> = Vec::with_capacity(found.len());
    for address in found {
        match policy.judge(host, address.ip()) {
            Ok(()) if permitted.contains(&address) => {}
            Ok(()) => permitted.push(address),
            Err(refusal) => {
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    match (permitted.is_empty(), first_refusal) {
        (true, Some(refusal)) => Err(refusal.into()),
        (true, None) => Err(ResolveError::NotFound { host: host.to_owned() }),
        (false, _) => Ok(permitted),
    }
}

/// What `getaddrinfo` says for `EAI_NONAME` and `EAI_NODATA`, in glibc's and in musl's words: the standard library
/// keeps the text only.
const NOT_FOUND: [&str; 4] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
];

fn is_not_found(error: &io::Error) -> bool {
    let text = error.to_string();
    NOT_FOUND.iter().any(|words| text.contains(words))
}

fn failure(host: &str, error: &io::Error) -> ResolveError {
    let host = host.to_owned();
    if is_not_found(error) {
        return ResolveError::NotFound { host };
    }
    let text = error.to_string();
    let why = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    ResolveError::Failed {
        host,
        why: why.to_owned(),
    }
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let deadline = Instant::now() + RESOLVE_MAX;
            let found = Self::resolve(&resolver, Policy::Configured, name.as_str(), 0, deadline).await?;
            let found: reqwest::dns::Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// The shared client's limit on a lookup; its callers have shorter ones around the whole request.
const RESOLVE_MAX: std::time::Duration = std::time::Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + std::time::Duration::from_secs(15)
    }

    #[tokio::test]
    async fn literals_and_localhost_need_no_name_server() {
        let resolver = Resolver::default();
        let resolve = async |host: &'static str| resolver.resolve(Policy::Configured, host, 80, soon()).await;
        assert_eq!(resolve("10.0.0.1").await.unwrap(), ["10.0.0.1:80".parse().unwrap()]);
        assert_eq!(resolve("::1").await.unwrap(), ["[::1]:80".parse().unwrap()]);
        let here = resolve("shop.LOCALHOST").await.unwrap();
        assert_eq!(here, ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_is_an_error() {
        let resolver = Resolver::default();
        let error = resolver
            .resolve(Policy::Configured, "no-such-host.invalid", 80, soon())
            .await
            .unwrap_err();
        // Without a name server the machine can only say that it failed.
        assert!(!matches!(error, ResolveError::Forbidden(_)), "{error}");
        assert!(
            error.to_string().starts_with("resolve no-such-host.invalid: "),
            "{error}"
        );
    }

    #[test]
    fn only_vetted_addresses_are_left() {
        let found: Vec<SocketAddr> = ["169.254.169.254:80", "10.0.0.1:80", "10.0.0.1:80"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let left = vet(Policy::Configured, "rebind.example", found.clone()).unwrap();
        assert_eq!(left, ["10.0.0.1:80".parse().unwrap()]);
        let error = vet(Policy::Foreign, "rebind.example", found).unwrap_err();
        assert!(error.to_string().contains("169.254.169.254"), "{error}");
    }
}
