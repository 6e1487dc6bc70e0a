//! What the API reads from and records to.

use std::sync::Arc;

use events::{Answer, Clocks, Envelope, IncidentId, Input, Key, Name, Recorded, ServiceId, Timestamp, name_of};
use serde::Serialize;
use store::{Journal, telemetry::Telemetry};

use crate::{Caller, Problem};

/// A probe as configured, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DescribedProbe {
    /// Its name.
    pub name: Name,
    /// The service it speaks for.
    pub service: ServiceId,
    /// Its kind.
    pub kind: String,
    /// What it looks at, without secrets.
    pub target: String,
    /// How often, in words.
    pub every: String,
}

/// An action as configured, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DescribedAction {
    /// Its name.
    pub name: Name,
    /// How far it may go by itself.
    pub mode: String,
    /// What it runs.
    pub command: String,
}

/// The configuration in words, for answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Described {
    /// The daemon's own environment.
    pub environment: String,
    /// Where the configuration came from.
    pub file: String,
    /// Probes.
    pub probes: Vec<DescribedProbe>,
    /// Names of rules, those implied by probes included.
    pub rules: Vec<String>,
    /// Names of destinations.
    pub destinations: Vec<Name>,
    /// Names of backups.
    pub backups: Vec<Name>,
    /// Actions.
    pub actions: Vec<DescribedAction>,
    /// Where telemetry goes.
    pub listen: Option<String>,
}

/// Everything an answer needs.
#[derive(Clone)]
pub struct App {
    /// The record.
    pub journal: Journal,
    /// Telemetry.
    pub telemetry: Telemetry,
    /// The clocks.
    pub clocks: Arc<dyn Clocks>,
    /// The configuration in words.
    pub described: Arc<Described>,
    /// Version of the binary.
    pub version: &'static str,
}

impl App {
    /// Records what a person asked for and waits for the commit.
    ///
    /// # Errors
    /// When it could not be committed, or the key stands for something else.
    pub async fn record(&self, envelope: Envelope) -> Result<Vec<Recorded>, Problem> {
        match self.journal.submit_reserved(Input::Fact(Box::new(envelope))).await? {
            Answer::Accepted { facts } => Ok(facts),
            Answer::Duplicate { seq } => Ok(self.journal.fact(seq).await?.into_iter().collect()),
            Answer::Conflict { seq } => {
                let title = format!("this key stands for another content, recorded as fact {seq}");
                Err(Problem::new(axum::http::StatusCode::CONFLICT, title).detail("use another Idempotency-Key"))
            }
            Answer::Unchanged | Answer::Superseded => Ok(Vec::new()),
        }
    }

    /// Wall clock now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clocks.now().wall
    }

    /// The one open incident whose id begins so.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub async fn incident(&self, prefix: &str) -> Result<IncidentId, Problem> {
        let views = self.journal.views().await;
        let found: Vec<IncidentId> = views
            .incidents
            .iter()
            .filter(|(id, row)| !prefix.is_empty() && (id.starts_with(prefix) || row.rule.as_str() == prefix))
            .map(|(_, row)| row.id)
            .collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(Problem::missing(format!("no open incident {prefix:?}")).detail("`watchkeep alerts` lists them")),
            many => {
                let ids: Vec<String> = many.iter().map(ToString::to_string).collect();
                Err(Problem::bad(format!("{prefix:?} names {} incidents", many.len())).detail(ids.join(", ")))
            }
        }
    }
}

/// An envelope for what a person asks for.
#[must_use]
pub fn asked(stream: &str, caller: Caller, key: Option<Key>, fact: events::Fact) -> Envelope {
    let envelope = Envelope::new(name_of(stream), name_of(&caller.name()), fact);
    match key {
        Some(key) => envelope.keyed(key),
        None => envelope,
    }
}
