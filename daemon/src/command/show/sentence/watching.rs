//! What the daemon saw, and its own life.

use events::{Deployment, Envelope, Fact, HeartbeatChanged, Look, Migrations, Network, ProbeChanged, Status};

use super::{Sentence, sentence};
use crate::command::{
    page::Tone,
    text::{cause, counted, lasting, time},
};

pub(super) fn of(envelope: &Envelope) -> Option<Sentence> {
    let daemon = |tone, text: String| Some(sentence("watchkeep", tone, text));
    match &envelope.fact {
        Fact::Started(started) => daemon(Tone::Plain, format!("started, version {}", started.version)),
        Fact::Stopped(stopped) => daemon(Tone::Plain, format!("stopped: {}", stopped.reason)),
        Fact::Configured(configured) => match configured.same_as {
            Some(_) => daemon(Tone::Quiet, "the configuration is as before".to_owned()),
            None => daemon(Tone::Plain, "another configuration is in force".to_owned()),
        },
        Fact::Tick(_) => daemon(Tone::Quiet, "tick".to_owned()),
        Fact::ClockJumped(jumped) => {
            let way = if jumped.by.is_negative() { "back" } else { "forward" };
            daemon(Tone::Doubt, format!("the clock jumped {way} by {}", lasting(jumped.by)))
        }
        Fact::TelemetryReplaced(_) => daemon(
            Tone::Doubt,
            "the telemetry database is another one than before".to_owned(),
        ),
        Fact::LimitReached(limit) => daemon(
            Tone::Doubt,
            format!(
                "limit {} reached {}: {}",
                limit.limit,
                counted(limit.count, "time", "times"),
                limit.detail
            ),
        ),
        Fact::ReactorFailed(failed) => daemon(
            Tone::Bad,
            format!(
                "defect: {} failed at fact {}; please report it",
                failed.reactor, failed.seq
            ),
        ),
        Fact::FoldCut(cut) => daemon(
            Tone::Bad,
            format!("defect: consequences of {} were cut; please report it", cut.reactor),
        ),
        Fact::TaskFailed(failed) => {
            let times = counted(u64::from(failed.failures), "time", "times");
            daemon(
                Tone::Bad,
                format!("task {} failed ({times}): {}", failed.task, failed.error),
            )
        }
        Fact::HeartbeatChanged(changed) => Some(heartbeat(changed)),
        Fact::ProbeChanged(changed) => Some(probe(changed)),
        Fact::CertificateSeen(seen) => Some(sentence(
            &seen.probe,
            Tone::Quiet,
            format!("new certificate, ends {}", seen.expires.whole_seconds()),
        )),
        Fact::NetworkChanged(network) => Some(match network.to {
            Network::Offline => sentence(
                "network",
                Tone::Bad,
                format!("the watcher is cut off: {}", network.evidence.join("; ")),
            ),
            Network::Online => sentence("network", Tone::Good, "the watcher's own network is back"),
            Network::Other => sentence("network", Tone::Doubt, "the watcher's own network changed"),
        }),
        Fact::DeploymentRecorded(deployment) => {
            let service = envelope.service.as_ref().map_or("-", events::ServiceId::as_str);
            Some(sentence(service, Tone::Plain, deployed(deployment)))
        }
        _ => None,
    }
}

fn heartbeat(changed: &HeartbeatChanged) -> Sentence {
    let (tone, text) = match (changed.arrives, &changed.why) {
        (true, _) => (Tone::Good, "the outward heartbeat arrives again".to_owned()),
        (false, None) => (Tone::Bad, "the outward heartbeat does not arrive".to_owned()),
        (false, Some(why)) => (
            Tone::Bad,
            format!("the outward heartbeat does not arrive: {}", cause(why)),
        ),
    };
    sentence(&changed.heartbeat, tone, text)
}

fn probe(changed: &ProbeChanged) -> Sentence {
    let (tone, text) = match (changed.look.status, changed.from) {
        (Status::Pass, Status::Fail) => (Tone::Good, "works again".to_owned()),
        (Status::Pass, _) => (Tone::Good, "works".to_owned()),
        (Status::Fail, Status::Fail) => (Tone::Bad, format!("still FAILS, now: {}", found(&changed.look))),
        (Status::Fail, _) => (Tone::Bad, format!("FAILS: {}", found(&changed.look))),
        (Status::Unknown, _) => (Tone::Doubt, format!("unknown: {}", found(&changed.look))),
    };
    sentence(&changed.probe, tone, text)
}

/// What a look found: the reason, and what stood there.
pub(crate) fn found(look: &Look) -> String {
    cause(&look.said())
}

fn deployed(deployment: &Deployment) -> String {
    let mut text = format!("{} deployed", deployment.version);
    if let Some(by) = &deployment.by {
        text.push_str(&format!(" by {by}"));
    }
    if let Some(began) = deployment.began {
        text.push_str(&format!(", cut over at {} UTC", time(began)));
    }
    match deployment.migrations {
        None | Some(Migrations::None) => {}
        Some(Migrations::Additive) => text.push_str(", additive migration"),
        Some(Migrations::Destructive | Migrations::Other) => text.push_str(", DESTRUCTIVE migration"),
    }
    if deployment.verified {
        text.push_str(", verified");
    }
    if let Some(note) = &deployment.note {
        text.push_str(&format!(": {note}"));
    }
    text
}
