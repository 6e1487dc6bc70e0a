//! Our own network: before a target out there is blamed, well-known anchors are asked whether we are cut off ourselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use config::Located;
use events::{Network, NetworkChanged};
use futures_util::{StreamExt, stream::FuturesUnordered};
use outbound::{Context, Finding, Policy, chain};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Endpoint, runner::ProbeSink};

/// How long an anchor may take.
const ANCHOR_MAX: Duration = Duration::from_secs(2);
/// How often to look while we are cut off, so that coming back is noticed; and while the record does not take what is told.
const OFFLINE_EVERY: Duration = Duration::from_secs(3);
/// How often to look while no anchor has answered since the start.
const SILENT_EVERY: Duration = Duration::from_secs(30);

/// `[network]`: how the daemon finds out whether its own network works.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// Who is asked, by connecting and hanging up, when a target fails: well-known public resolvers when not said. An
    /// anchor that never answered has no opinion; with an empty list nobody is asked.
    #[serde(default = "well_known")]
    #[schemars(with = "Vec<Endpoint>")]
    pub anchors: Vec<Located<Endpoint>>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self { anchors: well_known() }
    }
}

/// Three operators in different networks, by address, so that a name server is no part of the question.
const WELL_KNOWN: [&str; 5] = [
    "1.1.1.1",
    "8.8.8.8",
    "9.9.9.9",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
];

fn well_known() -> Vec<Located<Endpoint>> {
    WELL_KNOWN
        .iter()
        .map(|host| Located::new(Endpoint::known(host, 443), 0..0))
        .collect()
}

/// Who is asked.
#[derive(Clone, Debug)]
pub struct Anchors {
    context: Context,
    endpoints: Vec<Endpoint>,
}

impl Anchors {
    /// The anchors of the configuration.
    pub fn new(context: &Context, settings: &NetworkSettings) -> Self {
        Self {
            context: context.clone(),
            endpoints: settings.anchors.iter().map(|anchor| (**anchor).clone()).collect(),
        }
    }

    /// Asks all at once, and waits for the first that answers: whether one did, and what each said until then.
    async fn ask(&self) -> (bool, Vec<String>) {
        let mut asked: FuturesUnordered<_> = self.endpoints.iter().map(|endpoint| self.ask_one(endpoint)).collect();
        let mut evidence = Vec::with_capacity(self.endpoints.len());
        while let Some((answered, said)) = asked.next().await {
            evidence.push(said);
            if answered {
                return (true, evidence);
            }
        }
        (false, evidence)
    }

    async fn ask_one(&self, endpoint: &Endpoint) -> (bool, String) {
        let deadline = Instant::now() + ANCHOR_MAX;
        let connect = self
            .context
            .connect(Policy::Configured, endpoint.host(), endpoint.port(), deadline);
        match connect.await {
            Ok(connected) => (
                true,
                format!("{endpoint}: answered in {} ms", connected.connect.as_millis()),
            ),
            Err(error) => (false, format!("{endpoint}: {}", chain(&error))),
        }
    }

    /// Asks each, for `watchkeep check`.
    pub async fn preflight(&self) -> Vec<Finding> {
        let what = "own network (anchors)";
        if self.endpoints.is_empty() {
            return vec![Finding::skipped(
                what,
                "no anchors are configured: an outage of this network blames the targets",
            )];
        }
        let (answered, evidence) = self.ask().await;
        let said = evidence.join("; ");
        vec![if answered {
            Finding::ok(what, said)
        } else {
            let remedy = "name anchors that can be reached from here: [network] anchors = [\"10.0.0.1:443\"]";
            Finding::problem(what, said, remedy)
        }]
    }
}

#[derive(Debug)]
struct State {
    /// Begin of the last check.
    checked: Option<Instant>,
    /// Whether an anchor answered, now or before the last restart: only then does silence mean anything.
    has_ever_answered: bool,
    network: Network,
    /// Whether the record has it: no state is told at first, and a change is none until it is told.
    is_told: bool,
}

/// What is known of our own network.
pub struct OwnNetwork {
    anchors: Anchors,
    sink: Arc<dyn ProbeSink>,
    state: Mutex<State>,
    is_offline: AtomicBool,
    changed: Notify,
}

impl OwnNetwork {
    /// Goes on from what was `recorded` last. Who was cut off stays so until an anchor answers: those anchors had answered
    /// once. Who was not is online until an anchor that answered does not any more. What the first check says is told in any
    /// case, as whoever recorded the last state may not have seen its end.
    pub fn new(anchors: Anchors, recorded: Network, sink: Arc<dyn ProbeSink>) -> Self {
        let is_offline = recorded == Network::Offline && !anchors.endpoints.is_empty();
        Self {
            anchors,
            sink,
            state: Mutex::new(State {
                checked: None,
                has_ever_answered: is_offline,
                network: if is_offline { Network::Offline } else { Network::Online },
                is_told: false,
            }),
            is_offline: AtomicBool::new(is_offline),
            changed: Notify::new(),
        }
    }

    /// The same with no anchors, for when no probe is far away: nobody would notice that we are cut off.
    pub(super) fn without_anchors(mut self) -> Self {
        self.anchors.endpoints.clear();
        Self::new(self.anchors, Network::Online, self.sink)
    }

    /// What the last check said.
    pub fn is_offline(&self) -> bool {
        self.is_offline.load(Ordering::Acquire)
    }

    /// Asks the anchors. Who asks while a check runs shares the next one: an answer from before the question could be
    /// from before the cut. A change is told before this returns.
    pub async fn check(&self) -> Network {
        let asked_at = Instant::now();
        let mut state = self.state.lock().await;
        if state.checked.is_some_and(|began| began >= asked_at) {
            return state.network;
        }
        state.checked = Some(Instant::now());
        let (answered, evidence) = self.anchors.ask().await;
        state.has_ever_answered |= answered;
        let to = match (answered, state.has_ever_answered) {
            (false, true) => Network::Offline,
            _ => Network::Online,
        };
        if to != state.network {
            state.network = to;
            state.is_told = false;
            self.is_offline.store(to == Network::Offline, Ordering::Release);
            self.changed.notify_one();
        }
        if !state.is_told {
            state.is_told = self.sink.network(NetworkChanged { to, evidence }).await;
        }
        to
    }

    /// Tells at the start how it is, learns which anchors answer, and notices when the network is back. Ends with `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let watch = async {
            loop {
                self.check().await;
                match self.pause().await {
                    Some(pause) => {
                        let _ = timeout(pause, self.changed.notified()).await;
                    }
                    None => self.changed.notified().await,
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch => {}
        }
    }

    /// How long until the next check, if one is needed before a target fails.
    async fn pause(&self) -> Option<Duration> {
        let state = self.state.lock().await;
        if state.network == Network::Offline || !state.is_told {
            Some(OFFLINE_EVERY)
        } else if state.has_ever_answered || self.anchors.endpoints.is_empty() {
            None
        } else {
            Some(SILENT_EVERY)
        }
    }
}
