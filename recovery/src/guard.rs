//! The gates: pure answers to "may this act begin?", each with its reason in words.

use events::{ActionRun, Gate, Incident, Migrations, Moment, Name, Network, Phase, Reading, Status, Views, name_of};
use jiff::SignedDuration;

/// When an action may run, in the terms of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Watched time that must lie between two acts.
    pub cooldown: SignedDuration,
    /// Only so soon after a deployment.
    pub within: Option<SignedDuration>,
}

fn gate(name: &str, open: bool, why: impl Into<String>) -> Gate {
    Gate {
        gate: name_of(name),
        open,
        why: why.into(),
    }
}

impl Guard {
    /// What the gates say when an incident asks for the action.
    #[must_use]
    pub fn gates(&self, views: &Views, action: &Name, incident: &Incident, now: &Moment) -> Vec<Gate> {
        let mut gates = vec![
            acting_allowed(views, false),
            not_held(views, action),
            watcher_online(views),
            evidence(incident),
            no_other_run(views, action),
            self.cooled_down(views, action, now),
        ];
        gates.extend(self.soon_after_deployment(views, incident, now));
        gates
    }

    fn cooled_down(&self, views: &Views, action: &Name, now: &Moment) -> Gate {
        let Some(last) = views.actions.get(action.as_str()).and_then(|row| row.last_act) else {
            return gate("cool_down", true, "it never acted before");
        };
        let since = now.watched.since(last.watched);
        let words = format!(
            "last act {} of watched time ago, cool-down {}",
            text(since),
            text(self.cooldown)
        );
        gate("cool_down", since >= self.cooldown, words)
    }

    fn soon_after_deployment(&self, views: &Views, incident: &Incident, now: &Moment) -> Vec<Gate> {
        let Some(within) = self.within else { return Vec::new() };
        let service = incident.service.as_ref();
        let Some(release) = service.and_then(|service| views.releases.get(service.as_str())) else {
            return vec![gate("within", false, "no deployment of the service is recorded")];
        };
        let age = now.at.since(release.recorded.at);
        let version = &release.current.version;
        let began = release.current.began.unwrap_or(release.recorded.wall);
        let jumped = views.now.jumped.is_some_and(|jump| jump.seq > release.recorded.seq);
        let destructive = matches!(
            release.current.migrations,
            Some(Migrations::Destructive | Migrations::Other)
        );
        vec![
            gate(
                "within",
                age <= within,
                format!("{version} was deployed {} ago, limit {}", text(age), text(within)),
            ),
            gate(
                "breach_after_deployment",
                incident.breach_began >= began,
                format!(
                    "breach began {}, deployment {}",
                    incident.breach_began.whole_seconds(),
                    began.whole_seconds()
                ),
            ),
            gate(
                "clock",
                !jumped,
                if jumped {
                    "the clock jumped since the deployment"
                } else {
                    "no clock jump since the deployment"
                },
            ),
            gate(
                "migrations",
                !destructive,
                if destructive {
                    "the release changed stored data destructively"
                } else {
                    "no destructive migration is recorded"
                },
            ),
        ]
    }
}

/// A proposal that is older is not worth acting on: the world has moved on.
pub(crate) const PROPOSAL_MAX: SignedDuration = SignedDuration::from_mins(15);

/// What the gates say right before the act.
#[must_use]
pub fn still_open(views: &Views, run: &ActionRun, kill_switch: bool, now: &Moment) -> Vec<Gate> {
    let incident = views.incidents.get(&run.incident.to_string());
    let phase = incident
        .and_then(|incident| views.phases.get(incident.rule.as_str()))
        .map(|row| row.phase);
    let firing = phase == Some(Phase::Firing);
    let age = now.at.since(run.proposed.at);
    let fresh = age <= PROPOSAL_MAX && views.now.watching;
    let fresh_words = if views.now.watching {
        format!("proposed {} ago, limit {}", text(age), text(PROPOSAL_MAX))
    } else {
        "nothing was looked at since the daemon started".to_owned()
    };
    let release = run
        .service
        .as_ref()
        .and_then(|service| views.releases.get(service.as_str()));
    let newer = release.filter(|release| release.recorded.seq > run.proposed.seq);
    let newer_words = newer.map_or_else(
        || "no newer deployment".to_owned(),
        |release| format!("{} was deployed meanwhile", release.current.version),
    );
    vec![
        gate("fresh", fresh, fresh_words),
        gate(
            "still_firing",
            firing,
            if firing {
                "the alert still fires"
            } else {
                "the alert does not fire any more"
            },
        ),
        gate("no_newer_deployment", newer.is_none(), newer_words),
        acting_allowed(views, kill_switch),
        not_held(views, &run.action),
        watcher_online(views),
    ]
}

fn acting_allowed(views: &Views, file: bool) -> Gate {
    match (&views.now.acting_stopped_by, file) {
        (Some(by), _) => gate("kill_switch", false, format!("all acting was stopped by {by}")),
        (None, true) => gate("kill_switch", false, "the kill-switch file is there"),
        (None, false) => gate("kill_switch", true, "acting is allowed"),
    }
}

fn not_held(views: &Views, action: &Name) -> Gate {
    match views.actions.get(action.as_str()).and_then(|row| row.held.as_ref()) {
        Some(why) => gate("not_held", false, format!("held until a person releases it: {why}")),
        None => gate("not_held", true, "not held"),
    }
}

fn watcher_online(views: &Views) -> Gate {
    let online = views.now.network == Network::Online;
    gate(
        "watcher_online",
        online,
        if online {
            "our own network is up"
        } else {
            "our own network is cut"
        },
    )
}

fn evidence(incident: &Incident) -> Gate {
    let trusted = incident.terms.trusted;
    let words = if trusted {
        "a probe is part of the condition, or loopback is trusted"
    } else {
        "only telemetry without a token says so: add a probe to the condition, or set [web] trust_loopback = true"
    };
    gate("evidence", trusted, words)
}

fn no_other_run(views: &Views, action: &Name) -> Gate {
    let other = views
        .runs
        .iter()
        .find(|(_, run)| run.action == *action && run.mode == events::ActionMode::Automatic);
    match other {
        Some((id, _)) => gate("one_at_a_time", false, format!("run {id} is not concluded")),
        None => gate("one_at_a_time", true, "no other run"),
    }
}

/// Whether a probe, or all probes of a service, are up, with what each says. Unknown, and a name nobody probes, is not up.
#[must_use]
pub fn up(views: &Views, name: &Name) -> (bool, Vec<Reading>) {
    let named = views.probes.get(name.as_str()).map(|row| (name.as_str(), row));
    let of_service = |row: &events::Probe| {
        row.service
            .as_ref()
            .is_some_and(|service| service.as_str() == name.as_str())
    };
    let probes: Vec<_> = match named {
        Some(probe) => vec![probe],
        None => views.probes.iter().filter(|(_, row)| of_service(row)).collect(),
    };
    let reading = |(probe, row): &(&str, &events::Probe)| Reading {
        what: format!("up({probe})"),
        value: format!("{} since {}", row.look.reason.text(), row.since.wall.whole_seconds()),
        limit: String::new(),
        holds: match row.status {
            Status::Pass => Some(true),
            Status::Fail => Some(false),
            Status::Unknown => None,
        },
    };
    let readings: Vec<Reading> = probes.iter().map(reading).collect();
    let all = !readings.is_empty() && readings.iter().all(|reading| reading.holds == Some(true));
    (all, readings)
}

/// A duration as a person reads it.
pub(crate) fn text(duration: SignedDuration) -> String {
    let whole = SignedDuration::from_secs(duration.as_secs());
    format!("{whole:#}")
}
