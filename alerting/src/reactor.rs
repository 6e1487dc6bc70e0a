//! Decides when a rule is in breach: absorbs counts into windows, evaluates what changed, records phases.

mod changes;
mod sight;

use std::{collections::BTreeSet, sync::Arc};

use events::{
    AlertPhase, Effects, Envelope, Fact, IncidentId, Phase, PhaseCause, Reactor, Reading, Recorded, RulePhase,
    RuleTerms, Stamp, Status, Timestamp, Views, name_of,
};
use jiff::SignedDuration;

use self::sight::Sight;
use crate::{
    language::{Leaf, Truth},
    phase::{Seen, State, step},
    rules::{Rule, Rules, Touch},
    settings::NoData,
    windows::Windows,
};

/// More is fed to `absorb` than the longest window, so that its first tick is surely there.
const SLACK: SignedDuration = SignedDuration::from_mins(1);
/// Most readings in one fact.
const READINGS_MAX: usize = 16;
/// Most failing probes named in one fact.
const PROBES_MAX: usize = 5;

/// The reactor of all rules.
pub struct AlertingReactor {
    rules: Arc<Rules>,
    windows: Windows,
    /// The rules that rest on each window, by its number.
    on_window: Vec<Vec<usize>>,
}

/// Where a rule stands while a fact is looked at: its row, and what this fact has already made of it.
#[derive(Clone, Copy)]
struct Standing {
    state: State,
    began: Option<Stamp>,
    incident: Option<IncidentId>,
}

impl Standing {
    const INACTIVE: Self = Self {
        state: State::INACTIVE,
        began: None,
        incident: None,
    };

    fn of(row: Option<&RulePhase>) -> Self {
        row.map_or(Self::INACTIVE, |row| Self {
            state: row.into(),
            began: Some(row.began),
            incident: row.incident,
        })
    }

    /// When the breach began, on every clock.
    fn breach_began(&self, now: Stamp) -> Stamp {
        self.began.filter(|_| self.state.phase == Phase::Pending).unwrap_or(now)
    }
}

impl AlertingReactor {
    /// A reactor that has seen nothing yet.
    #[must_use]
    pub fn new(rules: Arc<Rules>) -> Self {
        let (windows, numbers) = Windows::new(rules.needs());
        let mut on_window = vec![Vec::new(); numbers.len()];
        for (key, number) in &numbers {
            if let Some(place) = on_window.get_mut(*number) {
                *place = rules.on_window(key).to_vec();
            }
        }
        Self {
            rules,
            windows,
            on_window,
        }
    }

    /// The rules whose inputs a tick may have changed, and those that are not inactive.
    fn due_at_tick(&self, views: &Views) -> BTreeSet<usize> {
        let of_windows = self
            .windows
            .changed()
            .iter()
            .filter_map(|number| self.on_window.get(*number));
        let open = views.phases.iter().filter_map(|(name, _)| self.rules.index_of(name));
        let timed = self.rules.touched_by(&Touch::Time).iter().copied();
        of_windows.flatten().copied().chain(timed).chain(open).collect()
    }

    /// The rules on probes that have a network between them and the watcher.
    fn on_far_probes(&self) -> BTreeSet<usize> {
        let rules = self.rules.all().iter().enumerate();
        let far = |rule: &Rule| {
            let mut probes = self.rules.probes_needed(&rule.needs).into_iter();
            probes.any(|probe| !self.rules.is_near(&probe))
        };
        rules.filter(|(_, rule)| far(rule)).map(|(index, _)| index).collect()
    }

    fn judge_all(&self, indexes: impl IntoIterator<Item = usize>, views: &Views, fact: &Recorded, out: &mut Effects) {
        for index in indexes {
            if let Some(rule) = self.rules.at(index) {
                let row = views.phases.get(rule.name.as_str());
                self.judge(rule, Standing::of(row), &Turn { views, fact }, out);
            }
        }
    }

    /// Looks at one rule and records what becomes of it.
    fn judge(&self, rule: &Rule, standing: Standing, turn: &Turn<'_>, out: &mut Effects) {
        let sight = self.sight(turn);
        let seen = seen(rule, &sight);
        let watched = turn.fact.recorded_at.watched;
        let next = step(standing.state, seen, watched, rule.hold);
        if next != standing.state {
            out.record(self.transition(rule, standing, next, turn));
        }
    }

    fn sight<'a>(&'a self, turn: &Turn<'a>) -> Sight<'a> {
        Sight::new(&self.rules, &self.windows, turn.views, &turn.fact.recorded_at)
    }

    fn transition(&self, rule: &Rule, standing: Standing, next: State, turn: &Turn<'_>) -> Envelope {
        let sight = self.sight(turn);
        let mut phase = phase_fact(rule, standing, next);
        phase.readings = readings(rule, &sight);
        if phase.opens() {
            let seq = turn.fact.seq.to_string();
            let identity = &turn.views.now.identity;
            phase.incident = Some(IncidentId::derive(identity, &[rule.name.as_str(), &seq]));
            let began = standing.breach_began(turn.fact.stamp());
            phase.breach_began = Some(began.wall);
            phase.changes = changes::before(turn.views, rule, began, turn.fact.recorded_at.at);
            phase.terms = Some(RuleTerms {
                trusted: self.is_trusted(rule, turn.views),
                ..rule.terms.clone()
            });
        }
        envelope(rule.service.clone(), phase)
    }

    /// Telemetry alone sets off no action: a probe of the service has to say so too.
    fn is_trusted(&self, rule: &Rule, views: &Views) -> bool {
        let fails = |probe: &String| {
            let row = views.probes.get(probe.as_str());
            row.is_some_and(|row| row.status == Status::Fail)
        };
        let mut probes = rule
            .service
            .iter()
            .flat_map(|service| self.rules.probes_of(service.as_str()));
        !rule.rests_on_telemetry() || self.rules.trusts_loopback() || probes.any(fails)
    }

    /// New rules came into force: what is gone ends, what changed starts anew or clears by the new rule.
    fn configured(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        let turn = Turn { views, fact };
        for (name, row) in views.phases.iter() {
            if self.rules.get(name).is_none() {
                out.record(envelope(service_of(views, row), removed(name, row)));
            }
        }
        for rule in self.rules.all() {
            let row = views.phases.get(rule.name.as_str());
            let standing = match row {
                Some(row) if row.rule_digest != rule.digest => changed(rule, row, &turn, out),
                row => Standing::of(row),
            };
            self.judge(rule, standing, &turn, out);
        }
    }
}

/// The fact in hand, and the views just after it.
struct Turn<'a> {
    views: &'a Views,
    fact: &'a Recorded,
}

impl Reactor for AlertingReactor {
    fn name(&self) -> &'static str {
        "alerting"
    }

    fn window(&self) -> SignedDuration {
        self.windows.longest() + SLACK
    }

    fn absorb(&mut self, fact: &Recorded) {
        if let Fact::Tick(tick) = fact.fact() {
            self.windows.absorb(&fact.recorded_at, &tick.bins);
        }
    }

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        let touched = |touch: Touch<'_>| self.rules.touched_by(&touch).to_vec();
        let due = match fact.fact() {
            Fact::Tick(_) => self.due_at_tick(views).into_iter().collect(),
            Fact::ProbeChanged(changed) => touched(Touch::Probe(changed.probe.as_str())),
            Fact::CertificateSeen(seen) => touched(Touch::Probe(seen.probe.as_str())),
            Fact::BackupScheduled(scheduled) => touched(Touch::Backup(scheduled.backup.as_str())),
            Fact::BackupProved(proved) => touched(Touch::Backup(proved.backup.as_str())),
            Fact::DeploymentRecorded(_) => {
                let service = fact.envelope.service.as_ref();
                service.map_or_else(Vec::new, |service| touched(Touch::Deployment(service.as_str())))
            }
            Fact::NetworkChanged(_) => self.on_far_probes().into_iter().collect(),
            Fact::Configured(_) => return self.configured(views, fact, out),
            _ => return,
        };
        self.judge_all(due, views, fact, out);
    }
}

/// What both conditions say, missing evidence taken as the rule wants it.
fn seen(rule: &Rule, sight: &Sight<'_>) -> Seen {
    let breach = taken(rule.when.evaluate(sight), sight, rule.no_data, Truth::True);
    let clear = match &rule.clear {
        Some(clear) => taken(clear.evaluate(sight), sight, rule.no_data, Truth::False),
        None => !breach,
    };
    Seen { breach, clear }
}

/// Unknown as the rule wants it taken; `fired` is what it is when it counts as a breach. The watcher's own blindness
/// stays unknown.
fn taken(said: Truth, sight: &Sight<'_>, no_data: NoData, fired: Truth) -> Truth {
    let own = sight.take_own_blindness();
    match (said, no_data) {
        (Truth::Unknown, NoData::Fire) if !own => fired,
        (Truth::Unknown, NoData::Ok) if !own => !fired,
        (said, _) => said,
    }
}

/// The values of the condition's leaves, and what is wrong with the probes behind them.
fn readings(rule: &Rule, sight: &Sight<'_>) -> Vec<Reading> {
    let leaves = rule.when.explain(sight);
    let mut readings: Vec<Reading> = leaves.into_iter().take(READINGS_MAX).map(reading).collect();
    readings.extend(sight.failing_probes(&rule.needs).take(PROBES_MAX));
    readings
}

fn reading(leaf: Leaf) -> Reading {
    let value = match leaf.reason_if_unknown {
        Some(reason) => format!("unknown: {reason}"),
        None => leaf.reading,
    };
    Reading {
        what: leaf.text,
        value,
        limit: leaf.limit,
        holds: match leaf.truth {
            Truth::True => Some(true),
            Truth::False => Some(false),
            Truth::Unknown => None,
        },
    }
}

fn phase_fact(rule: &Rule, standing: Standing, next: State) -> AlertPhase {
    AlertPhase {
        rule: rule.name.clone(),
        from: standing.state.phase,
        to: next.phase,
        why: PhaseCause::Evidence,
        base: next.base,
        since: next.since,
        until: next.until(rule.hold),
        incident: standing.incident,
        readings: Vec::new(),
        rule_digest: rule.digest.clone(),
        terms: None,
        breach_began: None::<Timestamp>,
        changes: Vec::new(),
    }
}

/// The end of a rule that is not configured any more.
fn removed(name: &str, row: &RulePhase) -> AlertPhase {
    AlertPhase {
        rule: name_of(name),
        from: row.phase,
        to: Phase::Inactive,
        why: PhaseCause::RuleRemoved,
        base: 0,
        since: None,
        until: None,
        incident: row.incident,
        readings: Vec::new(),
        rule_digest: row.rule_digest.clone(),
        terms: None,
        breach_began: None,
        changes: Vec::new(),
    }
}

/// A rule is another one under its name: pending starts anew, firing stays and clears by the new rule.
fn changed(rule: &Rule, row: &RulePhase, turn: &Turn<'_>, out: &mut Effects) -> Standing {
    let before = Standing::of(Some(row));
    let after = match row.phase {
        Phase::Firing | Phase::Clearing => Standing {
            state: State {
                phase: Phase::Firing,
                base: 0,
                since: Some(turn.fact.recorded_at.watched),
            },
            ..before
        },
        Phase::Inactive | Phase::Pending | Phase::Other => Standing::INACTIVE,
    };
    let phase = AlertPhase {
        why: PhaseCause::RuleChanged,
        ..phase_fact(rule, before, after.state)
    };
    out.record(envelope(rule.service.clone(), phase));
    after
}

/// The service that an open rule is about, when the rule itself is gone.
fn service_of(views: &Views, row: &RulePhase) -> Option<events::ServiceId> {
    let incident = views.incidents.get(&row.incident?.to_string())?;
    incident.service.clone()
}

fn envelope(service: Option<events::ServiceId>, phase: AlertPhase) -> Envelope {
    let stream = name_of(&format!("alert/{}", phase.rule));
    Envelope::new(stream, name_of("alerting"), Fact::AlertPhase(phase)).about(service)
}
