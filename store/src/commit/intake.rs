//! What waits to be committed: two queues, both bounded in number and bytes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use events::{Answer, Fact, Input, SubmitError, encode};
use tokio::sync::{Notify, oneshot};

use crate::jobs::JobChange;

/// Most inputs, and about the most bytes, of one commit.
pub(super) const BATCH_MAX: usize = 512;
const BATCH_BYTES: usize = 1024 * 1024;
/// Most inputs, and about the most bytes, that wait in one queue.
pub const QUEUE_MAX: usize = 8192;
/// See [`QUEUE_MAX`].
pub const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Who waits for an answer.
pub(crate) type Reply = oneshot::Sender<Result<Answer, SubmitError>>;

/// Which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// What may be refused.
    Ordinary,
    /// Ticks, outcomes of jobs, an operator's commands: taken first, and still taken while the disk is full.
    Reserved,
}

/// Something that waits.
pub(crate) struct Item {
    pub(crate) class: Class,
    pub(crate) input: Option<Input>,
    pub(crate) change: Option<JobChange>,
    pub(crate) reply: Option<Reply>,
    bytes: usize,
}

impl Item {
    pub(crate) fn new(class: Class, input: Option<Input>, change: Option<JobChange>, reply: Option<Reply>) -> Self {
        let bytes = input.as_ref().map_or(200, size);
        Self {
            class,
            input,
            change,
            reply,
            bytes,
        }
    }

    pub(crate) fn answer(&mut self, answer: Result<Answer, SubmitError>) {
        if let Some(reply) = self.reply.take() {
            // A caller that went away does not need to know.
            let _ = reply.send(answer);
        }
    }

    fn starts(&self) -> bool {
        matches!(&self.input, Some(Input::Fact(envelope)) if matches!(envelope.fact, Fact::Started(_)))
    }
}

/// About how many bytes an input adds to the journal.
fn size(input: &Input) -> usize {
    match input {
        Input::Fact(envelope) => {
            let bins = match &envelope.fact {
                Fact::Tick(tick) => tick.bins.len() * 100,
                _ => 0,
            };
            encode::body(envelope).len() + bins
        }
        Input::Probe(result) => 600 + result.look.evidence.len(),
        Input::Network(_) => 300,
        Input::JobStart(_) => 2000,
    }
}

/// Why ordinary inputs are refused for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// Too little space is left.
    DiskFull,
    /// Commits fail one after the other.
    Failing,
}

/// How many inputs were refused since it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) queue_full: u64,
    pub(crate) disk_full: u64,
    pub(crate) failing: u64,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
}

impl Queue {
    /// An input larger than the whole queue fits when nothing else waits.
    fn fits(&self, item: &Item) -> bool {
        self.items.is_empty() || (self.items.len() < QUEUE_MAX && self.bytes + item.bytes <= QUEUE_BYTES)
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.bytes;
        self.items.push_back(item);
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.bytes;
        Some(item)
    }
}

#[derive(Default)]
struct State {
    ordinary: Queue,
    reserved: Queue,
    shut: Option<Shut>,
    closed: bool,
    refused: Refused,
}

/// The two queues.
#[derive(Default)]
pub(crate) struct Intake {
    state: Mutex<State>,
    arrived: Notify,
}

impl Intake {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something into its queue, or refuses it at once.
    pub(crate) fn push(&self, item: Item) -> Result<(), SubmitError> {
        let mut state = self.lock();
        if state.closed {
            return Err(SubmitError::Stopping);
        }
        if item.class == Class::Reserved {
            if !state.reserved.fits(&item) {
                return Err(SubmitError::Full);
            }
            state.reserved.push(item);
        } else {
            match state.shut {
                Some(Shut::DiskFull) => {
                    state.refused.disk_full += 1;
                    return Err(SubmitError::DiskFull);
                }
                Some(Shut::Failing) => {
                    state.refused.failing += 1;
                    return Err(SubmitError::NotCommitted("the last commits failed".to_owned()));
                }
                None => {}
            }
            if !state.ordinary.fits(&item) {
                state.refused.queue_full += 1;
                return Err(SubmitError::Full);
            }
            state.ordinary.push(item);
        }
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// What the next commit takes: the reserved queue first. A process's start begins a commit of its own.
    pub(super) fn take(&self) -> Vec<Item> {
        let mut state = self.lock();
        let mut taken: Vec<Item> = Vec::new();
        let mut bytes = 0;
        while taken.len() < BATCH_MAX && bytes < BATCH_BYTES {
            let State { ordinary, reserved, .. } = &mut *state;
            let queue = if reserved.items.is_empty() { ordinary } else { reserved };
            if !taken.is_empty() && queue.items.front().is_some_and(Item::starts) {
                break;
            }
            let Some(item) = queue.pop() else { break };
            bytes += item.bytes;
            taken.push(item);
        }
        taken
    }

    /// Returns when something may have arrived.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Refuses, or takes again, ordinary inputs.
    pub(super) fn shut(&self, shut: Option<Shut>) {
        self.lock().shut = shut;
    }

    /// True while ordinary inputs are refused for want of space.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.lock().shut == Some(Shut::DiskFull)
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// There is no writer any more: what waits is refused, as is all that comes.
    pub(super) fn abandon(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            (std::mem::take(&mut state.reserved), std::mem::take(&mut state.ordinary))
        };
        for mut item in waiting.0.items.into_iter().chain(waiting.1.items) {
            item.answer(Err(SubmitError::Stopping));
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Inputs that were refused in a commit, not at the door.
    pub(super) fn count_refused(&self, more: Refused) {
        let refused = &mut self.lock().refused;
        refused.queue_full += more.queue_full;
        refused.disk_full += more.disk_full;
        refused.failing += more.failing;
    }

    /// What was refused since this was last asked.
    pub(super) fn take_refused(&self) -> Refused {
        std::mem::take(&mut self.lock().refused)
    }

    /// How many inputs wait, in both queues.
    pub(crate) fn len(&self) -> usize {
        let state = self.lock();
        state.ordinary.items.len() + state.reserved.items.len()
    }
}

#[cfg(test)]
mod tests {
    use events::{Envelope, Started, Stopped, name_of};

    use super::*;

    fn item(class: Class, fact: Fact) -> Item {
        let envelope = Envelope::new(name_of("daemon"), name_of("daemon"), fact);
        Item::new(class, Some(envelope.into()), None, None)
    }

    fn stopped() -> Fact {
        Fact::Stopped(Stopped { reason: "x".to_owned() })
    }

    #[test]
    fn the_reserved_queue_is_emptied_first() {
        let intake = Intake::default();
        intake.push(item(Class::Ordinary, stopped())).unwrap();
        intake.push(item(Class::Reserved, stopped())).unwrap();
        let classes: Vec<Class> = intake.take().iter().map(|item| item.class).collect();
        assert_eq!(classes, [Class::Reserved, Class::Ordinary]);
    }

    #[test]
    fn a_start_begins_a_commit() {
        let intake = Intake::default();
        let started = Fact::Started(Started {
            version: "1".to_owned(),
            identity: events::Identity::default(),
        });
        intake.push(item(Class::Reserved, stopped())).unwrap();
        intake.push(item(Class::Reserved, started)).unwrap();
        intake.push(item(Class::Reserved, stopped())).unwrap();
        assert_eq!(intake.take().len(), 1);
        assert_eq!(intake.take().len(), 2);
    }

    #[test]
    fn a_full_queue_refuses_and_counts_but_leaves_room_for_what_must_go_on() {
        let intake = Intake::default();
        let mut taken = 0;
        while intake.push(item(Class::Ordinary, stopped())).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, QUEUE_MAX);
        intake.push(item(Class::Reserved, stopped())).unwrap();
        assert_eq!(intake.take_refused().queue_full, 1);
    }
}
