//! What an expression asks the world at one moment.

use std::{borrow::Cow, fmt};

use jiff::SignedDuration;

/// Why there is no answer, in a few words: `watched less than half of the window`.
///
/// A fixed reason costs no allocation, so that 10,000 rules can be unknown at every tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub Cow<'static, str>);

impl Unknown {
    /// From a reason.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The answers at one moment. An error is not a failure: it means unknown, with the reason.
///
/// `service` is written as in the rule: `shop` or `shop@staging`. Windows end at the moment of the question.
pub trait Evidence {
    /// Does it work: the probe of this name, else all probes of the service of this name.
    ///
    /// # Errors
    /// When that is not known.
    fn up(&self, name: &str) -> Result<bool, Unknown>;

    /// How many requests the service served within the window.
    ///
    /// # Errors
    /// When that is not known; 0 needs a source that was heard.
    fn requests(&self, service: &str, window: SignedDuration) -> Result<u64, Unknown>;

    /// How many requests failed within the window, and of how many. None at all makes a share unknown.
    ///
    /// # Errors
    /// When that is not known.
    fn errors(&self, service: &str, window: SignedDuration) -> Result<(u64, u64), Unknown>;

    /// How many requests took longer than `limit` within the window, and of how many. None at all makes a share unknown.
    ///
    /// # Errors
    /// When that is not known.
    fn over(&self, service: &str, limit: SignedDuration, window: SignedDuration) -> Result<(u64, u64), Unknown>;

    /// How long ago a copy of this backup was last proved; never yet: how long ago the backup was first configured.
    ///
    /// # Errors
    /// When that is not known.
    fn proof_age(&self, job: &str) -> Result<SignedDuration, Unknown>;

    /// How long ago the service was last deployed.
    ///
    /// # Errors
    /// When that is not known.
    fn deployed_age(&self, service: &str) -> Result<SignedDuration, Unknown>;

    /// For how long nothing was heard: no result of the probe of this name, else nothing of the service of this name.
    ///
    /// # Errors
    /// When that is not known.
    fn silent_for(&self, name: &str) -> Result<SignedDuration, Unknown>;

    /// How long the certificate that the probe last saw is still valid; negative when it is over.
    ///
    /// # Errors
    /// When that is not known.
    fn expires_in(&self, probe: &str) -> Result<SignedDuration, Unknown>;
}
