//! What waits to be committed: bounded in bytes, in waiting time, and for each source.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use events::{Attributes, Batch, LogRecord, ProbeResult, Record, SpanRecord, Timestamp};
use jiff::SignedDuration;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{Appended, RETRY_BUSY, RETRY_FULL, Removed, Retention, TelemetryError, TelemetryOptions, lock};

/// A batch that waits.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) bytes: usize,
    at: Instant,
    answer: oneshot::Sender<Result<Appended, TelemetryError>>,
}

impl Request {
    pub(super) fn new(batch: Batch, bytes: usize, answer: oneshot::Sender<Result<Appended, TelemetryError>>) -> Self {
        Self {
            batch,
            bytes,
            at: Instant::now(),
            answer,
        }
    }

    /// Answers; nobody may be there any more to hear it.
    pub(super) fn answer(self, result: Result<Appended, TelemetryError>) {
        let _gone = self.answer.send(result);
    }
}

/// Housekeeping that waits for an idle moment.
pub(super) struct Task {
    pub(super) retention: Retention,
    pub(super) removed: Removed,
    answer: oneshot::Sender<Result<Removed, TelemetryError>>,
}

impl Task {
    pub(super) fn new(retention: Retention, answer: oneshot::Sender<Result<Removed, TelemetryError>>) -> Self {
        Self {
            retention,
            removed: Removed::default(),
            answer,
        }
    }

    /// Answers; nobody may be there any more to hear it.
    pub(super) fn answer(self, result: Result<(), TelemetryError>) {
        let _gone = self.answer.send(result.map(|()| self.removed));
    }
}

/// What the writer does next.
pub(super) enum Next {
    /// Commit these.
    Group(Vec<Request>),
    /// One slice of housekeeping.
    Task(Task),
    /// Nothing came for a while.
    Idle,
    /// Nothing waits, and nothing will come.
    End,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    by_source: BTreeMap<String, usize>,
    task: Option<Task>,
    /// True while the writer works on one.
    task_taken: bool,
    /// When the last slice of a task ended.
    slice_at: Option<Instant>,
    /// When the group that is being committed was taken.
    committing: Option<Instant>,
    full: bool,
    closed: bool,
}

/// The queue before the one writer.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    came: Notify,
    bytes_max: usize,
    wait_max: SignedDuration,
    linger: Duration,
}

/// Most rows of one group, unless a single batch has more.
const GROUP_ROWS: usize = 1024;
/// Most bytes of one group, unless a single batch has more.
const GROUP_BYTES: usize = 1 << 20;
/// Under load a task gets its turn this often.
const SLICE_EVERY: Duration = Duration::from_millis(100);
/// After this long without work the writer looks after itself.
const IDLE: Duration = Duration::from_secs(1);

impl Queue {
    pub(super) fn new(options: &TelemetryOptions) -> Self {
        Self {
            waiting: Mutex::default(),
            came: Notify::new(),
            bytes_max: options.queue_bytes,
            wait_max: options.wait_max,
            linger: options.linger.unsigned_abs(),
        }
    }

    /// Takes a request in, or says why not.
    pub(super) fn push(&self, request: Request) -> Result<(), TelemetryError> {
        let mut waiting = lock(&self.waiting);
        self.admit(&waiting, &request)?;
        waiting.bytes += request.bytes;
        *waiting.by_source.entry(request.batch.source.clone()).or_default() += request.bytes;
        waiting.requests.push_back(request);
        drop(waiting);
        self.came.notify_one();
        Ok(())
    }

    fn admit(&self, waiting: &Waiting, request: &Request) -> Result<(), TelemetryError> {
        if waiting.closed {
            return Err(TelemetryError::Stopping);
        }
        if waiting.full {
            return Err(TelemetryError::DiskFull {
                retry_after: RETRY_FULL,
            });
        }
        let busy = Err(TelemetryError::Busy {
            retry_after: RETRY_BUSY,
        });
        // Probe results carry no key; an eighth of the queue is theirs alone.
        if request.batch.key.is_none() {
            return if waiting.bytes + request.bytes > self.bytes_max {
                busy
            } else {
                Ok(())
            };
        }
        let of_source = waiting.by_source.get(&request.batch.source).copied().unwrap_or(0);
        // A source that has nothing waiting may send one batch as large as any.
        let unfair = of_source > 0 && of_source + request.bytes > self.bytes_max / 2;
        let too_much = unfair || waiting.bytes + request.bytes > self.bytes_max / 8 * 7;
        let oldest = waiting.requests.front().map(|request| request.at);
        let waits =
            |since: Instant| SignedDuration::try_from(since.elapsed()).is_ok_and(|waited| waited > self.wait_max);
        let too_long = oldest.into_iter().chain(waiting.committing).any(waits);
        if too_much || too_long { busy } else { Ok(()) }
    }

    /// Leaves a task for an idle moment; only one waits at a time.
    pub(super) fn push_task(&self, task: Task) -> Result<(), TelemetryError> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(TelemetryError::Stopping);
        }
        if waiting.task.is_some() || waiting.task_taken {
            return Err(TelemetryError::Busy {
                retry_after: RETRY_BUSY,
            });
        }
        waiting.task = Some(task);
        drop(waiting);
        self.came.notify_one();
        Ok(())
    }

    /// Waits for what is to be done. Nothing is lost when this future is dropped.
    pub(super) async fn next(&self) -> Next {
        lock(&self.waiting).committing = None;
        let idle = Instant::now() + IDLE;
        loop {
            match self.look() {
                Look::Now(next) => return next,
                Look::At(when) => {
                    let _more = tokio::time::timeout_at(when, self.came.notified()).await;
                }
                Look::Empty => {
                    let came = tokio::time::timeout_at(idle, self.came.notified()).await;
                    if came.is_err() {
                        return Next::Idle;
                    }
                }
            }
        }
    }

    fn look(&self) -> Look {
        let mut waiting = lock(&self.waiting);
        if let Some(task) = waiting.task_due() {
            return Look::Now(Next::Task(task));
        }
        let Some(oldest) = waiting.requests.front() else {
            return if waiting.closed {
                Look::Now(Next::End)
            } else {
                Look::Empty
            };
        };
        let due = oldest.at + self.linger;
        let rows: usize = waiting
            .requests
            .iter()
            .take(GROUP_ROWS)
            .map(|request| request.batch.records.len())
            .sum();
        let ready = waiting.closed || rows >= GROUP_ROWS || waiting.bytes >= GROUP_BYTES || due <= Instant::now();
        if ready {
            Look::Now(Next::Group(waiting.take_group()))
        } else {
            Look::At(due)
        }
    }

    /// Refuses everything that comes from now on; what waits is still taken.
    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.came.notify_one();
    }

    /// Whether the disk is nearly full.
    pub(super) fn set_full(&self, full: bool) {
        lock(&self.waiting).full = full;
    }

    /// Requests and bytes that wait.
    pub(super) fn depth(&self) -> (usize, usize) {
        let waiting = lock(&self.waiting);
        (waiting.requests.len(), waiting.bytes)
    }

    /// How long the oldest of what waits, or what is being committed, has not been answered; and whether the disk is nearly
    /// full.
    pub(super) fn standing(&self) -> (Duration, bool) {
        let waiting = lock(&self.waiting);
        let oldest = waiting.requests.front().map(|request| request.at);
        let since = oldest.into_iter().chain(waiting.committing).min();
        (since.map_or(Duration::ZERO, |since| since.elapsed()), waiting.full)
    }

    /// Drops what waits: there is no writer any more.
    pub(super) fn abandon(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.closed = true;
        let requests = std::mem::take(&mut waiting.requests);
        let task = waiting.task.take();
        drop(waiting);
        for request in requests {
            request.answer(Err(TelemetryError::Stopping));
        }
        if let Some(task) = task {
            task.answer(Err(TelemetryError::Stopping));
        }
    }

    /// A writer begins; what an earlier one had in hand is gone with it.
    pub(super) fn begin(&self) {
        lock(&self.waiting).task_taken = false;
    }

    /// A slice of a task is done: with a task that has more to do, it goes on later.
    pub(super) fn task_done(&self, more: Option<Task>) {
        let mut waiting = lock(&self.waiting);
        waiting.task_taken = false;
        waiting.slice_at = Some(Instant::now());
        waiting.task = more;
    }
}

enum Look {
    Now(Next),
    At(Instant),
    Empty,
}

impl Waiting {
    /// Takes the task when nothing else waits, or when it had to wait long enough; none once the queue is closed.
    fn task_due(&mut self) -> Option<Task> {
        let starved = self.slice_at.is_none_or(|at| at.elapsed() >= SLICE_EVERY);
        if self.closed {
            if let Some(task) = self.task.take() {
                task.answer(Err(TelemetryError::Stopping));
            }
            return None;
        }
        let task = if self.requests.is_empty() || starved {
            self.task.take()
        } else {
            None
        };
        self.task_taken = task.is_some();
        task
    }

    /// Takes requests in order until one more would be too many.
    fn take_group(&mut self) -> Vec<Request> {
        let mut group = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while let Some(request) = self.requests.pop_front() {
            rows += request.batch.records.len();
            bytes += request.bytes;
            if !group.is_empty() && (rows > GROUP_ROWS || bytes > GROUP_BYTES) {
                self.requests.push_front(request);
                break;
            }
            self.bytes = self.bytes.saturating_sub(request.bytes);
            self.release(&request);
            group.push(request);
        }
        self.committing = Some(Instant::now());
        group
    }

    fn release(&mut self, request: &Request) {
        let Some(held) = self.by_source.get_mut(&request.batch.source) else {
            return;
        };
        *held = held.saturating_sub(request.bytes);
        if *held == 0 {
            self.by_source.remove(&request.batch.source);
        }
    }
}

/// What a record takes besides its texts.
const RECORD_BYTES: usize = 160;
/// What an attribute takes besides its texts.
const ATTRIBUTE_BYTES: usize = 64;

/// Bytes that something takes in memory, about.
pub(super) trait Footprint {
    fn footprint(&self) -> usize;
}

impl Footprint for Attributes {
    fn footprint(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.len() + ATTRIBUTE_BYTES)
            .sum()
    }
}

impl Footprint for LogRecord {
    fn footprint(&self) -> usize {
        RECORD_BYTES + self.body.len() + self.attributes.footprint()
    }
}

impl Footprint for SpanRecord {
    fn footprint(&self) -> usize {
        let of_event = |(_, name, attributes): &(Timestamp, String, Attributes)| {
            RECORD_BYTES + name.len() + attributes.footprint()
        };
        let events: usize = self.events.iter().map(of_event).sum();
        RECORD_BYTES + self.name.len() + self.status_message.len() + self.attributes.footprint() + events
    }
}

impl Footprint for ProbeResult {
    fn footprint(&self) -> usize {
        let looks = std::iter::once(&self.look).chain(&self.first);
        RECORD_BYTES
            + looks
                .map(|look| RECORD_BYTES + look.detail.len() + look.evidence.len())
                .sum::<usize>()
    }
}

impl Footprint for Batch {
    fn footprint(&self) -> usize {
        let record = |record: &Record| match record {
            Record::Log(log) => log.footprint(),
            Record::Span(span) => span.footprint(),
            Record::Probe(probe) => probe.footprint(),
        };
        RECORD_BYTES + self.reply.len() + self.records.iter().map(record).sum::<usize>()
    }
}
