//! When we act, and how: gates over facts (pure), and the acts themselves behind one trait.

pub mod act;
mod guard;
mod reactor;
mod settings;
mod worker;

pub use self::{
    guard::{Guard, still_open, up},
    reactor::{GuardReactor, Planned},
    settings::{Act, ActionSettings, GuardSettings, Mode, VerifySettings},
    worker::ActWorker,
};
