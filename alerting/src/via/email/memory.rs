//! Who has which message already, and who is refused for how long: so that a repetition goes only to those who lack it,
//! and one dead address does not hold up the others. It ends with the process.

use std::collections::{BTreeMap, BTreeSet};

use events::{JobId, Outcome};
use jiff::SignedDuration;
use lettre::Address;
use tokio::time::Instant;

use super::{
    handing::{Failure, Handed, Refusal},
    later,
};

/// For so long an address that is refused, while others are served, holds up what waits behind.
const REFUSED_MAX: SignedDuration = SignedDuration::from_mins(10);
/// How soon it is tried again within that time.
const REFUSED_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// For so long a message whose content is refused holds up what waits behind.
const CONTENT_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Most messages that are remembered, the newest.
const MESSAGES_MAX: usize = 100;

/// What a destination remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    messages: BTreeMap<JobId, Message>,
    /// Since when an address is refused while others are served.
    refused: BTreeMap<Address, Instant>,
}

#[derive(Debug, Default)]
struct Message {
    taken: BTreeSet<Address>,
    answer: String,
    content_refused: Option<Instant>,
    tried: Option<Instant>,
}

impl Memory {
    /// Those who do not have it yet.
    pub(super) fn lacking(&self, id: JobId, to: impl Iterator<Item = Address>) -> Vec<Address> {
        let known = self.messages.get(&id);
        let has = |address: &Address| known.is_some_and(|message| message.taken.contains(address));
        to.filter(|address| !has(address)).collect()
    }

    /// Notes what became of an attempt, and says how it ended.
    pub(super) fn note(&mut self, id: JobId, tried: Result<Handed, Failure>, now: Instant) -> Outcome {
        let handed = match tried {
            Ok(handed) => handed,
            Err(Failure::Other(why)) => return later(why),
            Err(Failure::Content(why)) => return self.content_refused(id, why, now),
        };
        for address in &handed.taken {
            self.refused.remove(address);
        }
        let message = self.message(id, now);
        if !handed.taken.is_empty() {
            message.answer = handed.answer;
            message.taken.extend(handed.taken);
        }
        let (has_somebody, answer) = (!message.taken.is_empty(), message.answer.clone());
        if handed.refused.is_empty() {
            return Outcome::Done { answer };
        }
        if !has_somebody {
            // That is no trouble of single addresses.
            self.refused.clear();
            return later(said(&handed.refused));
        }
        if handed.refused.iter().any(|refusal| self.is_waited_for(refusal, now)) {
            return Outcome::Later {
                why: format!("the others have it; {}", said(&handed.refused)),
                not_before: Some(REFUSED_AGAIN),
            };
        }
        let refused = said(&handed.refused);
        tracing::error!(message = %id, refused, "somebody does not get the mail that the others get: correct the address");
        Outcome::Done {
            answer: format!("{answer}; but {refused}"),
        }
    }

    /// Whether the others are still held up for a refused address.
    fn is_waited_for(&mut self, refusal: &Refusal, now: Instant) -> bool {
        let since = *self.refused.entry(refusal.to.clone()).or_insert(now);
        now.saturating_duration_since(since) < REFUSED_MAX.unsigned_abs()
    }

    fn content_refused(&mut self, id: JobId, why: String, now: Instant) -> Outcome {
        let message = self.message(id, now);
        let since = *message.content_refused.get_or_insert(now);
        if now.saturating_duration_since(since) < CONTENT_MAX.unsigned_abs() {
            return later(why);
        }
        Outcome::Failed {
            why: format!("the server refuses the text of the message for an hour: {why}"),
        }
    }

    fn message(&mut self, id: JobId, now: Instant) -> &mut Message {
        if self.messages.len() >= MESSAGES_MAX && !self.messages.contains_key(&id) {
            let oldest = self.messages.iter().min_by_key(|(_, message)| message.tried);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.messages.remove(&oldest);
            }
        }
        let message = self.messages.entry(id).or_default();
        message.tried = Some(now);
        message
    }
}

/// `gone@shop.example is refused: permanent error (550): no such user`.
fn said(refused: &[Refusal]) -> String {
    let each = refused
        .iter()
        .map(|refusal| format!("{} is refused: {}", refusal.to, refusal.why));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
