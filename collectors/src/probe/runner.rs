//! Runs all probes: one timer for all, a task only while one looks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use config::Mistake;
use events::{Look, Name, Network, NetworkChanged, ProbeResult, Reason, ServiceId, Status, Timestamp, name_of};
use jiff::SignedDuration;
use outbound::Context;
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{OwnNetwork, Probe, ProbeSettings, schedule::Grid, why};

/// Most looks at one time: a quarter of the usual 1,024 file descriptors.
const LOOKS_MAX: usize = 256;
/// Most looks at one host at one time.
const LOOKS_PER_HOST: u32 = 32;
/// A first failure is looked at again after so long.
const SECOND_AFTER: Duration = Duration::from_secs(1);
/// A probe that has not ended so long after its deadline is broken.
const GRACE: Duration = Duration::from_secs(2);

/// What holds of a probe, as the views know it; `None` for one never seen.
pub type StatusOf = Arc<dyn Fn(&Name) -> Option<Status> + Send + Sync>;

/// Who takes what the probes found. May wait: then fewer probes look.
#[async_trait]
pub trait ProbeSink: Send + Sync {
    /// A probe's result.
    async fn result(&self, result: ProbeResult);

    /// How our own network is: at the start, and when it went away or came back. False when that is not recorded; then it
    /// is told again.
    async fn network(&self, changed: NetworkChanged) -> bool;
}

/// A probe, ready to be run.
#[derive(Clone)]
pub struct Watch {
    /// Its name.
    pub name: Name,
    /// The service it speaks for.
    pub service: ServiceId,
    /// How often it looks.
    pub every: Duration,
    /// How long a look may take.
    pub look_max: Duration,
    /// Whether a first failure is looked at again.
    pub second_look: bool,
    /// Whether no path lies between us and the target.
    pub is_near: bool,
    /// What it looks at.
    pub target: String,
    /// Probes of one host share a limit.
    pub host: String,
    /// What looks.
    pub probe: Arc<dyn Probe>,
}

impl Watch {
    /// Makes a probe from its configuration.
    pub fn new(name: &config::Name, settings: &ProbeSettings, context: &Context) -> Result<Self, Mistake> {
        if let Some(mistake) = settings.mistakes().into_iter().next() {
            return Err(mistake);
        }
        let kind = settings.check.as_dyn();
        let service = settings
            .service(name)
            .ok_or_else(|| Mistake::new(format!("{name} cannot be the name of a service")))?;
        Ok(Self {
            name: name_of(name.as_str()),
            service,
            every: settings.every.as_std(),
            look_max: settings.look_max(),
            second_look: settings.second_look,
            is_near: kind.is_near(),
            target: kind.target(),
            host: kind.host(),
            probe: kind.build(context)?.into(),
        })
    }

    #[tracing::instrument(level = "debug", skip_all, fields(probe = %self.name))]
    async fn look(&self) -> Look {
        let deadline = Instant::now() + self.look_max;
        match timeout_at(deadline + GRACE, self.probe.look(deadline)).await {
            Ok(look) => look,
            Err(_) => why::broken("the probe did not end at its deadline"),
        }
    }
}

/// What all looks share.
struct Shared {
    context: Context,
    network: OwnNetwork,
    status_of: StatusOf,
    sink: Arc<dyn ProbeSink>,
}

impl Shared {
    /// One look, and what a first failure needs besides.
    async fn probe(&self, watch: &Watch, planned: Timestamp) -> ProbeResult {
        let first = watch.look().await;
        let (look, first) = if first.status == Status::Fail && self.is_news(watch) {
            self.doubt(watch, first).await
        } else {
            (first, None)
        };
        ProbeResult {
            probe: watch.name.clone(),
            service: watch.service.clone(),
            planned,
            ended: self.context.now().wall,
            look,
            first,
        }
    }

    fn is_news(&self, watch: &Watch) -> bool {
        (self.status_of)(&watch.name) != Some(Status::Fail)
    }

    /// A failure that would be news: look again, and at ourselves.
    async fn doubt(&self, watch: &Watch, first: Look) -> (Look, Option<Look>) {
        if !watch.is_near && self.network.is_offline() {
            return (offline(&first), None);
        }
        let again = async {
            if !watch.second_look {
                return None;
            }
            sleep(SECOND_AFTER).await;
            Some(watch.look().await)
        };
        // Before and after the second look: the cut may come, or go, in between.
        let (second, before) = tokio::join!(again, self.ourselves(watch));
        let (look, first) = match second {
            Some(second) => (second, Some(first)),
            None => (first, None),
        };
        let is_cut_off = look.status == Status::Fail
            && (before == Network::Offline || (first.is_some() && self.ourselves(watch).await == Network::Offline));
        (if is_cut_off { offline(&look) } else { look }, first)
    }

    /// What the anchors say, if there is a path that could be cut.
    async fn ourselves(&self, watch: &Watch) -> Network {
        if watch.is_near {
            Network::Online
        } else {
            self.network.check().await
        }
    }
}

/// A failure that says nothing, as we are cut off.
fn offline(look: &Look) -> Look {
    let detail = format!("{}; what was seen: {}", Reason::WatcherOffline.text(), look.detail);
    Look {
        timings: look.timings.clone(),
        ..Look::new(Status::Unknown, Reason::WatcherOffline, detail)
    }
}

/// Runs all probes until it is stopped.
pub struct Runner {
    shared: Arc<Shared>,
    watches: Vec<Arc<Watch>>,
    grids: Vec<Grid>,
    /// For each probe the number of its host.
    hosts: Vec<usize>,
}

impl Runner {
    /// Prepares to run the probes; nothing looks before [`Runner::run`].
    pub fn new(
        context: &Context,
        network: OwnNetwork,
        watches: Vec<Watch>,
        status_of: StatusOf,
        sink: Arc<dyn ProbeSink>,
    ) -> Self {
        let network = if watches.iter().all(|watch| watch.is_near) {
            network.without_anchors()
        } else {
            network
        };
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let hosts = watches
            .iter()
            .map(|watch| {
                let next = numbers.len();
                *numbers.entry(watch.host.clone()).or_insert(next)
            })
            .collect();
        // The name as well: two probes of one target need not look at the same moment.
        let grids = watches
            .iter()
            .map(|watch| Grid::new(&format!("{}\n{}", watch.target, watch.name), watch.every))
            .collect();
        Self {
            shared: Arc::new(Shared {
                context: context.clone(),
                network,
                status_of,
                sink,
            }),
            watches: watches.into_iter().map(Arc::new).collect(),
            grids,
            hosts,
        }
    }

    /// Looks, on the grid of each probe, until `stop`; looks in flight are then given up.
    pub async fn run(self, stop: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        tokio::join!(Round::new(self).run(&stop), shared.network.run(&stop));
    }
}

/// A probe that is due, and when it was.
type Due = (Duration, usize);

/// The state of a running runner. Times are counted from its start.
struct Round {
    runner: Runner,
    began: Instant,
    timers: BinaryHeap<Reverse<Due>>,
    /// Due, but over a limit.
    waiting: VecDeque<Due>,
    looks: JoinSet<()>,
    in_flight: HashMap<Id, Due>,
    /// Looks in flight for each host.
    busy: Vec<u32>,
}

impl Round {
    fn new(runner: Runner) -> Self {
        let timers = runner
            .grids
            .iter()
            .enumerate()
            .map(|(index, grid)| Reverse((grid.first(), index)));
        Self {
            began: Instant::now(),
            timers: timers.collect(),
            waiting: VecDeque::new(),
            looks: JoinSet::new(),
            in_flight: HashMap::new(),
            busy: vec![0; runner.watches.len()],
            runner,
        }
    }

    async fn run(mut self, stop: &CancellationToken) {
        loop {
            let next = self.timers.peek().map(|Reverse((due, _))| self.began + *due);
            let timer = async {
                match next {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.looks.join_next_with_id() => self.end(ended),
                () = timer => self.collect_due(),
            }
            self.start_waiting();
        }
        self.looks.shutdown().await;
    }

    fn collect_due(&mut self) {
        let now = self.began.elapsed();
        while let Some(Reverse(due)) = self.timers.peek().copied() {
            if due.0 > now {
                return;
            }
            self.timers.pop();
            self.waiting.push_back(due);
        }
    }

    /// Starts what is due, in order, as far as the limits allow; what waits for a busy host does not hold up others.
    fn start_waiting(&mut self) {
        let mut index = 0;
        while self.in_flight.len() < LOOKS_MAX {
            let Some(due) = self.waiting.get(index).copied() else {
                return;
            };
            if self.start(due) {
                self.waiting.remove(index);
            } else {
                index += 1;
            }
        }
    }

    /// False when the host is busy.
    fn start(&mut self, due: Due) -> bool {
        let (planned, index) = due;
        let Some(watch) = self.runner.watches.get(index).map(Arc::clone) else {
            return true;
        };
        let Some(busy) = self.runner.hosts.get(index).and_then(|host| self.busy.get_mut(*host)) else {
            return true;
        };
        if *busy >= LOOKS_PER_HOST {
            return false;
        }
        *busy += 1;
        let shared = Arc::clone(&self.runner.shared);
        let late = self.began.elapsed().saturating_sub(planned);
        let late = SignedDuration::try_from(late).unwrap_or(SignedDuration::MAX);
        let planned = shared.context.now().wall.plus(-late);
        let task = self.looks.spawn(async move {
            let result = shared.probe(&watch, planned).await;
            shared.sink.result(result).await;
        });
        self.in_flight.insert(task.id(), due);
        true
    }

    fn end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, failure) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        let Some((planned, index)) = self.in_flight.remove(&id) else {
            return;
        };
        if let Some(error) = failure
            && self.tell_broken((planned, index), &error)
        {
            return;
        }
        if let Some(busy) = self.runner.hosts.get(index).and_then(|host| self.busy.get_mut(*host)) {
            *busy = busy.saturating_sub(1);
        }
        if let Some(grid) = self.runner.grids.get(index) {
            let next = grid.next(planned, self.began.elapsed());
            self.timers.push(Reverse((next, index)));
        }
    }

    /// A probe that panicked is a result as well; it stays in flight until that is taken.
    fn tell_broken(&mut self, due: Due, error: &JoinError) -> bool {
        let Some(watch) = self.runner.watches.get(due.1).map(Arc::clone) else {
            return false;
        };
        tracing::error!(probe = %watch.name, %error, "a probe failed");
        let shared = Arc::clone(&self.runner.shared);
        let now = shared.context.now().wall;
        let result = ProbeResult {
            probe: watch.name.clone(),
            service: watch.service.clone(),
            planned: now,
            ended: now,
            look: why::broken("the probe failed by a defect of its own; see the log"),
            first: None,
        };
        let task = self.looks.spawn(async move { shared.sink.result(result).await });
        self.in_flight.insert(task.id(), due);
        true
    }
}

#[cfg(test)]
mod tests;
