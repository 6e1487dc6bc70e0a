//! The runner: when it looks, when it doubts, and whom it blames.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "these are tests, though clippy looks for the attribute only"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod support;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use collectors::probe::{Anchors, NetworkSettings, OwnNetwork, Probe, Runner, StatusOf, Watch};
use events::{Look, Name, Network, Reason, ServiceId, Status};
use outbound::Context;
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use self::support::{Found, Nginx, context, free_port, wait_until, watch};

struct Running {
    found: Arc<Found>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    fn start(context: &Context, anchors: &str, watches: Vec<Watch>, status: Option<Status>) -> Self {
        Self::start_after(context, (Network::Online, Found::default()), anchors, watches, status)
    }

    /// After a life that recorded this of our own network, and with this to take what is found.
    fn start_after(
        context: &Context,
        (recorded, found): (Network, Found),
        anchors: &str,
        watches: Vec<Watch>,
        status: Option<Status>,
    ) -> Self {
        let found = Arc::new(found);
        let settings: NetworkSettings =
            config::load(&config::Source::new("network.toml", format!("anchors = {anchors}"))).unwrap();
        let network = OwnNetwork::new(Anchors::new(context, &settings), recorded, found.clone());
        let status_of: StatusOf = Arc::new(move |_| status);
        let runner = Runner::new(context, network, watches, status_of, found.clone());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(runner.run(stop.clone()));
        Self { found, stop, tasks }
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// A probe that does as it is told.
struct Puppet {
    looks: AtomicU32,
    in_flight: AtomicBool,
    act: fn(u32) -> Act,
}

enum Act {
    Say(Status),
    Hang,
    Panic,
}

#[async_trait]
impl Probe for Puppet {
    async fn look(&self, deadline: Instant) -> Look {
        assert!(!self.in_flight.swap(true, Ordering::SeqCst), "two looks in flight");
        let number = self.looks.fetch_add(1, Ordering::SeqCst);
        let act = (self.act)(number);
        if let Act::Hang = act {
            tokio::time::sleep_until(deadline).await;
        }
        self.in_flight.store(false, Ordering::SeqCst);
        match act {
            Act::Say(Status::Pass) => Look::new(Status::Pass, Reason::Ok, ""),
            Act::Say(status) => Look::new(status, Reason::ConnectRefused, ""),
            Act::Hang => Look::new(Status::Fail, Reason::Timeout, ""),
            Act::Panic => panic!("as told"),
        }
    }
}

fn puppet(name: &str, act: fn(u32) -> Act) -> Watch {
    Watch {
        name: Name::new(name).unwrap(),
        service: ServiceId::new(name).unwrap(),
        every: Duration::from_secs(1),
        look_max: Duration::from_secs(1),
        second_look: true,
        is_near: true,
        target: name.to_owned(),
        host: name.to_owned(),
        probe: Arc::new(Puppet {
            looks: AtomicU32::new(0),
            in_flight: AtomicBool::new(false),
            act,
        }),
    }
}

#[tokio::test]
async fn looks_on_its_grid() {
    let context = context();
    let running = Running::start(&context, "[]", vec![puppet("a", |_| Act::Say(Status::Pass))], None);
    wait_until("four looks", || running.found.count() >= 4).await;
    let results = running.found.of("a");
    running.end().await;
    // The first may come early; from then on every second.
    for pair in results[1..].windows(2) {
        let gap = pair[1].planned.since(pair[0].planned).as_millis();
        assert!((950..=1050).contains(&gap), "{gap} ms between planned looks");
    }
    for result in &results {
        assert!(result.ended >= result.planned);
        assert_eq!((result.look.status, &result.first), (Status::Pass, &None));
    }
}

#[tokio::test]
async fn a_first_failure_is_looked_at_again() {
    let context = context();
    let once = |number| Act::Say(if number == 0 { Status::Fail } else { Status::Pass });
    let watches = vec![
        puppet("blip", once),
        puppet("down", |_| Act::Say(Status::Fail)),
        Watch {
            second_look: false,
            ..puppet("hasty", |_| Act::Say(Status::Fail))
        },
    ];
    let began = Instant::now();
    let running = Running::start(&context, "[]", watches, None);
    wait_until("a result of each", || {
        ["blip", "down", "hasty"]
            .iter()
            .all(|name| !running.found.of(name).is_empty())
    })
    .await;
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "the second look comes after a second"
    );
    let first = |name| running.found.of(name).into_iter().next().unwrap();
    assert_eq!(first("blip").look.status, Status::Pass);
    assert_eq!(first("blip").first.unwrap().status, Status::Fail);
    let down = first("down");
    assert_eq!(
        (down.look.status, down.first.unwrap().status),
        (Status::Fail, Status::Fail)
    );
    assert_eq!(first("hasty").first, None);
    running.end().await;
    // What is known to be down is not doubted: one look, one result.
    let running = Running::start(
        &context,
        "[]",
        vec![puppet("down", |_| Act::Say(Status::Fail))],
        Some(Status::Fail),
    );
    wait_until("a result", || running.found.count() > 0).await;
    assert_eq!(running.found.of("down")[0].first, None);
    running.end().await;
}

#[tokio::test]
async fn a_probe_that_hangs_or_panics_is_a_result_and_goes_on() {
    let context = context();
    let bad = |number| {
        if number == 0 {
            Act::Panic
        } else {
            Act::Say(Status::Pass)
        }
    };
    let watches = vec![
        puppet("hangs", |_| Act::Hang),
        Watch {
            probe: puppet("x", bad).probe,
            ..puppet("bad", bad)
        },
    ];
    let running = Running::start(&context, "[]", watches, None);
    wait_until("results of both", || {
        running.found.of("hangs").len() >= 2 && !running.found.of("bad").is_empty()
    })
    .await;
    let broken = running.found.of("bad").into_iter().next().unwrap();
    assert_eq!(
        (broken.look.status, broken.look.reason),
        (Status::Unknown, Reason::ProbeBroken)
    );
    assert_eq!(running.found.of("hangs")[0].look.reason, Reason::Timeout);
    running.end().await;
}

#[tokio::test]
async fn a_busy_host_does_not_hold_up_others() {
    let context = context();
    let mut watches: Vec<Watch> = (0..200)
        .map(|index| Watch {
            every: Duration::from_secs(5),
            look_max: Duration::from_secs(5),
            host: "dead".to_owned(),
            ..puppet(&format!("dead-{index}"), |_| Act::Hang)
        })
        .collect();
    watches.push(puppet("alive", |_| Act::Say(Status::Pass)));
    let running = Running::start(&context, "[]", watches, Some(Status::Fail));
    wait_until("six looks at the one that lives", || {
        running.found.of("alive").len() >= 6
    })
    .await;
    let alive = running.found.of("alive");
    for pair in alive[1..].windows(2) {
        let late = pair[1].ended.since(pair[1].planned).as_millis();
        assert!(late < 500, "{late} ms late");
    }
    running.end().await;
}

#[tokio::test]
async fn nginx_goes_and_comes_back() {
    let mut nginx = Nginx::start("listen 127.0.0.1:{port}; location / { return 200; }").await;
    let context = context();
    let check = format!(
        "every = \"1s\"\ncheck.http = {{ url = \"http://127.0.0.1:{}/\" }}",
        nginx.port
    );
    let running = Running::start(&context, "[]", vec![watch(&context, "shop", &check)], None);
    let last = || {
        running
            .found
            .of("shop")
            .last()
            .map(|result| (result.look.status, result.look.reason))
    };
    wait_until("it is up", || last() == Some((Status::Pass, Reason::Ok))).await;
    nginx.stop();
    wait_until("it is down", || last() == Some((Status::Fail, Reason::ConnectRefused))).await;
    nginx.begin().await;
    wait_until("it is up again", || last() == Some((Status::Pass, Reason::Ok))).await;
    running.end().await;
}

/// A far target that fails, from a watcher with these anchors.
fn far(name: &str) -> Watch {
    Watch {
        is_near: false,
        ..puppet(name, |_| Act::Say(Status::Fail))
    }
}

#[tokio::test]
async fn who_is_cut_off_blames_nobody() {
    let context = context();
    let anchor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = anchor.local_addr().unwrap().port();
    let mut watches: Vec<Watch> = (0..20).map(|index| far(&format!("far-{index}"))).collect();
    for watch in &mut watches {
        // Well before that the anchor has answered and is gone.
        watch.every = Duration::from_secs(8);
    }
    watches.push(puppet("near", |number| {
        Act::Say(if number == 0 { Status::Pass } else { Status::Fail })
    }));
    let running = Running::start(
        &context,
        &format!("[\"127.0.0.1:{port}\", \"127.0.0.1:{}\"]", free_port()),
        watches,
        None,
    );
    anchor.accept().await.unwrap();
    drop(anchor);
    wait_until("all have a result", || {
        let names: BTreeSet<_> = running.found.all().into_iter().map(|result| result.probe).collect();
        names.len() == 21
    })
    .await;
    wait_until("the near one fails", || {
        running
            .found
            .of("near")
            .iter()
            .any(|result| result.look.status == Status::Fail)
    })
    .await;
    let (online, offline) = (Network::Online, Network::Offline);
    assert_eq!(running.found.networks(), [online, offline], "told once");
    let blamed = running
        .found
        .all()
        .into_iter()
        .filter(|result| result.look.status == Status::Fail);
    assert!(
        blamed.clone().all(|result| result.probe.as_str() == "near"),
        "{:?}",
        blamed.collect::<Vec<_>>()
    );
    let results = running.found.all();
    let unknown = results.iter().find(|result| result.probe.as_str() != "near").unwrap();
    assert_eq!(
        (unknown.look.status, unknown.look.reason),
        (Status::Unknown, Reason::WatcherOffline)
    );

    // Back again: noticed without anybody asking, and then the targets are blamed.
    let back = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    back.accept().await.unwrap();
    wait_until("it is noticed", || {
        running.found.networks() == [online, offline, online]
    })
    .await;
    wait_until("targets fail", || {
        running
            .found
            .all()
            .iter()
            .any(|result| result.probe.as_str() != "near" && result.look.status == Status::Fail)
    })
    .await;
    running.end().await;
}

#[tokio::test]
async fn anchors_that_never_answered_have_no_opinion() {
    let context = context();
    let silent = format!("[\"127.0.0.1:{}\"]", free_port());
    let running = Running::start(&context, &silent, vec![far("far")], None);
    wait_until("a result", || running.found.count() > 0).await;
    assert_eq!(running.found.of("far")[0].look.status, Status::Fail);
    assert_eq!(running.found.networks(), [Network::Online]);
    running.end().await;
}

/// After a life that ended while it was cut off, or whose record says so.
fn restarted(context: &Context, anchors: &str, watch: Watch) -> Running {
    Running::start_after(
        context,
        (Network::Offline, Found::default()),
        anchors,
        vec![watch],
        None,
    )
}

#[tokio::test]
async fn the_end_of_a_cut_is_told_by_the_next_life() {
    let context = context();
    let anchor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let anchors = format!("[\"{}\"]", anchor.local_addr().unwrap());
    let running = restarted(&context, &anchors, far("far"));
    wait_until("it is told", || running.found.networks() == [Network::Online]).await;
    wait_until("the target is blamed", || {
        let results = running.found.of("far");
        results.iter().any(|result| result.look.status == Status::Fail)
    })
    .await;
    assert_eq!(running.found.networks(), [Network::Online], "told once");
    running.end().await;
}

#[tokio::test]
async fn who_is_started_while_cut_off_blames_nobody_from_the_first_look_on() {
    let context = context();
    let port = free_port();
    let anchors = format!("[\"127.0.0.1:{port}\"]");
    let running = restarted(&context, &anchors, far("far"));
    wait_until("some results", || running.found.of("far").len() >= 3).await;
    for result in running.found.of("far") {
        assert_eq!(result.look.reason, Reason::WatcherOffline, "{result:?}");
    }
    assert_eq!(running.found.networks(), [Network::Offline]);
    let back = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    back.accept().await.unwrap();
    wait_until("it is noticed", || {
        running.found.networks() == [Network::Offline, Network::Online]
    })
    .await;
    running.end().await;
}

#[tokio::test]
async fn who_asks_nobody_any_more_is_not_cut_off() {
    let context = context();
    let silent = format!("[\"127.0.0.1:{}\"]", free_port());
    let near = puppet("near", |_| Act::Say(Status::Pass));
    for (anchors, watch) in [("[]", far("far")), (silent.as_str(), near)] {
        let running = restarted(&context, anchors, watch);
        wait_until("it is told", || running.found.networks() == [Network::Online]).await;
        wait_until("a result", || running.found.count() > 0).await;
        let result = running.found.all().remove(0);
        assert_ne!(result.look.reason, Reason::WatcherOffline);
        running.end().await;
    }
}

#[tokio::test]
async fn a_state_that_is_not_recorded_is_told_again() {
    let context = context();
    let found = Found::default();
    found.networks_refused.store(1, Ordering::SeqCst);
    let running = Running::start_after(&context, (Network::Offline, found), "[]", vec![far("far")], None);
    wait_until("it is told twice", || running.found.networks() == [Network::Online; 2]).await;
    running.end().await;
}

#[tokio::test]
async fn near_targets_ask_nobody() {
    let context = context();
    let anchor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = anchor.local_addr().unwrap().port();
    let watches = vec![puppet("near", |_| Act::Say(Status::Fail))];
    let running = Running::start(&context, &format!("[\"127.0.0.1:{port}\"]"), watches, None);
    let two = async {
        while running.found.count() < 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = anchor.accept() => panic!("an anchor was asked"),
        () = two => {}
    }
    running.end().await;
}
