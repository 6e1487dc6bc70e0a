//! Inputs: what is offered to the journal, made a fact, or found to be none, at its turn.

use jiff::SignedDuration;

use super::{AbsorbPanicked, Fold, Turn, guarded::compose};
use crate::{
    CertificateSeen, DeliveryState, Ending, Envelope, Fact, Job, JobEnded, JobStarted, Network, NetworkChanged, Probe,
    ProbeChanged, ProbeResult, Recorded, Seq, Status, encode, name_of, unseen,
};

/// A changed reason within *fail* is recorded at most once in so much elapsed time.
const REASON_CHANGE_MIN: SignedDuration = SignedDuration::from_secs(60);

/// Something offered to the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An observed fact; with a key it is recorded once.
    Fact(Box<Envelope>),
    /// A probe's result, recorded when it differs from what held.
    Probe(Box<ProbeResult>),
    /// What the anchors say of our own network, recorded when it differs from what held.
    Network(NetworkChanged),
    /// The first attempt at a job; a message is composed now.
    JobStart(Box<Job>),
}

impl From<Envelope> for Input {
    fn from(envelope: Envelope) -> Self {
        Self::Fact(Box::new(envelope))
    }
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Recorded, with everything that followed from it; the first is the input's own fact.
    Accepted {
        /// The facts.
        facts: Vec<Recorded>,
    },
    /// Recorded before, with the same content.
    Duplicate {
        /// Where.
        seq: Seq,
    },
    /// The same source and key with another content: refused.
    Conflict {
        /// The one that stands.
        seq: Seq,
    },
    /// Nothing new.
    Unchanged,
    /// A message that another one says already: it is not sent.
    Superseded,
}

impl Fold {
    /// Takes one input at its turn.
    pub(super) fn take(&mut self, turn: &mut Turn<'_>, input: Input) -> Result<Answer, AbsorbPanicked> {
        let before = turn.commit.facts.len();
        let mut superseded = false;
        let envelope = match input {
            Input::Fact(envelope) => match known(turn, &envelope) {
                Some(answer) => return Ok(answer),
                None => Some(*envelope),
            },
            Input::Probe(result) => self.compare_probe(turn, *result),
            Input::Network(network) => self.compare_network(network),
            Input::JobStart(job) => {
                let envelope = self.start(turn, &job);
                superseded = matches!(envelope.fact, Fact::JobEnded(_));
                Some(envelope)
            }
        };
        let Some(envelope) = envelope else {
            return Ok(Answer::Unchanged);
        };
        self.append(turn, None, 0, envelope)?;
        if superseded {
            return Ok(Answer::Superseded);
        }
        Ok(Answer::Accepted {
            facts: turn.commit.facts.get(before..).unwrap_or_default().to_vec(),
        })
    }

    /// A probe's result against what the view says at this turn.
    fn compare_probe(&self, turn: &Turn<'_>, result: ProbeResult) -> Option<Envelope> {
        let row = self.views.probes.get(result.probe.as_str());
        let from = row.map_or(Status::Unknown, |row| row.status);
        let stream = name_of(&format!("probe/{}", result.probe));
        let service = Some(result.service.clone());
        let look = result.look;
        if row.is_some_and(|row| row.status == look.status && !is_news(row, &look, turn)) {
            let expires = look
                .certificate_expires
                .filter(|expires| row.and_then(|row| row.certificate_expires) != Some(*expires))?;
            let seen = Fact::CertificateSeen(CertificateSeen {
                probe: result.probe,
                expires,
            });
            return Some(Envelope::new(stream, name_of("probe"), seen).about(service));
        }
        if row.is_none() && look == unseen() {
            return None;
        }
        let changed = ProbeChanged {
            probe: result.probe,
            from,
            look,
            first: result.first,
        };
        Some(Envelope::new(stream, name_of("probe"), Fact::ProbeChanged(changed)).about(service))
    }

    fn compare_network(&self, network: NetworkChanged) -> Option<Envelope> {
        let same = self.views.now.network == network.to || network.to == Network::Other;
        (!same).then(|| Envelope::new(name_of("network"), name_of("anchors"), Fact::NetworkChanged(network)))
    }

    /// The first attempt at a job: composes a message, unless another one says it already.
    fn start(&self, turn: &Turn<'_>, job: &Job) -> Envelope {
        let stream = name_of(&format!("job/{}", job.queue));
        let delivery = self.views.deliveries.get(&job.id.to_string());
        if let Some(DeliveryState::Covered { by }) = delivery.map(|row| &row.state) {
            let ended = JobEnded {
                job: job.id,
                queue: job.queue.clone(),
                ending: Ending::Superseded,
                attempts: 0,
                why: format!("message {by} says it"),
            };
            return Envelope::new(stream, name_of("worker"), Fact::JobEnded(ended));
        }
        let composition = compose(self.composer.as_ref(), &self.views, job, &turn.moment);
        let (composed, covers) = composition.map_or((None, Vec::new()), |composition| {
            (Some(composition.body), composition.covers)
        });
        let started = JobStarted {
            job: job.id,
            queue: job.queue.clone(),
            composed,
            covers,
        };
        Envelope::new(stream, name_of("worker"), Fact::JobStarted(started))
    }
}

/// Within an unchanged status a result is news when its reason changed, and the last change is a minute ago.
fn is_news(row: &Probe, look: &crate::Look, turn: &Turn<'_>) -> bool {
    row.look.reason != look.reason && turn.moment.at.since(row.looked.at) >= REASON_CHANGE_MIN
}

/// A fact whose source and key are known, in the journal or earlier in this commit, is not recorded again.
fn known(turn: &Turn<'_>, envelope: &Envelope) -> Option<Answer> {
    let key = envelope.key.as_ref()?;
    let here = turn
        .commit
        .facts
        .iter()
        .find(|fact| fact.envelope.source == envelope.source && fact.envelope.key.as_ref() == Some(key));
    let here = here.map(|fact| (fact.seq, encode::body(&fact.envelope)));
    let (seq, body) = here.or_else(|| turn.past.seen(&envelope.source, key))?;
    let same = body == encode::body(envelope);
    Some(if same {
        Answer::Duplicate { seq }
    } else {
        Answer::Conflict { seq }
    })
}
