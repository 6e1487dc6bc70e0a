//! What the stories stand on: real servers started and stopped, faults put between them, clocks turned, power cut.
//!
//! Everything here is owned: dropping a value stops its process, closes its port and lets its folder go. Nothing waits by
//! sleeping; [`wait::until`] polls with a deadline and says what it waited for. A tool that is not installed fails the test.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a helper of tests fails the test it serves, and measures real time"
)]

pub mod certificate;
pub mod clock;
pub mod daemon;
pub mod disk;
pub mod faketime;
pub mod http;
mod installed;
pub mod netns;
pub mod nginx;
pub mod ports;
pub mod power;
pub mod process;
pub mod proxy;
pub mod random;
pub mod s3;
#[cfg(test)]
mod selftest;
pub mod services;
pub mod smtp;
pub mod tools;
pub mod wait;
pub mod webhook;

pub use daemon::Daemon;
pub use process::Process;
pub use wait::until;
