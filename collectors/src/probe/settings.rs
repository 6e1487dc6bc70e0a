//! `[probe.NAME]`: what every probe has, whatever its kind.

use std::time::Duration;

use config::{Located, Mistake, Name, Span};
use events::ServiceId;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Check;

/// The shortest interval.
const EVERY_MIN: Span = Span::seconds(1);
/// How long a look may take when nothing is said; never longer than the interval.
const TIMEOUT: Span = Span::seconds(10);

/// A probe: what to look at, how often, and whom to tell.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeSettings {
    /// How often to look; at least 1 s.
    #[serde(default = "every")]
    #[schemars(with = "Span", extend("default" = "15s"))]
    pub every: Located<Span>,
    /// How long a look may take; 10 s, or the interval if that is shorter.
    #[serde(default)]
    pub timeout: Option<Located<Span>>,
    /// The service it speaks for: `shop` or `shop@staging`; its own name when not said.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub service: Option<Located<ServiceId>>,
    /// What to look at: the key is the kind.
    pub check: Check,
    /// Whom to tell when it fails; implies an alert of its own.
    #[serde(default)]
    pub notify: Vec<Located<Name>>,
    /// Whether to look again after 1 s before a first failure counts.
    #[serde(default = "second_look")]
    pub second_look: bool,
}

fn every() -> Located<Span> {
    Located::new(Span::seconds(15), 0..0)
}

fn second_look() -> bool {
    true
}

impl ProbeSettings {
    /// What is wrong beyond the single values.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.check.as_dyn().mistakes();
        if *self.every < EVERY_MIN {
            let message = format!("`every` is {}, less than {EVERY_MIN}", *self.every);
            mistakes.push(Mistake::at(self.every.span(), message).help("a probe looks at most once a second"));
        }
        if let Some(timeout) = &self.timeout
            && **timeout > *self.every
        {
            let message = format!("`timeout` is {}, longer than `every` ({})", **timeout, *self.every);
            mistakes.push(Mistake::at(timeout.span(), message).help("a look has to end before the next one begins"));
        }
        mistakes
    }

    /// How long one look may take.
    pub fn look_max(&self) -> Duration {
        let timeout = self.timeout.as_ref().map_or(TIMEOUT, |timeout| **timeout);
        timeout.min(*self.every).as_std()
    }

    /// The service it speaks for.
    pub fn service(&self, name: &Name) -> Option<ServiceId> {
        match &self.service {
            Some(service) => Some((**service).clone()),
            None => ServiceId::new(name.as_str()).ok(),
        }
    }
}
