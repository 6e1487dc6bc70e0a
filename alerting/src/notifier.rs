//! Decides whom to tell what: on phases, ends of silences, reminders, and what is wrong with Watchkeep itself.
//!
//! Every message is a fact and a job of the same commit: decided is as good as told.

mod notices;

use std::{collections::BTreeMap, sync::Arc};

use events::{
    About, AlertPhase, DeliveryState, Due, Effects, Envelope, Fact, Incident, Job, JobId, Name, Notified, OnCrash,
    Phase, Reactor, Recorded, SilenceEnded, TestRequested, Views, Watched, Work, name_of,
};
use jiff::SignedDuration;

use crate::rules::Rules;

/// A message that could not be delivered for so long is given up, and that is a fact.
pub const MESSAGE_EXPIRES: SignedDuration = SignedDuration::from_hours(72);
/// A test message is tried for so long only: whoever asked for it waits, and asks again.
pub const TEST_EXPIRES: SignedDuration = SignedDuration::from_mins(2);

/// Who can be told, and who is told what.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    /// Every destination.
    pub all: Vec<Name>,
    /// Whom a backup's own settings name; everybody when it names nobody.
    pub backups: BTreeMap<Name, Vec<Name>>,
    /// Whom an action's own settings name.
    pub actions: BTreeMap<Name, Vec<Name>>,
}

impl Destinations {
    /// Those of a list that exist, else everybody.
    fn or_all(&self, named: Option<&Vec<Name>>) -> Vec<Name> {
        let known: Vec<Name> = named
            .into_iter()
            .flatten()
            .filter(|name| self.has(name))
            .cloned()
            .collect();
        if known.is_empty() { self.all.clone() } else { known }
    }

    fn has(&self, name: &Name) -> bool {
        self.all.contains(name)
    }

    fn all_but(&self, name: &str) -> Vec<Name> {
        self.all
            .iter()
            .filter(|known| known.as_str() != name)
            .cloned()
            .collect()
    }
}

/// The queue of a destination: one each, so that a dead one delays no other.
#[must_use]
pub fn queue_of(destination: &Name) -> Name {
    name_of(&format!("notify/{destination}"))
}

/// The queues of a destination's test messages, by what their names begin with: each test is in a queue of its own, so that
/// it is tried at once, whatever else waits.
#[must_use]
pub fn test_queues_of(destination: &Name) -> Name {
    name_of(&format!("test/{destination}/"))
}

/// The reactor that queues messages.
pub struct Notifier {
    rules: Arc<Rules>,
    destinations: Arc<Destinations>,
    /// Watched time at the tick before the last one, and at the last one.
    ticks: (Option<Watched>, Option<Watched>),
}

impl Notifier {
    /// A notifier that has seen nothing yet.
    #[must_use]
    pub fn new(rules: Arc<Rules>, destinations: Arc<Destinations>) -> Self {
        Self {
            rules,
            destinations,
            ticks: (None, None),
        }
    }

    fn phase(&self, phase: &AlertPhase, post: &mut Post<'_>) {
        let Some(incident) = phase.incident.and_then(|id| post.views.incidents.get(&id.to_string())) else {
            return;
        };
        if phase.opens() {
            self.fired(incident, post);
        } else if phase.resolves() {
            let about = About::Resolved { incident: incident.id };
            for destination in self.audience(incident) {
                post.send(destination, about.clone(), "");
            }
        }
    }

    /// Tells that an incident is open, unless it is silenced.
    fn fired(&self, incident: &Incident, post: &mut Post<'_>) {
        if post.views.silenced(&incident.rule, incident.service.as_ref()).is_some() {
            return;
        }
        let about = About::Firing { incident: incident.id };
        for destination in self.known(&incident.terms.notify) {
            post.send(destination, about.clone(), "");
        }
    }

    /// Who was told that it began; when none of them is configured any more, everybody: somebody has to hear how it goes on.
    fn audience<'a>(&'a self, incident: &'a Incident) -> Vec<&'a Name> {
        let known: Vec<&Name> = self.known(&incident.told_to).collect();
        if known.is_empty() && incident.told {
            self.destinations.all.iter().collect()
        } else {
            known
        }
    }

    fn known<'a>(&'a self, names: &'a [Name]) -> impl Iterator<Item = &'a Name> {
        names.iter().filter(|name| self.destinations.has(name))
    }

    /// A silence ended: what still fires under it, and nobody knows of, is told now.
    fn silence_ended(&self, ended: &SilenceEnded, post: &mut Post<'_>) {
        let views = post.views;
        for (_, incident) in views.incidents.iter() {
            let untold = incident.resolved.is_none() && !incident.told && incident.ack.is_none();
            if untold && ended.scope.covers(&incident.rule, incident.service.as_ref()) {
                self.fired(incident, post);
            }
        }
    }

    fn tick(&self, post: &mut Post<'_>) {
        let views = post.views;
        for (_, silence) in views
            .silences
            .iter()
            .filter(|(_, row)| row.until <= views.now.moment.wall)
        {
            post.end_silence(silence);
        }
        for (_, incident) in views.incidents.iter() {
            self.remind(incident, post);
        }
        self.blind(post);
    }

    /// Tells again that an incident is open, when its time has come and nobody has taken it.
    fn remind(&self, incident: &Incident, post: &mut Post<'_>) {
        let Some(remind) = incident.terms.remind else { return };
        let waited = post.views.now.moment.watched.since(incident.last_told.watched);
        let is_due = incident.told && incident.resolved.is_none() && incident.ack.is_none() && waited >= remind;
        if !is_due || post.views.silenced(&incident.rule, incident.service.as_ref()).is_some() {
            return;
        }
        let phase = post.views.phases.get(incident.rule.as_str());
        if phase.is_none_or(|row| row.phase != Phase::Firing) {
            return;
        }
        let about = About::Reminder {
            incident: incident.id,
            reminder: incident.reminders,
        };
        for destination in self.audience(incident) {
            if !is_waiting(post.views, incident, destination) {
                post.send(destination, about.clone(), &incident.reminders.to_string());
            }
        }
    }

    fn test(test: &TestRequested, post: &mut Post<'_>) {
        let about = About::Test { by: test.by.clone() };
        post.send(&test.destination, about, "");
    }
}

/// True when an earlier message of the incident still waits for the destination: a reminder behind it says nothing new.
fn is_waiting(views: &Views, incident: &Incident, destination: &Name) -> bool {
    let open = |state: &DeliveryState| matches!(state, DeliveryState::Queued | DeliveryState::Started);
    let mut deliveries = views.deliveries.iter();
    deliveries.any(|(_, row)| {
        row.destination == *destination && row.about.incident() == Some(incident.id) && open(&row.state)
    })
}

impl Reactor for Notifier {
    fn name(&self) -> &'static str {
        "notifier"
    }

    fn window(&self) -> SignedDuration {
        // Rebuilding begins at a tick: the last one is all that is remembered.
        SignedDuration::ZERO
    }

    fn absorb(&mut self, fact: &Recorded) {
        if let Fact::Tick(_) = fact.fact() {
            self.ticks = (self.ticks.1, Some(fact.recorded_at.watched));
        }
    }

    fn react(&self, views: &Views, fact: &Recorded, out: &mut Effects) {
        let post = &mut Post { views, fact, out };
        match fact.fact() {
            Fact::AlertPhase(phase) => self.phase(phase, post),
            Fact::SilenceEnded(ended) => self.silence_ended(ended, post),
            Fact::SilenceLifted(lifted) => {
                if let Some(silence) = views.silences.get(&lifted.silence.to_string()) {
                    post.end_silence(silence);
                }
            }
            Fact::Tick(_) => self.tick(post),
            Fact::NetworkChanged(network) => self.network(network, post),
            Fact::BackupFailed(failed) => self.backup_failed(failed, post),
            Fact::BackupCaptured(captured) => self.packs_lost(captured, post),
            Fact::BackupMissed(missed) => self.backup_missed(missed, post),
            Fact::LimitReached(reached) => self.limit_reached(reached, post),
            Fact::JobEnded(ended) => self.job_ended(ended, post),
            Fact::ActionConcluded(concluded) => self.action_concluded(concluded, post),
            Fact::TaskFailed(failed) => self.task_failed(failed, post),
            Fact::TestRequested(test) if self.destinations.has(&test.destination) => Self::test(test, post),
            _ => {}
        }
    }
}

/// Queues messages that follow from one fact.
struct Post<'a> {
    views: &'a Views,
    fact: &'a Recorded,
    out: &'a mut Effects,
}

impl Post<'_> {
    /// Records that a message is queued, and queues it. `step` tells messages of one fact and destination apart.
    fn send(&mut self, destination: &Name, about: About, step: &str) {
        let job = message(self.views, self.fact, destination, about.clone(), step);
        let notified = Notified {
            job: job.id,
            destination: destination.clone(),
            about,
        };
        let stream = name_of(&format!("notify/{destination}"));
        let envelope = Envelope::new(stream, name_of("notifier"), Fact::Notified(notified));
        self.out.record(envelope.about(self.fact.envelope.service.clone()));
        self.out.enqueue(job);
    }

    fn end_silence(&mut self, silence: &events::Silence) {
        let ended = SilenceEnded {
            silence: silence.id,
            scope: silence.scope.clone(),
        };
        let stream = name_of(&format!("silence/{}", silence.id));
        let fact = Fact::SilenceEnded(ended);
        self.out.record(Envelope::new(stream, name_of("notifier"), fact));
    }
}

/// A message that follows from a fact. Its id says incident, transition, destination and step, so that a replay finds
/// the same one.
pub(crate) fn message(views: &Views, fact: &Recorded, destination: &Name, about: About, step: &str) -> Job {
    let incident = about.incident().map(|id| id.to_string()).unwrap_or_default();
    let transition = fact.seq.to_string();
    let kind = match &about {
        About::Firing { .. } => "firing",
        About::Reminder { .. } => "reminder",
        About::Resolved { .. } => "resolved",
        About::Notice { .. } => "notice",
        About::Test { .. } => "test",
        About::Other => "other",
    };
    let parts = [incident.as_str(), &transition, kind, destination.as_str(), step];
    let (queue, expires) = match &about {
        About::Test { .. } => (name_of(&format!("test/{destination}/{transition}")), TEST_EXPIRES),
        _ => (queue_of(destination), MESSAGE_EXPIRES),
    };
    Job {
        id: JobId::derive(&views.now.identity, &parts),
        queue,
        due: Due::After(fact.recorded_at.clone(), SignedDuration::ZERO),
        expires: Some(expires),
        on_crash: OnCrash::Resend,
        work: Work::Message {
            destination: destination.clone(),
            about,
        },
    }
}
