//! How configuration is read, located and explained.
//!
//! This crate knows *how* a configuration file is read, not *what* it says: each section's type lives with the crate
//! that owns it, and `daemon/src/settings.rs` lists the sections. What every section needs stands here: a reader that
//! collects every mistake with its place and a suggestion ([`load`]), secrets as places ([`Secret`]), units
//! ([`Span`], [`Bytes`], [`WebUrl`]), names, calendars, and the [`kinds!`] macro.

mod calendar;
mod deserialize;
mod fault;
mod kinds;
mod load;
mod located;
mod mistake;
mod name;
mod redact;
mod render;
mod schema;
mod secret;
mod syntax;
mod tree;
mod units;
mod web_url;
mod wording;

pub use calendar::{Calendar, CalendarError, Cron, Zone};
pub use load::{Source, SourceError, load, load_partial, text_of};
pub use located::Located;
pub use mistake::{Mistake, Mistakes, explained, suggest};
pub use name::{Name, NameError};
pub use redact::redacted;
pub use schema::schema_text;
pub use secret::{Secret, SecretError, SecretValue};
pub use units::{Bytes, Span, UnitError};
pub use web_url::{WebUrl, WebUrlError};

/// What the [`kinds!`] macro names in its expansion; no interface of this crate.
#[doc(hidden)]
pub mod macro_support {
    pub use schemars;
    pub use serde;
}
