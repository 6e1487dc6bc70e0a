//! A probe that says nothing any more is unknown.

use std::sync::Arc;

use events::{Look, ProbeResult, Reason, ServiceId, Status, name_of};
use jiff::SignedDuration;
use store::{Expected, Options};

use crate::bench::{Engine, HandClock, Running, Sqlite};

async fn a_silent_probe_becomes_unknown<E: Engine>() {
    let (engine, clock) = (E::new(), Arc::new(HandClock::default()));
    let running = Running::start(&engine, &clock, Options::default()).await;
    let service = ServiceId::new("shop").unwrap();
    let expected = |probe: &str| Expected {
        probe: name_of(probe),
        service: service.clone(),
        limit: SignedDuration::from_secs(35),
    };
    running.journal.expect(vec![expected("shop"), expected("never")]);
    let pass = events::Input::Probe(Box::new(ProbeResult {
        probe: name_of("shop"),
        service: service.clone(),
        planned: events::Timestamp(0),
        ended: events::Timestamp(0),
        look: Look::new(Status::Pass, Reason::Ok, "200"),
        first: None,
    }));
    let mut seen = Vec::new();
    for second in (5..=100).step_by(5) {
        if second <= 40 {
            running.journal.submit(pass.clone()).await.unwrap();
        }
        running.tick().await;
        let views = running.journal.views().await;
        seen.push((
            views.probes.get("shop").map(|row| row.look.reason),
            views.probes.get("never").map(|row| row.look.reason),
        ));
    }
    // Heard for the last time at 35 s, by the clock of the ticks.
    let silent = |row: &(Option<Reason>, Option<Reason>)| row.0 == Some(Reason::NoResult);
    assert_eq!(seen.iter().position(silent), Some(14), "{seen:?}");
    assert_eq!(
        seen.iter().position(|row| row.1 == Some(Reason::NoResult)),
        Some(8),
        "{seen:?}"
    );
    let facts = running.all().await;
    let told = facts
        .iter()
        .filter(|fact| fact.fact().kind() == "probe_changed")
        .count();
    assert_eq!(told, 3, "told once each");
    running.journal.submit(pass).await.unwrap();
    assert_eq!(
        running.journal.views().await.probes.get("shop").unwrap().status,
        Status::Pass
    );
}

#[tokio::test]
async fn silence() {
    a_silent_probe_becomes_unknown::<Sqlite>().await;
}
