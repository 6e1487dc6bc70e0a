//! Probes: one look at a target, with a reason from a closed list.
//!
//! A new kind is its file, its `mod` and its line in [`Check`].

mod command;
mod disk;
mod endpoint;
mod http;
mod line;
mod load;
mod network;
mod runner;
mod schedule;
mod settings;
mod stopwatch;
mod tcp;
mod why;

use async_trait::async_trait;
use config::Mistake;
use events::{Look, Reason, Status};
use jiff::SignedDuration;
use outbound::{Context, Finding};
use tokio::time::Instant;

pub use self::{
    command::CommandCheck,
    disk::{DiskCheck, FreeBelow},
    endpoint::Endpoint,
    http::{Auth, BasicAuth, HttpCheck, Method, Statuses},
    load::LoadCheck,
    network::{Anchors, NetworkSettings, OwnNetwork},
    runner::{ProbeSink, Runner, StatusOf, Watch},
    settings::ProbeSettings,
    tcp::TcpCheck,
};

config::kinds! {
    /// What a probe looks at.
    pub enum Check: dyn ProbeKind {
        /// An HTTP or HTTPS address.
        Http = "http": HttpCheck,
        /// A TCP port, with TLS and a short conversation if wanted.
        Tcp = "tcp": TcpCheck,
        /// A command that ends with code 0 when all is well.
        Command = "command": CommandCheck,
        /// Free space and inodes of a file system of this machine.
        Disk = "disk": DiskCheck,
        /// Load and free memory of this machine.
        Load = "load": LoadCheck,
    }
}

/// A kind of probe: its part of the configuration.
#[async_trait]
pub trait ProbeKind: Send + Sync {
    /// What is wrong with the configuration by itself: needs no file, no secret and nobody else.
    fn mistakes(&self) -> Vec<Mistake> {
        Vec::new()
    }

    /// Makes the probe, of a configuration without mistakes. Reads certificate files and secrets; reaches nobody.
    fn build(&self, context: &Context) -> Result<Box<dyn Probe>, Mistake>;

    /// What it looks at, for messages and for its place in the interval; without secrets, the same at every start.
    fn target(&self) -> String;

    /// True when no path lies between us and the target: this machine or a private network, decided from the text. Such
    /// a target asks no anchors, and its first alert waits 15 s instead of 1 m.
    fn is_near(&self) -> bool;

    /// True when an authority of its own is given for it.
    fn has_ca(&self) -> bool {
        false
    }

    /// Probes of one host share a limit on how many look at once.
    fn host(&self) -> String {
        self.target()
    }

    /// Tries it, for `watchkeep check`.
    async fn preflight(&self, context: &Context) -> Vec<Finding> {
        let what = self.target();
        if let Some(mistake) = self.mistakes().into_iter().next() {
            return vec![Finding::problem(
                what,
                mistake.message,
                mistake.help.unwrap_or_default(),
            )];
        }
        let probe = match self.build(context) {
            Ok(probe) => probe,
            Err(mistake) => {
                let help = mistake.help.unwrap_or_default();
                return vec![Finding::problem(what, mistake.message, help)];
            }
        };
        let deadline = Instant::now() + PREFLIGHT_MAX;
        let tried = outbound::within(SignedDuration::from_secs(12), "look at it", probe.look(deadline)).await;
        vec![match tried {
            Ok(look) if look.status == Status::Pass => Finding::ok(what, look.detail),
            Ok(look) => Finding::problem(
                what,
                format!("{}: {}", look.reason.text(), look.detail),
                why::remedy(look.reason, self.has_ca()),
            ),
            Err(error) => Finding::problem(what, error.to_string(), why::remedy(Reason::Timeout, false)),
        }]
    }
}

/// How long one try of `watchkeep check` may take.
const PREFLIGHT_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// One target, ready to be looked at.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Looks once and ends by the deadline. Never fails: what goes wrong is the answer.
    async fn look(&self, deadline: Instant) -> Look;
}
