//! One connection's peer: when it last took or gave a byte, and an end to writing to one that takes none.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What is known of a peer while its connection is open.
pub(super) struct Peer {
    began: Instant,
    /// Milliseconds from `began` to the last byte either way.
    moved_ms: AtomicU64,
    /// Requests of it that we are working on.
    asked: AtomicUsize,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            moved_ms: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
        }
    }

    fn moved(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(elapsed, Ordering::Relaxed);
    }

    /// For how long no byte went either way; none while it is us who are waited for.
    pub(super) fn idle(&self) -> Option<Duration> {
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        (self.asked.load(Ordering::Relaxed) == 0).then(|| self.began.elapsed().saturating_sub(moved))
    }

    /// Says that we work on a request of it, until what is returned is dropped.
    pub(super) fn asks(self: &Arc<Self>) -> Asked {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Asked(Arc::clone(self))
    }
}

/// A request that is being worked on.
pub(super) struct Asked(Arc<Peer>);

impl Drop for Asked {
    fn drop(&mut self) {
        // What follows is the answer: the peer's turn begins now.
        self.0.moved();
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that notes every byte, and fails when nothing of what is to be written was taken for some time.
pub(super) struct Watched<S> {
    stream: S,
    peer: Arc<Peer>,
    write_time: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) const fn new(stream: S, peer: Arc<Peer>, write_time: Duration) -> Self {
        Self {
            stream,
            peer,
            write_time,
            stalled: None,
        }
    }

    /// What came of an attempt to write.
    fn written(&mut self, wrote: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.peer.moved();
            self.stalled = None;
            return wrote;
        }
        let write_time = self.write_time;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(write_time)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if buffer.filled().len() > before {
            self.peer.moved();
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(wrote, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
