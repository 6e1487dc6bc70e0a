//! Free ports on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Ports are handed out below the kernel's ephemeral range (from 32768), so that no outgoing connection takes one in between.
const FIRST: u16 = 12_000;
const COUNT: u16 = 18_000;

/// A loopback port that nobody listens on. Two processes of the test runner start at different places, and none is given twice.
#[must_use]
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(u64::from(std::process::id()) * 37 % u64::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (process.wrapping_add(step)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// The loopback address with this port.
#[must_use]
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Whether somebody accepts connections there.
#[must_use]
pub fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// Waits until somebody accepts connections on this loopback port.
pub fn wait_for(port: u16, limit: Duration) {
    crate::wait::until(&format!("port {port} to accept"), limit, || {
        answers(local(port)).then_some(())
    });
}
