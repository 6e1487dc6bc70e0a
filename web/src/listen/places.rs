//! The open connections of a listener. When there is no place for a new one, the one whose peer is idle for longest is
//! closed: who holds connections and does nothing with them keeps nobody out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::Instant,
};

use super::peer::Peer;

/// Most connections at a time on each listener, if the process may have files enough.
const CONNECTIONS_MAX: usize = 1024;
/// The part of the files that this process may open that a listener's connections may be: there are two listeners, and
/// the record, probes and messages need files as well.
const FILES_PART: u64 = 4;
/// A peer that moved a byte so recently is not idle.
const IDLE_MIN: Duration = Duration::from_millis(100);
/// How often it is logged at most that connections were closed to make room.
const SAY_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Places {
    most: usize,
    tasks: JoinSet<()>,
    open: BTreeMap<Id, (Arc<Peer>, AbortHandle)>,
    /// Closed to make room since that was last said.
    closed: u64,
    said: Option<Instant>,
}

impl Places {
    pub(super) fn new() -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = files.and_then(|files| usize::try_from(files / FILES_PART).ok());
        Self {
            most: most.unwrap_or(CONNECTIONS_MAX).clamp(1, CONNECTIONS_MAX),
            tasks: JoinSet::new(),
            open: BTreeMap::new(),
            closed: 0,
            said: None,
        }
    }

    /// Waits for a place, and makes one if need be.
    pub(super) async fn free(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
        while self.open.len() >= self.most {
            let idle = self.longest_idle();
            let wait = match idle {
                Some((id, idle)) if idle >= IDLE_MIN => {
                    self.close(id);
                    IDLE_MIN
                }
                Some((_, idle)) => IDLE_MIN.saturating_sub(idle),
                None => IDLE_MIN,
            };
            if let Ok(Some(ended)) = tokio::time::timeout(wait, self.tasks.join_next_with_id()).await {
                self.forget(ended);
            }
        }
    }

    fn longest_idle(&self) -> Option<(Id, Duration)> {
        let idle = self.open.iter().filter_map(|(id, (peer, _))| Some((*id, peer.idle()?)));
        idle.max_by_key(|(_, idle)| *idle)
    }

    fn close(&mut self, id: Id) {
        if let Some((_, task)) = self.open.get(&id) {
            task.abort();
        }
        self.closed += 1;
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            tracing::warn!(
                closed = self.closed,
                places = self.most,
                "all places were taken: idle connections were closed"
            );
            (self.closed, self.said) = (0, Some(Instant::now()));
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.open.remove(&id);
    }

    /// Gives a connection its place.
    pub(super) fn take(&mut self, peer: Arc<Peer>, conversation: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(conversation);
        self.open.insert(task.id(), (peer, task));
    }

    /// Waits until all have ended.
    pub(super) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
