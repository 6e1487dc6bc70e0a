//! What exists: names are resolved when a rule is loaded, so that a misspelt one cannot watch nothing in silence.

use std::{collections::BTreeSet, ops::Range};

use super::{
    error::{Report, closest},
    expression::Target,
};

/// Longest list of names in an advice.
const LISTED_MAX: usize = 6;

pub(super) const PROBE: &str = "probe";
pub(super) const SERVICE: &str = "service";
pub(super) const BACKUP: &str = "backup";

/// What exists, by its name in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Names<'a> {
    /// Every probe.
    pub probes: BTreeSet<&'a str>,
    /// Every service with a section, a probe or a tail of its own; `shop` or `shop@staging`.
    /// One that is known by its telemetry only needs a section, or a rule cannot name it.
    pub services: BTreeSet<&'a str>,
    /// Every backup.
    pub jobs: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    /// A service by its telemetry: of any environment when the service itself is known.
    fn has_service(&self, name: &str) -> bool {
        let base = name
            .split_once('@')
            .filter(|(_, environment)| !environment.is_empty())
            .map(|(base, _)| base);
        self.services.contains(name) || base.is_some_and(|base| self.services.contains(base))
    }

    /// The service whose telemetry is asked.
    pub(super) fn service(&self, name: &str, at: &Range<usize>, report: &mut Report) -> Option<String> {
        if self.has_service(name) {
            return Some(name.to_owned());
        }
        self.missing(&[SERVICE], name, at, report);
        None
    }

    /// The probe.
    pub(super) fn probe(&self, name: &str, at: &Range<usize>, report: &mut Report) -> Option<String> {
        if self.probes.contains(name) {
            return Some(name.to_owned());
        }
        self.missing(&[PROBE], name, at, report);
        None
    }

    /// The backup.
    pub(super) fn job(&self, name: &str, at: &Range<usize>, report: &mut Report) -> Option<String> {
        if self.jobs.contains(name) {
            return Some(name.to_owned());
        }
        self.missing(&[BACKUP], name, at, report);
        None
    }

    /// The probe of this name, else the service whose probes are asked.
    pub(super) fn probed(&self, name: &str, at: &Range<usize>, report: &mut Report) -> Option<Target> {
        if self.probes.contains(name) {
            return Some(Target::Probe(name.to_owned()));
        }
        if self.services.contains(name) {
            return Some(Target::Service(name.to_owned()));
        }
        self.missing(&[PROBE, SERVICE], name, at, report);
        None
    }

    /// The probe of this name, else the service that is listened to.
    pub(super) fn heard(&self, name: &str, at: &Range<usize>, report: &mut Report) -> Option<Target> {
        if !self.probes.contains(name) && self.has_service(name) {
            return Some(Target::Service(name.to_owned()));
        }
        self.probed(name, at, report)
    }

    /// Tells that a name is missing, and which was probably meant.
    fn missing(&self, wanted: &[&'static str], name: &str, at: &Range<usize>, report: &mut Report) {
        let kinds = || wanted.iter().map(|kind| (*kind, self.of_kind(kind)));
        let known = || kinds().flat_map(|(_, names)| names.iter().copied());
        let elsewhere = || known().find(|known| without_environment(known) == without_environment(name));
        let help = if let Some(near) = closest(name, known()).or_else(elsewhere) {
            format!("did you mean `{near}`?")
        } else if let Some(other) = self.kind_of(name) {
            format!("`{name}` is a {other}")
        } else {
            let mut advice: Vec<String> = kinds().map(|(kind, names)| listed(kind, names)).collect();
            if wanted.contains(&SERVICE) {
                let section =
                    format!("a service that is known by its telemetry only needs a section `[service.{name}]`");
                advice.push(section);
            }
            advice.join("; ")
        };
        report.advise(at.clone(), format!("no {} `{name}`", wanted.join(" or ")), help);
    }

    fn of_kind(&self, kind: &str) -> &BTreeSet<&'a str> {
        match kind {
            PROBE => &self.probes,
            SERVICE => &self.services,
            _ => &self.jobs,
        }
    }

    /// What else has this name.
    pub(super) fn kind_of(&self, name: &str) -> Option<&'static str> {
        [PROBE, SERVICE, BACKUP]
            .into_iter()
            .find(|kind| self.of_kind(kind).contains(name))
    }
}

fn without_environment(name: &str) -> &str {
    name.split_once('@').map_or(name, |(base, _)| base)
}

fn listed(kind: &str, names: &BTreeSet<&str>) -> String {
    if names.is_empty() {
        return format!("there is no {kind} yet");
    }
    let shown: Vec<String> = names.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(LISTED_MAX);
    let rest = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!("the {kind}s are {}{rest}", shown.join(", "))
}
