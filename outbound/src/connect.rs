//! One TCP connection to a host, its addresses tried in order.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::{Context, Policy, ResolveError};

/// A connection and where its time went.
#[derive(Debug)]
pub struct Connected {
    /// The connection; small writes are sent at once.
    pub stream: TcpStream,
    /// Whom it leads to.
    pub address: SocketAddr,
    /// Time for the name, if one had to be looked up.
    pub resolve: Option<Duration>,
    /// Time for the connection, addresses that did not answer included.
    pub connect: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host has no address that may be reached.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// No answer in time.
    #[error("connect to {address}: no answer in time")]
    TimedOut {
        /// Where to.
        address: SocketAddr,
    },
    /// The peer, the network or this machine refused.
    #[error("connect to {address}")]
    Io {
        /// Where to.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl ConnectError {
    /// Of several failed addresses the most telling one is reported: a refusal says more than a silence, and a silence
    /// more than a network that is not there (IPv6 on an IPv4 host).
    fn weight(&self) -> u8 {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => 4,
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => 1,
                _ => 2,
            },
            Self::TimedOut { .. } => 3,
            Self::Resolve(_) => 0,
        }
    }
}

impl Context {
    /// Connects to a host (a name, or a literal address without brackets): one connection, to the first address that
    /// takes it. An address gets an equal share of the time that is left, so that a silent one leaves some for the next.
    pub async fn connect(
        &self,
        policy: Policy,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Connected, ConnectError> {
        let began = Instant::now();
        let addresses = self.resolver().resolve(policy, host, port, deadline).await?;
        let looked_up = host.parse::<std::net::IpAddr>().is_err();
        let resolve = looked_up.then(|| began.elapsed());
        let began = Instant::now();
        let (stream, address) = first_of(host, addresses, deadline).await?;
        Ok(Connected {
            stream,
            address,
            resolve,
            connect: began.elapsed(),
        })
    }
}

/// The first address that takes a connection, tried one after the other.
async fn first_of(
    host: &str,
    addresses: Vec<SocketAddr>,
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let mut worst: Option<ConnectError> = None;
    for address in addresses {
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left.max(1);
        left = left.saturating_sub(1);
        match attempt(address, share).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) if worst.as_ref().is_none_or(|worst| error.weight() > worst.weight()) => worst = Some(error),
            Err(_) => {}
        }
    }
    Err(worst.unwrap_or_else(|| ResolveError::NotFound { host: host.to_owned() }.into()))
}

async fn attempt(address: SocketAddr, deadline: Instant) -> Result<TcpStream, ConnectError> {
    match timeout_at(deadline, TcpStream::connect(address)).await {
        Err(_) => Err(ConnectError::TimedOut { address }),
        Ok(Err(source)) => Err(ConnectError::Io { address, source }),
        Ok(Ok(stream)) => {
            // Without it a request written in two parts waits for an acknowledgement; failing to set it costs only time.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_next_address_is_tried() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refuses = closed.local_addr().unwrap();
        drop(closed);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let takes = listener.local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let (_, address) = first_of("shop", vec![refuses, takes], deadline).await.unwrap();
        assert_eq!(address, takes);
        let error = first_of("shop", vec![refuses], deadline).await.unwrap_err();
        assert_eq!(error.to_string(), format!("connect to {refuses}"));
    }
}
