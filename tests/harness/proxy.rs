//! A TCP proxy that does to a connection what networks do: delay, black hole, cut, refuse.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ports;

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Everything goes through.
    #[default]
    None,
    /// Each piece waits this long before it goes on.
    Latency(Duration),
    /// Accepted, then silence: nothing goes either way.
    BlackHole,
    /// The request goes through; the reply is cut after this many bytes.
    CutReply(usize),
    /// The request is cut after this many bytes.
    CutRequest(usize),
    /// Accepted and closed at once with a reset, as near to "refused" as a listening port comes.
    Refuse,
    /// One bit of the reply's byte at this offset is flipped.
    FlipReply(usize),
}

type Plan = Box<dyn FnMut(usize) -> Fault + Send>;

struct Shared {
    plan: Mutex<Plan>,
    connections: AtomicUsize,
    ended: AtomicBool,
}

/// The proxy.
pub struct Proxy {
    /// Port it listens on.
    pub port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("port", &self.port)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts it on a free port, without faults, in front of a loopback port.
    #[must_use]
    pub fn start(to: u16) -> Self {
        Self::start_on(ports::free(), ports::local(to))
    }

    /// Starts it on a given loopback port, in front of any address.
    #[must_use]
    pub fn start_on(port: u16, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(ports::local(port)).unwrap();
        let plan: Plan = Box::new(|_| Fault::None);
        let shared = Arc::new(Shared {
            plan: Mutex::new(plan),
            connections: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || accept(&listener, to, &own))
            .unwrap();
        Self {
            port,
            shared,
            thread: Some(thread),
        }
    }

    /// Every connection from here on meets this fault.
    pub fn set(&self, fault: Fault) {
        self.set_plan(move |_| fault);
    }

    /// Each connection from here on meets what `plan` says for its number, counted from 0 since the start.
    pub fn set_plan(&self, plan: impl FnMut(usize) -> Fault + Send + 'static) {
        *self.shared.plan.lock().unwrap() = Box::new(plan);
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(ports::local(self.port));
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, to: SocketAddr, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let fault = (shared.plan.lock().unwrap())(number);
        let shared = Arc::clone(shared);
        let serving = move || serve(&stream, to, fault, &shared).unwrap_or_default();
        let _detached = std::thread::Builder::new()
            .name("proxy connection".to_owned())
            .spawn(serving)
            .unwrap();
    }
}

fn serve(client: &TcpStream, to: SocketAddr, fault: Fault, shared: &Arc<Shared>) -> std::io::Result<()> {
    match fault {
        Fault::Refuse => {
            // Unread bytes make the kernel answer the close with a reset.
            return client.shutdown(Shutdown::Read);
        }
        Fault::BlackHole => {
            client.set_read_timeout(Some(Duration::from_millis(200)))?;
            return hold(client, shared);
        }
        _ => {}
    }
    let server = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    let (request, reply) = match fault {
        Fault::CutReply(bytes) => (
            Way::default(),
            Way {
                cut: Some(bytes),
                ..Way::default()
            },
        ),
        Fault::CutRequest(bytes) => (
            Way {
                cut: Some(bytes),
                ..Way::default()
            },
            Way::default(),
        ),
        Fault::FlipReply(offset) => (
            Way::default(),
            Way {
                flip: Some(offset),
                ..Way::default()
            },
        ),
        Fault::Latency(wait) => (Way { wait, ..Way::default() }, Way { wait, ..Way::default() }),
        _ => (Way::default(), Way::default()),
    };
    let (from, into) = (client.try_clone()?, server.try_clone()?);
    let up = std::thread::Builder::new()
        .name("proxy request".to_owned())
        .spawn(move || copy(&from, &into, request))?;
    copy(&server, client, reply);
    let _ended = up.join();
    Ok(())
}

/// Swallows what comes until the client gives up or the proxy ends.
fn hold(mut client: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while !shared.ended.load(Ordering::SeqCst) {
        match client.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What happens to one direction.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    wait: Duration,
    cut: Option<usize>,
    flip: Option<usize>,
}

fn copy(mut from: &TcpStream, mut into: &TcpStream, way: Way) {
    let (mut buffer, mut passed) = ([0_u8; 16 * 1024], 0_usize);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !way.wait.is_zero() {
            std::thread::sleep(way.wait);
        }
        if let Some(offset) = way.flip.filter(|offset| (passed..passed + count).contains(offset)) {
            buffer[offset - passed] ^= 1;
        }
        let allowed = way.cut.map_or(count, |cut| cut.saturating_sub(passed).min(count));
        if into.write_all(&buffer[..allowed]).is_err() {
            break;
        }
        passed += count;
        if allowed < count || way.cut.is_some_and(|cut| passed >= cut) {
            let _gone = from.shutdown(Shutdown::Both);
            let _cut = into.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ended = into.shutdown(Shutdown::Write);
}
