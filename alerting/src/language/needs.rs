//! What has to be counted and known for an expression: the counters are made when a rule is loaded.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::expression::{Age, Condition, Duration, Expression, Fact, Fraction, Number, Target};

/// What has to be counted and known for an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Requests and errors: service and window.
    pub windows: BTreeSet<(String, SignedDuration)>,
    /// Requests over a latency: service, latency and window.
    pub over: BTreeSet<(String, SignedDuration, SignedDuration)>,
    /// Probes that are named themselves: their status, their silence or their certificate.
    pub probes: BTreeSet<String>,
    /// Services all of whose probes are asked. One without probes stays unknown for ever.
    pub probed_services: BTreeSet<String>,
    /// Services whose silence is asked.
    pub heard_services: BTreeSet<String>,
    /// Services whose last deployment is asked.
    pub deployed_services: BTreeSet<String>,
    /// Backups whose last proof is asked.
    pub jobs: BTreeSet<String>,
    /// The longest window of all; zero when there is none.
    pub max_window: SignedDuration,
}

impl Needs {
    fn look_back(&mut self, window: SignedDuration) {
        self.max_window = self.max_window.max(window);
    }

    /// Adds what another expression needs.
    pub fn merge(&mut self, mut other: Self) {
        self.windows.append(&mut other.windows);
        self.over.append(&mut other.over);
        self.probes.append(&mut other.probes);
        self.probed_services.append(&mut other.probed_services);
        self.heard_services.append(&mut other.heard_services);
        self.deployed_services.append(&mut other.deployed_services);
        self.jobs.append(&mut other.jobs);
        self.look_back(other.max_window);
    }
}

impl Expression {
    /// What has to be counted and known, so that it can be evaluated.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        self.0.each_leaf(&mut |leaf| leaf.need(&mut needs));
        needs
    }
}

impl Condition {
    fn need(&self, needs: &mut Needs) {
        match self {
            Self::Fact(Fact::Up(Target::Probe(name))) => _ = needs.probes.insert(name.clone()),
            Self::Fact(Fact::Up(Target::Service(name))) => _ = needs.probed_services.insert(name.clone()),
            Self::Fact(Fact::Missing(target, window)) => {
                match target {
                    Target::Probe(name) => needs.probes.insert(name.clone()),
                    Target::Service(name) => needs.heard_services.insert(name.clone()),
                };
                needs.look_back(*window);
            }
            Self::Fraction(Fraction::Errors { service, window }, ..)
            | Self::Number(Number::Requests { service, window }, ..) => {
                needs.windows.insert((service.clone(), *window));
                needs.look_back(*window);
            }
            Self::Fraction(
                Fraction::Over {
                    service,
                    over: limit,
                    window,
                },
                ..,
            )
            | Self::Duration(Duration::Percentile { service, window, .. }, _, limit) => {
                needs.over.insert((service.clone(), *limit, *window));
                needs.look_back(*window);
            }
            Self::Duration(Duration::Age(Age::Proved(job)), ..) => _ = needs.jobs.insert(job.clone()),
            Self::Duration(Duration::Age(Age::Deployed(service)), ..) => {
                _ = needs.deployed_services.insert(service.clone());
            }
            Self::Duration(Duration::Expires(probe), ..) => _ = needs.probes.insert(probe.clone()),
        }
    }
}
