//! When the daemon speaks, and how: rules, incidents and messages.

pub mod language;
