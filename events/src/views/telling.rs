//! Rows of alerting: phases, incidents, silences, messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Row, Views};
use crate::{
    About, AlertPhase, Change, Ending, Fact, IncidentId, JobId, Name, Notified, Phase, Reading, Recorded, RuleTerms,
    ServiceId, SilenceId, SilenceScope, Stamp, Timestamp, Watched,
};

/// Most characters of why a message was given up.
const WHY_MAX: usize = 300;

/// Where a rule stands that is not inactive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulePhase {
    /// The phase.
    pub phase: Phase,
    /// When it began.
    pub began: Stamp,
    /// Watched nanoseconds held before `since`.
    pub base: i64,
    /// Since when held time runs on; absent while the condition is unknown.
    pub since: Option<Watched>,
    /// The open incident.
    pub incident: Option<IncidentId>,
    /// Digest of the rule that decided.
    pub rule_digest: String,
    /// When held time stopped, while it stands: the condition is unknown since then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stopped: Option<Stamp>,
    /// When this phase ends by held time alone, if all stays as it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Watched>,
}

impl Row for RulePhase {
    const SHAPE: u32 = 1;
}

impl RulePhase {
    /// Watched nanoseconds held so far.
    #[must_use]
    pub fn held(&self, watched: Watched) -> i64 {
        let running = self.since.map_or(0, |since| watched.0.saturating_sub(since.0));
        self.base.saturating_add(running)
    }
}

/// Who took an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Who.
    pub by: String,
    /// When.
    pub at: Stamp,
    /// What they said.
    pub note: Option<String>,
}

/// One stretch of a rule being in breach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// Its rule.
    pub rule: Name,
    /// The service the rule is about.
    pub service: Option<ServiceId>,
    /// What outlives the rule.
    pub terms: RuleTerms,
    /// When the breach began.
    pub breach_began: Timestamp,
    /// When it fired.
    pub fired: Stamp,
    /// When it was resolved, and by what.
    pub resolved: Option<Stamp>,
    /// When the breach ended that did not come back before it was resolved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub breach_ended: Option<Timestamp>,
    /// True when the rule was removed, so that nobody knows whether the breach is over.
    pub rule_removed: bool,
    /// Values of the condition's leaves when it fired.
    pub readings: Vec<Reading>,
    /// The same at the rule's last decision: when it resolved, or since it fired.
    pub last_readings: Vec<Reading>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_read: Option<Stamp>,
    /// What changed just before.
    pub changes: Vec<Change>,
    /// Who took it.
    pub ack: Option<Ack>,
    /// True when somebody was told that it fires.
    pub told: bool,
    /// Who was told that it fires: they are told its end.
    #[serde(default)]
    pub told_to: Vec<Name>,
    /// Reminders sent.
    pub reminders: u32,
    /// When a message was last queued or delivered.
    pub last_told: Stamp,
    /// Messages queued and not yet at their end.
    pub messages_open: u32,
    /// What actions did about it, each in one sentence.
    pub actions: Vec<String>,
    /// Whom the last message about it never reached, because it was given up, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub undelivered: BTreeMap<Name, String>,
}

impl Row for Incident {
    const SHAPE: u32 = 4;
}

/// A silence that is set and not ended; it may lie ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its id.
    pub id: SilenceId,
    /// What it covers.
    pub scope: SilenceScope,
    /// From when, by the wall clock.
    pub from: Timestamp,
    /// Until when, by the wall clock.
    pub until: Timestamp,
    /// Who set it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

impl Row for Silence {
    const SHAPE: u32 = 1;
}

impl SilenceScope {
    /// Whether it covers a rule about a service.
    #[must_use]
    pub fn covers(&self, rule: &Name, service: Option<&ServiceId>) -> bool {
        self.rule.as_ref().is_none_or(|wanted| wanted == rule)
            && self.service.as_ref().is_none_or(|wanted| Some(wanted) == service)
    }
}

/// Where a message stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waiting for its first attempt.
    Queued,
    /// Begun.
    Started,
    /// Another message says it.
    Covered {
        /// Which.
        by: JobId,
    },
    /// Delivered.
    Delivered,
    /// Given up.
    GivenUp {
        /// How.
        ending: Ending,
    },
}

/// A message on its way to a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// To whom.
    pub destination: Name,
    /// What about.
    pub about: About,
    /// When it was queued.
    pub queued: Stamp,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why the last attempt failed.
    pub failure: Option<String>,
    /// What the receiver answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<String>,
}

impl Row for Delivery {
    const SHAPE: u32 = 2;
}

impl Delivery {
    /// True when it came to its end, well or not.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, DeliveryState::Delivered | DeliveryState::GivenUp { .. })
    }
}

impl Views {
    /// When, after `now`, the first phase ends by held time alone.
    #[must_use]
    pub fn next_phase_end(&self, now: Watched) -> Option<Watched> {
        let ends = self.phases.iter().filter_map(|(_, row)| row.until);
        ends.filter(|until| *until > now).min()
    }

    /// True when a silence that has begun and not run out by the last tick covers the rule.
    #[must_use]
    pub fn silenced(&self, rule: &Name, service: Option<&ServiceId>) -> Option<&Silence> {
        let now = self.now.moment.wall;
        let covers =
            |silence: &&Silence| silence.from <= now && now < silence.until && silence.scope.covers(rule, service);
        self.silences.iter().map(|(_, silence)| silence).find(covers)
    }

    pub(super) fn apply_telling(&mut self, fact: &Recorded) {
        let stamp = fact.stamp();
        match fact.fact() {
            Fact::AlertPhase(phase) => self.apply_phase(fact, phase),
            Fact::IncidentAcked(acked) => {
                let ack = Ack {
                    by: acked.by.clone(),
                    at: stamp,
                    note: acked.note.clone(),
                };
                self.incidents
                    .edit(&acked.incident.to_string(), |row| row.ack = Some(ack));
            }
            Fact::SilenceSet(set) => {
                let row = Silence {
                    id: set.silence,
                    scope: set.scope.clone(),
                    from: set.from,
                    until: set.until,
                    by: set.by.clone(),
                    reason: set.reason.clone(),
                };
                self.silences.put(&set.silence.to_string(), row);
            }
            Fact::SilenceEnded(ended) => self.silences.close(&ended.silence.to_string()),
            Fact::Notified(notified) => self.queue_message(notified, stamp),
            Fact::JobStarted(started) => {
                self.deliveries
                    .edit(&started.job.to_string(), |row| row.state = DeliveryState::Started);
                for covered in &started.covers {
                    self.deliveries.edit(&covered.to_string(), |row| {
                        row.state = DeliveryState::Covered { by: started.job }
                    });
                }
            }
            Fact::JobFailed(failed) => {
                self.deliveries
                    .edit(&failed.job.to_string(), |row| row.failure = Some(failed.why.clone()));
            }
            Fact::JobDone(done) => {
                self.deliveries
                    .edit(&done.job.to_string(), |row| row.answer = Some(done.answer.clone()));
                self.end_delivery(done.job, DeliveryState::Delivered, "", stamp);
            }
            Fact::JobEnded(ended) => {
                let state = DeliveryState::GivenUp { ending: ended.ending };
                self.end_delivery(ended.job, state, &ended.why, stamp);
                self.uncover(ended.job);
            }
            _ => {}
        }
    }

    fn apply_phase(&mut self, fact: &Recorded, phase: &AlertPhase) {
        let stamp = fact.stamp();
        let rule = phase.rule.as_str();
        if phase.to == Phase::Inactive {
            self.phases.close(rule);
        } else {
            let before = self.phases.get(rule).filter(|row| row.phase == phase.to);
            let began = before.map_or(stamp, |row| row.began);
            let stopped = before.and_then(|row| row.stopped).unwrap_or(stamp);
            let row = RulePhase {
                phase: phase.to,
                began,
                base: phase.base,
                since: phase.since,
                incident: phase.incident,
                rule_digest: phase.rule_digest.clone(),
                stopped: phase.since.is_none().then_some(stopped),
                until: phase.until,
            };
            self.phases.put(rule, row);
        }
        let Some(id) = phase.incident else { return };
        if phase.opens() {
            let row = Incident {
                id,
                rule: phase.rule.clone(),
                service: fact.envelope.service.clone(),
                terms: phase.terms.clone().unwrap_or_default(),
                breach_began: phase.breach_began.unwrap_or(stamp.wall),
                fired: stamp,
                resolved: None,
                breach_ended: None,
                rule_removed: false,
                readings: phase.readings.clone(),
                last_readings: Vec::new(),
                last_read: None,
                changes: phase.changes.clone(),
                ack: None,
                told: false,
                told_to: Vec::new(),
                reminders: 0,
                last_told: stamp,
                messages_open: 0,
                actions: Vec::new(),
                undelivered: BTreeMap::new(),
            };
            self.incidents.put(&id.to_string(), row);
        } else if phase.resolves() {
            self.incidents.edit(&id.to_string(), |row| {
                row.resolved = Some(stamp);
                row.breach_ended.get_or_insert(stamp.wall);
                row.rule_removed = phase.why == crate::PhaseCause::RuleRemoved;
                row.last_readings.clone_from(&phase.readings);
                row.last_read = Some(stamp);
            });
        } else if !phase.readings.is_empty() {
            self.incidents.edit(&id.to_string(), |row| {
                row.last_readings.clone_from(&phase.readings);
                row.last_read = Some(stamp);
                match phase.to {
                    Phase::Clearing => _ = row.breach_ended.get_or_insert(stamp.wall),
                    _ => row.breach_ended = None,
                }
            });
        }
    }

    fn queue_message(&mut self, notified: &Notified, stamp: Stamp) {
        let row = Delivery {
            destination: notified.destination.clone(),
            about: notified.about.clone(),
            queued: stamp,
            state: DeliveryState::Queued,
            failure: None,
            answer: None,
        };
        self.deliveries.put(&notified.job.to_string(), row);
        self.edit_told(&notified.about, |row| {
            row.messages_open = row.messages_open.saturating_add(1);
            row.last_told = stamp;
            match notified.about {
                About::Firing { .. } => {
                    row.told = true;
                    row.told_to.push(notified.destination.clone());
                }
                About::Reminder { reminder, .. } => {
                    row.reminders = row.reminders.max(reminder.saturating_add(1));
                }
                _ => {}
            }
        });
    }

    fn edit_told(&mut self, about: &About, change: impl FnOnce(&mut Incident)) {
        if let Some(incident) = about.incident() {
            self.incidents.edit(&incident.to_string(), change);
        }
    }

    fn end_delivery(&mut self, job: JobId, state: DeliveryState, why: &str, stamp: Stamp) {
        let key = job.to_string();
        let Some(row) = self.deliveries.get(&key).filter(|row| !row.is_over()) else {
            return;
        };
        let (about, destination) = (row.about.clone(), row.destination.clone());
        let delivered = state == DeliveryState::Delivered;
        let ending = Ending::Superseded;
        let said = delivered || state == DeliveryState::GivenUp { ending };
        self.deliveries.edit(&key, |row| row.state = state);
        self.edit_told(&about, |row| {
            row.messages_open = row.messages_open.saturating_sub(1);
            if delivered {
                row.last_told = stamp;
            }
            if matches!(about, About::Notice { .. }) {
                return;
            }
            if said {
                row.undelivered.remove(&destination);
            } else {
                row.undelivered.insert(destination, why.chars().take(WHY_MAX).collect());
            }
        });
    }

    /// What a message said with it was not told when it came to another end: it waits for a message of its own again.
    fn uncover(&mut self, by: JobId) {
        let covered = DeliveryState::Covered { by };
        let rows = self.deliveries.iter().filter(|(_, row)| row.state == covered);
        let keys: Vec<String> = rows.map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            self.deliveries.edit(&key, |row| row.state = DeliveryState::Queued);
        }
    }

    /// Closes messages that came to their end, and incidents that are resolved and of which every message did. At a
    /// tick: who reacts to the end of a message sees what it was about, and the resolving fact itself queues one.
    pub(super) fn close_told(&mut self) {
        let delivered: Vec<String> = self
            .deliveries
            .iter()
            .filter(|(_, row)| row.is_over())
            .map(|(key, _)| key.to_owned())
            .collect();
        for key in delivered {
            self.deliveries.close(&key);
        }
        let told = |row: &Incident| row.resolved.is_some() && row.messages_open == 0;
        let ended: Vec<String> = self
            .incidents
            .iter()
            .filter(|(_, row)| told(row))
            .map(|(key, _)| key.to_owned())
            .collect();
        for key in ended {
            self.incidents.close(&key);
        }
    }

    /// Notes at the incident what an action did about it.
    pub(super) fn note_action(&mut self, incident: IncidentId, sentence: &str) {
        self.incidents
            .edit(&incident.to_string(), |row| row.actions.push(sentence.to_owned()));
    }
}
