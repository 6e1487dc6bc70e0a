//! What the API reads from and records to.

use std::{ops::Deref, sync::Arc};

use events::{Answer, Clocks, Envelope, IncidentId, Input, Key, Name, Recorded, ServiceId, Timestamp, Views, name_of};
use store::{
    Folder, Journal, Reader, StoreError, ViewsGuard,
    telemetry::{Telemetry, TelemetryReader},
};

use crate::{Caller, Described, Problem, Pulses};

/// A running daemon, as its answers need it.
#[derive(Clone)]
pub struct App {
    /// The data folder.
    pub folder: Arc<Folder>,
    /// The record.
    pub journal: Journal,
    /// Telemetry.
    pub telemetry: Telemetry,
    /// The clocks.
    pub clocks: Arc<dyn Clocks>,
    /// The configuration in words.
    pub described: Arc<Described>,
    /// How the outward heartbeats fare.
    pub pulses: Arc<Pulses>,
    /// Version of the binary.
    pub version: &'static str,
}

impl App {
    /// Wall clock now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clocks.now().wall
    }
}

/// Where answers come from.
#[derive(Clone)]
enum Source {
    /// A daemon's own record.
    Live(Journal, Telemetry),
    /// The record of a daemon that does not run: for reading only.
    Still(Arc<Reader>, Arc<Views>, TelemetryReader),
}

/// Views at one moment.
pub(crate) enum ViewsNow {
    /// Of a running daemon.
    Live(ViewsGuard),
    /// As they were stored last.
    Still(Arc<Views>),
}

impl Deref for ViewsNow {
    type Target = Views;

    fn deref(&self) -> &Views {
        match self {
            Self::Live(guard) => guard,
            Self::Still(views) => views,
        }
    }
}

/// Where questions are asked: at a running daemon, or at the data folder of one that does not run.
#[derive(Clone)]
pub struct Desk {
    source: Source,
    folder: Arc<Folder>,
    clocks: Arc<dyn Clocks>,
    pub(crate) described: Arc<Described>,
    pub(crate) pulses: Arc<Pulses>,
    pub(crate) version: &'static str,
}

impl From<App> for Desk {
    fn from(app: App) -> Self {
        Self {
            source: Source::Live(app.journal, app.telemetry),
            folder: app.folder,
            clocks: app.clocks,
            described: app.described,
            pulses: app.pulses,
            version: app.version,
        }
    }
}

impl Desk {
    /// A desk over a data folder that no daemon owns: it answers questions and records nothing.
    ///
    /// # Errors
    /// When there is no journal, or another version wrote it.
    pub async fn still(
        folder: Folder,
        clocks: Arc<dyn Clocks>,
        described: Arc<Described>,
        version: &'static str,
    ) -> Result<Self, StoreError> {
        let reader = Reader::open(&folder).await?;
        let views = Arc::new(reader.stored_views().await?);
        let telemetry = TelemetryReader::open(folder.path());
        let source = Source::Still(Arc::new(reader), views, telemetry);
        Ok(Self {
            source,
            folder: Arc::new(folder),
            clocks,
            described,
            pulses: Arc::default(),
            version,
        })
    }

    /// Wall clock now, as answers give it.
    #[must_use]
    pub fn asked_at(&self) -> Timestamp {
        self.now()
    }

    /// When the newest fact was recorded: nothing is known of what came after.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn last_recorded(&self) -> Result<Option<Timestamp>, StoreError> {
        let head = self.reader().head().await?;
        Ok(self.reader().fact(head.seq).await?.map(|fact| fact.recorded_at.wall))
    }

    /// The journal, when a daemon answers.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        match &self.source {
            Source::Live(journal, _) => Some(journal),
            Source::Still(..) => None,
        }
    }

    /// Telemetry, when a daemon answers.
    pub(crate) fn telemetry(&self) -> Option<&Telemetry> {
        match &self.source {
            Source::Live(_, telemetry) => Some(telemetry),
            Source::Still(..) => None,
        }
    }

    /// Reads facts and rows.
    pub(crate) fn reader(&self) -> &Reader {
        match &self.source {
            Source::Live(journal, _) => journal,
            Source::Still(reader, ..) => reader,
        }
    }

    /// Reads logs and traces.
    pub(crate) fn telemetry_reader(&self) -> &TelemetryReader {
        match &self.source {
            Source::Live(_, telemetry) => telemetry.reader(),
            Source::Still(.., telemetry) => telemetry,
        }
    }

    /// The views as last committed.
    pub(crate) async fn views(&self) -> ViewsNow {
        match &self.source {
            Source::Live(journal, _) => ViewsNow::Live(journal.views().await),
            Source::Still(_, views, _) => ViewsNow::Still(Arc::clone(views)),
        }
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn clocks(&self) -> &dyn Clocks {
        self.clocks.as_ref()
    }

    /// Records what a person asked for and waits for the commit; also while the disk is full.
    pub(crate) async fn record(&self, envelope: Envelope) -> Result<Vec<Recorded>, Problem> {
        let journal = self.running()?;
        let answer = journal.submit_reserved(Input::Fact(Box::new(envelope))).await?;
        recorded(journal, answer).await
    }

    /// Records what is reported, such as a deployment, and waits for the commit. It has no claim on the reserve: while the
    /// disk is full it is refused.
    pub(crate) async fn report(&self, envelope: Envelope) -> Result<Vec<Recorded>, Problem> {
        let journal = self.running()?;
        let answer = journal.submit(Input::Fact(Box::new(envelope))).await?;
        recorded(journal, answer).await
    }

    /// The journal, or that nobody is there to write.
    pub(crate) fn running(&self) -> Result<&Journal, Problem> {
        self.journal().ok_or_else(|| {
            Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "no daemon is running")
                .detail("start it with `watchkeep run`")
        })
    }

    /// Wall clock now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clocks.now().wall
    }

    /// The one open incident whose id begins so, or whose rule is called so.
    pub(crate) async fn incident(&self, prefix: &str) -> Result<IncidentId, Problem> {
        let views = self.views().await;
        let found: Vec<IncidentId> = views
            .incidents
            .iter()
            .filter(|(_, row)| row.resolved.is_none())
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
pub(crate) fn asked(stream: &str, caller: Caller, key: Option<Key>, fact: events::Fact) -> Envelope {
    let envelope = Envelope::new(name_of(stream), name_of(&caller.name()), fact);
    match key {
        Some(key) => envelope.keyed(key),
        None => envelope,
    }
}

/// The name among those that are configured, or what to do about it.
pub(crate) fn known<'a>(
    what: &str,
    wanted: &str,
    configured: impl Iterator<Item = &'a Name> + Clone,
    otherwise: &str,
) -> Result<Name, Problem> {
    if let Some(name) = configured.clone().find(|name| name.as_str() == wanted) {
        return Ok(name.clone());
    }
    let near = config::suggest(wanted, configured.map(Name::as_str));
    let help = near.map_or_else(|| otherwise.to_owned(), |near| format!("did you mean {near:?}?"));
    Err(Problem::missing(format!("no {what} {wanted:?}")).detail(help))
}

/// The service of a name, in the environment that is said.
pub(crate) fn service_in(service: ServiceId, environment: Option<&str>, own: &str) -> Result<ServiceId, Problem> {
    match environment {
        Some(environment) if environment != own => {
            ServiceId::new(format!("{service}@{environment}")).map_err(|error| Problem::bad(error.to_string()))
        }
        _ => Ok(service),
    }
}

/// The facts that an input became.
async fn recorded(journal: &Journal, answer: Answer) -> Result<Vec<Recorded>, Problem> {
    match answer {
        Answer::Accepted { facts } => Ok(facts),
        Answer::Duplicate { seq } => Ok(journal.fact(seq).await?.into_iter().collect()),
        Answer::Conflict { seq } => {
            let title = format!("this key stands for another content, recorded as fact {seq}");
            Err(Problem::new(axum::http::StatusCode::CONFLICT, title).detail("use another Idempotency-Key"))
        }
        Answer::Unchanged | Answer::Superseded => Ok(Vec::new()),
    }
}
