//! When the daemon speaks, and how: rules, incidents and messages.

mod house;
pub mod language;
mod message;
mod notifier;
mod paging;
mod phase;
mod reactor;
mod rules;
mod settings;
mod via;
mod windows;
mod words;
mod worker;

pub use self::{
    house::{paging, reactors},
    message::{BODY_BYTES_MAX, Body, DIGEST_OVER, IncidentBody, Kind, MessageComposer, TEXT_MAX, TITLE_MAX},
    notifier::{Destinations, MESSAGE_EXPIRES, Notifier, TEST_EXPIRES, queue_of, test_queues_of},
    paging::Paging,
    phase::{Hold, Seen, State, step},
    reactor::AlertingReactor,
    rules::{Rule, Rules, Surroundings, WatchedProbe, implied_name},
    settings::{AlertSettings, CLEAR_FOR_DEFAULT, FOR_DEFAULT, NoData, SeveritySetting},
    via::{Address, EmailSettings, NotifierKind, Notify, NotifySettings, Via, WebhookSettings},
    worker::MessageWorker,
};
