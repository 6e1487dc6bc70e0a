//! The journal: facts, views and jobs in one database, written by one task.

mod chain;
pub(crate) mod connection;
mod ledger;
pub(crate) mod opening;
mod prefix;
mod reader;
mod schema;
pub(crate) mod shared;
mod stored;

use std::{ops::Deref, sync::Arc};

use events::{Answer, Clocks, Composer, Factory, Failures, Identity, Input, SubmitError};
use tokio::sync::{oneshot, watch};

pub use self::{
    chain::{ChainDamage, ChainReport},
    reader::{FactQuery, PAGE_MAX, Page, Reader, ViewRow},
    shared::{Committed, Releases, ViewsGuard},
};
use self::{opening::Environment, shared::Shared};
use crate::{
    Expected, Folder, Jobs, Options, StoreError, Writer,
    commit::{Class, Item},
    jobs::JobChange,
};

/// The journal as everybody but its writer sees it. What reads is a [`Reader`], to which it dereferences.
#[derive(Clone)]
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
}

impl Deref for Journal {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.shared.reader
    }
}

impl Journal {
    /// Opens, or creates, the journal of a folder that this process owns. Nothing is committed before the writer runs; a
    /// process's first input has to be [`events::Started`].
    ///
    /// # Errors
    /// When it cannot be opened, a newer version wrote it, or its write-ahead log cannot be emptied.
    pub async fn open(
        folder: &Folder,
        options: Options,
        factory: Arc<dyn Factory>,
        composer: Arc<dyn Composer>,
        clocks: Arc<dyn Clocks>,
    ) -> Result<(Self, Writer), StoreError> {
        if !folder.is_owned() {
            return Err(StoreError::NotOwned {
                path: folder.path().to_owned(),
            });
        }
        let environment = Environment {
            path: folder.journal(),
            options,
            factory,
            composer,
        };
        let mut engine = opening::open(&environment, &Failures::new(), true).await?;
        folder.sync()?;
        let reader = Reader::lazy(&environment.path);
        let shared = Arc::new(Shared::new(reader, clocks, &mut engine));
        let writer = Writer::new(Arc::clone(&shared), environment, engine, folder);
        Ok((Self { shared }, writer))
    }

    /// Which journal it is, and in which epoch: for [`events::Started`] and the ids of messages.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.shared.identity.clone()
    }

    /// Submits an ordinary input and waits until it is committed, consequences included.
    ///
    /// # Errors
    /// When it was refused or its commit failed: submit it again, with the same key.
    pub async fn submit(&self, input: Input) -> Result<Answer, SubmitError> {
        self.wait(Class::Ordinary, Some(input), None).await
    }

    /// The same for what must go on: ticks, outcomes of jobs, an operator's commands. It is taken before ordinary inputs,
    /// and also while the disk is full.
    ///
    /// # Errors
    /// As [`Journal::submit`].
    pub async fn submit_reserved(&self, input: Input) -> Result<Answer, SubmitError> {
        self.wait(Class::Reserved, Some(input), None).await
    }

    pub(crate) async fn submit_item(
        &self,
        input: Option<Input>,
        change: Option<JobChange>,
    ) -> Result<Answer, SubmitError> {
        self.wait(Class::Reserved, input, change).await
    }

    async fn wait(&self, class: Class, input: Option<Input>, change: Option<JobChange>) -> Result<Answer, SubmitError> {
        let (reply, answer) = oneshot::channel();
        self.shared.intake.push(Item::new(class, input, change, Some(reply)))?;
        // A writer that is gone, or ended before its turn, answers nobody.
        answer.await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// The views as last committed.
    #[expect(clippy::unused_async, reason = "an engine on another host has to ask for them")]
    pub async fn views(&self) -> ViewsGuard {
        self.shared.views()
    }

    /// The last commit; changes with each.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Committed> {
        self.shared.committed.subscribe()
    }

    /// Current release of each service, for stamping telemetry; changes only when a deployment is committed.
    #[must_use]
    pub fn releases(&self) -> watch::Receiver<Releases> {
        self.shared.releases.subscribe()
    }

    /// Sets the probes of which results are expected. At each tick those that have been silent for longer than their limit
    /// are recorded as unknown.
    pub fn expect(&self, expected: Vec<Expected>) {
        self.shared.expect(expected);
    }

    /// False after a failed commit, until the journal was opened again: what the disk holds is not known.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.shared.is_settled()
    }

    /// True while ordinary inputs are refused because too little space is left, or because the reserve was given away and
    /// cannot be made again.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.shared.intake.is_disk_full()
    }

    /// Inputs that wait to be committed.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.shared.intake.len()
    }

    /// The queues of jobs.
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        Jobs::new(self.clone())
    }
}
