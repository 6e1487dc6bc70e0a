//! Compiled rules: every name resolved, every text read, and an index from what happens to the rules it concerns.

mod compile;

use std::collections::{BTreeMap, BTreeSet};

use events::{Name, RuleTerms, ServiceId};

pub use self::compile::{Surroundings, WatchedProbe, implied_name};
use crate::{
    language::{Expression, Needs},
    phase::Hold,
    settings::NoData,
    windows::{WindowKey, window_key},
};

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name: `shop-errors`; `up/shop` when a probe's `notify` implies it.
    pub name: Name,
    /// The service it is about.
    pub service: Option<ServiceId>,
    /// The breach.
    pub when: Expression,
    /// Its end; absent: the opposite of the breach.
    pub clear: Option<Expression>,
    /// For how long both must last.
    pub hold: Hold,
    /// What it makes of missing evidence.
    pub no_data: NoData,
    /// What outlives it. `trusted` is decided when it fires.
    pub terms: RuleTerms,
    /// Digest of what decides, so that a changed rule is noticed.
    pub digest: String,
    /// What it asks for.
    pub needs: Needs,
}

impl Rule {
    /// True when it rests on telemetry, which anybody on this machine can send.
    #[must_use]
    pub fn rests_on_telemetry(&self) -> bool {
        let needs = &self.needs;
        !(needs.windows.is_empty() && needs.over.is_empty() && needs.heard_services.is_empty())
    }

    /// True when it can come true by time alone.
    fn is_timed(&self) -> bool {
        let text = &self.terms.when;
        let asks = |function: &str| text.contains(function);
        !self.needs.jobs.is_empty()
            || !self.needs.deployed_services.is_empty()
            || !self.needs.heard_services.is_empty()
            || asks("missing")
            || asks("expires")
    }
}

/// All rules of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    by_name: BTreeMap<String, usize>,
    /// Every probe, and whether it is near.
    probes: BTreeMap<String, bool>,
    probes_of: BTreeMap<String, Vec<String>>,
    needs: Needs,
    trust_loopback: bool,
    by_probe: BTreeMap<String, Vec<usize>>,
    by_window: BTreeMap<WindowKey, Vec<usize>>,
    by_backup: BTreeMap<String, Vec<usize>>,
    by_deployed: BTreeMap<String, Vec<usize>>,
    timed: Vec<usize>,
}

impl Rules {
    /// The rules, in order of their names.
    #[must_use]
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Rule> {
        self.index_of(name).and_then(|index| self.rules.get(index))
    }

    /// What all rules ask for.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// True when telemetry of this machine may set off an action by itself.
    #[must_use]
    pub fn trusts_loopback(&self) -> bool {
        self.trust_loopback
    }

    /// The names of the probes that speak for a name: the probe itself, else all probes of the service.
    pub fn probes_behind<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let itself = self.probes.get_key_value(name).map(|(known, _)| known.as_str());
        let of_service = match itself {
            Some(_) => &[],
            None => self.probes_of.get(name).map_or(&[][..], Vec::as_slice),
        };
        itself.into_iter().chain(of_service.iter().map(String::as_str))
    }

    /// The names of the probes of a service.
    #[must_use]
    pub fn probes_of(&self, service: &str) -> &[String] {
        self.probes_of.get(service).map_or(&[], Vec::as_slice)
    }

    /// True when there is a probe of this name.
    #[must_use]
    pub fn is_probe(&self, name: &str) -> bool {
        self.probes.contains_key(name)
    }

    /// True when no network lies between the watcher and what the probe looks at.
    #[must_use]
    pub fn is_near(&self, probe: &str) -> bool {
        self.probes.get(probe).copied().unwrap_or(false)
    }

    /// The rules that rest on a probe.
    pub fn on_probe(&self, probe: &str) -> impl Iterator<Item = &Rule> {
        self.pick(self.by_probe.get(probe))
    }

    fn pick<'a>(&'a self, indexes: Option<&'a Vec<usize>>) -> impl Iterator<Item = &'a Rule> {
        indexes.into_iter().flatten().filter_map(|index| self.rules.get(*index))
    }

    pub(crate) fn at(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn touched_by(&self, what: &Touch<'_>) -> &[usize] {
        let found = match what {
            Touch::Probe(probe) => self.by_probe.get(*probe),
            Touch::Backup(backup) => self.by_backup.get(*backup),
            Touch::Deployment(service) => self.by_deployed.get(*service),
            Touch::Time => Some(&self.timed),
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// The rules that rest on a window.
    pub(crate) fn on_window(&self, key: &WindowKey) -> &[usize] {
        self.by_window.get(key).map_or(&[], Vec::as_slice)
    }

    /// Builds the indexes over rules in order of their names.
    fn indexed(mut self) -> Self {
        self.rules.sort_by(|one, other| one.name.cmp(&other.name));
        let rules = std::mem::take(&mut self.rules);
        for (index, rule) in rules.iter().enumerate() {
            self.by_name.insert(rule.name.to_string(), index);
            self.needs.merge(rule.needs.clone());
            for probe in self.probes_needed(&rule.needs) {
                self.by_probe.entry(probe).or_default().push(index);
            }
            let needs = &rule.needs;
            let errors = needs
                .windows
                .iter()
                .map(|(service, span)| window_key(service, *span, None));
            let over = needs
                .over
                .iter()
                .map(|(service, limit, span)| window_key(service, *span, Some(*limit)));
            for key in errors.chain(over) {
                self.by_window.entry(key).or_default().push(index);
            }
            for job in &needs.jobs {
                self.by_backup.entry(job.clone()).or_default().push(index);
            }
            for service in &needs.deployed_services {
                self.by_deployed.entry(service.clone()).or_default().push(index);
            }
            if rule.is_timed() {
                self.timed.push(index);
            }
        }
        self.rules = rules;
        self
    }

    /// Every probe that a rule asks, by itself or through its service.
    pub(crate) fn probes_needed(&self, needs: &Needs) -> BTreeSet<String> {
        let of_services = needs.probed_services.iter().flat_map(|service| self.probes_of(service));
        needs.probes.iter().chain(of_services).cloned().collect()
    }
}

/// What happened that a rule may rest on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Touch<'a> {
    /// A probe of this name.
    Probe(&'a str),
    /// A backup of this name.
    Backup(&'a str),
    /// A deployment of this service.
    Deployment(&'a str),
    /// A tick.
    Time,
}

#[cfg(test)]
mod tests;
