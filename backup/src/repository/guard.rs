//! The one door to the store. Whatever writes goes through here, the library included, so that no error is lost,
//! no snapshot appears before its time, and a cancelled run stops.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::storage::{Kind, Listed, Object, Storage};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
    run::Run,
};

/// What may be written now. The library has no say in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing but locks.
    Reading,
    /// Keys and the config of a new repository.
    Initialising,
    /// Packs and index files. A snapshot is *held*: taken, not stored (the library would write it after a source died).
    Capturing,
    /// The snapshot of a capture that was found complete.
    Committing,
    /// Everything, removals too.
    Maintaining,
}

impl Mode {
    fn allows_write(self, kind: Kind) -> bool {
        match (self, kind) {
            (_, Kind::Lock) | (Self::Maintaining, _) => true,
            (Self::Reading, _) => false,
            (Self::Initialising, kind) => matches!(kind, Kind::Config | Kind::Key),
            (Self::Capturing, kind) => matches!(kind, Kind::Pack | Kind::Index),
            (Self::Committing, kind) => kind == Kind::Snapshot,
        }
    }

    fn allows_removal(self, kind: Kind) -> bool {
        kind == Kind::Lock || self == Self::Maintaining
    }
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// The first failure of a call that mattered; from then on every call answers it (errors surface late otherwise).
    failed: Option<Failure>,
    /// The last failure of any call, with its type: the library keeps only a text.
    last: Option<Failure>,
    written: Vec<Object>,
}

/// A store behind a gate, counters, a sticky failure and cancellation.
#[derive(Debug)]
pub(crate) struct Guard {
    storage: Box<dyn Storage>,
    run: Run,
    state: Mutex<State>,
}

impl Guard {
    pub(crate) fn new(storage: Box<dyn Storage>, run: Run) -> Arc<Self> {
        let state = State {
            mode: Mode::Reading,
            failed: None,
            last: None,
            written: Vec::new(),
        };
        Arc::new(Self {
            storage,
            run,
            state: Mutex::new(state),
        })
    }

    pub(crate) fn run(&self) -> &Run {
        &self.run
    }

    pub(crate) fn location(&self) -> String {
        self.storage.location()
    }

    /// Enters a mode with a clean slate.
    pub(crate) fn enter(&self, mode: Mode) {
        let mut state = self.state();
        *state = State {
            mode,
            failed: None,
            last: None,
            written: Vec::new(),
        };
    }

    /// Changes what may be written and keeps failures and the list of what was written.
    pub(crate) fn shift(&self, mode: Mode) {
        self.state().mode = mode;
    }

    /// Makes everything fail from now on, unless something failed already.
    pub(crate) fn fail(&self, failure: Failure) {
        self.state().failed.get_or_insert(failure);
    }

    /// The failure that everything answers with, if there is one.
    pub(crate) fn failed(&self) -> Option<Failure> {
        self.state().failed.clone()
    }

    /// The last typed failure: what the library's error was made of.
    pub(crate) fn last(&self) -> Option<Failure> {
        let state = self.state();
        state.failed.clone().or_else(|| state.last.clone())
    }

    /// Objects written in this mode, in order.
    pub(crate) fn written(&self, kind: Kind) -> Vec<Object> {
        self.state()
            .written
            .iter()
            .filter(|object| object.kind == kind)
            .copied()
            .collect()
    }

    pub(crate) fn create(&self) -> Result<(), Failure> {
        self.call(true, |storage| storage.create())
    }

    pub(crate) fn probe(&self) -> Result<(), Failure> {
        self.call(true, |storage| storage.probe())
    }

    pub(crate) fn sweep(&self) -> Result<(), Failure> {
        self.call(true, |storage| storage.sweep())
    }

    pub(crate) fn list(&self, kind: Kind) -> Result<Vec<Listed>, Failure> {
        self.call(true, |storage| storage.list(kind))
    }

    pub(crate) fn read(&self, object: &Object, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
        let content = self.call(false, |storage| storage.read(object, range))?;
        self.run.traffic.fetched(content.len());
        Ok(content)
    }

    /// Reads a whole object and compares its name: what the library never does.
    pub(crate) fn read_checked(&self, object: &Object) -> Result<Bytes, Failure> {
        let content = self.read(object, None)?;
        let found = Digest::of(&content);
        if object.kind.is_named_by_content() && found != object.name {
            return Err(Failure::new(
                Reason::Corrupt,
                format!(
                    "{object} holds other bytes than its name says ({} bytes with SHA-256 {found})",
                    content.len()
                ),
            ));
        }
        Ok(content)
    }

    pub(crate) fn write(&self, object: &Object, content: Bytes) -> Result<(), Failure> {
        let mode = self.state().mode;
        if mode == Mode::Capturing && object.kind == Kind::Snapshot {
            // Held: the caller decides after it has seen how the source ended.
            return self.call(true, |_| Ok(()));
        }
        if !mode.allows_write(object.kind) {
            let refused = Failure::new(
                Reason::Invalid,
                format!("writing {object} is not allowed while {mode:?}"),
            );
            self.fail(refused.clone());
            return Err(refused);
        }
        let size = content.len();
        // Locks must be kept and released even after something failed.
        if object.kind == Kind::Lock {
            self.run.traffic.request();
            return self.storage.write(object, content);
        }
        self.call(true, |storage| storage.write(object, content))?;
        self.run.traffic.stored(size);
        self.state().written.push(*object);
        Ok(())
    }

    pub(crate) fn remove(&self, object: &Object) -> Result<(), Failure> {
        if object.kind == Kind::Lock {
            self.run.traffic.request();
            return self.storage.remove(object);
        }
        let mode = self.state().mode;
        if !mode.allows_removal(object.kind) {
            let refused = Failure::new(
                Reason::Invalid,
                format!("removing {object} is not allowed while {mode:?}"),
            );
            self.fail(refused.clone());
            return Err(refused);
        }
        self.call(true, |storage| storage.remove(object))
    }

    /// One call to the store. `sticky`: its failure ends the run; a failed read may be the finding itself.
    fn call<T>(&self, sticky: bool, call: impl FnOnce(&dyn Storage) -> Result<T, Failure>) -> Result<T, Failure> {
        if let Some(failed) = self.failed() {
            return Err(failed);
        }
        let answer = self.run.cancel.check().and_then(|()| {
            self.run.traffic.request();
            call(self.storage.as_ref())
        });
        if let Err(failure) = &answer {
            let mut state = self.state();
            state.last = Some(failure.clone());
            let capturing = state.mode != Mode::Reading;
            if (sticky && capturing) || failure.reason() == Reason::Cancelled {
                state.failed.get_or_insert_with(|| failure.clone());
            }
        }
        answer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain values behind, never half of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
