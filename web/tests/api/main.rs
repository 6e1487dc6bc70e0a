//! The API against a real record: who may, what is refused and how, and that no bytes bring it down.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod answers;
mod crowd;
mod hostile;
mod house;
mod limits;
mod people;
mod readiness;
mod reference;
mod scopes;
