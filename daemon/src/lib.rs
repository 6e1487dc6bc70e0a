//! The binary: wires collectors, the record, alerting, recovery, backup and web together, and is the command line.

mod checking;
mod children;
pub mod cli;
mod client;
mod clock;
mod command;
mod heartbeat;
mod housekeeping;
mod ingest;
mod keeping;
mod observing;
mod plan;
mod replaying;
mod restoring;
mod run;
mod settings;
mod supervisor;
mod workers;

use std::process::ExitCode;

use clap::Parser;

pub use self::{
    children::RunDirectories,
    heartbeat::HeartbeatSettings,
    run::{Record, Running, Setup, start},
    settings::{ServiceSettings, Settings, StoreSettings, TracesSettings, WebSettings, schema},
};

/// This very binary, also when its file was replaced by a newer one meanwhile.
pub(crate) const OWN_BINARY: &str = "/proc/self/exe";

/// The whole program: reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    command::dispatch(cli::Cli::parse())
}
