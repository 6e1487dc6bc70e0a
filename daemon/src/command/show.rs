//! Answers as pages: pure functions from what the API says to text.

pub(crate) mod actions;
pub(crate) mod alerts;
pub(crate) mod backups;
pub(crate) mod chain;
pub(crate) mod jobs;
pub(crate) mod latency;
pub(crate) mod logs;
pub(crate) mod sentence;
pub(crate) mod status;
pub(crate) mod timeline;
pub(crate) mod trace;
pub(crate) mod tree;
pub(crate) mod why;

#[cfg(test)]
mod tests;
